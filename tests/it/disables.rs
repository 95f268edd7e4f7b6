//! Hooks that keep failing are switched off, once, and the platform is told. The clock is moved by hand.

use std::time::Duration;

use hookbox::{
    clock::Clock,
    hook::HookRecord,
    message::{AccountId, Object, UnixMs},
    store::{FiringCounts, UndeliveredQuery},
};
use hookbox_tests::{
    eventually::eventually,
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created, hook_changed},
    test_host::{Builder, HookDraft, MASTER_KEY, RESELLER, TestHost, a_hook},
};
use serde_json::{Value, json};

const NOON: UnixMs = 1_800_000_000_000;
/// Settings in the store are read again when they are older than this.
const SETTINGS_FRESH_MS: u64 = 1000;
const WHY: &str = "too many failed attempts";

/// A hook whose firings are tried once.
fn once(receiver: &Receiver) -> HookDraft {
    a_hook("channel_create").to(receiver).with("retry_schedule_s", json!([]))
}

/// A host that disables at three failures in a minute.
fn on_a_broker(clock: &Clock) -> Builder {
    TestHost::builder().clock(clock.clone()).setting("webhooks.attempt_failure_count", 3)
}

/// As [`on_a_broker`], without one.
fn at(clock: &Clock) -> Builder {
    on_a_broker(clock).without_broker()
}

/// Posts a message; returns when its firings have failed, and gives how many there were.
async fn fail(host: &TestHost) -> u64 {
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
    envelope["data"][0]["firings"].as_u64().unwrap()
}

async fn fail_times(host: &TestHost, times: usize) {
    for _ in 0..times {
        assert_eq!(fail(host).await, 1);
    }
}

async fn record(host: &TestHost, hook: &HookDraft) -> HookRecord {
    host.running.store.hook(&hook.id().as_str().into()).await.unwrap().unwrap()
}

async fn is_enabled(host: &TestHost, hook: &HookDraft) -> bool {
    let record = record(host, hook).await;
    let enabled = record.document["enabled"].as_bool().unwrap();
    assert_eq!(record.disabled_message.as_deref(), (!enabled).then_some(WHY));
    enabled
}

fn settings(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn one_failure_less_than_the_threshold_disables_nothing_and_the_threshold_does() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    let host = at(&clock).hook(hook.clone()).start().await;

    fail_times(&host, 2).await;
    assert!(is_enabled(&host, &hook).await, "n - 1");
    fail_times(&host, 1).await;
    assert!(!is_enabled(&host, &hook).await, "n");
    assert_eq!(fail(&host).await, 0, "it is not fired any more");

    assert_eq!(receiver.requests().len(), 3);
    host.finish().await;
}

#[tokio::test]
async fn one_failure_more_than_the_threshold_disables_no_second_time() {
    let (receiver, clock) = (Receiver::start().await, Clock::manual(NOON));
    let receiver = receiver.answering_with(Answer::status(500).after(Duration::from_millis(300)));
    let hook = once(&receiver);
    let host = on_a_broker(&clock).hook(hook.clone()).start().await;
    let heard = host.amqp.as_ref().unwrap().listen("notifications", "notifications.webhook.disabled").await;

    // All four are under way before the first fails.
    let failed = tokio::join!(fail(&host), fail(&host), fail(&host), fail(&host));

    assert_eq!(failed, (1, 1, 1, 1));
    host.expect_attempts(&hook.id(), 4).await;
    assert!(!is_enabled(&host, &hook).await);
    heard.expect(1).await;
    eventually("no notice to be left", async || match host.running.store.notices(10).await.unwrap() {
        notices if notices.is_empty() => Ok(()),
        notices => Err(notices),
    })
    .await;
    assert_eq!(heard.waiting(), 0, "told once");
    host.finish().await;
}

#[tokio::test]
async fn a_success_between_failures_clears_nothing() {
    let (receiver, clock) = (Receiver::start().await.answering([500, 200, 500, 200, 500]), Clock::manual(NOON));
    let hook = once(&receiver);
    let host = at(&clock).hook(hook.clone()).start().await;
    fail_times(&host, 4).await;
    assert!(is_enabled(&host, &hook).await);
    fail_times(&host, 1).await;
    assert!(!is_enabled(&host, &hook).await);
    host.finish().await;
}

