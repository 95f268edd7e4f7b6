//! Every plug that can be pulled, pulled under load: nothing is lost. The short form of `make faults`.
//!
//! What each shows is printed as `lost: 0 duplicates: n` (`--nocapture`); the audit of the store is a part of it.
#![allow(clippy::print_stdout, reason = "these sum up")]

use std::time::Duration;

use hookbox::{
    audit::{self, Bounds},
    clock::Clock,
};
use hookbox_tests::{
    broker::{Broker, Vhost},
    database::{Cluster, Database},
    eventually::eventually_within,
    fault_run::{
        Plan, Scene, Summary,
        faults::{self, Link},
        load::Load,
        run,
        tally::Tally,
    },
    test_host::{TestHost, a_hook, now_ms},
};

const MESSAGES: u64 = 300;

async fn vhost() -> Vhost {
    Broker::shared().await.vhost().await
}

fn expect_nothing_lost(summary: &Summary) {
    println!("{summary}");
    summary.expect_nothing_lost();
    assert_eq!(summary.published, MESSAGES);
}

async fn survives(plan: Plan, fault: impl AsyncFnOnce(&mut Scene)) -> Summary {
    let summary = run(plan, vhost().await, fault).await;
    expect_nothing_lost(&summary);
    summary
}

/// Patient, so that a busy machine is not taken for a receiver that hangs.
async fn expect_no_duplicates(plan: Plan) {
    let patient = plan
        .nodes(2)
        .setting("firing.request_timeout_ms", 30_000)
        .setting("firing.request_timeout_ms_max", 30_000)
        .setting("firing.lease_ms", 90_000);
    let summary = survives(patient, async |_| ()).await;
    assert_eq!(summary.duplicates, 0, "{summary}");
}

#[tokio::test]
async fn two_hosts_on_one_store_fire_each_event_once() {
    expect_no_duplicates(Plan::new("two hosts, nothing happens", MESSAGES)).await;
}

#[tokio::test]
async fn two_hosts_on_one_database_fire_each_event_once() {
    let plan = Plan::new("two hosts on PostgreSQL, nothing happens", MESSAGES);
    expect_no_duplicates(plan.on(Database::new().await)).await;
}

#[tokio::test]
async fn a_database_server_that_is_killed_loses_nothing() {
    let mut cluster = Cluster::boot().await;
    let plan = Plan::new("kill -9 of PostgreSQL, 2 times", MESSAGES).on(cluster.database().await);
    survives(plan, async |scene| faults::kill_database_server(scene, &mut cluster, 2).await).await;
}

#[tokio::test]
async fn hosts_on_a_database_that_are_killed_in_turn_lose_nothing() {
    let plan = Plan::new("kill -9 of two hosts on PostgreSQL in turn, 4 times", MESSAGES).nodes(2);
    survives(plan.on(Database::new().await), async |scene| faults::kill_hosts(scene, 4).await).await;
}

#[tokio::test]
async fn a_link_to_the_database_that_is_cut_loses_nothing() {
    let plan = Plan::new("link to PostgreSQL cut, 3 times", MESSAGES).on(Database::new().await);
    survives(plan, async |scene| faults::a_link_is_cut(scene, Link::Store, 3).await).await;
}

#[tokio::test]
async fn a_link_to_the_database_that_is_slow_and_then_dead_loses_nothing() {
    let plan = Plan::new("link to PostgreSQL slow, then stalled", MESSAGES).on(Database::new().await);
    let (delay, span) = (Duration::from_millis(30), Duration::from_secs(1));
    survives(plan, async |scene| faults::a_link_is_slow(scene, Link::Store, delay, span).await).await;
}

#[tokio::test]
async fn a_host_that_is_killed_again_and_again_loses_nothing() {
    let plan = Plan::new("kill -9 of the host, 3 times", MESSAGES);
    survives(plan, async |scene| faults::kill_hosts(scene, 3).await).await;
}

#[tokio::test]
async fn two_hosts_that_are_killed_in_turn_lose_nothing() {
    let plan = Plan::new("kill -9 of two hosts in turn, 4 times", MESSAGES).nodes(2);
    survives(plan, async |scene| faults::kill_hosts(scene, 4).await).await;
}

