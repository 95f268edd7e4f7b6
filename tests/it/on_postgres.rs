//! The whole path with the store in PostgreSQL: on one host, on two that share the work, and past a crash of the server.

use std::time::Duration;

use hookbox::{
    clock::Clock,
    host::{self, HostOptions, RunningHost},
    store::{AttemptQuery, FiringCounts},
};
use hookbox_tests::{
    database::{Cluster, Database},
    eventually::{eventually, eventually_within},
    real_program::Place,
    receiver::Receiver,
    samples::{ACCOUNT, channel_created},
    test_host::{TENANT_KEY, TestHost, a_hook},
};
use serde_json::json;

/// The periodic look does not help: what is heard is heard over the database.
const NEVER_MS: u64 = 3_600_000;

async fn another(host: &TestHost) -> RunningHost {
    let other = host::start(host.settings.clone(), HostOptions::default()).await.unwrap();
    other.ready().await;
    other
}

#[tokio::test]
async fn a_message_is_delivered_and_recorded() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let host = TestHost::builder().on_postgres().hook(hook.clone()).start().await;
    host.publish(channel_created(ACCOUNT)).await;
    let request = receiver.expect_requests(1).await.remove(0);
    let attempts = host.expect_attempts(&hook.id(), 1).await;
    assert_eq!((attempts[0]["result"].as_str(), attempts[0]["try"].as_u64()), (Some("success"), Some(1)));
    assert_eq!(attempts[0]["req_body"].as_str().unwrap().as_bytes(), &request.body[..], "byte for byte");
    host.finish().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_and_then_the_hook_is_disabled() {
    let receiver = Receiver::start().await.answering([500]);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([0, 0]));
    let builder = TestHost::builder().on_postgres().hook(hook.clone());
    let host = builder.setting("webhooks.attempt_failure_count", 3).start().await;
    host.publish(channel_created(ACCOUNT)).await;
    receiver.expect_requests(3).await;
    eventually("the hook to be disabled", async || host.disabled_message(&hook.id()).await.ok_or(())).await;
    host.expect_no_waiting().await;
    let attempts = host.expect_attempts(&hook.id(), 3).await;
    let tries: Vec<_> = attempts.iter().map(|attempt| attempt["try"].as_u64().unwrap()).collect();
    assert_eq!(tries, [3, 2, 1], "the newest first");
    host.finish().await;
}

#[tokio::test]
async fn a_retry_outlives_a_restart() {
    let clock = Clock::manual(1_800_000_000_000);
    let receiver = Receiver::start().await.answering([503, 200]);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([30]));
    let builder = TestHost::builder().on_postgres().clock(clock.clone()).hook(hook.clone());
    let host = builder.setting("firing.retry_jitter_percent", 0).start().await;
    host.publish(channel_created(ACCOUNT)).await;
    host.expect_attempts(&hook.id(), 1).await;
    let host = host.restarted(clock.clone()).await;
    assert_eq!(receiver.requests().len(), 1);
    clock.advance(30_000);
    receiver.expect_requests(2).await;
    host.expect_attempts(&hook.id(), 2).await;
    host.expect_no_waiting().await;
    host.finish().await;
}