#[tokio::test]
async fn failures_outside_the_window_do_not_count() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    let host = at(&clock).hook(hook.clone()).start().await;

    fail_times(&host, 2).await;
    clock.advance(60_000);
    fail_times(&host, 2).await;
    assert!(is_enabled(&host, &hook).await, "two of four are a minute old");
    clock.advance(59_999);
    fail_times(&host, 1).await;
    assert!(!is_enabled(&host, &hook).await, "three within a minute");
    host.finish().await;
}

#[tokio::test]
async fn an_account_its_reseller_and_the_system_can_have_thresholds_of_their_own() {
    for (whose, threshold) in [(None, 2), (Some(RESELLER), 2), (Some(ACCOUNT), 4), (Some(ACCOUNT), 1)] {
        let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
        let hook = once(&receiver);
        let host = at(&clock).hook(hook.clone()).start().await;
        let own = settings(json!({"attempt_failure_count": threshold}));
        host.running.store.put_webhook_settings(whose.map(AccountId::from).as_ref(), &own).await.unwrap();
        clock.advance(SETTINGS_FRESH_MS);

        fail_times(&host, threshold - 1).await;
        assert!(is_enabled(&host, &hook).await, "{whose:?} {threshold}");
        fail_times(&host, 1).await;
        assert!(!is_enabled(&host, &hook).await, "{whose:?} {threshold}");
        host.finish().await;
    }
}

#[tokio::test]
async fn the_platform_is_told_once_as_kazoo_tells_it() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    let host = on_a_broker(&clock).hook(hook.clone()).start().await;
    let amqp = host.amqp.as_ref().unwrap();
    let notifications = amqp.listen("notifications", "notifications.webhook.disabled").await;
    let configuration = amqp.listen("configuration", "doc_edited.webhooks.webhook.*").await;

    fail_times(&host, 3).await;

    let (told, edited) = (notifications.next().await, configuration.next().await);
    assert_eq!(told.properties.content_type().as_ref().map(|text| text.as_str()), Some("application/json"));
    assert_eq!(edited.routing_key, format!("doc_edited.webhooks.webhook.{}", hook.id()));
    let (mut told, mut edited) = (told.json(), edited.json());
    for body in [&mut told, &mut edited] {
        let id = body["Msg-ID"].take();
        assert_eq!(id.as_str().map(str::len), Some(32));
        assert!(body["Node"].take().as_str().unwrap().starts_with("hookbox@"));
    }
    let expected = json!({
        "App-Name": "webhooks", "App-Version": "4.0.0", "Event-Category": "notification",
        "Event-Name": "webhook_disabled", "Msg-ID": null, "Node": null, "Account-ID": ACCOUNT, "Hook-ID": hook.id(),
    });
    assert_eq!(told, expected);
    let expected = json!({
        "App-Name": "webhooks", "App-Version": "4.0.0", "Event-Category": "configuration",
        "Event-Name": "doc_edited", "Msg-ID": null, "Node": null, "Account-ID": ACCOUNT, "Database": "webhooks",
        "ID": hook.id(), "Type": "webhook", "Date-Modified": NOON / 1000 + 62_167_219_200_u64,
        "Is-Soft-Deleted": false,
    });
    assert_eq!(edited, expected);
    assert_eq!((notifications.waiting(), configuration.waiting()), (0, 0));
    host.finish().await;
}

#[tokio::test]
async fn retries_that_wait_are_not_sent_any_more() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([10, 10]));
    let host = at(&clock).hook(hook.clone()).setting("firing.claim_poll_ms", 50).start().await;
    let id = hook.id().as_str().into();

    fail_times(&host, 3).await;

    assert!(!is_enabled(&host, &hook).await);
    let counts = host.running.store.firing_counts(Some(&id)).await.unwrap();
    assert_eq!(counts, FiringCounts { waiting: 0, undelivered: 3 });
    let query = UndeliveredQuery::newest(ACCOUNT.into(), Some(id), 10);
    let undelivered = host.running.store.undelivered(&query).await.unwrap();
    assert!(undelivered.iter().all(|row| row.reason.contains(WHY)), "{undelivered:?}");
    clock.advance(3_600_000);
    receiver.expect_silence(Duration::from_millis(200)).await;
    assert_eq!(receiver.requests().len(), 3);
    host.finish().await;
}

