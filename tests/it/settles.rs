//! What becomes of a message: acknowledged when all that came of it has ended or is stored, sent back when Hookbox itself
//! failed; `discards.rs` has those that can never work. Over HTTP the same rule answers the poster.

use std::{collections::BTreeSet, time::Duration};

use hookbox::store::DeadLetterQuery;
use hookbox_tests::{
    bad_modules,
    eventually::eventually,
    receiver::{Answer, Receiver},
    samples::{self, ACCOUNT, Message, channel_created},
    store_fault::StoreFault,
    test_host::{Builder, MASTER_KEY, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

/// A host that fires calls and texts at the receiver.
fn firing_at(receiver: &Receiver) -> Builder {
    TestHost::builder().hook(a_hook("channel_create").to(receiver)).hook(a_hook("sms").to(receiver))
}

async fn post(host: &TestHost, message: &Message) -> (u16, Value) {
    host.post(ACCOUNT, MASTER_KEY, message).await
}

// Acknowledged.

#[tokio::test]
async fn taken_without_events_when_no_module_wants_it() {
    let receiver = Receiver::start().await;
    let host = firing_at(&receiver).start().await;
    // A kind of call event that nothing listens to, under a key that is bound.
    let unknown = channel_created(ACCOUNT).with("Event-Name", "CHANNEL_DISCO");
    let (status, envelope) = post(&host, &unknown).await;
    assert_eq!((status, &envelope["status"]), (202, &json!("success")));
    assert_eq!(envelope["data"], json!([{"settlement": "ack", "events": 0, "firings": 0}]));
    host.publish(unknown).await;
    host.finish().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn taken_without_events_when_it_has_no_account() {
    let receiver = Receiver::start().await;
    let host = firing_at(&receiver).start().await;
    let nobodys = [
        channel_created(ACCOUNT).without("Custom-Channel-Vars").without("Request").without("To"),
        channel_created("00000000000000000000000000000000"),
        channel_created(ACCOUNT).with("Custom-Channel-Vars", json!({"Account-ID": 7})),
        channel_created(ACCOUNT).with("Custom-Channel-Vars", "none"),
    ];
    for message in nobodys {
        let (status, envelope) = post(&host, &message).await;
        assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(0)), "{envelope}");
        host.publish(message).await;
    }
    host.finish().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn taken_when_its_firings_have_ended() {
    let receiver = Receiver::start().await;
    let host = firing_at(&receiver).hook(a_hook("all").to(&receiver)).start().await;
    let (status, envelope) = post(&host, &channel_created(ACCOUNT)).await;
    assert_eq!((status, &envelope["data"]), (202, &json!([{"settlement": "ack", "events": 1, "firings": 2}])));
    // Both were answered before the poster was.
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(host.running.store.firing_counts(None).await.unwrap().waiting, 0);
    host.finish().await;
}

#[tokio::test]
async fn taken_when_a_firing_is_stored_because_its_receiver_is_slow() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let host = firing_at(&receiver)
        .setting("firing.park_after_ms", 50)
        .setting("firing.request_timeout_ms", 60_000)
        .setting("firing.request_timeout_ms_max", 60_000)
        .setting("firing.lease_ms", 300_000)
        .setting("webhooks.disable_disabler", true)
        .start()
        .await;
    let (status, envelope) = post(&host, &channel_created(ACCOUNT)).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(1)), "{envelope}");
    host.publish(channel_created(ACCOUNT)).await;
    receiver.expect_requests(2).await;
    // Both are open still, and the broker holds nothing for them.
    host.expect_settled().await;
    assert_eq!(host.running.store.firing_counts(None).await.unwrap().waiting, 2);
    assert!(host.attempts_of_all().await.is_empty());
    drop(receiver);
    host.expect_no_waiting().await;
    host.finish().await;
}