#[tokio::test]
async fn a_broker_that_is_killed_with_its_host_loses_nothing() {
    let mut broker = Broker::boot().await;
    let plan = Plan::new("kill -9 of host and broker", MESSAGES);
    let vhost = broker.vhost().await;
    let fault = async |scene: &mut Scene| faults::kill_hosts_and_broker(scene, &mut broker, 1, 1).await;
    expect_nothing_lost(&run(plan, vhost, fault).await);
}

#[tokio::test]
async fn a_host_that_stands_still_for_longer_than_its_lease_loses_nothing() {
    let plan = Plan::new("SIGSTOP of one of two hosts, longer than its lease", MESSAGES)
        .nodes(2)
        // So that there are leases: each firing is stored while its request is under way.
        .setting("firing.park_after_ms", 10);
    survives(plan, async |scene| faults::a_host_stands_still(scene, Duration::from_millis(2500)).await).await;
}

#[tokio::test]
async fn a_link_to_the_broker_that_is_cut_loses_nothing() {
    let plan = Plan::new("link to the broker cut, 3 times", MESSAGES);
    survives(plan, async |scene| faults::a_link_is_cut(scene, Link::Broker, 3).await).await;
}

#[tokio::test]
async fn a_link_to_the_broker_that_is_slow_and_then_dead_loses_nothing() {
    let plan = Plan::new("link to the broker slow, then stalled", MESSAGES);
    let (delay, span) = (Duration::from_millis(30), Duration::from_secs(1));
    survives(plan, async |scene| faults::a_link_is_slow(scene, Link::Broker, delay, span).await).await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let plan = Plan::new("disk full", MESSAGES);
    survives(plan, async |scene| faults::the_disk_is_full(scene, Duration::from_millis(500)).await).await;
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_everything() {
    let plan = Plan::new("receiver away", MESSAGES);
    survives(plan, async |scene| faults::the_receiver_is_away(scene, Duration::from_millis(1500)).await).await;
}

/// In this process, because a process's own clock cannot be set: leases that have hours to go are over at once.
#[tokio::test]
async fn a_clock_that_is_set_forward_loses_nothing() {
    let tally = Tally::start(Duration::from_millis(100)).await;
    let clock = Clock::manual(now_ms());
    let hook = a_hook("channel_create").to_uri(&tally.url()).with("retry_schedule_s", [1; 20]);
    let host = TestHost::builder()
        .hook(hook)
        .clock(clock.clone())
        .setting("firing.park_after_ms", 10)
        .setting("firing.claim_poll_ms", 100)
        .setting("webhooks.disable_disabler", true)
        .start()
        .await;
    let going = tokio::spawn({
        let clock = clock.clone();
        async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            loop {
                ticks.tick().await;
                clock.advance(5);
            }
        }
    });
    let load = Load::start(host.vhost.as_ref().unwrap().url(), MESSAGES, 300.0);
    let mut progress = load.progress();
    for share in 1..=2 {
        progress.until(MESSAGES * share / 3).await;
        clock.advance(3_600_000);
    }
    let published = load.published().await;
    eventually_within(Duration::from_secs(60), "every message", async || match tally.missing(&published.taken) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(missing.len()),
    })
    .await;
    eventually_within(Duration::from_secs(60), "nothing to wait", async || {
        match host.running.store.firing_counts(None).await.unwrap().waiting {
            0 => Ok(()),
            waiting => Err(waiting),
        }
    })
    .await;
    let store = &host.running.store;
    let bounds = Bounds::of(&host.settings, store, clock.now_ms()).await.unwrap();
    let audited = audit::audit(store, &bounds).await.unwrap();
    assert_eq!(audited.violations, []);
    let counts = tally.counts();
    println!("clock set forward by hours: published {MESSAGES}, lost: 0 duplicates: {}", counts.duplicates);
    assert_eq!((published.taken.len() as u64, counts.under_two_ids), (MESSAGES, 0));
    going.abort();
    host.finish().await;
}
