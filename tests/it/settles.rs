//! What becomes of a message: every way to be settled. Acknowledged when all that came of it has ended or is stored,
//! discarded when it can never work, sent back when Hookbox itself failed. Over HTTP the same rule answers the poster.

use std::time::Duration;

use hookbox_tests::{
    eventually::eventually,
    receiver::{Answer, Receiver},
    samples::{self, ACCOUNT, Message, channel_created, sms_received},
    store_fault::StoreFault,
    test_host::{Builder, MASTER_KEY, TestHost, a_hook},
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
    let host = firing_at(&receiver).setting("firing.park_after_ms", 50).start().await;
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

// Discarded.

/// The poster is told why, and the broker does not deliver it again; what comes after it is delivered.
async fn expect_discarded(message: Message, reason: &str) {
    let receiver = Receiver::start().await;
    let host = firing_at(&receiver).start().await;
    host.publish(message).await;
    host.publish(sms_received(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    assert!(host.running.store.dead_letters(10).await.unwrap().is_empty(), "{reason}: it can never work");
    host.finish().await;
    assert_eq!(receiver.requests().len(), 1, "{reason}");
}

/// Over HTTP: 422, and why.
async fn expect_refused(host: &TestHost, message: &Value, reason: &str) {
    let body = json!({"data": message}).to_string();
    let (status, envelope) = host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), MASTER_KEY, body).await;
    assert_eq!(status, 422, "{envelope}");
    assert_eq!((&envelope["status"], &envelope["error"]), (&json!("error"), &json!("422")));
    assert_eq!(envelope["message"], "no message was taken");
    assert_eq!(envelope["request_id"].as_str().map(str::len), Some(32));
    assert_eq!(envelope["data"][0]["settlement"], "discard");
    let given = envelope["data"][0]["reason"].as_str().unwrap();
    assert!(given.contains(reason), "{given:?} does not say {reason:?}");
}

#[tokio::test]
async fn discarded_when_it_is_not_json() {
    expect_discarded(channel_created(ACCOUNT).raw("{\"Event-Category\":"), "not JSON").await;
}

#[tokio::test]
async fn discarded_when_it_is_not_utf_8() {
    expect_discarded(channel_created(ACCOUNT).raw(b"\xff\xfe".as_slice()), "not UTF-8").await;
}

#[tokio::test]
async fn discarded_when_it_is_of_another_content_type() {
    expect_discarded(channel_created(ACCOUNT).content_type("application/erlang"), "content type").await;
    let host = TestHost::builder().without_broker().start().await;
    let mut message = channel_created(ACCOUNT).to_json();
    message["content_type"] = "text/plain".into();
    expect_refused(&host, &message, "content type \"text/plain\" is not taken").await;
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_it_is_not_an_object() {
    expect_discarded(channel_created(ACCOUNT).raw("[1, 2]"), "not an object").await;
    let host = TestHost::builder().without_broker().start().await;
    let message = json!({"exchange": "callevt", "routing_key": "call.CHANNEL_CREATE.1", "body": [1, 2]});
    expect_refused(&host, &message, "not a JSON object").await;
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_it_says_gzip_and_is_none() {
    let broken = Message { content_encoding: Some("deflate".into()), ..channel_created(ACCOUNT) };
    expect_discarded(broken, "content encoding").await;
}

/// A call with a body of about so many bytes.
fn a_call_of(bytes: usize) -> Message {
    channel_created(ACCOUNT).with("Caller-ID-Name", "x".repeat(bytes))
}

#[tokio::test]
async fn discarded_when_it_has_ten_mebibytes() {
    expect_discarded(a_call_of(10 << 20), "too large").await;
    // Ten mebibytes that fit in ten kilobytes on the way.
    expect_discarded(a_call_of(10 << 20).gzip(), "too large").await;

    let host = TestHost::builder().without_broker().start().await;
    expect_refused(&host, &a_call_of(2 << 20).to_json(), "the body has over 1048576 bytes (ingress.body_bytes_max)")
        .await;
    let (status, envelope) = post(&host, &a_call_of(10 << 20)).await;
    assert_eq!((status, &envelope["error"]), (413, &json!("413")), "{envelope}");
    assert!(envelope["data"].to_string().contains("api.body_bytes_max"), "{envelope}");
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_its_module_finds_it_malformed() {
    let host = TestHost::builder().start().await;
    let malformed: Vec<_> = samples::all().into_iter().filter(|sample| sample.error["malformed"].is_string()).collect();
    assert!(malformed.len() >= 3, "{malformed:?}");
    for sample in malformed {
        let reason = format!("{}: {}", sample.module, sample.error["malformed"].as_str().unwrap());
        expect_refused(&host, &sample.message.to_json(), &reason).await;
        host.publish(sample.message).await;
    }
    host.expect_settled().await;
    assert!(host.running.store.dead_letters(10).await.unwrap().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_its_ids_are_of_the_wrong_type() {
    let host = TestHost::builder().without_broker().start().await;
    for account in [json!(7), json!(null), json!(["a"]), json!({"id": "a"}), json!("")] {
        let message = sms_received(ACCOUNT).with("Account-ID", account.clone()).to_json();
        let (status, envelope) = post(&host, &Message::from_json(&message)).await;
        // Nobody's, or malformed, as the module sees it; never sent back, never kept.
        let settlement = envelope["data"][0]["settlement"].as_str().unwrap();
        assert!(matches!((status, settlement), (202, "ack") | (422, "discard")), "{account}: {envelope}");
        assert_ne!(envelope["data"][0]["firings"], 1, "{account}");
    }
    assert!(host.running.store.dead_letters(10).await.unwrap().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn a_list_is_answered_one_by_one() {
    let receiver = Receiver::start().await;
    let host = firing_at(&receiver).without_broker().start().await;
    let data = json!([
        channel_created(ACCOUNT).to_json(),
        {"exchange": "callevt", "routing_key": "call.CHANNEL_CREATE.1", "body": "none"},
        sms_received(ACCOUNT).to_json(),
    ]);
    let body = json!({"data": data}).to_string();
    let (status, envelope) = host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), MASTER_KEY, body).await;
    assert_eq!((status, &envelope["status"]), (202, &json!("success")));
    let settlements: Vec<_> = envelope["data"].as_array().unwrap().iter().map(|one| &one["settlement"]).collect();
    assert_eq!(settlements, ["ack", "discard", "ack"]);
    receiver.expect_requests(2).await;

    for (body, field) in
        [("{", "json"), ("{}", "data"), ("{\"data\": 7}", "data"), ("{\"data\": {\"exchange\": \"e\"}}", "data")]
    {
        let (status, envelope) = host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), MASTER_KEY, body.into()).await;
        assert_eq!((status, &envelope["message"]), (400, &json!("validation error")), "{envelope}");
        assert!(envelope["data"][field].is_object(), "{envelope}");
    }
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
        let letters = host.running.store.dead_letters(10).await.unwrap();
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
