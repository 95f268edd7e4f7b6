//! `webhook-id`: the same on every try and on redelivery, so that receivers can drop repeats; another one for another
//! hook and another event.

use std::collections::BTreeSet;

use hookbox_tests::{
    amqp::Amqp,
    receiver::{Answer, Receiver, Request},
    samples::{ACCOUNT, channel_created, sms_received},
    test_host::{MASTER_KEY, TestHost, a_hook},
};

fn ids(requests: &[Request]) -> BTreeSet<&str> {
    requests.iter().map(|request| request.header("webhook-id").unwrap()).collect()
}

#[tokio::test]
async fn the_same_on_a_retry() {
    let receiver = Receiver::start().await.answering([500, 503, 200]);
    let hook = a_hook("channel_create").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder().hook(hook).start().await;

    host.publish(channel_created(ACCOUNT)).await;

    let requests = receiver.expect_requests(3).await;
    assert_eq!(ids(&requests).len(), 1, "{:?}", ids(&requests));
    assert_eq!(requests[0].body, requests[2].body);
    let attempts = host.expect_attempts(&id, 3).await;
    assert_eq!(attempts.iter().map(|attempt| attempt["try"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    host.expect_no_waiting().await;
    host.finish().await;
}

#[tokio::test]
async fn the_same_when_the_broker_delivers_the_message_again() {
    let receiver = Receiver::start().await.answering_in_turn([Answer::hang(), Answer::status(200)]);
    // Not parked, so that the message is unsettled for as long as the receiver hangs; and not tried again, so that the
    // second request can only be from the broker's second delivery.
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", Vec::<u32>::new());
    let mut host = TestHost::builder()
        .hook(hook)
        .setting("firing.park_after_ms", 60_000)
        .setting("firing.request_timeout_ms", 60_000)
        .setting("firing.request_timeout_ms_max", 60_000)
        .setting("firing.lease_ms", 300_000)
        .start()
        .await;
    host.publish(channel_created(ACCOUNT)).await;
    receiver.expect_requests(1).await;

    let vhost = host.vhost.clone().unwrap();
    vhost.close_connections().await;

    let requests = receiver.expect_requests(2).await;
    assert_eq!(ids(&requests).len(), 1, "{:?}", ids(&requests));
    assert_eq!(requests[0].body, requests[1].body);
    // The first try hangs still; it ends with its receiver.
    drop(receiver);
    host.amqp = Some(Amqp::connect(&vhost).await);
    host.finish().await;
}

#[tokio::test]
async fn the_same_when_a_poster_posts_again() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder().without_broker().hook(a_hook("sms").to(&receiver)).start().await;
    let message = sms_received(ACCOUNT);
    for _ in 0..2 {
        assert_eq!(host.post(ACCOUNT, MASTER_KEY, &message).await.0, 202);
    }
    assert_eq!(ids(&receiver.expect_requests(2).await).len(), 1);
    host.finish().await;
}

#[tokio::test]
async fn another_for_each_hook_and_each_message() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .hook(a_hook("all").to(&receiver))
        .hook(a_hook("sms").to(&receiver))
        .start()
        .await;
    // Two calls, and a text: each for two hooks.
    for message in [channel_created(ACCOUNT), channel_created(ACCOUNT), sms_received(ACCOUNT)] {
        host.publish(message).await;
    }
    assert_eq!(ids(&receiver.expect_requests(6).await).len(), 6);
    host.finish().await;
}

#[tokio::test]
async fn another_for_the_same_body_under_another_message_id() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder().hook(a_hook("sms").to(&receiver)).start().await;
    let message = sms_received(ACCOUNT);
    for id in ["m1", "m2"] {
        host.publish(message.clone().message_id(id)).await;
    }
    let requests = receiver.expect_requests(2).await;
    assert_eq!(ids(&requests).len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    host.finish().await;
}
