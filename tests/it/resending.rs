//! Testing a hook, what it was never delivered, and sending again, over REST.

use hookbox_tests::{
    eventually::eventually,
    receiver::{Answer, Receiver},
    rest::Called,
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

fn path(rest: &str) -> String {
    format!("/v2/accounts/{ACCOUNT}/webhooks/{rest}")
}

fn without_disabler(hook: &HookDraft) -> Builder {
    TestHost::builder().without_broker().hook(hook.clone()).setting("webhooks.disable_disabler", true)
}

async fn test(host: &TestHost, hook: &HookDraft, data: Value) -> Called {
    host.call("POST", &path(&format!("{}/test", hook.id())), TENANT_KEY, Some(json!({"data": data}))).await
}

async fn undelivered(host: &TestHost, hook: &HookDraft) -> Vec<Value> {
    let listed = host.call("GET", &path(&format!("{}/undelivered", hook.id())), TENANT_KEY, None).await.expect(200);
    listed.data().as_array().unwrap().clone()
}

async fn expect_undelivered(host: &TestHost, hook: &HookDraft, count: usize) -> Vec<Value> {
    eventually("undelivered firings", async || {
        let listed = undelivered(host, hook).await;
        if listed.len() == count { Ok(listed) } else { Err(listed) }
    })
    .await
}

async fn post(host: &TestHost, count: usize) {
    for _ in 0..count {
        let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
        assert_eq!(status, 202, "{envelope}");
    }
}

#[tokio::test]
async fn a_test_goes_the_way_of_events_and_answers_its_attempt() {
    let receiver = Receiver::start().await.answering_with(Answer::status(201).body("thanks"));
    let hook = a_hook("channel_create").to(&receiver).with("custom_data", json!({"tag": "mine"}));
    let host = without_disabler(&hook).start().await;

    // Without a body, as curl does it.
    let tested = host.call("POST", &path(&format!("{}/test", hook.id())), TENANT_KEY, None).await.expect(200);

    let request = &receiver.expect_requests(1).await[0];
    let payload = request.json();
    assert_eq!((&payload["tag"], &payload["cluster_id"]), (&json!("mine"), &json!("test-cluster")));
    assert_eq!(payload["hook_event"], "channel_create");
    let webhook_id = request.header("webhook-id").unwrap();
    assert!(webhook_id.starts_with("test_"), "{webhook_id}");
    assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
    let attempt = tested.data();
    assert_eq!(
        (&attempt["event_id"], &attempt["result"], &attempt["resp_body"]),
        (&json!(webhook_id), &json!("success"), &json!("thanks"))
    );
    let id = attempt["id"].as_str().unwrap();
    let shown = host.call("GET", &path(&format!("attempts/{id}")), TENANT_KEY, None).await.expect(200);
    assert_eq!(shown.data(), attempt);
    host.finish().await;
}

#[tokio::test]
async fn a_test_that_fails_changes_nothing() {
    let receiver = Receiver::start().await.answering([500, 410, 500]);
    let hook = a_hook("channel_create").to(&receiver);
    // The disabler is at work here.
    let host = TestHost::builder().without_broker().hook(hook.clone()).start().await;
    for status in [500, 410, 500, 500, 500, 500, 500, 500] {
        let tested = test(&host, &hook, json!({})).await.expect(200);
        assert_eq!(
            (&tested.data()["result"], &tested.data()["resp_status_code"]),
            (&json!("failure"), &json!(status.to_string()))
        );
        assert_eq!(
            (&tested.data()["retries_left"], &tested.data()["next_try"]),
            (&json!("retries exceeded"), &Value::Null)
        );
    }
    assert_eq!(host.disabled_message(&hook.id()).await, None);
    assert_eq!(undelivered(&host, &hook).await, Vec::<Value>::new());
    host.expect_no_waiting().await;
    assert_eq!(receiver.requests().len(), 8);
    host.finish().await;
}

#[tokio::test]
async fn a_disabled_hook_can_be_tested() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver).with("enabled", false);
    let host = without_disabler(&hook).setting("webhooks.log_successful_attempts", false).start().await;
    test(&host, &hook, json!({})).await.expect(200);
    receiver.expect_requests(1).await;
    assert_eq!(host.attempts(&hook.id()).await.len(), 1, "a test is recorded also when successes are not");
    host.finish().await;
}

