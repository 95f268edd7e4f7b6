//! The broker goes and comes back: nothing that it has confirmed is lost, and the host says how it stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use hookbox_tests::{
    amqp::{Amqp, Published},
    broker::Broker,
    chaos_proxy::ChaosProxy,
    eventually::{eventually, eventually_within},
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created, hook_changed, mms_received},
    test_host::{MASTER_KEY, TestHost, a_hook, http, import},
};

use crate::kill::Place;

/// How long the broker is gone.
const OUTAGE: Duration = Duration::from_secs(10);

/// The calls that arrived, with the ids that each arrived under.
fn ids_by_call(receiver: &Receiver) -> BTreeMap<String, BTreeSet<String>> {
    let mut calls = BTreeMap::<_, BTreeSet<_>>::new();
    for request in receiver.requests() {
        let id = request.header("webhook-id").unwrap().to_owned();
        calls.entry(request.json()["call_id"].to_string()).or_default().insert(id);
    }
    calls
}

/// Waits until so many calls have arrived, each under one id.
async fn expect_calls(receiver: &Receiver, count: usize) {
    let calls = eventually_within(Duration::from_secs(60), &format!("{count} calls"), async || {
        let calls = ids_by_call(receiver);
        if calls.len() == count { Ok(calls) } else { Err(calls.len()) }
    })
    .await;
    assert!(calls.values().all(|ids| ids.len() == 1), "a call came again under another id");
}

async fn publish_calls(amqp: &Amqp, count: usize) {
    let messages: Vec<_> = (0..count).map(|_| channel_created(ACCOUNT)).collect();
    let published = amqp.publish_all(&messages).await;
    assert!(published.iter().all(|published| *published == Published::Routed), "the queue is not bound");
}

#[tokio::test]
async fn a_broker_that_is_gone_for_ten_seconds_loses_nothing() {
    let mut broker = Broker::boot().await;
    // Slow, and few at a time: so that most messages are in the broker when it is killed.
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(200)));
    let mut host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .setting("amqp.prefetch", 2)
        .start_on(Some(broker.vhost().await))
        .await;
    assert_eq!(host.get("/readyz").await.0, 200);
    publish_calls(host.amqp.as_ref().unwrap(), 200).await;
    eventually("some calls", async || if receiver.requests().len() >= 10 { Ok(()) } else { Err("few") }).await;

    broker.kill().await;
    let gone = Instant::now();
    assert!(receiver.requests().len() < 200, "all were delivered before the broker was gone");
    let reason = eventually("the host to be not ready", async || match host.get("/readyz").await {
        (503, reasons) => Ok(reasons),
        other => Err(other),
    })
    .await;
    assert!(reason.contains("broker: "), "{reason}");
    // The host stands it for as long as it takes: alive, not ready, and no part of it gives up.
    eventually_within(OUTAGE * 2, "the time of the outage to be over", async || {
        assert_eq!((host.get("/healthz").await.0, host.get("/readyz").await.0), (200, 503));
        if gone.elapsed() >= OUTAGE { Ok(()) } else { Err(gone.elapsed()) }
    })
    .await;
    let restarts: Vec<_> =
        host.running.part_names().into_iter().map(|part| (part, host.running.restarts(part))).collect();
    assert!(restarts.iter().all(|(_, restarts)| *restarts == 0), "{restarts:?}");
    receiver.answer_from_now_on([Answer::status(200)]);
    broker.restart().await;

    host.running.ready().await;
    assert_eq!(host.get("/readyz").await.0, 200);
    expect_calls(&receiver, 200).await;

    // The platform's exchanges are not durable. They are there again, and bound, before the platform is.
    host.amqp = Some(Amqp::connect(host.vhost.as_ref().unwrap()).await);
    publish_calls(host.amqp.as_ref().unwrap(), 10).await;
    expect_calls(&receiver, 210).await;
    host.finish().await;
}

#[tokio::test]
async fn a_host_that_is_there_before_its_broker_is_ready_when_that_comes() {
    let vhost = Broker::shared().await.vhost().await;
    let mut proxy = ChaosProxy::start(vhost.amqp_port).await;
    proxy.refuse().await;
    let receiver = Receiver::start().await;
    let place = Place::behind(proxy.port(), vhost, a_hook("channel_create").to(&receiver), "");
    let (mut program, url) = place.begin().await;
    let answer = http().get(format!("{url}/readyz")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    let reasons = answer.text().await.unwrap();
    assert!(reasons.contains("broker: "), "{reasons}");

    proxy.restore().await;
    program.line_starting_with("ready").await;
    publish_calls(&Amqp::connect(&place.vhost).await, 1).await;
    receiver.expect_requests(1).await;
    assert_eq!(http().get(format!("{url}/readyz")).send().await.unwrap().status().as_u16(), 200);
}

/// The other two that work with the broker, hearing of changes and publishing notices, find it again too.
#[tokio::test]
async fn after_an_outage_changes_are_heard_and_notices_published() {
    let vhost = Broker::shared().await.vhost().await;
    let mut proxy = ChaosProxy::start(vhost.amqp_port).await;
    let receiver = Receiver::start().await.answering([410]);
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .amqp_url(vhost.url_through(proxy.port()))
        .setting("store.poll_ms", 3_600_000)
        .setting("amqp.reconnect_pause_ms_max", 100)
        .start_on(Some(vhost))
        .await;
    let amqp = host.amqp.as_ref().unwrap();
    let disabled = amqp.listen("notifications", "notifications.webhook.disabled").await;

    proxy.refuse().await;
    eventually("the host to be not ready", async || match host.get("/readyz").await {
        (503, _) => Ok(()),
        other => Err(other),
    })
    .await;
    // Meanwhile a hook is made elsewhere, and another one is disabled.
    let hook = a_hook("mms").to(&receiver);
    import(&host.settings, &[hook.document()]).await;
    amqp.publish(&hook_changed("doc_created", ACCOUNT, &hook.id())).await;
    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    assert_eq!(disabled.waiting(), 0);
    proxy.restore().await;

    disabled.next().await;
    eventually("the new hook to be known", async || {
        host.running.hooks.get(&ACCOUNT.into(), &hook.id().as_str().into()).map(drop).ok_or("it is not")
    })
    .await;
    host.running.ready().await;
    host.publish(mms_received(ACCOUNT)).await;
    receiver.expect_requests(2).await;
    // This hook is disabled too, and what is told of that comes back into the host's own queue.
    disabled.next().await;
    eventually("all to be told", async || match host.running.store.notices(10).await.unwrap() {
        left if left.is_empty() => Ok(()),
        left => Err(left.len()),
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn a_link_that_is_cut_again_and_again_loses_nothing() {
    const CALLS: usize = 300;
    let vhost = Broker::shared().await.vhost().await;
    let mut proxy = ChaosProxy::start(vhost.amqp_port).await;
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(10)));
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .amqp_url(vhost.url_through(proxy.port()))
        .setting("amqp.prefetch", 10)
        .setting("amqp.reconnect_pause_ms_max", 100)
        .start_on(Some(vhost))
        .await;
    publish_calls(host.amqp.as_ref().unwrap(), CALLS).await;
    for cut in 1..=4 {
        eventually("calls to go on", async || match ids_by_call(&receiver).len() {
            calls if calls >= cut * 50 => Ok(()),
            calls => Err(calls),
        })
        .await;
        proxy.cut().await;
    }
    assert!(ids_by_call(&receiver).len() < CALLS, "the last cut was in the middle too");
    expect_calls(&receiver, CALLS).await;
    host.finish().await;
}