#[tokio::test]
async fn a_slow_receiver_that_answers_after_all_is_delivered_to_once() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(300)));
    let host = firing_at(&receiver).setting("firing.park_after_ms", 10).start().await;
    assert_eq!(post(&host, &channel_created(ACCOUNT)).await.0, 202);
    assert_eq!(host.running.store.firing_counts(None).await.unwrap().waiting, 1);
    host.expect_no_waiting().await;
    assert_eq!(host.attempts_of_all().await.len(), 1);
    host.finish().await;
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn taken_when_its_retry_is_stored() {
    let receiver = Receiver::start().await.answering([500]);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", [3600]);
    let id = hook.id();
    let host = TestHost::builder().hook(hook).start().await;
    let (status, envelope) = post(&host, &channel_created(ACCOUNT)).await;
    assert_eq!((status, &envelope["data"][0]["settlement"]), (202, &json!("ack")));
    host.publish(channel_created(ACCOUNT)).await;
    host.expect_attempts(&id, 2).await;
    assert_eq!(host.running.store.firing_counts(None).await.unwrap().waiting, 2);
    host.finish().await;
}

#[tokio::test]
async fn taken_when_its_hook_has_no_place_left() {
    let receiver = Receiver::start().await.answering_in_turn([Answer::hang(), Answer::status(200)]);
    let hook = a_hook("channel_create").to(&receiver).with("max_in_flight", 1).with("retry_schedule_s", [3600]);
    let host = TestHost::builder()
        .hook(hook)
        .setting("firing.park_after_ms", 10)
        .setting("firing.full_pause_ms", 10)
        .start()
        .await;
    assert_eq!(post(&host, &channel_created(ACCOUNT)).await.0, 202);
    // The one place is taken by the first, which hangs: the second is stored, and not sent.
    assert_eq!(post(&host, &channel_created(ACCOUNT)).await.0, 202);
    assert_eq!(host.running.store.firing_counts(None).await.unwrap().waiting, 2);
    receiver.expect_silence(Duration::from_millis(100)).await;
    assert_eq!(receiver.requests().len(), 1);
    drop(receiver);
    eventually("both to have been tried", async || match host.attempts_of_all().await.len() {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn what_was_taken_is_settled_before_the_host_stops() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(500)));
    let host = firing_at(&receiver).setting("firing.park_after_ms", 60_000).start().await;
    for _ in 0..5 {
        host.publish(channel_created(ACCOUNT)).await;
    }
    receiver.expect_requests(5).await;
    // All five are open now; the host ends them, and leaves nothing to be delivered again.
    host.finish().await;
    assert_eq!(receiver.requests().len(), 5);
}

#[tokio::test]
async fn taken_when_a_module_fails_on_it_and_kept_for_that_module() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("echo", bad_modules::bytes(bad_modules::ECHO))
        .module("trap", bad_modules::bytes(bad_modules::TRAP))
        .hook(a_hook("echo").to(&receiver))
        .start()
        .await;
    let message = samples::bad(ACCOUNT);
    let (status, envelope) = post(&host, &message).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(1)), "{envelope}");
    receiver.expect_requests(1).await;
    let letters = host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].module.as_ref().map(|module| module.as_str()), Some("trap"));
    assert_eq!(letters[0].message.body.as_bytes(), message.body);
    assert_eq!(letters[0].owner, None, "the operator posted it");
    assert_eq!(host.post(ACCOUNT, TENANT_KEY, &message).await.0, 202);
    let letters = host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap();
    assert_eq!((letters.len(), &letters[0].owner), (2, &Some(ACCOUNT.into())), "the tenant may see its own");
    host.finish().await;
}

// Sent back.

