//! Transforms: a tenant's component looks at each firing of a hook before the request is made. What it may change arrives;
//! what it may not is an attempt that failed; what waits is the event.

use std::{collections::BTreeMap, time::Duration};

use hookbox::{clock::Clock, message::Object, module::transform_table::RegisteredTransform};
use hookbox_tests::{
    bad_modules,
    eventually::eventually,
    receiver::{Receiver, Request},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
    transforms::{loaded, register, registered},
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// So long nothing may come.
const A_WHILE: Duration = Duration::from_millis(200);

fn builder() -> Builder {
    TestHost::builder()
        .without_broker()
        .setting("firing.claim_poll_ms", 50)
        .setting("firing.retry_jitter_percent", 0)
        .setting("webhooks.disable_disabler", true)
        .setting("modules.fault_count", 10_000)
}

/// A hook whose transform is told this.
fn told(receiver: &Receiver, settings: Value) -> HookDraft {
    a_hook("channel_create").to(receiver).with("transform", json!({"module": "as_told", "settings": settings}))
}

async fn post(host: &TestHost) {
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
}

/// What one message comes to at a hook that is told this.
async fn sent(hook: impl FnOnce(&Receiver) -> HookDraft) -> (TestHost, Request, Object) {
    let receiver = Receiver::start().await;
    let hook = hook(&receiver);
    let host = builder().hook(hook.clone()).start().await;
    register(&host, ACCOUNT).await;
    post(&host).await;
    let request = receiver.expect_requests(1).await.remove(0);
    let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
    verify(&host, &hook, &request).await;
    (host, request, attempt)
}

/// By the library that receivers would use: the signature is of what arrived.
async fn verify(host: &TestHost, hook: &HookDraft, request: &Request) {
    let headers: HeaderMap = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_str(request.header(name).unwrap()).unwrap()))
        .collect();
    let signed = if request.body.is_empty() { request.query().unwrap().as_bytes() } else { &request.body };
    host.verifier(&hook.id()).await.verify(signed, &headers).unwrap();
}

#[tokio::test]
async fn it_changes_what_is_sent_and_the_signature_is_of_that() {
    let settings = json!({"mark": "seen", "header": "X-Team=north", "append": "crm?q=1", "content_type": "application/x.crm+json"});
    let (host, request, attempt) = sent(|receiver| told(receiver, settings)).await;

    assert_eq!((request.path(), request.query()), ("/crm", Some("q=1")));
    assert_eq!(request.header("content-type"), Some("application/x.crm+json"));
    assert_eq!(request.header("x-team"), Some("north"));
    let body = request.json();
    assert_eq!((&body["mark"], &body["cluster_id"]), (&json!("seen"), &json!("test-cluster")));
    assert!(body["call_id"].is_string(), "the rest of the payload stays: {body}");
    assert_eq!(attempt["result"], "success");
    assert!(attempt["uri"].as_str().unwrap().ends_with("/crm?q=1"), "{attempt:?}");
    assert_eq!(attempt["req_headers"]["X-Team"], "(hidden)");
    let run = &attempt["transform"];
    assert_eq!((&run["module"], &run["version"]), (&json!(format!("{ACCOUNT}/as_told")), &json!("1.0.0")));
    assert_eq!(run["digest"].as_str().map(str::len), Some(64));
    assert!(run["fuel"].as_u64().unwrap() > 1000, "{run}");
    host.finish().await;
}

