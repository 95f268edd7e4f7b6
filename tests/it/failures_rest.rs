//! Failures that count against hooks, over REST: how each stands, and forgetting them.

use hookbox::{clock::Clock, hook::editing::is_enabled};
use hookbox_tests::{
    receiver::Receiver,
    samples::{ACCOUNT, channel_created},
    test_host::{HookDraft, MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

/// Noon, in 2026.
const NOON: u64 = 1_780_000_000_000;

fn failures(rest: &str) -> String {
    format!("/v2/accounts/{ACCOUNT}/webhooks/failures{rest}")
}

fn of_hook(account: &str, hook: &str) -> String {
    format!("/v2/accounts/{account}/webhooks/{hook}/failures")
}

/// A hook that is tried once.
fn once(event: &str, receiver: &Receiver) -> HookDraft {
    a_hook(event).to(receiver).with("retry_schedule_s", json!([]))
}

/// A host with two hooks that fail on every call and one that is never fired; disabled at four failures a minute.
async fn with_failures(clock: &Clock, receiver: &Receiver) -> (TestHost, Vec<String>) {
    let hooks = [once("channel_create", receiver), once("channel_create", receiver), once("sms", receiver)];
    let ids = hooks.iter().map(HookDraft::id).collect();
    let [first, second, third] = hooks;
    let host = TestHost::builder()
        .without_broker()
        .clock(clock.clone())
        .setting("webhooks.attempt_failure_count", 4)
        .hook(first)
        .hook(second)
        .hook(third)
        .start()
        .await;
    (host, ids)
}

async fn fail(host: &TestHost, hooks: &[String], count: usize) {
    let before = host.attempts(&hooks[0]).await.len();
    for _ in 0..count {
        host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    }
    for hook in &hooks[..2] {
        host.expect_attempts(hook, before + count).await;
    }
}

async fn listed(host: &TestHost) -> Vec<Value> {
    let listed = host.call("GET", &failures(""), TENANT_KEY, None).await.expect(200);
    listed.data().as_array().unwrap().clone()
}

#[tokio::test]
async fn each_hook_that_fails_is_listed_with_its_count_and_its_standing() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let (host, hooks) = with_failures(&clock, &receiver).await;
    assert_eq!(listed(&host).await, [Value::Null; 0]);
    fail(&host, &hooks, 1).await;
    let all = listed(&host).await;
    assert_eq!(all.iter().map(|entry| &entry["id"]).collect::<Vec<_>>(), [&hooks[0], &hooks[1]]);
    let mut first = all[0].clone();
    assert!(first["name"].take().as_str().unwrap().starts_with("hook "));
    let expected = json!({
        "id": hooks[0], "name": null, "uri": receiver.url("/"), "enabled": true, "count": 1, "threshold": 4,
        "window_ms": 60_000, "standing": "healthy",
    });
    assert_eq!(first, expected);

    fail(&host, &hooks, 1).await;
    let one = host.call("GET", &of_hook(ACCOUNT, &hooks[0]), TENANT_KEY, None).await.expect(200);
    assert_eq!((&one.data()["count"], &one.data()["standing"]), (&json!(2), &json!("failing")));
    let good = host.call("GET", &of_hook(ACCOUNT, &hooks[2]), TENANT_KEY, None).await.expect(200);
    assert_eq!((&good.data()["count"], &good.data()["standing"]), (&json!(0), &json!("healthy")));

    let page = host.call("GET", &failures("?page_size=1"), TENANT_KEY, None).await.expect(200);
    let next = page.envelope["next_start_key"].as_str().unwrap();
    let rest = host.call("GET", &failures(&format!("?page_size=1&start_key={next}")), TENANT_KEY, None).await;
    let rest = rest.expect(200);
    assert_eq!((&page.data()[0]["id"], &rest.data()[0]["id"]), (&json!(hooks[0]), &json!(hooks[1])));
    assert!(rest.envelope["next_start_key"].is_null());

    clock.advance(60_000);
    assert_eq!(listed(&host).await, [Value::Null; 0], "they are a minute old");
    host.finish().await;
}

#[tokio::test]
async fn what_is_flushed_does_not_count_any_more() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let (host, hooks) = with_failures(&clock, &receiver).await;
    fail(&host, &hooks, 3).await;
    let flushed = host.call("DELETE", &of_hook(ACCOUNT, &hooks[0]), TENANT_KEY, None).await.expect(200);
    assert_eq!(flushed.data(), &json!({"hooks": 1}));
    let again = host.call("DELETE", &of_hook(ACCOUNT, &hooks[0]), TENANT_KEY, None).await.expect(200);
    assert_eq!(again.data(), &json!({"hooks": 0}));
    assert_eq!(listed(&host).await.len(), 1);

    fail(&host, &hooks, 1).await;
    let mut enabled = Vec::new();
    for hook in &hooks[..2] {
        enabled.push(is_enabled(&host.running.store.hook(&hook.as_str().into()).await.unwrap().unwrap().document));
    }
    assert_eq!(enabled, [true, false], "the one that was flushed has one failure, the other four");

    let all = host.call("DELETE", &failures(""), TENANT_KEY, None).await.expect(200);
    assert_eq!(all.data(), &json!({"hooks": 1}), "disabling has cleared the other's");
    assert_eq!(listed(&host).await, [Value::Null; 0]);
    host.finish().await;
}

#[tokio::test]
async fn failures_are_their_owners() {
    let receiver = Receiver::start().await;
    let (host, hooks) = with_failures(&Clock::manual(NOON), &receiver).await;
    for method in ["GET", "DELETE"] {
        host.call(method, &failures(""), "", None).await.expect(401);
        let siblings = format!("/v2/accounts/{SIBLING}/webhooks/failures");
        host.call(method, &siblings, TENANT_KEY, None).await.expect(403);
        host.call(method, &siblings, MASTER_KEY, None).await.expect(200);
        host.call(method, &of_hook(SIBLING, &hooks[0]), TENANT_KEY, None).await.expect(403);
        host.call(method, &of_hook(SIBLING, &hooks[0]), MASTER_KEY, None).await.expect(404);
        host.call(method, &of_hook(ACCOUNT, "nowhere"), TENANT_KEY, None).await.expect(404);
    }
    host.call("GET", &failures("?start_key=odd"), TENANT_KEY, None).await.expect(400);
    host.finish().await;
}