#[tokio::test]
async fn sent_back_while_the_store_fails_and_delivered_when_it_is_mended() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder()
        .hook(hook)
        .setting("amqp.requeue_pause_ms", 20)
        .setting("amqp.requeue_pause_ms_max", 100)
        .start()
        .await;
    let fault = StoreFault::refuse_attempts(&host.settings).await;
    host.publish(channel_created(ACCOUNT)).await;
    // Again and again: each try is made, and cannot be recorded.
    eventually("the message to come again", async || match receiver.requests().len() {
        3.. => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(host.attempts(&id).await.is_empty());
    fault.mend().await;
    host.expect_attempts(&id, 1).await;
    let requests = receiver.requests();
    assert!(requests.iter().all(|request| request.header("webhook-id") == requests[0].header("webhook-id")));
    host.finish().await;
}

#[tokio::test]
async fn a_poster_is_asked_to_come_again_while_the_store_fails() {
    let receiver = Receiver::start().await;
    let host = firing_at(&receiver).without_broker().start().await;
    let fault = StoreFault::refuse_attempts(&host.settings).await;
    let message = channel_created(ACCOUNT);
    let (status, envelope) = post(&host, &message).await;
    assert_eq!((status, &envelope["error"], &envelope["status"]), (503, &json!("503"), &json!("error")));
    assert_eq!(envelope["data"][0]["settlement"], "requeue");
    let reason = envelope["data"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the attempt could not be recorded"), "{reason}");
    fault.mend().await;
    assert_eq!(post(&host, &message).await.0, 202);
    host.finish().await;
}

#[tokio::test]
async fn a_poster_is_asked_to_come_again_when_too_many_are_under_way() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let host = firing_at(&receiver)
        .without_broker()
        .setting("ingress.in_flight_max", 1)
        .setting("firing.park_after_ms", 60_000)
        .start()
        .await;
    let (first, second) = (channel_created(ACCOUNT), channel_created(ACCOUNT));
    let (hanging, ()) = tokio::join!(post(&host, &first), async {
        receiver.expect_requests(1).await;
        let (status, envelope) = post(&host, &second).await;
        assert_eq!((status, &envelope["data"][0]["settlement"]), (503, &json!("requeue")));
        assert!(envelope["data"][0]["reason"].as_str().unwrap().contains("ingress.in_flight_max"), "{envelope}");
        drop(receiver);
    });
    assert_eq!(hanging.0, 202, "{}", hanging.1);
    // There is room again.
    assert_eq!(post(&host, &second).await.0, 202);
    host.finish().await;
}

#[tokio::test]
async fn sent_back_when_too_many_are_under_way_and_delivered_later() {
    const MESSAGES: usize = 8;
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(20)));
    let host = firing_at(&receiver)
        .setting("ingress.in_flight_max", 2)
        .setting("amqp.requeue_pause_ms", 10)
        .setting("amqp.requeue_pause_ms_max", 50)
        .start()
        .await;
    let messages: Vec<_> = (0..MESSAGES).map(|_| channel_created(ACCOUNT)).collect();
    host.amqp.as_ref().unwrap().publish_all(&messages).await;
    receiver.expect_requests(MESSAGES).await;
    host.finish().await;
    let calls: BTreeSet<_> = receiver.requests().iter().map(|request| request.json()["call_id"].to_string()).collect();
    assert_eq!(calls.len(), MESSAGES);
}

#[tokio::test]
async fn sent_back_when_it_cannot_be_kept_for_a_module_that_fails() {
    let host = TestHost::builder().module("trap", bad_modules::bytes(bad_modules::TRAP)).without_broker().start().await;
    let fault = StoreFault::refuse_dead_letters(&host.settings).await;
    let message = samples::bad(ACCOUNT);
    let (status, envelope) = post(&host, &message).await;
    assert_eq!((status, &envelope["data"][0]["settlement"]), (503, &json!("requeue")), "{envelope}");
    fault.mend().await;
    assert_eq!(post(&host, &message).await.0, 202);
    assert_eq!(host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap().len(), 1);
    host.finish().await;
}

#[tokio::test]
async fn kept_as_a_dead_letter_when_the_broker_has_delivered_it_as_often_as_it_may() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let host = TestHost::builder()
        .hook(hook)
        .setting("amqp.delivery_limit", 10)
        .setting("amqp.requeue_pause_ms", 0)
        .setting("amqp.requeue_pause_ms_max", 0)
        .start()
        .await;
    let fault = StoreFault::refuse_attempts(&host.settings).await;
    let poisoned = channel_created(ACCOUNT);
    host.publish(poisoned.clone()).await;
    let letters = eventually("a dead letter", async || {
        let letters = host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap();
        if letters.is_empty() { Err(receiver.requests().len()) } else { Ok(letters) }
    })
    .await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].module, None);
    assert!(letters[0].reason.contains("amqp.delivery_limit"), "{}", letters[0].reason);
    assert_eq!(letters[0].message.body.as_bytes(), poisoned.body);
    // Delivered once, and ten times more.
    assert_eq!(receiver.requests().len(), 11);
    fault.mend().await;

    // Both queues are empty, and the next message goes its way.
    host.amqp.as_ref().unwrap().expect_drained("hookbox.dead").await;
    host.publish(channel_created(ACCOUNT)).await;
    receiver.expect_requests(12).await;
    host.finish().await;
}
