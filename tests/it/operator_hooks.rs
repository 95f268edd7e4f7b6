//! `hookbox hooks …` and `hookbox completions`, as an operator types them: against a host that serves, with a tenant's key.

use hookbox_tests::{
    eventually::eventually,
    real_program::{Place, Said, Serving},
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{RESELLER, TENANT_KEY},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// Stands beside the program's own, in a shell's environment.
struct Operator {
    place: Place,
    host: Serving,
}

impl Operator {
    /// With a host that knows the tenant, and these hooks.
    async fn with(hooks: &[Value]) -> Operator {
        let place = Place::with_settings("firing.claim_poll_ms = 50");
        let accounts = [
            json!({"_id": RESELLER, "pvt_type": "account", "name": "reseller", "pvt_tree": []}),
            json!({"_id": ACCOUNT, "pvt_type": "account", "name": "customer", "pvt_tree": [RESELLER], "pvt_api_key": TENANT_KEY}),
        ];
        place.write("kazoo.json", Value::from([&accounts, hooks].concat()).to_string());
        let said = place.call(&["import", "kazoo", "kazoo.json", "--config", "hookbox.toml"]).await;
        assert_eq!(said.code, 0, "{said:?}");
        let host = place.serve().await;
        Operator { place, host }
    }

    /// `hookbox hooks` with these arguments.
    async fn hooks(&self, arguments: &[&str]) -> Said {
        let environment = [("HOOKBOX_CLI_URL", self.host.url.as_str()), ("HOOKBOX_CLI_TOKEN", TENANT_KEY)];
        self.place.call_with(&[&["hooks"], arguments].concat(), &environment).await
    }

    /// What is printed by a call that does what it is to do.
    async fn done(&self, arguments: &[&str]) -> String {
        let said = self.hooks(arguments).await;
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{arguments:?}: {said:?}");
        said.stdout
    }

    /// The same, as JSON.
    async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.done(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {text}"))
    }

    /// What is said by a call that ends with this code.
    async fn refused(&self, arguments: &[&str], code: i32) -> String {
        let said = self.hooks(arguments).await;
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        said.stderr
    }

    /// Takes a call in, which makes a `channel_create`.
    async fn take_a_call(&self) {
        let (status, envelope) = self.host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await;
        assert_eq!(status, 202, "{envelope}");
    }
}

/// A hook as KAZOO has it, on an event that does not come in these tests.
fn quiet(id: &str, name: &str, uri: &str) -> Value {
    json!({
        "_id": id, "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": name, "hook": "parking", "uri": uri,
    })
}

/// The value of a line that [`Operator::done`] printed.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim()
}

