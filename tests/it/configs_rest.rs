//! KAZOO's settings over REST: whose count for whom, and that the disabler reads them as they are.

use hookbox_tests::{
    eventually::eventually,
    rest::Called,
    samples::{ACCOUNT, channel_created},
    test_host::{MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

const SYSTEM: &str = "/v2/system_configs/webhooks";

fn of(account: &str) -> String {
    format!("/v2/accounts/{account}/configs/webhooks")
}

async fn set(host: &TestHost, method: &str, path: &str, key: &str, data: Value) -> Called {
    host.call(method, path, key, Some(json!({"data": data}))).await
}

/// The count and the window that count.
fn effective(called: &Called) -> (u64, u64) {
    let effective = &called.data()["_read_only"]["effective"];
    let number = |key: &str| effective[key].as_u64().unwrap();
    (number("attempt_failure_count"), number("attempt_failure_expiry_ms"))
}

#[tokio::test]
async fn the_nearest_setting_counts() {
    let host = TestHost::builder().without_broker().start().await;
    let own = of(ACCOUNT);
    let empty = host.call("GET", &own, TENANT_KEY, None).await.expect(200);
    assert_eq!((effective(&empty), empty.data().get("attempt_failure_count")), ((6, 60_000), None));

    set(&host, "POST", SYSTEM, MASTER_KEY, json!({"attempt_failure_count": 9, "attempt_failure_expiry_ms": 9000}))
        .await
        .expect(200);
    set(&host, "POST", &of(RESELLER), MASTER_KEY, json!({"attempt_failure_count": "8"})).await.expect(200);
    assert_eq!(effective(&host.call("GET", &own, TENANT_KEY, None).await), (8, 9000));
    let set_own = set(&host, "PATCH", &own, TENANT_KEY, json!({"attempt_failure_expiry_ms": 7000})).await.expect(200);
    assert_eq!((effective(&set_own), &set_own.data()["attempt_failure_expiry_ms"]), ((8, 7000), &json!(7000)));
    let both = set(&host, "PATCH", &own, TENANT_KEY, json!({"attempt_failure_count": 3})).await.expect(200);
    assert_eq!(effective(&both), (3, 7000));
    let one = set(&host, "PATCH", &own, TENANT_KEY, json!({"attempt_failure_expiry_ms": null})).await.expect(200);
    assert_eq!(effective(&one), (3, 9000));
    // An answer can be sent back as it came.
    let same = set(&host, "POST", &own, TENANT_KEY, one.data().clone()).await.expect(200);
    assert_eq!(same.data(), one.data());
    let none = host.call("DELETE", &own, TENANT_KEY, None).await.expect(200);
    assert_eq!(effective(&none), (8, 9000));
    let system = host.call("DELETE", SYSTEM, MASTER_KEY, None).await.expect(200);
    assert_eq!(effective(&system), (6, 60_000));
    assert_eq!(effective(&host.call("GET", &of(SIBLING), MASTER_KEY, None).await), (8, 60_000));
    host.finish().await;
}

#[tokio::test]
async fn only_what_is_read_can_be_set_and_only_by_whom_it_concerns() {
    let host = TestHost::builder().without_broker().start().await;
    for (path, data, pointer) in [
        (of(ACCOUNT), json!({"attempt_failure_count": 0}), "/data/attempt_failure_count/minimum"),
        (of(ACCOUNT), json!({"attempt_failure_expiry_ms": 86_400_001}), "/data/attempt_failure_expiry_ms/maximum"),
        (of(ACCOUNT), json!({"attempt_failure_count": {}}), "/data/attempt_failure_count/type"),
        (of(ACCOUNT), json!({"disable_disabler": true}), "/data/disable_disabler/unknown"),
        (SYSTEM.to_owned(), json!({"disable_disabler": 7}), "/data/disable_disabler/type"),
        (SYSTEM.to_owned(), json!({"odd": 7}), "/data/odd/unknown/target"),
    ] {
        let refused = set(&host, "PATCH", &path, MASTER_KEY, data).await.expect(400);
        assert!(refused.envelope.pointer(pointer).is_some(), "{pointer}: {}", refused.envelope);
    }
    for method in ["GET", "DELETE"] {
        host.call(method, SYSTEM, TENANT_KEY, None).await.expect(403);
        host.call(method, &of(SIBLING), TENANT_KEY, None).await.expect(403);
    }
    for method in ["POST", "PATCH"] {
        set(&host, method, SYSTEM, TENANT_KEY, json!({})).await.expect(403);
        set(&host, method, &of(SIBLING), TENANT_KEY, json!({})).await.expect(403);
        host.call(method, &of(ACCOUNT), TENANT_KEY, None).await.expect(400);
    }
    host.call("GET", "/v2/system_configs/crossbar", MASTER_KEY, None).await.expect(404);
    host.finish().await;
}

#[tokio::test]
async fn the_disabler_obeys_within_a_second() {
    let hook = a_hook("channel_create").to_uri("http://127.0.0.1:9/").with("retry_schedule_s", Vec::<u32>::new());
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).start().await;
    set(&host, "POST", SYSTEM, MASTER_KEY, json!({"disable_disabler": true})).await.expect(200);
    set(&host, "POST", &of(ACCOUNT), TENANT_KEY, json!({"attempt_failure_count": 1})).await.expect(200);
    host.post(ACCOUNT, TENANT_KEY, &channel_created(ACCOUNT)).await;
    host.expect_attempts(&id, 1).await;
    assert_eq!(host.disabled_message(&id).await, None);

    host.call("DELETE", SYSTEM, MASTER_KEY, None).await.expect(200);
    eventually("the hook to be disabled", async || {
        host.post(ACCOUNT, TENANT_KEY, &channel_created(ACCOUNT)).await;
        host.disabled_message(&id).await.ok_or(())
    })
    .await;
    host.finish().await;
}
