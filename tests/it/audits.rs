//! The list of undelivered is exact, and `hookbox doctor --audit` proves it over a store.

use hookbox::audit::{self, Bounds, Report};
use hookbox_tests::{
    eventually::eventually,
    real_program::Place,
    receiver::Receiver,
    samples::{ACCOUNT, channel_created},
    test_host::{TENANT_KEY, TestHost, a_hook, now_ms},
};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

async fn counts(host: &TestHost) -> (u64, u64) {
    let counts = host.running.store.firing_counts(None).await.unwrap();
    (counts.waiting, counts.undelivered)
}

async fn expect_counts(host: &TestHost, expected: (u64, u64)) {
    eventually("firings to have ended", async || match counts(host).await {
        found if found == expected => Ok(()),
        found => Err(found),
    })
    .await;
}

async fn audited(host: &TestHost) -> Report {
    let store = &host.running.store;
    let bounds = Bounds::of(&host.settings, store, now_ms()).await.unwrap();
    audit::audit(store, &bounds).await.unwrap()
}

#[tokio::test]
async fn whatever_becomes_of_a_hook_its_events_are_delivered_waiting_or_listed() {
    let (well, gone, bad, away) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let (gone, bad, away) = (gone.answering([410]), bad.answering([404]), away.answering([503]));
    // Those of the last three wait for an hour.
    let waits = || a_hook("channel_create").to(&away).with("retry_schedule_s", [3600, 3600]);
    let (kept, deleted, disabled) = (waits(), waits(), waits());
    let host = TestHost::builder()
        .without_broker()
        .hook(a_hook("channel_create").to(&well))
        .hook(a_hook("channel_create").to(&gone))
        .hook(a_hook("channel_create").to(&bad))
        .hook(kept.clone())
        .hook(deleted.clone())
        .hook(disabled.clone())
        .start()
        .await;
    let path = |hook: &str| format!("/v2/accounts/{ACCOUNT}/webhooks/{hook}");
    let body = json!({"data": channel_created(ACCOUNT).to_json()}).to_string();
    let (status, envelope) = host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), TENANT_KEY, body).await;
    assert_eq!(status, 202, "{envelope}");
    expect_counts(&host, (3, 2)).await;
    assert_eq!(audited(&host).await.violations, []);

    // A test that fails is recorded, and nothing follows of it.
    host.call("POST", &format!("{}/test", path(&kept.id())), TENANT_KEY, Some(json!({"data": {}}))).await;
    host.call("DELETE", &path(&deleted.id()), TENANT_KEY, None).await.expect(200);
    let off = json!({"data": {"enabled": false}});
    host.call("PATCH", &path(&disabled.id()), TENANT_KEY, Some(off)).await.expect(200);
    assert_eq!(counts(&host).await, (1, 4), "listed at once, not when they are due");
    let report = audited(&host).await;
    assert_eq!(report.violations, []);
    assert_eq!((report.waiting, report.undelivered, report.delivered), (1, 4, 1), "{report:?}");
    host.finish().await;
}

#[tokio::test]
async fn doctor_audit_tells_what_vanished() {
    let receiver = Receiver::start().await.answering([404]);
    let hook = a_hook("channel_create").to(&receiver);
    let place = Place::with_settings("");
    let account = json!({"_id": ACCOUNT, "pvt_type": "account", "name": "acme", "pvt_tree": []});
    place.write("kazoo.json", json!([account, hook.document()]).to_string());
    assert_eq!(place.call(&["import", "kazoo", "kazoo.json", "--config", "hookbox.toml"]).await.code, 0);
    let host = place.serve().await;
    for _ in 0..2 {
        assert_eq!(host.post(ACCOUNT, &channel_created(ACCOUNT).to_json()).await.0, 202);
    }
    let id = receiver.expect_requests(2).await[0].header("webhook-id").unwrap().to_owned();
    // Also beside a host at work.
    let audit = ["doctor", "--audit", "--config", "hookbox.toml"];
    let said = place.call(&audit).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.stdout,
        "ok    attempts: 0 delivered, 0 dropped by transforms, 2 failed; 0 not judged (too old, from before the list was exact, or tests)\n\
         ok    waiting: 0 firings\n\
         ok    undelivered: 2 firings\n\
         violations: 0\n"
    );
    assert_eq!(host.stop().await, 0);

    let url = format!("sqlite:{}", place.path("hookbox.db").display());
    let mut store = SqliteConnection::connect(&url).await.unwrap();
    let removed = sqlx::query("DELETE FROM firings WHERE id = ?").bind(&id).execute(&mut store).await.unwrap();
    assert_eq!(removed.rows_affected(), 1);
    store.close().await.unwrap();
    let said = place.call(&audit).await;
    assert_eq!(said.code, 1, "{said:?}");
    let lost = format!("WRONG firing: {id} of hook {}, account {ACCOUNT}: its last try (attempt ", hook.id());
    assert!(said.stdout.contains(&lost) && said.stdout.contains("ok    undelivered: 1 firings"), "{}", said.stdout);
    assert!(said.stdout.ends_with("violations: 1\n"), "{}", said.stdout);
}
