//! What an operator sees of attempts, failures and dead letters from the command line, and does about them.

use hookbox_tests::{
    bad_modules::{self, TRAP},
    eventually::eventually,
    operator::Operator,
    real_program::{Place, Serving},
    receiver::Receiver,
    samples::{ACCOUNT, bad, channel_created},
    test_host::{HookDraft, MASTER_KEY, RESELLER, TENANT_KEY, a_hook},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// A place with the usual accounts, these hooks, and settings for it.
async fn filled(settings: &str, hooks: &[&HookDraft]) -> Place {
    let place = Place::with_settings(settings);
    let mut documents = vec![
        json!({"_id": RESELLER, "pvt_type": "account", "name": "reseller", "pvt_tree": []}),
        json!({"_id": ACCOUNT, "pvt_type": "account", "name": "customer", "pvt_tree": [RESELLER], "pvt_api_key": TENANT_KEY}),
    ];
    documents.extend(hooks.iter().map(|hook| hook.document()));
    place.write("kazoo.json", Value::Array(documents).to_string());
    let said = place.call(&["import", "kazoo", "kazoo.json", "--config", "hookbox.toml"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    place
}

fn once(receiver: &Receiver) -> HookDraft {
    a_hook("channel_create").to(receiver).with("retry_schedule_s", json!([]))
}

/// A host on which one hook failed twice and another one succeeded twice: the place, the host, both receivers and hooks.
async fn four_attempts() -> (Place, Serving, [Receiver; 2], [String; 2]) {
    let receivers = [Receiver::start().await.answering([500]), Receiver::start().await];
    let hooks = [once(&receivers[0]), once(&receivers[1])];
    let limits = "webhooks.attempt_failure_count = 1000\nwebhooks.attempt_failure_expiry_ms = 3600000";
    let place = filled(limits, &[&hooks[0], &hooks[1]]).await;
    let host = place.serve().await;
    for _ in 0..2 {
        let (status, envelope) = host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await;
        assert_eq!(status, 202, "{envelope}");
    }
    let tenant = Operator::at(&place, &host, TENANT_KEY);
    eventually("four attempts", async || match tenant.reads(&["attempts", "list"]).await {
        listed if listed.as_array().unwrap().len() == 4 => Ok(()),
        listed => Err(listed),
    })
    .await;
    let ids = hooks.map(|hook| hook.id());
    (place, host, receivers, ids)
}

fn ids(listed: &Value) -> Vec<String> {
    listed.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn attempts_are_listed_shown_followed_and_sent_again() {
    let (place, host, [_bad, good], [bad_hook, good_hook]) = four_attempts().await;
    let tenant = Operator::at(&place, &host, TENANT_KEY);

    let table = tenant.does(&["attempts", "list", "--result", "failure"]).await;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("TIME "), "{table}");
    assert!(lines[1].starts_with("20") && lines[1].contains(&bad_hook) && lines[1].contains("  500"), "{table}");
    let good_ones = tenant.reads(&["attempts", "list", "--hook", &good_hook]).await;
    assert_eq!(good_ones.as_array().unwrap().len(), 2);
    assert_eq!(ids(&tenant.reads(&["attempts", "list", "--limit", "3"]).await).len(), 3);
    let first = &ids(&good_ones)[0];
    let before = ["attempts", "list", "--from", "2026-01-31T12:00:00Z", "--to", "2026-01-31T13:00:00Z"];
    assert_eq!(tenant.reads(&before).await, json!([]));
    let none = ["attempts", "list", "--to", "2026-01-31T13:00:00Z"];
    assert_eq!(tenant.does(&none).await, "there are no such attempts");

    let shown = tenant.does(&["attempts", "show", first]).await;
    assert!(shown.starts_with(&format!("id          {first}\n")), "{shown}");
    assert!(shown.contains(&format!("request     POST {}\n", good.url("/"))) && shown.contains("\nsent:\n"), "{shown}");
    assert_eq!(tenant.reads(&["attempts", "show", first]).await["id"], **first);

    let again = tenant.does(&["attempts", "resend", first]).await;
    assert!(again.contains(&format!("is sent again to {good_hook}")), "{again}");
    good.expect_requests(3).await;
    let some = tenant.calls(&["attempts", "resend", first, "nowhere"]).await;
    assert_eq!((some.code, some.stderr.as_str()), (1, "hookbox: 1 of 2 were not done\n"), "{some:?}");
    assert!(some.stdout.contains("is sent again to") && some.stdout.contains("there is no nowhere at"), "{some:?}");
    good.expect_requests(4).await;

    // Followed while they are made; each is printed once.
    place.write("message.json", channel_created(ACCOUNT).to_json().to_string());
    let arguments = ["attempts", "tail", "--hook", &good_hook, "--result", "success", "--count", "3", "--json"];
    let followed = tokio::select! {
        followed = tenant.does(&arguments) => followed,
        _ = async {
            loop {
                tenant.does(&["publish", "message.json", "--account", ACCOUNT]).await;
            }
        } => unreachable!("it goes on"),
    };
    let followed: Vec<Value> = followed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut told: Vec<_> = followed.iter().map(|attempt| attempt["id"].as_str().unwrap()).collect();
    assert!(!told.contains(&first.as_str()), "that one is old");
    assert!(followed.iter().all(|attempt| attempt["hook_id"] == *good_hook && attempt["result"] == "success"));
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 3);

    // Ctrl-C is how it ends otherwise.
    let following = tenant.starts(&["attempts", "tail", "--result", "failure"]);
    eventually("an attempt to be printed", async || {
        tenant.does(&["publish", "message.json", "--account", ACCOUNT]).await;
        if following.stdout().contains('\n') { Ok(()) } else { Err(()) }
    })
    .await;
    following.signal("INT");
    let followed = following.ended().await;
    assert_eq!((followed.code, followed.stderr.as_str()), (0, ""), "{followed:?}");
    assert!(followed.stdout.lines().all(|line| line.contains(&bad_hook) && line.contains("  500  ")), "{followed:?}");

    // What is refused.
    let hidden = |text: String| text.replace(ACCOUNT, "<account>").replace(RESELLER, "<reseller>");
    assert_snapshot!(hidden(tenant.may_not(1, &["attempts", "show", "nowhere"]).await), @"hookbox: there is no nowhere at /v2/accounts/<account>/webhooks/attempts/nowhere (404); check the id, and --account");
    assert_snapshot!(hidden(tenant.may_not(1, &["attempts", "tail", "--hook", "nowhere"]).await), @"hookbox: there is no nowhere at /v2/accounts/<account>/webhooks/nowhere/attempts (404); check the id, and --account");
    assert_snapshot!(hidden(tenant.may_not(1, &["attempts", "resend", "nowhere"]).await), @"hookbox: there is no nowhere at /v2/accounts/<account>/webhooks/attempts/nowhere/resend (404); check the id, and --account");
    assert_snapshot!(hidden(tenant.may_not(1, &["attempts", "list", "--account", RESELLER]).await), @"hookbox: the key does not open /v2/accounts/<reseller>/webhooks/attempts (403); it opens its own account and those below it: use a key of that account, or of one above it");
    let turned = ["attempts", "list", "--from", "2026-02-01T00:00:00Z", "--to", "2026-01-31T00:00:00Z"];
    assert_snapshot!(tenant.may_not(2, &turned).await, @"hookbox: --from is later than --to");
    for odd in [
        ["attempts", "list", "--from", "soon"],
        ["attempts", "list", "--result", "maybe"],
        ["attempts", "list", "--limit", "0"],
    ] {
        tenant.may_not(2, &odd).await;
    }
    assert_eq!(host.stop().await, 0);
}

#[tokio::test]
async fn failures_are_shown_and_forgotten() {
    let (place, host, [bad, _good], [bad_hook, good_hook]) = four_attempts().await;
    let tenant = Operator::at(&place, &host, TENANT_KEY);
    let hidden = |text: String| text.replace(&bad_hook, "<hook>").replace(ACCOUNT, "<account>");

    let status = tenant.does(&["failures", "status"]).await;
    assert_eq!(status.lines().count(), 2, "{status}");
    assert!(status.contains(&bad_hook) && status.contains("2 of 1000") && status.contains(&bad.url("/")), "{status}");
    let listed = tenant.reads(&["failures", "status"]).await;
    assert_eq!((&listed[0]["count"], &listed[0]["standing"]), (&json!(2), &json!("healthy")));
    let other = tenant.does(&["failures", "status", "--hook", &good_hook]).await;
    assert!(other.contains("0 of 1000  3600000    healthy"), "{other}");

    assert_snapshot!(tenant.may_not(2, &["failures", "flush"]).await, @"hookbox: name a hook with --hook, or add --yes to forget the failures of all of the account's");
    assert_snapshot!(hidden(tenant.may_not(1, &["failures", "flush", "--hook", "nowhere"]).await), @"hookbox: there is no nowhere at /v2/accounts/<account>/webhooks/nowhere/failures (404); check the id, and --account");
    assert_snapshot!(tenant.may_not(1, &["failures", "status", "--account", "ffff"]).await, @"hookbox: the key does not open /v2/accounts/ffff/webhooks/failures (403); it opens its own account and those below it: use a key of that account, or of one above it");
    tenant.may_not(2, &["failures", "flush", "--hook", &bad_hook, "--yes"]).await;

    let flushed = tenant.does(&["failures", "flush", "--hook", &bad_hook]).await;
    assert_eq!(flushed, "hooks whose failures are forgotten: 1");
    assert_eq!(tenant.does(&["failures", "status"]).await, "no hook of the account has failed of late");
    host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await;
    eventually("a failure", async || match tenant.reads(&["failures", "status"]).await {
        listed if listed[0]["count"] == 1 => Ok(()),
        listed => Err(listed),
    })
    .await;
    assert_eq!(tenant.reads(&["failures", "flush", "--yes"]).await, json!({"hooks": 1}));
    assert_eq!(tenant.reads(&["failures", "status"]).await, json!([]));
    assert_eq!(host.stop().await, 0);
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let settings = "modules.dir = \"modules\"\nmodules.fault_count = 10000\ndead_letters.bulk_rows_max = 2";
    let place = filled(settings, &[]).await;
    place.write("modules/trap.wasm", bad_modules::bytes(TRAP));
    let host = place.serve().await;
    let (master, tenant) = (Operator::at(&place, &host, MASTER_KEY), Operator::at(&place, &host, TENANT_KEY));
    let module = ["--module", "trap", "--yes"];
    place.write("bad.json", bad(ACCOUNT).to_json().to_string());
    tenant.calls(&["publish", "bad.json", "--account", ACCOUNT]).await;
    for _ in 0..3 {
        host.post(ACCOUNT, &bad(ACCOUNT).to_json()).await;
    }

    let own = tenant.reads(&["dead-letters", "list"]).await;
    let [id] = ids(&own).try_into().unwrap();
    let all = master.does(&["dead-letters", "list", "--all", "--module", "trap"]).await;
    assert!(all.starts_with("ID ") && all.lines().count() == 5 && all.contains("this module always traps"), "{all}");
    assert_eq!(master.does(&["dead-letters", "list", "--all", "--module", "sms"]).await, "there are no dead letters");
    assert_eq!(master.reads(&["dead-letters", "list", "--all", "--limit", "2"]).await.as_array().unwrap().len(), 2);
    let shown = tenant.does(&["dead-letters", "show", &id]).await;
    assert!(shown.starts_with(&format!("id              {id}\n")) && shown.contains("\"Account-ID\""), "{shown}");
    assert_eq!(tenant.reads(&["dead-letters", "show", &id]).await, own[0]);

    // It fails again; so do all.
    let one = tenant.may_not(1, &["dead-letters", "replay", &id]).await;
    assert!(one.contains("this module always traps"), "{one}");
    let two = tenant.calls(&["dead-letters", "replay", &id, "0"]).await;
    assert_eq!((two.code, two.stderr.as_str()), (1, "hookbox: 2 of 2 were not done\n"), "{two:?}");
    assert!(two.stdout.contains("this module always traps") && two.stdout.contains("there is no 0 at"), "{two:?}");
    let many = master.calls(&[["dead-letters", "replay", "--all"].as_slice(), &module].concat()).await;
    assert_eq!((many.code, many.stdout.lines().count()), (1, 5), "{many:?}");
    assert!(many.stdout.starts_with("replayed: 0\n"), "{many:?}");
    assert_eq!(many.stderr, "hookbox: 4 of module trap failed again, and are kept\n");

    // What is refused.
    assert_snapshot!(tenant.may_not(1, &["dead-letters", "list", "--all"]).await, @"hookbox: /v2/dead_letters is the operator's alone (403): use a key of the master account");
    assert_snapshot!(master.may_not(2, &["dead-letters", "list", "--all", "--account", "a"]).await, @"hookbox: --all is for everybody's, --account for one account's: use one of them");
    assert!(tenant.may_not(2, &["dead-letters", "drop", "--module", "trap"]).await.contains("--yes"));
    tenant.may_not(2, &["dead-letters", "drop"]).await;
    let foreign = master.reads(&["dead-letters", "list", "--all", "--limit", "1"]).await[0]["id"].clone();
    let refused = tenant.may_not(1, &["dead-letters", "drop", foreign.as_str().unwrap()]).await;
    assert!(refused.starts_with(&format!("hookbox: there is no {} at ", foreign.as_str().unwrap())), "{refused}");

    let dropped = tenant.does(&[["dead-letters", "drop"].as_slice(), &module].concat()).await;
    assert!(dropped.lines().nth(1).is_some_and(|line| line.ends_with("dropped")), "{dropped}");
    let none = tenant.does(&[["dead-letters", "replay"].as_slice(), &module].concat()).await;
    assert_eq!(none, "the account has no dead letters of module trap");
    let dropped = master.does(&[["dead-letters", "drop", "--all"].as_slice(), &module].concat()).await;
    assert_eq!(dropped, "dropped: 3");
    assert_eq!(master.does(&["dead-letters", "list", "--all"]).await, "there are no dead letters");
    assert_eq!(host.stop().await, 0);
}