#[tokio::test]
async fn it_is_handed_what_would_be_sent_but_for_cluster_id_and_secrets() {
    let hook = |receiver: &Receiver| {
        told(receiver, json!({"report": "yes"}))
            .with("custom_data", json!({"tenant": "north"}))
            .with("headers", json!({"X-Key": "s3cret"}))
            .with("http_verb", "put")
            .with("format", "form-data")
    };
    let (host, request, attempt) = sent(hook).await;

    let form = reqwest::Url::parse(&format!("http://form/?{}", request.text())).unwrap();
    let form: BTreeMap<String, String> = form.query_pairs().into_owned().collect();
    for (key, value) in [
        ("webhook_id", attempt["event_id"].as_str().unwrap()),
        ("account_id", ACCOUNT),
        ("hook_id", attempt["hook_id"].as_str().unwrap()),
        ("hook_event", "channel_create"),
        ("attempt", "1"),
        ("verb", "put"),
        ("payload[tenant]", "north"),
        ("headers[X-Key]", "s3cret"),
        ("content_type", "application/x-www-form-urlencoded"),
        ("cluster_id", "test-cluster"),
    ] {
        assert_eq!(form.get(key).map(String::as_str), Some(value), "{key} in {form:#?}");
    }
    assert!(!form.contains_key("payload[cluster_id]"), "{form:#?}");
    assert!(!request.text().contains("whsec"), "no secret reaches it");
    host.finish().await;
}

