//! No slow receiver and no busy hook is felt by another: first tries have places that the backlog cannot take, hooks have
//! places and a rate of their own, an account's backlog has a bound; and several hosts share what is stored.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use hookbox::{
    message::{AccountId, Event, Firing, HookId, Target},
    store::{Entry, FiringChange, SharedStore, UndeliveredQuery},
};
use hookbox_tests::{
    eventually::{eventually, eventually_within},
    real_program::Place,
    receiver::{Answer, Receiver, Request},
    samples::{ACCOUNT, channel_created, sms_received},
    test_host::{HookDraft, SIBLING, TestHost, a_hook, now_ms},
};
use serde_json::{Value, json};

/// Longer than any test takes.
const HANGS_MS: u64 = 60_000;

/// Stores firings of a hook that are due now, as a retry leaves them.
async fn store_backlog(store: &SharedStore, account: &str, hook: &str, count: u64) {
    let now_ms = now_ms();
    let group: Vec<Entry> = (0..count)
        .map(|n| {
            let payload = json!({"number": n}).as_object().cloned().unwrap_or_default();
            let event = Event {
                module: "channel_create".into(),
                hook_event: "channel_create".into(),
                account: account.into(),
                payload,
                facets: Vec::new(),
                selectors: Arc::from([]),
                internal_leg: false,
                within: None,
                trace: None,
                hooks_of: None,
            };
            let firing = Firing {
                id: format!("{hook}{n:032x}").into(),
                target: Target::Stored(account.into(), hook.into()),
                event: Arc::new(event),
                tries: 1,
                created_ms: now_ms,
                lease: None,
            };
            let change = FiringChange::Wait { firing: Box::new(firing), due_ms: now_ms };
            Entry { attempt: None, counts_as_failure: false, change }
        })
        .collect();
    store.commit(&group).await.unwrap();
}