#[tokio::test]
async fn the_caller_chooses_what_a_test_sends() {
    let receiver = Receiver::start().await;
    let (all, calls) = (a_hook("all").to(&receiver), a_hook("notifications").to(&receiver));
    let host = without_disabler(&all).hook(calls.clone()).setting("firing.test_payload_bytes_max", 1024).start().await;
    let sent = async |hook: &HookDraft, data: Value| {
        let before = receiver.requests().len();
        let attempt = test(&host, hook, data).await.expect(200).data().clone();
        (receiver.expect_requests(before + 1).await[before].json(), attempt["hook_event"].clone())
    };
    assert_eq!(sent(&all, json!({})).await.1, "channel_answer", "the first that has a sample");
    assert_eq!(sent(&all, json!({"event": "object"})).await.1, "object");
    let (payload, event) = sent(&all, json!({"payload": {"my": ["own"]}, "event": "parking"})).await;
    assert_eq!((&payload["my"], event), (&json!(["own"]), json!("parking")));
    let modules = host.running.modules.active();
    let module = modules.iter().find(|module| module.id().as_str() == "notifications").unwrap();
    let (name, sample) = module.metadata.samples.last().unwrap();
    let (payload, _) = sent(&calls, json!({"sample": name})).await;
    assert!(sample.iter().all(|(key, value)| payload[key] == *value), "{payload}");

    for (hook, data, field) in [
        (&all, json!({"payload": {"a": 1}}), "event"),
        (&all, json!({"event": "nothing"}), "event"),
        (&all, json!({"event": 1}), "event"),
        (&calls, json!({"event": "parking"}), "event"),
        (&calls, json!({"sample": "nothing"}), "sample"),
        (&calls, json!({"sample": [], "payload": 1}), "payload"),
        (&calls, json!({"sample": name, "payload": {}}), "sample"),
        (&calls, json!({"payload": {"long": "x".repeat(1024)}}), "payload"),
    ] {
        let refused = test(&host, hook, data.clone()).await.expect(400);
        assert!(refused.data().get(field).is_some(), "{data}: {}", refused.envelope);
    }
    host.call("POST", &path("none/test"), TENANT_KEY, None).await.expect(404);
    let elsewhere = format!("/v2/accounts/{SIBLING}/webhooks/{}/test", all.id());
    host.call("POST", &elsewhere, MASTER_KEY, None).await.expect(404);
    host.finish().await;
}

#[tokio::test]
async fn a_test_that_stays_open_is_recorded_when_it_ends() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let hook = a_hook("channel_create").to(&receiver).with("timeout_ms", 1000);
    let host = without_disabler(&hook).setting("api.request_timeout_ms", 400).start().await;
    let open = test(&host, &hook, json!({})).await.expect(202);
    let attempts = host.expect_attempts(&hook.id(), 1).await;
    assert_eq!(attempts[0]["event_id"], open.data()["webhook_id"]);
    assert!(attempts[0]["client_error"].as_str().unwrap().starts_with("timeout"));
    host.finish().await;
}

#[tokio::test]
async fn a_full_hook_is_not_tested() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let hook = a_hook("channel_create").to(&receiver).with("timeout_ms", 1000).with("max_in_flight", 1);
    let host = without_disabler(&hook).setting("api.request_timeout_ms", 400).start().await;
    test(&host, &hook, json!({})).await.expect(202);
    let full = test(&host, &hook, json!({})).await.expect(409);
    assert!(full.data()["message"].as_str().unwrap().contains("max_in_flight"));
    host.expect_attempts(&hook.id(), 1).await;
    host.finish().await;
}

#[tokio::test]
async fn undelivered_firings_are_listed_and_sent_again() {
    let receiver = Receiver::start().await.answering([404]);
    let hook = a_hook("channel_create").to(&receiver);
    let host = without_disabler(&hook).start().await;
    post(&host, 3).await;
    let listed = expect_undelivered(&host, &hook, 3).await;
    let newest = &listed[0];
    assert_eq!((&newest["hook_event"], &newest["tries"]), (&json!("channel_create"), &json!(1)));
    assert_eq!(newest["payload"]["hook_event"], "channel_create");
    assert!(newest["reason"].as_str().unwrap().contains("404"));
    assert!(newest["ended"].as_u64() >= newest["created"].as_u64());
    let first = host.call("GET", &path(&format!("{}/undelivered?page_size=2", hook.id())), TENANT_KEY, None).await;
    let next = first.expect(200).envelope["next_start_key"].as_str().unwrap().to_owned();
    let second = format!("{}/undelivered?page_size=2&start_key={next}", hook.id());
    assert_eq!(host.call("GET", &path(&second), TENANT_KEY, None).await.expect(200).data()[0], listed[2]);

    receiver.answer_from_now_on([Answer::status(200)]);
    let id = newest["id"].as_str().unwrap();
    let body = json!({"data": {"ids": [id, "made-up"]}});
    let resend = path(&format!("{}/resend", hook.id()));
    let resent = host.call("POST", &resend, TENANT_KEY, Some(body)).await.expect(202);
    assert_eq!(resent.data(), &json!({"resent": 1, "missing": ["made-up"]}));
    assert_eq!(receiver.expect_requests(4).await[3].header("webhook-id"), Some(id), "the same id as before");
    let resent = host.call("POST", &resend, TENANT_KEY, None).await.expect(202);
    assert_eq!(resent.data(), &json!({"resent": 2, "missing": []}));
    receiver.expect_requests(5 + 1).await;
    expect_undelivered(&host, &hook, 0).await;
    host.finish().await;
}

