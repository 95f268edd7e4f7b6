//! Messages that can never work are discarded, with the reason: to the poster in the answer, in the log, in a counter. The
//! rest goes on.

use hookbox::store::DeadLetterQuery;
use hookbox_tests::{
    amqp::Amqp,
    broker::Broker,
    eventually::eventually,
    receiver::Receiver,
    samples::{self, ACCOUNT, Message, channel_created, sms_received},
    test_host::{MASTER_KEY, TestHost, a_hook, http},
};
use serde_json::{Value, json};

use crate::kill::Place;

/// The broker does not deliver it again; what comes after it is delivered.
async fn expect_discarded(message: Message) {
    let receiver = Receiver::start().await;
    let builder = TestHost::builder().hook(a_hook("channel_create").to(&receiver));
    let host = builder.hook(a_hook("sms").to(&receiver)).start().await;
    host.publish(message).await;
    host.publish(sms_received(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    assert!(
        host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap().is_empty(),
        "there is nothing to be replayed"
    );
    host.finish().await;
    assert_eq!(receiver.requests().len(), 1);
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
    expect_discarded(channel_created(ACCOUNT).raw("{\"Event-Category\":")).await;
}

#[tokio::test]
async fn discarded_when_it_is_not_utf_8() {
    expect_discarded(channel_created(ACCOUNT).raw(b"\xff\xfe".as_slice())).await;
}

#[tokio::test]
async fn discarded_when_it_is_of_another_content_type() {
    expect_discarded(channel_created(ACCOUNT).content_type("application/erlang")).await;
    let host = TestHost::builder().without_broker().start().await;
    let mut message = channel_created(ACCOUNT).to_json();
    message["content_type"] = "text/plain".into();
    expect_refused(&host, &message, "content type \"text/plain\" is not taken").await;
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_it_is_not_an_object() {
    expect_discarded(channel_created(ACCOUNT).raw("[1, 2]")).await;
    let host = TestHost::builder().without_broker().start().await;
    let message = json!({"exchange": "callevt", "routing_key": "call.CHANNEL_CREATE.1", "body": [1, 2]});
    expect_refused(&host, &message, "not a JSON object").await;
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_it_is_compressed_in_another_way() {
    let broken = Message { content_encoding: Some("deflate".into()), ..channel_created(ACCOUNT) };
    expect_discarded(broken).await;
}

/// A call with a body of about so many bytes.
fn a_call_of(bytes: usize) -> Message {
    channel_created(ACCOUNT).with("Caller-ID-Name", "x".repeat(bytes))
}

#[tokio::test]
async fn discarded_when_it_has_ten_mebibytes() {
    expect_discarded(a_call_of(10 << 20)).await;
    // Ten mebibytes that fit in ten kilobytes on the way.
    expect_discarded(a_call_of(10 << 20).gzip()).await;

    let host = TestHost::builder().without_broker().start().await;
    expect_refused(&host, &a_call_of(2 << 20).to_json(), "the body has over 1048576 bytes (ingress.body_bytes_max)")
        .await;
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &a_call_of(10 << 20)).await;
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
    assert!(host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn discarded_when_its_ids_are_of_the_wrong_type() {
    let host = TestHost::builder().without_broker().start().await;
    for account in [json!(7), json!(null), json!(["a"]), json!({"id": "a"}), json!("")] {
        let message = sms_received(ACCOUNT).with("Account-ID", account.clone());
        let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &message).await;
        // Nobody's, or malformed, as the module sees it; never sent back, never kept.
        let settlement = envelope["data"][0]["settlement"].as_str().unwrap();
        assert!(matches!((status, settlement), (202, "ack") | (422, "discard")), "{account}: {envelope}");
        assert_ne!(envelope["data"][0]["firings"], 1, "{account}");
    }
    assert!(host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn a_list_is_answered_one_by_one() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .without_broker()
        .hook(a_hook("channel_create").to(&receiver))
        .hook(a_hook("sms").to(&receiver))
        .start()
        .await;
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

/// In a process of its own, because counters are the process's.
#[tokio::test]
async fn each_settlement_is_counted() {
    let receiver = Receiver::start().await;
    let vhost = Broker::shared().await.vhost().await;
    let place = Place::behind(vhost.amqp_port, vhost, a_hook("channel_create").to(&receiver), "");
    let (mut program, url) = place.begin().await;
    program.line_starting_with("ready").await;
    let good = || channel_created(ACCOUNT);
    let messages = [good(), good().raw("{"), good(), good().raw("[]"), good().content_type("text/plain"), good()];
    Amqp::connect(&place.vhost).await.publish_all(&messages).await;

    let counted = async |settlement: &str| {
        let text = http().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
        let is_it = |line: &&str| {
            line.starts_with("hookbox_messages_settled_total{")
                && line.contains("source=\"amqp\"")
                && line.contains(&format!("settlement=\"{settlement}\""))
        };
        text.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("all to be counted", async || match (counted("ack").await, counted("discard").await) {
        (3, 3) => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(counted("requeue").await, 0);
    assert_eq!(receiver.requests().len(), 3);
}