#[tokio::test]
async fn two_hosts_share_the_work_and_fire_each_event_once() {
    const MESSAGES: usize = 200;
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    // So few at a time for each that neither can take all.
    let host = TestHost::builder().on_postgres().hook(hook.clone()).setting("amqp.prefetch", 4).start().await;
    let other = another(&host).await;
    for _ in 0..MESSAGES {
        host.publish(channel_created(ACCOUNT)).await;
    }
    let requests = receiver.expect_requests(MESSAGES).await;
    let mut ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id").map(str::to_owned)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), MESSAGES, "each once");
    host.expect_attempts(&hook.id(), MESSAGES).await;
    host.expect_settled().await;
    assert_eq!(receiver.requests().len(), MESSAGES);
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn a_change_reaches_the_other_host_over_the_database() {
    let receiver = Receiver::start().await;
    let builder = TestHost::builder().on_postgres().without_broker();
    let host = builder.setting("store.poll_ms", NEVER_MS).start().await;
    let other = another(&host).await;
    let hook = json!({"data": {"name": "n", "uri": receiver.url("/"), "hook": "sms"}});
    let hooks = format!("/v2/accounts/{ACCOUNT}/webhooks");
    let made = host.call("PUT", &hooks, TENANT_KEY, Some(hook)).await.expect(201);
    let id = made.data()["id"].as_str().unwrap().to_owned();
    eventually_within(Duration::from_secs(5), "the other host to hold the hook", async || {
        other.hooks.get(&ACCOUNT.into(), &id.as_str().into()).map(drop).ok_or("it does not")
    })
    .await;
    assert!(other.stop().await);
    host.finish().await;
}

/// The database server is killed under load and comes back: what the host had not stored it does not settle.
#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed() {
    const MESSAGES: usize = 60;
    let mut cluster = Cluster::boot().await;
    let database = cluster.database().await;
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver);
    let builder = TestHost::builder().on_database(&database).hook(hook.clone());
    let builder = builder.setting("store.acquire_timeout_ms", 1000).setting("amqp.prefetch", 8);
    // What was stored when the server went, and whose attempt was not, is fired again when its lease has ended.
    let host = builder.setting("firing.lease_ms", 2000).start().await;
    for _ in 0..MESSAGES / 2 {
        host.publish(channel_created(ACCOUNT)).await;
    }
    eventually("a first request", async || if receiver.requests().is_empty() { Err("none") } else { Ok(()) }).await;
    cluster.kill().await;
    for _ in 0..MESSAGES / 2 {
        host.publish(channel_created(ACCOUNT)).await;
    }
    cluster.restart().await;
    let mut delivered = Vec::new();
    eventually_within(Duration::from_secs(60), "an attempt of each message", async || {
        delivered = match host.running.store.attempts(&AttemptQuery::newest(ACCOUNT.into(), None, 1000)).await {
            Ok(attempts) => attempts.into_iter().map(|row| row.document["event_id"].to_string()).collect(),
            Err(error) => return Err(error.to_string()),
        };
        delivered.sort();
        delivered.dedup();
        if delivered.len() == MESSAGES { Ok(()) } else { Err(format!("{} of {MESSAGES}", delivered.len())) }
    })
    .await;
    host.expect_settled().await;
    host.expect_no_waiting().await;
    let left = host.running.store.firing_counts(None).await.unwrap();
    assert_eq!(left, FiringCounts::default());
    host.finish().await;
}

#[tokio::test]
async fn the_commands_work_on_it_and_show_no_password() {
    let database = Database::new().await;
    let place = Place::with_settings("");
    let environment = [("HOOKBOX_STORE__URL", database.url())];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = ["--config", "hookbox.toml"];
    let documents = json!([{"_id": ACCOUNT, "pvt_type": "account", "name": "acme", "pvt_tree": []}]);
    place.write("dump.json", documents.to_string());
    let import = [&["import", "kazoo", "dump.json"], config.as_slice()].concat();
    for expected in ["accounts: 1 loaded, 0 unchanged", "accounts: 0 loaded, 1 unchanged"] {
        let said = place.call_with(&import, &environment).await;
        assert!(said.code == 0 && said.stdout.contains(expected), "{said:?}");
    }
    let said = place.call_with(&[&["doctor"], config.as_slice()].concat(), &environment).await;
    assert_eq!(said.code, 0, "{said:?}");
    let shown = format!("postgres://127.0.0.1:{}/{}", database.port, database.name);
    assert!(said.stdout.contains(&shown), "{said:?}");
    assert!(!format!("{said:?}").contains("hookbox:hookbox"), "{said:?}");
    let unset = [("HOOKBOX_STORE__URL", "postgres://u:s3cret@127.0.0.1:1/x")];
    let said = place.call_with(&[&["doctor"], config.as_slice()].concat(), &unset).await;
    assert!(said.code != 0 && format!("{said:?}").contains("cannot be reached"), "{said:?}");
    assert!(!format!("{said:?}").contains("s3cret"), "{said:?}");
}