#[tokio::test]
async fn a_hook_that_is_enabled_again_begins_anew() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    // So seldom that only the notice can be what makes the host look.
    let host = on_a_broker(&clock).hook(hook.clone()).setting("store.poll_ms", 3_600_000).start().await;
    fail_times(&host, 3).await;
    let mut edited = record(&host, &hook).await;
    edited.document.insert("enabled".into(), true.into());
    edited.disabled_message = None;

    assert!(host.running.store.put_hook(&edited, clock.now_ms()).await.unwrap());
    host.publish(hook_changed("doc_edited", ACCOUNT, &hook.id())).await;

    let table = &host.running.hooks;
    let id = hook.id().as_str().into();
    eventually("the hook to be there again", async || table.get(&ACCOUNT.into(), &id).ok_or("not there")).await;
    fail_times(&host, 2).await;
    assert!(is_enabled(&host, &hook).await, "the failures from before are forgotten");
    host.finish().await;
}

#[tokio::test]
async fn an_edit_clears_the_count() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    let host = at(&clock).hook(hook.clone()).start().await;
    fail_times(&host, 2).await;
    let mut edited = record(&host, &hook).await;
    edited.document.insert("name".into(), "another name".into());
    assert!(host.running.store.put_hook(&edited, clock.now_ms()).await.unwrap());
    fail_times(&host, 2).await;
    assert!(is_enabled(&host, &hook).await);
    host.finish().await;
}

#[tokio::test]
async fn the_disabler_can_be_switched_off_and_on_while_the_host_runs() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    // Hooks are looked through every half second.
    let host = at(&clock).setting("webhooks.attempt_failure_expiry_ms", 2000).hook(hook.clone()).start().await;
    fail_times(&host, 1).await;
    let store = &host.running.store;

    store.put_webhook_settings(None, &settings(json!({"disable_disabler": true}))).await.unwrap();
    clock.advance(SETTINGS_FRESH_MS);
    fail_times(&host, 5).await;
    assert!(is_enabled(&host, &hook).await, "six failures, and the disabler is off");

    store.put_webhook_settings(None, &settings(json!({"disable_disabler": false}))).await.unwrap();
    clock.advance(SETTINGS_FRESH_MS);
    eventually("the sweep to find it", async || match host.disabled_message(&hook.id()).await {
        Some(why) if why == WHY => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(fail(&host).await, 0, "nothing had to fail once more");
    host.finish().await;
}

#[tokio::test]
async fn counts_survive_a_restart() {
    let (receiver, clock) = (Receiver::start().await.answering([500]), Clock::manual(NOON));
    let hook = once(&receiver);
    let host = at(&clock).hook(hook.clone()).start().await;
    fail_times(&host, 2).await;

    let host = host.restarted(clock.clone()).await;

    assert!(is_enabled(&host, &hook).await);
    fail_times(&host, 1).await;
    assert!(!is_enabled(&host, &hook).await);

    let host = host.restarted(clock).await;
    assert_eq!(fail(&host).await, 0, "it stays disabled");
    host.finish().await;
}

#[tokio::test]
async fn another_hook_of_the_account_is_left_alone() {
    let (failing, healthy) = (Receiver::start().await.answering([500]), Receiver::start().await);
    let hook = once(&failing);
    let host = at(&Clock::manual(NOON)).hook(hook.clone()).hook(once(&healthy)).start().await;
    for _ in 0..3 {
        assert_eq!(fail(&host).await, 2);
    }
    assert!(!is_enabled(&host, &hook).await);
    assert_eq!(fail(&host).await, 1);
    healthy.expect_requests(4).await;
    host.finish().await;
}
