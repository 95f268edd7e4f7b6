//! Two hosts on one store and one broker: what is changed through one, the other obeys within a second.

use std::time::Duration;

use hookbox::host::{self, HostOptions, RunningHost};
use hookbox_tests::{
    eventually::eventually_within,
    receiver::Receiver,
    samples::{ACCOUNT, sms_received},
    test_host::{TENANT_KEY, TestHost, now_ms},
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
/// The periodic look does not help: what is heard within a second, is heard by notice.
const NEVER_MS: u64 = 3_600_000;

async fn another(host: &TestHost) -> RunningHost {
    let other = host::start(host.settings.clone(), HostOptions::default()).await.unwrap();
    other.ready().await;
    other
}

/// Waits, a second at most, until the other host holds the hook with this URI, or holds it no more.
async fn expect_uri(other: &RunningHost, hook: &str, uri: Option<&str>) {
    eventually_within(SECOND, "the other host to obey", async || {
        let held = other.hooks.get(&ACCOUNT.into(), &hook.into()).map(|hook| hook.uri.to_string());
        if held.as_deref() == uri { Ok(()) } else { Err(held) }
    })
    .await;
}

#[tokio::test]
async fn a_change_through_one_is_obeyed_by_the_other_within_a_second() {
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    let host = TestHost::builder().setting("store.poll_ms", NEVER_MS).start().await;
    let other = another(&host).await;
    let hooks = format!("/v2/accounts/{ACCOUNT}/webhooks");
    // Notices that came before the other host listened are read by it when it begins to.
    let listening = host.amqp.as_ref().unwrap().listen("configuration", "doc_created.webhooks.webhook.*").await;

    let hook = json!({"data": {"name": "n", "uri": before.url("/"), "hook": "sms", "format": "json"}});
    let made = host.call("PUT", &hooks, TENANT_KEY, Some(hook)).await.expect(201);
    let id = made.data()["id"].as_str().unwrap().to_owned();
    listening.next().await;
    expect_uri(&other, &id, Some(&before.url("/"))).await;

    let began_ms = now_ms();
    let edit = json!({"data": {"uri": after.url("/")}});
    host.call("PATCH", &format!("{hooks}/{id}"), TENANT_KEY, Some(edit)).await.expect(200);
    expect_uri(&other, &id, Some(&after.url("/"))).await;
    assert!(now_ms() - began_ms < 1000 + 500, "it took {} ms with the call itself", now_ms() - began_ms);

    // Whichever host takes the message, the receiver is the new one.
    host.publish(sms_received(ACCOUNT)).await;
    after.expect_requests(1).await;
    assert!(before.requests().is_empty());

    host.call("DELETE", &format!("{hooks}/{id}"), TENANT_KEY, None).await.expect(200);
    expect_uri(&other, &id, None).await;
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn without_a_broker_the_other_finds_it_at_its_periodic_look() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder().without_broker().setting("store.poll_ms", 100).start().await;
    let other = another(&host).await;
    let hook = json!({"data": {"name": "n", "uri": receiver.url("/"), "hook": "sms"}});
    let made = host.call("PUT", &format!("/v2/accounts/{ACCOUNT}/webhooks"), TENANT_KEY, Some(hook)).await.expect(201);
    expect_uri(&other, made.data()["id"].as_str().unwrap(), Some(&receiver.url("/"))).await;
    assert!(other.stop().await);
    host.finish().await;
}
