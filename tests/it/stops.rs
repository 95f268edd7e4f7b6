//! How the real program stops: it says so before it takes no more, ends what is under way, and leaves the rest to be
//! taken up.

use std::{
    fs,
    time::{Duration, Instant},
};

use hookbox_tests::{
    broker::Broker,
    chaos_proxy::ChaosProxy,
    eventually::eventually,
    real_program::{Place, Serving},
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{HookDraft, a_hook, http},
};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

/// A place whose store has this hook.
async fn filled(settings: &str, hook: &HookDraft) -> Place {
    let place = Place::with_settings(settings);
    let account = json!({"_id": ACCOUNT, "pvt_type": "account", "name": "acme", "pvt_tree": []});
    place.write("kazoo.json", json!([account, hook.document()]).to_string());
    let said = place.call(&["import", "kazoo", "kazoo.json", "--config", "hookbox.toml"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    place
}

async fn ready(host: &Serving) -> (u16, Value) {
    let answer = http().get(format!("{}/readyz", host.url)).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn readiness_turns_while_everything_still_works_and_a_second_signal_ends_that_too() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let mut host = filled("shutdown.unready_ms = 600000", &hook).await.serve().await;
    assert_eq!(ready(&host).await.0, 200);
    host.signal("TERM");
    let reasons = eventually("readiness to turn", async || match ready(&host).await {
        (503, readiness) => Ok(readiness["reasons"].clone()),
        other => Err(other),
    })
    .await;
    assert_eq!(reasons, json!(["stopping"]));
    // Those that a load balancer still sends are served.
    assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    receiver.expect_requests(1).await;
    host.signal("TERM");
    assert_eq!(host.ended().await, 130, "{}", host.stderr());
}

#[tokio::test]
async fn after_that_while_the_listener_closes_and_the_program_ends() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let host = filled("shutdown.unready_ms = 300", &hook).await.serve().await;
    let began = Instant::now();
    assert_eq!(host.stop().await, 0);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

/// What catches SIGTERM, by the kernel's own account.
fn hears_sigterm(pid: u32) -> bool {
    const SIGTERM: u32 = 15;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (SIGTERM - 1)) != 0)
}

#[tokio::test]
async fn a_signal_during_the_start_ends_it() {
    let place = filled("", &a_hook("channel_create").to_uri("http://127.0.0.1:9/")).await;
    // The store is held by another, so the start waits, for ten seconds.
    let url = format!("sqlite:{}", place.path("hookbox.db").display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let serve = place.start(&["serve", "--config", "hookbox.toml"], &[]);
    eventually("the program to hear signals", async || if hears_sigterm(serve.pid()) { Ok(()) } else { Err("deaf") })
        .await;
    serve.signal("TERM");
    let said = serve.ended().await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.stdout.contains("ready"), "{said:?}");
    other.close().await.unwrap();
}

/// A broker that is there and answers nothing: its goodbye is not waited for, nor is what it has not been told.
#[tokio::test]
async fn a_broker_that_answers_nothing_does_not_keep_the_program() {
    let vhost = Broker::shared().await.vhost().await;
    let proxy = ChaosProxy::start(vhost.amqp_port).await;
    let receiver = Receiver::start().await;
    let settings = format!("amqp.url = \"{}\"\nshutdown.grace_ms = 60000", vhost.url_through(proxy.port()));
    let host = filled(&settings, &a_hook("channel_create").to(&receiver)).await.serve().await;
    proxy.stall();
    let began = Instant::now();
    assert_eq!(host.stop().await, 0);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_outlasted_the_grace_is_taken_up_by_who_comes_next() {
    let receiver = Receiver::start().await.answering_in_turn([Answer::hang(), Answer::status(200)]);
    // Far longer than the test: whoever comes next finds no lease to wait for.
    let settings = "firing.park_after_ms = 10\nshutdown.grace_ms = 100\nfiring.lease_ms = 3600000";
    let place = filled(settings, &a_hook("channel_create").to(&receiver)).await;
    let host = place.serve().await;
    assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    receiver.expect_requests(1).await;
    assert_eq!(host.stop().await, 0);
    let audited = place.call(&["doctor", "--audit", "--config", "hookbox.toml"]).await;
    assert_eq!(audited.code, 0, "{audited:?}");
    assert!(audited.stdout.contains("ok    waiting: 1 firings"), "{audited:?}");
    let host = place.serve().await;
    let requests = receiver.expect_requests(2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(host.stop().await, 0);
}
