//! A hook that keeps failing is warned of once, at half of what disables it; on the broker, and to the hooks that want
//! to know, with a broker and without.

use std::time::Duration;

use hookbox::{clock::Clock, message::UnixMs};
use hookbox_tests::{
    eventually::eventually,
    receiver::{Receiver, Request},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

const NOON: UnixMs = 1_800_000_000_000;

/// A host that disables at five failures in a minute, and so warns at three.
fn on_a_broker(clock: &Clock) -> Builder {
    TestHost::builder().clock(clock.clone()).setting("webhooks.attempt_failure_count", 5)
}

/// A hook whose firings are tried once.
fn once(event: &str, receiver: &Receiver) -> HookDraft {
    a_hook(event).to(receiver).with("retry_schedule_s", json!([]))
}

/// A hook that is told of this kind of notification.
fn told_of(kind: &str, receiver: &Receiver) -> HookDraft {
    a_hook("notifications").to(receiver).with("custom_data", json!({"type": kind}))
}

async fn fail_times(host: &TestHost, times: usize) {
    for _ in 0..times {
        let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
        assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(1)), "{envelope}");
    }
}

async fn is_enabled(host: &TestHost, hook: &HookDraft) -> bool {
    let record = host.running.store.hook(&hook.id().as_str().into()).await.unwrap().unwrap();
    record.document["enabled"] == true
}

/// The payload, without what differs from run to run.
fn payload(request: &Request) -> Value {
    let mut payload = request.json();
    for key in ["msg_id", "node", "cluster_id"] {
        assert!(payload[key].take().is_string(), "{key}");
    }
    payload
}

/// Half of the threshold warns once, the threshold disables, and hooks are told of both.
async fn both_are_told_of(builder: Builder) -> (TestHost, HookDraft, Receiver) {
    let failing = Receiver::start().await.answering([500]);
    let (warned, all, disabled) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let hook = once("channel_create", &failing);
    let builder = builder.hook(hook.clone()).hook(told_of("webhook_failing", &warned)).hook(told_of("all", &all));
    let host = builder.hook(told_of("webhook_disabled", &disabled)).start().await;
    let heard = match &host.amqp {
        Some(amqp) => Some(amqp.listen("notifications", "notifications.webhook.*").await),
        None => None,
    };

    fail_times(&host, 4).await;
    let told = payload(&warned.expect_requests(1).await[0]);
    let common = json!({
        "app_name": "webhooks", "app_version": "4.0.0", "event_category": "notification", "msg_id": null, "node": null,
        "account_id": ACCOUNT, "hook_id": hook.id(), "cluster_id": null,
    });
    let with = |more: Value| {
        let mut whole = common.clone();
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let how_far = json!({
        "event_name": "webhook_failing", "failure_count": 3, "failure_threshold": 5, "window_ms": 60_000,
    });
    assert_eq!(told, with(how_far));
    assert!(is_enabled(&host, &hook).await);

    fail_times(&host, 1).await;
    let told = payload(&disabled.expect_requests(1).await[0]);
    assert_eq!(told, with(json!({"event_name": "webhook_disabled"})));
    assert!(!is_enabled(&host, &hook).await);
    all.expect_requests(2).await;
    warned.expect_requests(1).await;
    if let Some(heard) = heard {
        let heard = heard.expect(2).await;
        let keys: Vec<_> = heard.iter().map(|heard| heard.routing_key.as_str()).collect();
        assert_eq!(keys, ["notifications.webhook.failing", "notifications.webhook.disabled"]);
        let body = heard[0].json();
        assert_eq!((&body["Failure-Count"], &body["Failure-Threshold"]), (&json!(3), &json!(5)));
        assert_eq!((&body["Window-MS"], &body["Event-Category"]), (&json!(60_000), &json!("notification")));
    }
    (host, hook, warned)
}

#[tokio::test]
async fn half_of_the_threshold_is_told_on_the_broker_and_to_hooks() {
    let (host, ..) = both_are_told_of(on_a_broker(&Clock::manual(NOON))).await;
    host.finish().await;
}

#[tokio::test]
async fn without_a_broker_hooks_are_told_all_the_same_and_again_in_the_next_spell() {
    let clock = Clock::manual(NOON);
    let (host, hook, warned) = both_are_told_of(on_a_broker(&clock).without_broker()).await;
    eventually("no notice to be left", async || match host.running.store.notices(10).await.unwrap() {
        notices if notices.is_empty() => Ok(()),
        notices => Err(notices),
    })
    .await;

    let mut edited = host.running.store.hook(&hook.id().as_str().into()).await.unwrap().unwrap();
    edited.document.insert("enabled".into(), true.into());
    edited.disabled_message = None;
    assert!(host.running.store.put_hook(&edited, clock.now_ms()).await.unwrap());
    host.running.follower.catch_up().await.unwrap();
    fail_times(&host, 4).await;

    warned.expect_requests(2).await;
    host.finish().await;
}

#[tokio::test]
async fn a_warning_survives_a_restart_and_is_not_given_twice() {
    let (failing, warned) = (Receiver::start().await.answering([500]), Receiver::start().await);
    let clock = Clock::manual(NOON);
    let (hook, watcher) = (once("channel_create", &failing), told_of("webhook_failing", &warned));
    let host = on_a_broker(&clock).without_broker().hook(hook).hook(watcher).start().await;
    fail_times(&host, 3).await;
    warned.expect_requests(1).await;
    let host = host.restarted(clock).await;
    fail_times(&host, 1).await;
    warned.expect_silence(Duration::from_millis(300)).await;
    host.finish().await;
}

#[tokio::test]
async fn what_hands_over_the_hosts_own_notices_comes_back_when_it_dies() {
    let (failing, warned) = (Receiver::start().await.answering([500]), Receiver::start().await);
    let (hook, watcher) = (once("channel_create", &failing), told_of("webhook_failing", &warned));
    let host = on_a_broker(&Clock::manual(NOON)).without_broker().hook(hook).hook(watcher).start().await;
    assert!(host.running.inject_fault("own notices"));
    eventually("the part to be started anew", async || match host.running.restarts("own notices") {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    fail_times(&host, 3).await;
    warned.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn a_failing_hook_that_is_told_of_itself_ends() {
    let receiver = Receiver::start().await.answering([500]);
    let hook = once("all", &receiver);
    let host = on_a_broker(&Clock::manual(NOON)).without_broker().hook(hook.clone()).start().await;

    fail_times(&host, 3).await;
    let requests = receiver.expect_requests(4).await;
    assert_eq!(requests[3].json()["event_name"], "webhook_failing", "its own warning, which fails too");
    host.expect_attempts(&hook.id(), 4).await;
    receiver.expect_silence(Duration::from_millis(300)).await;
    assert!(is_enabled(&host, &hook).await);

    fail_times(&host, 1).await;
    assert!(!is_enabled(&host, &hook).await);
    receiver.expect_silence(Duration::from_millis(300)).await;
    assert_eq!(receiver.requests().len(), 5, "it is off, so it is not told of that");
    host.finish().await;
}