#[tokio::test]
async fn a_disabled_hook_is_sent_nothing_again() {
    let receiver = Receiver::start().await.answering([404, 200]);
    let hook = a_hook("channel_create").to(&receiver);
    let host = without_disabler(&hook).setting("api.resend_ids_max", 2).start().await;
    post(&host, 1).await;
    expect_undelivered(&host, &hook, 1).await;
    let attempt = host.expect_attempts(&hook.id(), 1).await[0]["id"].as_str().unwrap().to_owned();
    let (one, resend) = (path(&hook.id()), path(&format!("{}/resend", hook.id())));
    let again = path(&format!("attempts/{attempt}/resend"));
    host.call("PATCH", &one, TENANT_KEY, Some(json!({"data": {"enabled": false}}))).await.expect(200);
    for path in [&resend, &again] {
        let refused = host.call("POST", path, TENANT_KEY, None).await.expect(409);
        assert!(refused.data()["message"].as_str().unwrap().contains("enable it first"), "{}", refused.envelope);
    }
    host.call("PATCH", &one, TENANT_KEY, Some(json!({"data": {"enabled": true}}))).await.expect(200);
    for data in [json!({"ids": "all"}), json!({"ids": [1]}), json!({"ids": ["a", "b", "c"]})] {
        let refused = host.call("POST", &resend, TENANT_KEY, Some(json!({"data": data}))).await.expect(400);
        assert!(refused.data().get("ids").is_some(), "{}", refused.envelope);
    }
    host.call("POST", &resend, TENANT_KEY, Some(json!({"data": {"ids": []}}))).await.expect(202);
    host.call("POST", &resend, TENANT_KEY, Some(json!([]))).await.expect(400);
    host.call("POST", &path("none/resend"), TENANT_KEY, None).await.expect(404);
    host.call("GET", &path("none/undelivered"), TENANT_KEY, None).await.expect(404);
    let listed = path(&format!("{}/undelivered?start_key=odd", hook.id()));
    host.call("GET", &listed, TENANT_KEY, None).await.expect(400);
    assert_eq!(receiver.requests().len(), 1);

    // Gone, with what it was never delivered; its attempts stay and say so.
    host.call("DELETE", &one, TENANT_KEY, None).await.expect(200);
    let refused = host.call("POST", &again, TENANT_KEY, None).await.expect(409);
    assert!(refused.data()["message"].as_str().unwrap().contains("gone"));
    host.call("POST", &resend, TENANT_KEY, None).await.expect(404);
    host.finish().await;
}

/// As JSON the payload is in the record; of a form it is kept beside it.
#[tokio::test]
async fn an_attempts_event_is_sent_again_delivered_or_not() {
    for format in ["json", "form-data"] {
        let receiver = Receiver::start().await.answering([200]);
        let hook = a_hook("channel_create").to(&receiver).with("format", format);
        let host = without_disabler(&hook).start().await;
        post(&host, 1).await;
        let attempts = host.expect_attempts(&hook.id(), 1).await;
        let attempt = attempts[0]["id"].as_str().unwrap();
        let again = path(&format!("attempts/{attempt}/resend"));

        let resent = host.call("POST", &again, TENANT_KEY, None).await.expect(202);

        let requests = receiver.expect_requests(2).await;
        assert_eq!(requests[0].text(), requests[1].text(), "{format}");
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
        assert_eq!(resent.data()["webhook_id"], attempts[0]["event_id"]);
        host.expect_attempts(&hook.id(), 2).await;
        host.expect_no_waiting().await;

        let elsewhere = format!("/v2/accounts/{SIBLING}/webhooks/attempts/{attempt}/resend");
        host.call("POST", &elsewhere, MASTER_KEY, None).await.expect(404);
        host.call("POST", &path("attempts/none/resend"), TENANT_KEY, None).await.expect(404);
        host.finish().await;
    }
}