fn ids(requests: &[Request]) -> BTreeSet<String> {
    requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn ten_hooks_whose_receiver_hangs_cost_others_nothing() {
    const PARK_AFTER: Duration = Duration::from_secs(8);
    let (hanging, well) = (Receiver::start().await.answering_with(Answer::hang()), Receiver::start().await);
    let mut builder = TestHost::builder()
        .hook(a_hook("sms").to(&well))
        .setting("amqp.prefetch", 8)
        .setting("firing.park_after_ms", u64::try_from(PARK_AFTER.as_millis()).unwrap())
        .setting("firing.request_timeout_ms", HANGS_MS)
        .setting("firing.request_timeout_ms_max", HANGS_MS)
        .setting("webhooks.disable_disabler", true);
    for _ in 0..10 {
        builder = builder.hook(a_hook("channel_create").to(&hanging).with("max_in_flight", 5));
    }
    let host = builder.start().await;
    let amqp = host.amqp.as_ref().unwrap();
    let began = Instant::now();
    // Far more calls than the broker hands over at once, each to ten hooks, and texts between them.
    let messages: Vec<_> =
        (0..60).map(|n| if n % 3 == 0 { sms_received(ACCOUNT) } else { channel_created(ACCOUNT) }).collect();
    amqp.publish_all(&messages).await;
    well.expect_requests(20).await;
    assert!(began.elapsed() < PARK_AFTER, "texts waited for a receiver that hangs: {:?}", began.elapsed());
    host.expect_settled().await;
    assert_eq!(hanging.requests().len(), 50, "five of each hook are open, and no more");
    // A text that found the machine busy may have been stored too, and go a moment later.
    eventually("the calls alone to wait", async || {
        match host.running.store.firing_counts(None).await.unwrap().waiting {
            400 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    drop(hanging);
    host.running.stop().await;
}

#[tokio::test]
async fn a_backlog_of_retries_keeps_no_first_try_waiting() {
    let (hanging, well) = (Receiver::start().await.answering_with(Answer::hang()), Receiver::start().await);
    let slow = a_hook("channel_create").to(&hanging);
    let host = TestHost::builder()
        .hook(slow.clone())
        .hook(a_hook("sms").of(SIBLING).to(&well))
        .setting("amqp.prefetch", 4)
        .setting("firing.in_flight_max", 8)
        .setting("firing.retry_share_percent", 25)
        .setting("firing.request_timeout_ms", HANGS_MS)
        .setting("firing.request_timeout_ms_max", HANGS_MS)
        .setting("webhooks.disable_disabler", true)
        .start()
        .await;
    store_backlog(&host.running.store, ACCOUNT, &slow.id(), 300).await;
    hanging.expect_requests(2).await;
    let texts: Vec<_> = (0..40).map(|_| sms_received(SIBLING)).collect();
    host.amqp.as_ref().unwrap().publish_all(&texts).await;
    well.expect_requests(40).await;
    host.expect_settled().await;
    hanging.expect_requests(2).await;
    assert_eq!(host.running.store.firing_counts(None).await.unwrap().waiting, 300);
    drop(hanging);
    host.running.stop().await;
}

#[tokio::test]
async fn a_backlog_of_a_full_hook_hides_no_other_hooks_retry() {
    let (hanging, well) = (Receiver::start().await.answering_with(Answer::hang()), Receiver::start().await);
    let slow = a_hook("channel_create").to(&hanging).with("max_in_flight", 3);
    let quick = a_hook("channel_create").to(&well);
    let host = TestHost::builder()
        .without_broker()
        .hook(slow.clone())
        .hook(quick.clone())
        .setting("firing.request_timeout_ms", HANGS_MS)
        .setting("firing.request_timeout_ms_max", HANGS_MS)
        .setting("webhooks.disable_disabler", true)
        .start()
        .await;
    let store = &host.running.store;
    store_backlog(store, ACCOUNT, &slow.id(), 2000).await;
    hanging.expect_requests(3).await;
    store_backlog(store, ACCOUNT, &quick.id(), 50).await;
    well.expect_requests(50).await;
    eventually("the quick hook's to be gone", async || {
        match store.firing_counts(Some(&HookId::from(quick.id()))).await.unwrap().waiting {
            0 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    hanging.expect_requests(3).await;
    // The ones that found no place were not taken and put back: they are due as they were.
    let due = store.due_hooks(now_ms(), None, 10).await.unwrap();
    assert_eq!((due.len(), due[0].hook.as_str()), (1, slow.id().as_str()));
    drop(hanging);
    host.running.stop().await;
}

#[tokio::test]
async fn places_that_become_free_are_taken_by_the_backlog_at_once() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(20)));
    let hook = a_hook("channel_create").to(&receiver).with("max_in_flight", 2);
    // Nothing is found by asking again and again: only what becomes free wakes the scheduler.
    let host =
        TestHost::builder().without_broker().hook(hook.clone()).setting("firing.claim_poll_ms", 60_000).start().await;
    store_backlog(&host.running.store, ACCOUNT, &hook.id(), 40).await;
    // What wakes it first: a firing that finds no place.
    let three = (0..3).map(|_| host.handle(taken_in(&channel_created(ACCOUNT))));
    futures_util::future::join_all(three).await;
    host.expect_no_waiting().await;
    receiver.expect_requests(43).await;
    host.running.stop().await;
}

/// The message as ingress would have it.
fn taken_in(message: &hookbox_tests::samples::Message) -> hookbox::message::Message {
    hookbox::message::Message {
        source: hookbox::message::Source::Http,
        exchange: message.exchange.clone(),
        routing_key: message.routing_key.clone(),
        message_id: message.json()["Msg-ID"].as_str().map(str::to_owned),
        category: message.json()["Event-Category"].as_str().unwrap_or_default().to_owned(),
        name: message.json()["Event-Name"].as_str().unwrap_or_default().to_owned(),
        account: Some(AccountId::from(ACCOUNT)),
        within: None,
        received_ms: now_ms(),
        trace: None,
        body: message.json().to_string(),
    }
}

#[tokio::test]
async fn what_an_account_may_not_have_waiting_is_listed_as_undelivered() {
    let down = Receiver::start().await.answering([500]);
    let own = a_hook("channel_create").to(&down).with("retry_schedule_s", [3600]);
    let other = a_hook("channel_create").of(SIBLING).to(&down).with("retry_schedule_s", [3600]);
    let host = TestHost::builder()
        .hook(own.clone())
        .hook(other.clone())
        .setting("firing.waiting_per_account_max", 5)
        // Counted here alone, so that what is being written as the store is asked makes no difference.
        .setting("firing.waiting_read_ms", 60_000)
        .setting("webhooks.disable_disabler", true)
        .start()
        .await;
    let amqp = host.amqp.as_ref().unwrap();
    let calls = |account: &'static str, count: usize| (0..count).map(|_| channel_created(account)).collect::<Vec<_>>();
    amqp.publish_all(&calls(ACCOUNT, 12)).await;
    amqp.publish_all(&calls(SIBLING, 4)).await;
    down.expect_requests(16).await;
    host.expect_settled().await;
    let store = &host.running.store;
    let hook = HookId::from(own.id());
    let counts = store.firing_counts(Some(&hook)).await.unwrap();
    assert_eq!((counts.waiting, counts.undelivered), (5, 7), "none of the twelve is gone");
    let query = UndeliveredQuery::newest(ACCOUNT.into(), Some(hook.clone()), 100);
    for row in store.undelivered(&query).await.unwrap() {
        assert!(row.reason.contains("firing.waiting_per_account_max") && row.firing.tries == 1, "{}", row.reason);
    }
    let others = store.firing_counts(Some(&HookId::from(other.id()))).await.unwrap();
    assert_eq!((others.waiting, others.undelivered), (4, 0), "another account has a bound of its own");
    // The receiver is back, and what was listed is sent again.
    down.answer_from_now_on([Answer::status(200)]);
    assert_eq!(store.resend(&hook, None, now_ms()).await.unwrap(), 7);
    eventually("what was sent again to be delivered", async || match store.firing_counts(Some(&hook)).await.unwrap() {
        counts if (counts.waiting, counts.undelivered) == (5, 0) => Ok(()),
        counts => Err(counts),
    })
    .await;
    let requests = down.expect_requests(23).await;
    assert_eq!(ids(&requests).len(), 16);
    host.finish().await;
}

#[tokio::test]
async fn what_finds_no_place_is_bounded_too() {
    let hanging = Receiver::start().await.answering_with(Answer::hang());
    let hook = a_hook("channel_create").to(&hanging).with("max_in_flight", 2);
    let host = TestHost::builder()
        .hook(hook.clone())
        .setting("firing.waiting_per_account_max", 5)
        .setting("firing.waiting_read_ms", 60_000)
        .setting("firing.park_after_ms", 10)
        .setting("firing.request_timeout_ms", HANGS_MS)
        .setting("firing.request_timeout_ms_max", HANGS_MS)
        .setting("webhooks.disable_disabler", true)
        .start()
        .await;
    let calls: Vec<_> = (0..20).map(|_| channel_created(ACCOUNT)).collect();
    host.amqp.as_ref().unwrap().publish_all(&calls).await;
    host.expect_settled().await;
    let counts = host.running.store.firing_counts(None).await.unwrap();
    assert_eq!((counts.waiting, counts.undelivered), (7, 13), "five wait, and two are open");
    drop(hanging);
    host.running.stop().await;
}

#[tokio::test]
async fn a_backlog_keeps_to_the_rate() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver).with("rate_limit_per_s", 40);
    let host =
        TestHost::builder().without_broker().hook(hook.clone()).setting("firing.claim_poll_ms", 50).start().await;
    store_backlog(&host.running.store, ACCOUNT, &hook.id(), 120).await;
    host.expect_no_waiting().await;
    let requests = receiver.expect_requests(120).await;
    for from in &requests {
        let within = |request: &&Request| {
            request.arrived >= from.arrived && request.arrived < from.arrived + Duration::from_secs(1)
        };
        let count = requests.iter().filter(within).count();
        // 1¼ times the rate begin within any second; they may arrive a little closer.
        assert!(count <= 55, "{count} within a second");
    }
    host.finish().await;
}

/// A place with a store that two hosts work on, and a hook.
async fn shared_place(hook: &HookDraft, settings: &str) -> (Place, SharedStore) {
    let place = Place::with_settings(&format!(
        "firing.claim_poll_ms = 50\nwebhooks.disable_disabler = true\ntelemetry.log = \"error\"\n{settings}"
    ));
    let documents = json!([{"_id": ACCOUNT, "pvt_type": "account", "name": "acme", "pvt_tree": []}, hook.document()]);
    place.write("kazoo.json", documents.to_string());
    let imported = place.call(&["import", "kazoo", "kazoo.json", "--config", "hookbox.toml"]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
    (place, store)
}

async fn claimed_by(url: &str) -> u64 {
    let text =
        hookbox_tests::test_host::http().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("hookbox_firings_claimed_total "));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn two_hosts_share_a_backlog_and_fire_each_once() {
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(50)));
    let hook = a_hook("channel_create").to(&receiver).with("max_in_flight", 4);
    let (place, store) = shared_place(&hook, "firing.lease_ms = 2000").await;
    let (one, other) = (place.serve().await, place.serve().await);
    store_backlog(&store, ACCOUNT, &hook.id(), 300).await;
    eventually_within(Duration::from_secs(60), "the backlog to be gone", async || {
        match store.firing_counts(None).await.unwrap().waiting {
            0 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    let requests = receiver.requests();
    assert_eq!((requests.len(), ids(&requests).len()), (300, 300));
    let claimed = [claimed_by(&one.url).await, claimed_by(&other.url).await];
    assert_eq!(claimed[0] + claimed[1], 300);
    assert!(claimed.iter().all(|claimed| *claimed > 0), "both had a part: {claimed:?}");
    store.close().await;
}

#[tokio::test]
async fn a_host_that_stood_still_longer_than_its_lease_undoes_nothing() {
    // The first request is answered badly while its host stands still; the second well.
    let late = Answer::status(500).after(Duration::from_secs(15));
    let receiver = Receiver::start().await.answering_in_turn([late, Answer::status(200)]);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", [0, 0]);
    let settings = format!(
        "firing.lease_ms = 2000\nfiring.request_timeout_ms = {HANGS_MS}\nfiring.request_timeout_ms_max = {HANGS_MS}"
    );
    let (place, store) = shared_place(&hook, &settings).await;
    let (sleeper, other) = (place.serve().await, place.serve().await);
    // Held back for a moment, so that it is known whose firing it is.
    other.signal("STOP");
    store_backlog(&store, ACCOUNT, &hook.id(), 1).await;
    receiver.expect_requests(1).await;
    other.signal("CONT");
    // Its receiver is slow, and it lives: nobody takes its firing, long after a lease's time.
    receiver.expect_silence(Duration::from_secs(3)).await;
    sleeper.signal("STOP");
    receiver.expect_requests(2).await;
    eventually("the other's attempt", async || match recorded(&store).await {
        attempts if attempts.len() == 1 => Ok(()),
        attempts => Err(attempts),
    })
    .await;
    assert_eq!(store.firing_counts(None).await.unwrap().waiting, 0);
    sleeper.signal("CONT");
    // It wakes, hears that its request failed, and says so; but it does not have the firing tried again.
    let attempts =
        eventually_within(Duration::from_secs(40), "the sleeper's attempt", async || match recorded(&store).await {
            attempts if attempts.len() == 2 => Ok(attempts),
            attempts => Err(attempts),
        })
        .await;
    let statuses: BTreeSet<_> = attempts.iter().map(|attempt| attempt["resp_status_code"].to_string()).collect();
    assert_eq!(statuses.len(), 2, "{attempts:?}");
    let counts = store.firing_counts(None).await.unwrap();
    assert_eq!((counts.waiting, counts.undelivered), (0, 0));
    receiver.expect_silence(Duration::from_millis(500)).await;
    assert_eq!(ids(&receiver.expect_requests(2).await).len(), 1);
    drop((sleeper, other));
    store.close().await;
}

async fn recorded(store: &SharedStore) -> Vec<Value> {
    let query = hookbox::store::AttemptQuery::newest(ACCOUNT.into(), None, 10);
    store.attempts(&query).await.unwrap().into_iter().map(|attempt| Value::Object(attempt.document)).collect()
}