#[tokio::test]
async fn a_get_takes_query_and_payload() {
    let hook = |receiver: &Receiver| {
        told(receiver, json!({"payload": r#"{"only":"this","cluster_id":"mine"}"#, "append": "?a=1"}))
            .with("http_verb", "get")
    };
    let (host, request, _) = sent(hook).await;
    assert_eq!(request.query(), Some("a=1&only=this&cluster_id=test-cluster"));
    assert!(request.body.is_empty());
    host.finish().await;
}

#[tokio::test]
async fn what_it_drops_is_recorded_and_never_sent() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({"do": "drop"}));
    let host = builder().hook(hook.clone()).start().await;
    let transform = register(&host, ACCOUNT).await;
    post(&host).await;

    let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
    assert_eq!(
        (&attempt["result"], &attempt["dropped"], &attempt["req_body"]),
        (&json!("success"), &json!(true), &json!(""))
    );
    assert_eq!(attempt["transform"]["digest"], transform.digest);
    host.expect_no_waiting().await;
    receiver.expect_silence(A_WHILE).await;
    let path = format!("/v2/accounts/{ACCOUNT}/webhooks/{}/failures", hook.id());
    let failures = host.call("GET", &path, TENANT_KEY, None).await.expect(200);
    assert!(!failures.envelope.to_string().contains("transform"), "it is no failure: {}", failures.envelope);
    host.finish().await;
}

#[tokio::test]
async fn whatever_it_does_wrong_is_an_attempt_that_failed_and_is_tried_again() {
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let told_wrong = [
        (json!({"uri": elsewhere.url("/")}), "another scheme, host, port"),
        (json!({"uri": "nonsense"}), "the URI is none"),
        (json!({"header": "Host=evil.example"}), "the header Host: is set by Hookbox"),
        (json!({"header": "webhook-signature=v1,x"}), "the header webhook-signature: is set by Hookbox"),
        (json!({"header": "X-A=a\r\nX-B: b"}), "the header X-A: is not a header's value"),
        (json!({"content_type": "a\r\nb"}), "the content type cannot be"),
        (json!({"payload": "[]"}), "the payload is not a JSON object"),
        (json!({"payload": "{"}), "the payload is not JSON"),
        (json!({"do": "huge"}), "2097163 bytes of payload; 1048576 are allowed (modules.output_bytes_max)"),
        (json!({"do": "trap"}), "instruction executed (it was told to trap)"),
        (json!({"do": "fail"}), "it failed: it was told to fail"),
        (json!({"do": "loop"}), "it ran past 100 ms"),
    ];
    let hooks = told_wrong.clone().map(|(settings, _)| told(&receiver, settings));
    let builder = builder().setting("modules.time_limit_ms", 100).setting("modules.fuel_max", 100_000_000_000_u64);
    let host = hooks.iter().fold(builder, |builder, hook| builder.hook(hook.clone())).start().await;
    register(&host, ACCOUNT).await;
    post(&host).await;

    for (hook, (settings, words)) in hooks.iter().zip(told_wrong) {
        let attempts = host.expect_attempts(&hook.id(), 3).await;
        for attempt in &attempts {
            let error = attempt["client_error"].as_str().unwrap();
            assert!(error.starts_with("transform-failed: "), "{settings}: {error}");
            assert!(error.contains(words), "{settings}: {error}");
            assert_eq!((&attempt["result"], &attempt["req_body"]), (&json!("failure"), &json!("")), "{settings}");
            assert_eq!(attempt["transform"]["version"], "1.0.0", "{settings}");
        }
    }
    host.expect_no_waiting().await;
    assert!(receiver.requests().is_empty() && elsewhere.requests().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn failures_of_a_transform_disable_the_hook_as_a_receivers_do() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({"do": "fail"}));
    let host = builder().setting("webhooks.disable_disabler", false).hook(hook.clone()).start().await;
    register(&host, ACCOUNT).await;
    post(&host).await;
    post(&host).await;

    let path = format!("/v2/accounts/{ACCOUNT}/webhooks/{}", hook.id());
    eventually("the hook to be disabled", async || {
        let shown = host.call("GET", &path, TENANT_KEY, None).await.expect(200);
        if shown.data()["enabled"] == json!(false) { Ok(()) } else { Err(shown.envelope) }
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn what_waits_is_the_event_so_a_mended_transform_heals_it() {
    let (receiver, clock) = (Receiver::start().await, Clock::manual(1_800_000_000_000));
    let schedule = json!([60, 60]);
    let follows = told(&receiver, json!({})).with("retry_schedule_s", schedule.clone());
    let pinned = a_hook("channel_create")
        .to(&receiver)
        .with("transform", json!({"module": "as_told", "version": "1.0.0"}))
        .with("retry_schedule_s", schedule);
    let host = builder().clock(clock.clone()).hook(follows.clone()).hook(pinned.clone()).start().await;
    let (broken, mended) = (loaded(&host, ACCOUNT, "1.0.0").await, loaded(&host, ACCOUNT, "1.1.0").await);
    assert_ne!(broken.digest, mended.digest);
    let table = &host.running.modules.transforms;
    table.put(ACCOUNT.into(), "as_told", registered(&[&broken], &[("do", "trap")]));
    post(&host).await;
    for hook in [&follows, &pinned] {
        let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
        assert_eq!(attempt["transform"]["digest"], broken.digest, "{attempt:?}");
    }

    table.put(ACCOUNT.into(), "as_told", registered(&[&broken, &mended], &[("mark", "mended")]));
    clock.advance(60_000);

    let requests = receiver.expect_requests(2).await;
    assert!(requests.iter().all(|request| request.json()["mark"] == "mended"), "both get the event as it was");
    let digest =
        async |hook: &HookDraft| host.expect_attempts(&hook.id(), 2).await.remove(0)["transform"]["digest"].clone();
    assert_eq!(digest(&follows).await, mended.digest, "it follows the active version");
    assert_eq!(digest(&pinned).await, broken.digest, "it keeps to its own");
    let attempts = host.attempts(&follows.id()).await;
    assert_eq!(attempts[0]["event_id"], attempts[1]["event_id"], "it is the same firing");
    host.expect_no_waiting().await;
    host.finish().await;
}

#[tokio::test]
async fn a_pinned_version_that_has_gone_fails_and_says_what_there_is() {
    let receiver = Receiver::start().await;
    let hook =
        a_hook("channel_create").to(&receiver).with("transform", json!({"module": "as_told", "version": "2.0.0"}));
    let host = builder().hook(hook.clone()).start().await;
    register(&host, ACCOUNT).await;
    post(&host).await;
    let attempt = host.expect_attempts(&hook.id(), 3).await.remove(0);
    let error = attempt["client_error"].as_str().unwrap();
    assert_eq!(error, format!("transform-failed: {ACCOUNT}/as_told has no version 2.0.0; there are 1.0.0"));
    assert_eq!(attempt["transform"], json!({"module": "as_told", "version": "2.0.0", "fuel": 0}));
    host.finish().await;
}

#[tokio::test]
async fn an_ancestors_counts_when_it_is_offered_and_the_hooks_own_account_comes_first() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({}));
    let host = builder().hook(hook.clone()).start().await;
    let table = &host.running.modules.transforms;
    let (above, beside) = (loaded(&host, RESELLER, "1.0.0").await, loaded(&host, SIBLING, "1.0.0").await);
    table.put(RESELLER.into(), "as_told", registered(&[&above], &[("mark", "reseller's")]));
    let offered = RegisteredTransform { offered: true, ..registered(&[&beside], &[("mark", "sibling's")]) };
    table.put(SIBLING.into(), "as_told", offered);

    post(&host).await;
    let attempt = host.expect_attempts(&hook.id(), 3).await.remove(0);
    let error = attempt["client_error"].as_str().unwrap();
    assert!(
        error.ends_with("there is no transform as_told of the account, and none that an account above it offers"),
        "{error}"
    );
    assert!(receiver.requests().is_empty());

    let offered = RegisteredTransform { offered: true, ..registered(&[&above], &[("mark", "reseller's")]) };
    table.put(RESELLER.into(), "as_told", offered);
    post(&host).await;
    assert_eq!(receiver.expect_requests(1).await[0].json()["mark"], "reseller's");

    let own = loaded(&host, ACCOUNT, "1.0.0").await;
    table.put(ACCOUNT.into(), "as_told", registered(&[&own], &[("mark", "own")]));
    post(&host).await;
    assert_eq!(receiver.expect_requests(2).await[1].json()["mark"], "own");

    // The nearest that offers it: the reseller, and when the reseller keeps it, the account above.
    table.remove(&ACCOUNT.into(), "as_told");
    let top = loaded(&host, MASTER, "1.0.0").await;
    let offered = RegisteredTransform { offered: true, ..registered(&[&top], &[("mark", "master's")]) };
    table.put(MASTER.into(), "as_told", offered);
    post(&host).await;
    assert_eq!(receiver.expect_requests(3).await[2].json()["mark"], "reseller's");
    table.put(RESELLER.into(), "as_told", registered(&[&above], &[("mark", "reseller's")]));
    post(&host).await;
    assert_eq!(receiver.expect_requests(4).await[3].json()["mark"], "master's");
    host.finish().await;
}

#[tokio::test]
async fn a_hooks_settings_count_more_than_those_it_was_registered_with() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({"mark": "hook's"}));
    let host = builder().hook(hook).start().await;
    let transform = loaded(&host, ACCOUNT, "1.0.0").await;
    let settings = [("mark", "registered"), ("append", "?registered")];
    host.running.modules.transforms.put(ACCOUNT.into(), "as_told", registered(&[&transform], &settings));
    post(&host).await;
    let request = receiver.expect_requests(1).await.remove(0);
    assert_eq!((&request.json()["mark"], request.query()), (&json!("hook's"), Some("registered")));
    host.finish().await;
}

