//! The platform's bulk requests over AMQP: hooks that were disabled for failing are enabled again, and a reply is sent.

use hookbox_tests::{
    amqp::Inbox,
    eventually::eventually,
    receiver::Receiver,
    samples::{ACCOUNT, Message, sms_received},
    test_host::{RESELLER, TestHost, a_hook},
};
use lapin::{ExchangeKind, types::AMQPValue};
use serde_json::json;

fn request(action: &str, account: &str, server_id: &str) -> Message {
    let body = json!({
        "App-Name": "crossbar", "App-Version": "4.0.0", "Event-Category": "configuration",
        "Event-Name": "doc_type_update", "Msg-ID": "the-request", "Server-ID": server_id, "Type": "webhook",
        "Action": action, "Account-ID": account,
    });
    Message::new("configuration", "configuration.doc_type_update.webhook", &body)
}

/// A host with a hook that was disabled for failing and one that was disabled by hand.
async fn a_host_with_disabled_hooks(receiver: &Receiver) -> (TestHost, String, String) {
    let switched_off = a_hook("sms").to(receiver).with("enabled", false).with("pvt_disabled_message", "too many");
    let by_hand = a_hook("sms").to(receiver).with("enabled", false);
    let ids = (switched_off.id(), by_hand.id());
    let host = TestHost::builder().hook(switched_off).hook(by_hand).start().await;
    eventually("the queue of requests", async || {
        match host.amqp.as_ref().unwrap().ready(&format!("{}.requests", host.settings.amqp.queue)).await {
            Some(0) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    (host, ids.0, ids.1)
}

async fn replies(host: &TestHost, queue: &str) -> Inbox {
    let amqp = host.amqp.as_ref().unwrap();
    amqp.declare_exchange("targeted", ExchangeKind::Direct).await;
    amqp.listen("targeted", queue).await
}

async fn is_enabled(host: &TestHost, hook: &str) -> bool {
    let record = host.running.store.hook(&hook.into()).await.unwrap().unwrap();
    record.document["enabled"] == json!(true)
}

#[tokio::test]
async fn hooks_of_an_account_are_enabled_again_and_the_platform_is_told() {
    let receiver = Receiver::start().await;
    let (host, switched_off, by_hand) = a_host_with_disabled_hooks(&receiver).await;
    let inbox = replies(&host, "crossbar@n1-1a2b").await;

    host.publish(request("account", ACCOUNT, "pid://<0.77.0>/crossbar@n1-1a2b")).await;

    let reply = inbox.next().await;
    let body = reply.json();
    assert_eq!((&body["Event-Name"], &body["Msg-ID"]), (&json!("doc_type_updated"), &json!("the-request")));
    let pid = reply.properties.headers().as_ref().and_then(|headers| headers.inner().get("Deliver-To-PID").cloned());
    assert_eq!(pid, Some(AMQPValue::LongString("<0.77.0>".into())));
    assert!(is_enabled(&host, &switched_off).await && !is_enabled(&host, &by_hand).await);
    assert_eq!(host.disabled_message(&switched_off).await, None);
    host.publish(sms_received(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn descendants_are_asked_for_by_name() {
    let receiver = Receiver::start().await;
    let (host, switched_off, _) = a_host_with_disabled_hooks(&receiver).await;
    let inbox = replies(&host, "crossbar").await;

    host.publish(request("account", RESELLER, "crossbar")).await;
    inbox.next().await;
    assert!(!is_enabled(&host, &switched_off).await, "the reseller's own hooks were asked for");

    host.publish(request("descendants", RESELLER, "consumer://<0.1.0>/crossbar")).await;
    inbox.next().await;
    assert!(is_enabled(&host, &switched_off).await);
    host.finish().await;
}

#[tokio::test]
async fn a_request_that_is_none_is_dropped_and_the_next_one_done() {
    let receiver = Receiver::start().await;
    let (host, switched_off, _) = a_host_with_disabled_hooks(&receiver).await;
    let inbox = replies(&host, "crossbar").await;

    host.publish(request("everything", ACCOUNT, "crossbar")).await;
    host.publish(request("account", ACCOUNT, "crossbar").with("Type", "device")).await;
    host.publish(request("account", ACCOUNT, "crossbar").raw("{")).await;
    host.publish(request("account", ACCOUNT, "crossbar")).await;

    inbox.next().await;
    assert!(is_enabled(&host, &switched_off).await);
    assert_eq!(inbox.waiting(), 0, "one reply, to the one that was done");
    host.finish().await;
}
