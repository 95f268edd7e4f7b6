//! When a firing is tried again, and when it is given up. The clock is moved by hand; only the looking is real time.

use std::time::Duration;

use hookbox::{
    clock::Clock,
    store::{UndeliveredQuery, UndeliveredRow},
};
use hookbox_tests::{
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER_KEY, TestHost, a_hook},
};
use serde_json::json;

/// So long nothing may come: a few looks of the scheduler.
const A_FEW_LOOKS: Duration = Duration::from_millis(200);

fn at(clock: &Clock) -> Builder {
    TestHost::builder()
        .without_broker()
        .clock(clock.clone())
        .setting("firing.claim_poll_ms", 50)
        .setting("firing.retry_jitter_percent", 0)
        .setting("webhooks.disable_disabler", true)
}

fn noon() -> Clock {
    Clock::manual(1_800_000_000_000)
}

async fn undelivered(host: &TestHost, hook: &str) -> Vec<UndeliveredRow> {
    let query = UndeliveredQuery::newest(ACCOUNT.into(), Some(hook.into()), 10);
    host.running.store.undelivered(&query).await.unwrap()
}

async fn post(host: &TestHost) {
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(1)), "{envelope}");
}

/// Each pause passes in two steps: just short of it nothing comes, then the next try does.
async fn expect_pauses(host: &TestHost, receiver: &Receiver, hook: &HookDraft, clock: &Clock, pauses_ms: &[u64]) {
    for (nth, pause_ms) in pauses_ms.iter().enumerate() {
        let attempts = host.expect_attempts(&hook.id(), nth + 1).await;
        let (at, next) = (attempts[0]["timestamp"].as_u64().unwrap(), attempts[0]["next_try"].as_u64().unwrap());
        assert_eq!(next - at, pause_ms / 1000, "the record of try {} tells when the next is due", nth + 1);
        clock.advance(pause_ms - 1);
        receiver.expect_silence(A_FEW_LOOKS).await;
        clock.advance(1);
        receiver.expect_requests(nth + 2).await;
    }
}

#[tokio::test]
async fn a_hooks_own_schedule_is_kept_and_then_it_is_given_up() {
    let (clock, receiver) = (noon(), Receiver::start().await.answering([503]));
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([5, 30]));
    let host = at(&clock).hook(hook.clone()).start().await;
    post(&host).await;

    expect_pauses(&host, &receiver, &hook, &clock, &[5000, 30_000]).await;

    let attempts = host.expect_attempts(&hook.id(), 3).await;
    let tries: Vec<_> = attempts.iter().map(|attempt| (&attempt["try"], &attempt["retries_left"])).collect();
    assert_eq!(tries, [(&json!(3), &json!("retries exceeded")), (&json!(2), &json!(1)), (&json!(1), &json!(2))]);
    let events: Vec<_> = attempts.iter().map(|attempt| &attempt["event_id"]).collect();
    assert!(events.iter().all(|event| *event == events[0]), "one firing has one webhook-id");
    host.expect_no_waiting().await;
    let undelivered = undelivered(&host, &hook.id()).await;
    assert_eq!(undelivered.len(), 1);
    assert_eq!(undelivered[0].reason, "retries exceeded; last: the receiver answered 503");
    clock.advance(3_600_000);
    receiver.expect_silence(A_FEW_LOOKS).await;
    host.finish().await;
}

#[tokio::test]
async fn retries_takes_so_many_pauses_of_the_operators_schedule() {
    for (retries, pauses_ms) in [(0, vec![]), (1, vec![2000]), (4, vec![2000, 10_000, 60_000, 300_000])] {
        let (clock, receiver) = (noon(), Receiver::start().await.answering([500]));
        let hook = a_hook("channel_create").to(&receiver).without("retry_schedule_s").with("retries", retries);
        let host = at(&clock).hook(hook.clone()).start().await;
        post(&host).await;
        expect_pauses(&host, &receiver, &hook, &clock, &pauses_ms).await;
        let attempts = host.expect_attempts(&hook.id(), pauses_ms.len() + 1).await;
        assert_eq!(attempts[0]["retries_left"], "retries exceeded");
        host.expect_no_waiting().await;
        host.finish().await;
    }
}

#[tokio::test]
async fn retry_after_lengthens_a_pause_and_never_shortens_it() {
    for status in [429, 503] {
        let answers = [Answer::retry_after(status, 120), Answer::retry_after(status, 1), Answer::status(200)];
        let (clock, receiver) = (noon(), Receiver::start().await.answering_in_turn(answers));
        let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([5, 60]));
        let host = at(&clock).hook(hook.clone()).start().await;
        post(&host).await;
        expect_pauses(&host, &receiver, &hook, &clock, &[120_000, 60_000]).await;
        assert_eq!(host.expect_attempts(&hook.id(), 3).await[0]["result"], "success");
        host.expect_no_waiting().await;
        host.finish().await;
    }
}

#[tokio::test]
async fn retry_after_is_bounded_by_the_operator() {
    let answers = [Answer::retry_after(503, 999_999_999), Answer::status(200)];
    let (clock, receiver) = (noon(), Receiver::start().await.answering_in_turn(answers));
    let hook = a_hook("channel_create").to(&receiver);
    let host = at(&clock).hook(hook.clone()).setting("firing.retry_after_max_s", 100).start().await;
    post(&host).await;
    expect_pauses(&host, &receiver, &hook, &clock, &[100_000]).await;
    host.finish().await;
}

#[tokio::test]
async fn gone_disables_at_once() {
    let receiver = Receiver::start().await.answering([410]);
    let hook = a_hook("channel_create").to(&receiver);
    let host = TestHost::builder().without_broker().hook(hook.clone()).start().await;

    post(&host).await;

    receiver.expect_requests(1).await;
    host.expect_attempts(&hook.id(), 1).await;
    assert_eq!(host.disabled_message(&hook.id()).await.as_deref(), Some("the receiver answered 410 (gone)"));
    let (_, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(envelope["data"][0]["firings"], 0, "{envelope}");
    assert_eq!(receiver.requests().len(), 1);
    host.finish().await;
}

#[tokio::test]
async fn what_another_try_cannot_mend_is_given_up_at_once() {
    for status in [302, 400, 401, 404, 422] {
        let receiver = Receiver::start().await.answering([status]);
        let hook = a_hook("channel_create").to(&receiver);
        let host = at(&noon()).hook(hook.clone()).start().await;
        post(&host).await;
        host.expect_attempts(&hook.id(), 1).await;
        let undelivered = undelivered(&host, &hook.id()).await;
        assert_eq!(undelivered[0].reason, format!("the receiver answered {status}; this is not tried again"));
        host.expect_no_waiting().await;
        host.finish().await;
    }
}

#[tokio::test]
async fn kazoos_rule_can_be_chosen() {
    let answers = [Answer::close(), Answer::status(500)];
    let receiver = Receiver::start().await.answering_in_turn(answers);
    let hook = a_hook("channel_create").to(&receiver);
    let host = at(&noon()).hook(hook.clone()).setting("firing.retry_on", json!(["connection"])).start().await;
    post(&host).await;
    let attempts = host.expect_attempts(&hook.id(), 2).await;
    assert_eq!((&attempts[1]["retries_left"], &attempts[0]["resp_status_code"]), (&json!(2), &json!("500")));
    host.expect_no_waiting().await;
    host.finish().await;
}