#[tokio::test]
async fn one_that_fails_too_often_is_put_in_quarantine_until_another_version_is_active() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({}));
    let host = builder().setting("modules.fault_count", 2).hook(hook.clone()).start().await;
    let (broken, mended) = (loaded(&host, ACCOUNT, "1.0.0").await, loaded(&host, ACCOUNT, "1.1.0").await);
    let table = &host.running.modules.transforms;
    table.put(ACCOUNT.into(), "as_told", registered(&[&broken], &[("payload", "no JSON")]));
    post(&host).await;
    let last = host.expect_attempts(&hook.id(), 3).await.remove(0);
    let error = last["client_error"].as_str().unwrap();
    assert!(error.contains("it was not called: it is in quarantine: failed 2 times within 60000 ms"), "{error}");
    assert_eq!(last["transform"]["fuel"], 0);

    table.put(ACCOUNT.into(), "as_told", registered(&[&broken, &mended], &[]));
    post(&host).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn a_request_waits_no_longer_for_a_transform_than_for_a_receiver() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({"do": "loop"})).with("timeout_ms", 100).with("retry_schedule_s", json!([]));
    let builder = builder().setting("modules.time_limit_ms", 2000).setting("modules.fuel_max", 100_000_000_000_u64);
    let host = builder.setting("modules.fault_count", 1).hook(hook.clone()).start().await;
    let transform = register(&host, ACCOUNT).await;
    post(&host).await;

    let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
    let error = attempt["client_error"].as_str().unwrap();
    assert!(error.contains("it had not answered when the request's 100 ms were over"), "{error}");
    let took = attempt["duration_ms"].as_u64().unwrap();
    assert!((100..1900).contains(&took), "{took} ms");
    eventually("the call that nobody waits for to be charged", async || {
        transform.quarantine.reason().map(|_| ()).ok_or("not yet")
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn a_line_that_is_full_is_a_failed_attempt() {
    let receiver = Receiver::start().await;
    let hooks = [(); 6].map(|()| told(&receiver, json!({"do": "loop"})).with("retry_schedule_s", json!([])));
    let builder = builder()
        .setting("modules.workers", 1)
        .setting("modules.queue_max", 1)
        .setting("modules.time_limit_ms", 300)
        .setting("modules.fuel_max", 100_000_000_000_u64);
    let host = hooks.iter().fold(builder, |builder, hook| builder.hook(hook.clone())).start().await;
    register(&host, ACCOUNT).await;
    post(&host).await;
    let mut full = 0;
    for hook in &hooks {
        let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
        let error = attempt["client_error"].as_str().unwrap();
        assert!(error.starts_with("transform-failed: "), "{error}");
        full += usize::from(error.contains("as many of its calls wait as may (modules.queue_max)"));
    }
    assert!(full >= 4, "one runs, one waits, and {full} found the line full");
    host.finish().await;
}

#[tokio::test]
async fn hooks_are_checked_when_they_are_saved_and_show_what_they_use() {
    let receiver = Receiver::start().await;
    let host = builder().start().await;
    let path = format!("/v2/accounts/{ACCOUNT}/webhooks");
    let document = |transform: Value| json!({"data": {"name": "n", "uri": receiver.url("/"), "hook": "channel_create", "format": "json", "transform": transform}});

    let refused = host.call("PUT", &path, TENANT_KEY, Some(document(json!({"module": "as_told"})))).await.expect(400);
    assert_eq!(refused.data()["transform.module"]["enum"]["target"], json!([]), "{}", refused.envelope);
    register(&host, ACCOUNT).await;
    let gone = document(json!({"module": "as_told", "version": "3.0.0"}));
    let refused = host.call("PUT", &path, TENANT_KEY, Some(gone)).await.expect(400);
    assert_eq!(refused.data()["transform.version"]["enum"]["target"], json!(["1.0.0"]), "{}", refused.envelope);

    let made = host.call("PUT", &path, TENANT_KEY, Some(document(json!({"module": "as_told"})))).await.expect(201);
    assert_eq!(made.data()["transform"], json!({"module": "as_told", "version": "active", "settings": {}}));
    let hook = format!("{path}/{}", made.data()["id"].as_str().unwrap());
    let told =
        json!({"data": {"transform": {"module": "as_told", "version": "1.0.0", "settings": {"mark": "told", "n": 5}}}});
    let changed = host.call("PATCH", &hook, TENANT_KEY, Some(told)).await.expect(200);
    let shown = json!({"module": "as_told", "version": "1.0.0", "settings": {"mark": "told", "n": "5"}});
    assert_eq!(changed.data()["transform"], shown);
    assert_eq!(host.call("GET", &hook, TENANT_KEY, None).await.expect(200).data()["transform"], shown);

    // A test goes through it as well.
    let test = json!({"data": {"payload": {"a": 1}}});
    let attempt = host.call("POST", &format!("{hook}/test"), TENANT_KEY, Some(test)).await.expect(200);
    assert_eq!(attempt.data()["transform"]["version"], "1.0.0", "{}", attempt.envelope);
    assert_eq!(receiver.expect_requests(1).await[0].json()["mark"], "told");

    host.running.modules.transforms.remove(&ACCOUNT.into(), "as_told");
    let disable = json!({"data": {"enabled": false}});
    host.call("PATCH", &hook, TENANT_KEY, Some(disable)).await.expect(200);
    let without = json!({"data": {"transform": null}});
    let changed = host.call("PATCH", &hook, TENANT_KEY, Some(without)).await.expect(200);
    assert!(changed.data().get("transform").is_none(), "{}", changed.envelope);
    host.finish().await;
}

#[tokio::test]
async fn a_recorded_attempt_that_is_sent_again_goes_through_the_transform_anew() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({}));
    let host = builder().hook(hook.clone()).start().await;
    let transform = loaded(&host, ACCOUNT, "1.0.0").await;
    let table = &host.running.modules.transforms;
    table.put(ACCOUNT.into(), "as_told", registered(&[&transform], &[("mark", "first")]));
    post(&host).await;
    assert_eq!(receiver.expect_requests(1).await[0].json()["mark"], "first");
    let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);

    table.put(ACCOUNT.into(), "as_told", registered(&[&transform], &[("header", "X-Again=yes")]));
    let path = format!("/v2/accounts/{ACCOUNT}/webhooks/attempts/{}/resend", attempt["id"].as_str().unwrap());
    host.call("POST", &path, TENANT_KEY, Some(json!({"data": {}}))).await.expect(202);
    let again = receiver.expect_requests(2).await.remove(1);
    assert_eq!(again.header("x-again"), Some("yes"));
    assert!(again.json().get("mark").is_none(), "what is sent again is the event: {}", again.json());
    assert!(again.json()["call_id"].is_string(), "{}", again.json());
    host.finish().await;
}

