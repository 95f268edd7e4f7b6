//! Two versions of a module are swapped again and again under load: no message is lost, and none is handled by both.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hookbox_tests::{
    amqp::{Amqp, Published},
    bad_modules::{self, CRM, CRM_NEXT},
    eventually::eventually_within,
    receiver::Receiver,
    samples::{ACCOUNT, bad},
    test_host::{TENANT_KEY, TestHost, a_hook},
};
use serde_json::json;

const SWAPS: usize = 50;
/// What the load aims at, messages a second.
const RATE: u32 = 2000;
const BATCH: u32 = 100;

/// Publishes at the rate until told to stop; the numbers of the messages that the broker has taken. The messages carry
/// numbers, so that each can be found again.
async fn publish(amqp: Amqp, stop: Arc<AtomicBool>) -> (Vec<u64>, Duration) {
    let (mut taken, began) = (Vec::new(), Instant::now());
    let mut pace = tokio::time::interval(Duration::from_secs(1) * BATCH / RATE);
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let numbers: Vec<_> = (number..number + u64::from(BATCH)).collect();
        number += u64::from(BATCH);
        let messages: Vec<_> = numbers.iter().map(|number| bad(ACCOUNT).with("Number", *number)).collect();
        let published = amqp.publish_all(&messages).await;
        assert!(
            published.iter().all(|one| matches!(one, Published::Routed)),
            "a message found no queue: {published:?}"
        );
        taken.extend(numbers);
    }
    (taken, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_swapped_under_load_and_nothing_is_lost_or_handled_twice() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .setting("modules.tenant_bindings", json!(["bad"]))
        .setting("firing.max_in_flight", 200)
        .hook(a_hook("crm").to(&receiver))
        .start()
        .await;
    for (component, query) in [(CRM_NEXT, ""), (CRM, "?activate=true")] {
        host.upload(ACCOUNT, "crm", query, TENANT_KEY, bad_modules::bytes(component)).await.expect(201);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let amqp = Amqp::connect(host.vhost.as_ref().unwrap()).await;
    let publishing = tokio::spawn(publish(amqp, Arc::clone(&stop)));
    let path = format!("/v2/accounts/{ACCOUNT}/webhook_modules/crm/activate");
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for swap in 0..SWAPS {
        pace.tick().await;
        let version = if swap % 2 == 0 { "2.0.0" } else { "1.0.0" };
        let body = json!({"data": {"version": version}});
        let swapped = host.call("POST", &path, TENANT_KEY, Some(body)).await.expect(200);
        assert_eq!(swapped.data()["active"]["version"], version);
    }
    stop.store(true, Ordering::Relaxed);
    let (taken, took) = publishing.await.unwrap();

    eventually_within(Duration::from_secs(120), "all messages to have been fired", async || {
        let arrived = receiver.requests().len();
        if arrived >= taken.len() { Ok(()) } else { Err((arrived, taken.len())) }
    })
    .await;
    // Each message's number, with the versions that handled it.
    let mut handled: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for request in receiver.requests() {
        let payload = request.json();
        let number = payload["message"]["Number"].as_u64().unwrap();
        handled.entry(number).or_default().push(payload["version"].as_str().unwrap().to_owned());
    }
    let lost = taken.iter().filter(|number| !handled.contains_key(number)).count();
    let by_two = handled.values().filter(|versions| versions.iter().any(|version| *version != versions[0])).count();
    let again = handled.values().filter(|versions| versions.len() > 1).count();
    let of = |version: &str| handled.values().filter(|versions| versions[0] == version).count();
    println!(
        "module_swap: {SWAPS} swaps under {:.0} messages/s, {} messages: {lost} lost, {by_two} handled by two versions, {again} \
         fired twice; {} by 1.0.0, {} by 2.0.0",
        taken.len() as f64 / took.as_secs_f64(),
        taken.len(),
        of("1.0.0"),
        of("2.0.0"),
    );
    assert_eq!((lost, by_two), (0, 0));
    assert!(of("1.0.0") > 0 && of("2.0.0") > 0, "both were at work");
    host.finish().await;
}