#[tokio::test]
async fn hooks_are_made_listed_changed_and_deleted() {
    let long = format!("https://crm.example.com/{}", "long/".repeat(20));
    let operator = Operator::with(&[quiet("crm", "Parked calls", &long)]).await;
    let create = [
        "create",
        "--name",
        "Calls",
        "--uri",
        "https://example.com/in",
        "--hook",
        "channel_create",
        "--verb",
        "put",
        "--format",
        "json",
        "--retries",
        "1",
        "--retry-schedule",
        "2,10",
        "--timeout-ms",
        "5000",
        "--max-in-flight",
        "5",
        "--rate-limit-per-s",
        "50",
        "--custom-data",
        "tenant=north",
        "--header",
        "X-Key: header-value",
        "--filter",
        "/caller_id_number prefix +1312",
        "--modifier",
        "direction=inbound",
        "--include-subaccounts",
        "--no-internal-legs",
        "--signature",
        "ed25519",
        "--group",
        "crm",
        "--disabled",
    ];
    let made = operator.done(&create).await;
    assert!(field(&made, "secret").starts_with("whsec_") && made.contains("shown this once"), "{made}");
    let id = field(&made, "made").to_owned();

    let shown = operator.json(&["show", &id]).await;
    assert_eq!(
        shown,
        json!({
            "name": "Calls", "uri": "https://example.com/in", "hook": "channel_create", "http_verb": "put",
            "format": "json", "retries": 1, "retry_schedule_s": [2, 10], "timeout_ms": 5000, "max_in_flight": 5,
            "rate_limit_per_s": 50, "custom_data": {"tenant": "north"}, "headers": {"X-Key": "(hidden)"},
            "filter": [{"pointer": "/caller_id_number", "op": "prefix", "value": "+1312"}],
            "modifiers": {"direction": "inbound"}, "include_subaccounts": true, "include_internal_legs": false,
            "signature": "ed25519", "group": "crm", "enabled": false, "id": id,
        })
    );
    let text = operator.done(&["show", &id]).await;
    assert_eq!(field(&text, "custom_data "), r#"{"tenant":"north"}"#);
    assert!(!text.contains("header-value") && !text.contains("whsec_"), "{text}");

    let listed = operator.done(&["list"]).await.replace(&id, "0123456789abcdef0123456789abcdef");
    let mut lines: Vec<_> = listed.lines().collect();
    lines[1..].sort_unstable();
    assert_snapshot!(lines.join("\n"), @r"
    ID                                NAME          EVENT           FIRES  URI                                                           SWITCHED OFF
    0123456789abcdef0123456789abcdef  Calls         channel_create  no     https://example.com/in                                        -
    crm                               Parked calls  parking         yes    https://crm.example.com/long/long/long/long/long/long/long/…  -
    ");
    assert_eq!(operator.json(&["list"]).await.as_array().map(Vec::len), Some(2));
    assert_eq!(operator.json(&["list", "--limit", "1"]).await.as_array().map(Vec::len), Some(1));

    let edit = ["edit", &id, "--name", "Other", "--unset", "retry-schedule", "--unset", "--header", "--unset", "group"];
    let edited = operator.json(&edit).await;
    assert_eq!((&edited["name"], &edited["uri"]), (&json!("Other"), &shown["uri"]));
    for gone in ["retry_schedule_s", "headers", "group"] {
        assert_eq!(edited.get(gone), None, "{edited}");
    }
    assert_eq!(operator.done(&["enable", &id]).await, format!("{id} is enabled\n"));
    assert_eq!(operator.json(&["show", &id]).await["enabled"], true);
    assert_eq!(operator.done(&["disable", &id]).await, format!("{id} is disabled\n"));
    assert_eq!(operator.json(&["show", &id]).await["enabled"], false);

    let key = operator.done(&["public-key", &id]).await;
    assert!(key.starts_with("whpk_") && key.lines().count() == 1, "{key}");
    let rotated = operator.done(&["rotate-secret", &id]).await;
    assert!(field(&rotated, "secret").starts_with("whsec_") && rotated.contains("shown this once"), "{rotated}");
    assert!(field(&rotated, "old ones end").ends_with('Z'), "{rotated}");
    assert_ne!(operator.done(&["public-key", &id]).await, key, "it changes with the secret");
    let named =
        operator.json(&["rotate-secret", &id, "--secret", "whsec_c2VjcmV0LW9mLXRoZS1ob29rLTAxMjM0NTY3ODk="]).await;
    assert_eq!(named["secret"], "whsec_c2VjcmV0LW9mLXRoZS1ob29rLTAxMjM0NTY3ODk=");
    assert_eq!(
        operator.refused(&["rotate-secret", &id, "--secret", "short"], 1).await.find("hookbox: --secret: "),
        Some(0)
    );

    operator.place.write("hook.json", edited.to_string());
    let copy = operator.json(&["create", "--from-file", "hook.json", "--name", "Copy"]).await;
    assert_eq!((&copy["name"], &copy["filter"]), (&json!("Copy"), &edited["filter"]));
    assert!(
        copy["id"] != json!(id) && copy["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")),
        "{copy}"
    );

    assert_eq!(operator.done(&["delete", &id]).await, format!("{id} is deleted\n"));
    let gone = operator.refused(&["show", &id], 1).await;
    assert!(gone.starts_with(&format!("hookbox: there is no {id} at ")), "{gone}");
    assert_eq!(operator.host.stop().await, 0);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words_of_flags() {
    let operator = Operator::with(&[quiet("crm", "Parked calls", "https://crm.example.com/")]).await;
    let wrong = ["create", "--uri", "ftp://example.com/", "--hook", "nope", "--retries", "9", "--filter", "no eq 1"];
    let mut lines: Vec<_> = operator.refused(&wrong, 1).await.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_snapshot!(lines.join("\n"), @r"
    hookbox: --filter 0.pointer: is no JSON pointer; begin it with /
    hookbox: --hook: Value not found in enumerated list of values (nope; use one of all, channel_answer, channel_bridge, channel_create, channel_destroy, mms, notifications, object, parking, sms)
    hookbox: --name: Field is required but missing (name)
    hookbox: --retries: Value must be at most 4 (9)
    hookbox: --uri: invalid client URL (the scheme must be http or https)
    ");
    let without_type = operator.refused(&["edit", "crm", "--hook", "notifications"], 1).await;
    assert!(without_type.starts_with("hookbox: --custom-data type: "), "{without_type}");

    let usage = operator.refused(&["create", "--custom-data", "tenant"], 2).await;
    assert!(usage.contains("--custom-data <KEY=TEXT>") && usage.contains("write a key, = and its value"), "{usage}");
    assert!(operator.refused(&["create", "--verb", "push"], 2).await.contains("possible values: get, post, put"));
    assert!(operator.refused(&["edit", "crm"], 2).await.contains("say what to change"));
    let missing = operator.refused(&["create", "--from-file", "none.json"], 2).await;
    assert!(missing.starts_with("hookbox: none.json: cannot be read ("), "{missing}");
    operator.place.write("bad.json", "[]");
    let bad = operator.refused(&["create", "--from-file", "bad.json"], 2).await;
    assert!(bad.starts_with("hookbox: bad.json: is no JSON object ("), "{bad}");

    for call in [&["show", "h/../x"][..], &["enable", "h/../x"], &["delete", "h/../x"], &["test", "h/../x"]] {
        let unknown = operator.refused(call, 1).await;
        assert!(unknown.starts_with("hookbox: there is no h/../x at "), "{call:?}: {unknown}");
    }
    let url = operator.host.url.clone();
    let stranger = operator.place.call(&["hooks", "list", "--url", &url, "--token", "wrong-key-0123456789"]).await;
    assert_eq!(stranger.code, 1, "{stranger:?}");
    assert!(stranger.stderr.starts_with("hookbox: the host does not know the key (401)"), "{stranger:?}");
    assert!(!format!("{stranger:?}").contains("wrong-key"), "{stranger:?}");
    let above = operator.refused(&["list", "--account", RESELLER], 1).await;
    assert!(above.contains("(403)"), "{above}");
    let nobody = operator.place.call(&["hooks", "list", "--url", &url]).await;
    assert_eq!((nobody.code, nobody.stderr.contains("a key is needed")), (2, true), "{nobody:?}");
    let nowhere = operator.refused(&["list", "--url", "http://127.0.0.1:1"], 2).await;
    assert!(nowhere.starts_with("hookbox: no host answers at http://127.0.0.1:1; "), "{nowhere}");
    assert_eq!(operator.host.stop().await, 0);
}

#[tokio::test]
async fn hooks_are_tested_and_what_did_not_arrive_is_sent_again() {
    let receiver = Receiver::start().await.answering([410]);
    let operator = Operator::with(&[]).await;
    let create = ["create", "--name", "Calls", "--hook", "channel_create", "--format", "json", "--uri"];
    let made = operator.json(&[create.as_slice(), &[&receiver.url("/in")]].concat()).await;
    let hook = made["id"].as_str().unwrap();

    operator.take_a_call().await;
    receiver.expect_requests(1).await;
    eventually("the hook to be switched off", async || match operator.done(&["list"]).await {
        listed if listed.contains("the receiver answered 410 (gone)") => Ok(()),
        listed => Err(listed),
    })
    .await;
    let off = operator.refused(&["resend", hook], 1).await;
    assert!(off.contains("(409)"), "{off}");
    let undelivered = operator.json(&["undelivered", hook]).await;
    let firing = undelivered[0]["id"].as_str().unwrap_or_else(|| panic!("{undelivered}")).to_owned();
    let table = operator.done(&["undelivered", hook]).await;
    assert!(table.lines().count() == 2 && table.contains(&firing) && table.contains("channel_create"), "{table}");

    operator.done(&["re-enable", "--descendants"]).await;
    assert_eq!(operator.json(&["show", hook]).await["enabled"], true);
    operator.done(&["re-enable"]).await;
    receiver.answer_from_now_on([Answer::status(200)]);
    let missing = operator.hooks(&["resend", hook, "--id", &firing, "--id", "nope"]).await;
    assert_eq!((missing.code, missing.stdout.as_str()), (1, "1 are sent again now\n"), "{missing:?}");
    assert!(missing.stderr.starts_with("hookbox: not among the hook's undelivered: nope; "), "{missing:?}");
    receiver.expect_requests(2).await;
    assert_eq!(operator.done(&["undelivered", hook]).await, "everything was delivered, or is still tried\n");
    assert_eq!(operator.json(&["resend", hook]).await, json!({"resent": 0, "missing": []}));

    let tested = operator.done(&["test", hook]).await;
    assert_eq!((field(&tested, "result"), field(&tested, "status")), ("success", "200"), "{tested}");
    operator.place.write("payload.json", r#"{"caller": "nobody"}"#);
    let attempt = operator.json(&["test", hook, "--payload", "payload.json"]).await;
    assert_eq!(attempt["result"], "success");
    assert!(receiver.expect_requests(4).await[3].text().contains("nobody"));
    assert!(operator.refused(&["test", hook, "--sample", "nope"], 1).await.starts_with("hookbox: --sample: "));
    receiver.answer_from_now_on([Answer::status(500)]);
    let failed = operator.hooks(&["test", hook]).await;
    assert_eq!((failed.code, field(&failed.stdout, "result")), (1, "failure"), "{failed:?}");
    assert!(failed.stderr.starts_with("hookbox: the receiver did not take it: "), "{failed:?}");

    receiver.answer_from_now_on([Answer::status(200)]);
    assert_eq!(operator.done(&["resend-jobs", "list"]).await, "there are no bulk resends\n");
    let start = ["resend-jobs", "start", "--outcome", "delivered", "--from", "2020-01-01T00:00:00Z"];
    let followed = operator.done(&start).await;
    assert!(followed.starts_with("begun as ") && followed.ends_with("done: 1 sent again, 0 skipped\n"), "{followed}");
    receiver.expect_requests(6).await;
    let jobs = operator.json(&["resend-jobs", "list"]).await;
    let job = jobs[0]["id"].as_str().unwrap();
    assert!(followed.contains(job), "{followed} {jobs}");
    let shown = operator.done(&["resend-jobs", "show", job]).await;
    assert_eq!((field(&shown, "state"), field(&shown, "from")), ("done", "2020-01-01T00:00:00Z"), "{shown}");
    assert!(operator.refused(&["resend-jobs", "stop", job], 1).await.contains("not running any more (409)"));
    let begun = operator.json(&["resend-jobs", "start", "--hook", hook, "--no-wait"]).await;
    assert_eq!((&begun["hook_id"], &begun["outcome"]), (&json!(hook), &json!("undelivered")));
    let table = operator.done(&["resend-jobs", "list"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    let turned = ["resend-jobs", "start", "--from", "2021-01-01T00:00:00Z", "--to", "2020-01-01T00:00:00Z"];
    assert!(operator.refused(&turned, 1).await.starts_with("hookbox: --from: "));
    let never = operator.refused(&["resend-jobs", "start", "--from", "yesterday"], 2).await;
    assert!(never.contains("write 2026-01-31T12:00:00Z"), "{never}");
    assert_eq!(operator.host.stop().await, 0);
}

#[tokio::test]
async fn the_help_of_create_is_enough_to_make_a_hook() {
    let said = Place::new().call(&["hooks", "create", "--help"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_snapshot!(said.stdout.replace("hookbox-under-test", "hookbox"));
}

#[tokio::test]
async fn shells_are_told_what_there_is() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = place.call(&["completions", shell]).await;
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{shell}: {said:?}");
        assert!(said.stdout.contains("rotate-secret") && said.stdout.contains("retry-schedule"), "{shell}");
    }
    assert_eq!(place.call(&["completions", "tcsh"]).await.code, 2);
}