#[tokio::test]
async fn a_hook_follows_what_its_account_uploads_sets_and_deletes() {
    let receiver = Receiver::start().await;
    let hook = told(&receiver, json!({"append": "?from=hook"}));
    let host = builder().hook(hook).start().await;
    let component = bad_modules::bytes(bad_modules::AS_TOLD);
    let report =
        host.upload(ACCOUNT, "as_told", "?activate=true&version=1.0.0", TENANT_KEY, component).await.expect(201);
    assert_eq!(report.data()["report"]["kind"], "transform");
    post(&host).await;
    assert_eq!(receiver.expect_requests(1).await[0].query(), Some("from=hook"));

    // Its owner's settings, where the hook has none of that name.
    let path = format!("/v2/accounts/{ACCOUNT}/webhook_modules/as_told");
    let body = json!({"data": {"settings": {"mark": "owner's", "append": "?from=owner"}}});
    host.call("PATCH", &path, TENANT_KEY, Some(body)).await.expect(200);
    post(&host).await;
    let second = receiver.expect_requests(2).await.remove(1);
    assert_eq!((second.query(), &second.json()["mark"]), (Some("from=hook"), &json!("owner's")));

    host.call("DELETE", &path, TENANT_KEY, None).await.expect(200);
    post(&host).await;
    let failed = eventually("an attempt without a transform", async || {
        let attempts = host.attempts_of_all().await;
        attempts.into_iter().find(|attempt| attempt["result"] == "failure").ok_or("none failed")
    })
    .await;
    assert!(failed["client_error"].as_str().unwrap().contains("there is no transform as_told"), "{failed:?}");
}
