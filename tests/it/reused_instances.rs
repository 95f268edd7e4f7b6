//! Instances that serve more than one call, where the owner of a module wants that: for one account, one version, and only
//! as long as all goes well.

use hookbox_tests::{
    bad_modules::{self, COUNTER, COUNTER_NEXT},
    receiver::Receiver,
    samples::{ACCOUNT, bad},
    test_host::{Builder, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

fn a_host(receiver: &Receiver) -> Builder {
    let hook = |account: &str| {
        a_hook("counter").of(account).to_uri(&receiver.url(&format!("/{account}"))).with("retry_schedule_s", json!([]))
    };
    TestHost::builder()
        .without_broker()
        .setting("modules.tenant_bindings", json!(["bad"]))
        .setting("modules.log_bytes_max", 150)
        .hook(hook(ACCOUNT))
        .hook(hook(SIBLING))
        .hook(hook(RESELLER))
}

fn path(account: &str) -> String {
    format!("/v2/accounts/{account}/webhook_modules/counter")
}

async fn bring(host: &TestHost, account: &str, component: &str, limits: Value) {
    host.upload(account, "counter", "?activate=true", MASTER_KEY, bad_modules::bytes(component)).await.expect(201);
    change(host, account, json!({"limits": limits})).await;
}

async fn change(host: &TestHost, account: &str, changes: Value) {
    host.call("PATCH", &path(account), MASTER_KEY, Some(json!({"data": changes}))).await.expect(200);
}

/// Posts a message of the account, and gives how many calls the instance had served by then.
async fn calls(host: &TestHost, receiver: &Receiver, account: &str) -> u64 {
    let before = receiver.requests().len();
    let (status, envelope) = host.post(account, MASTER_KEY, &bad(account)).await;
    assert_eq!(status, 202, "{envelope}");
    let requests = receiver.expect_requests(before + 1).await;
    let payload: Value = serde_json::from_slice(&requests[before].body).unwrap();
    assert_eq!(payload["now_ms"], payload["received_ms"], "the clock is that of the call, not of the instance");
    payload["calls"].as_u64().unwrap()
}

#[tokio::test]
async fn an_instance_serves_as_many_calls_as_its_owner_says_and_one_when_nothing_is_said() {
    let receiver = Receiver::start().await;
    let host = a_host(&receiver).start().await;
    bring(&host, ACCOUNT, COUNTER, json!({})).await;
    for _ in 0..3 {
        assert_eq!(calls(&host, &receiver, ACCOUNT).await, 1, "fresh");
    }
    change(&host, ACCOUNT, json!({"limits": {"reuse": 3}})).await;
    let mut counts = Vec::new();
    for _ in 0..7 {
        counts.push(calls(&host, &receiver, ACCOUNT).await);
    }
    assert_eq!(counts, [1, 2, 3, 1, 2, 3, 1]);
    host.finish().await;
}

#[tokio::test]
async fn a_trap_another_version_and_other_settings_throw_it_away() {
    let receiver = Receiver::start().await;
    let host = a_host(&receiver).start().await;
    bring(&host, ACCOUNT, COUNTER, json!({"reuse": 100})).await;
    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 1);
    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 2);

    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &bad(ACCOUNT).with("Trap", 1)).await;
    assert_eq!(status, 202, "{envelope}");
    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 1, "it trapped");

    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 2);
    change(&host, ACCOUNT, json!({"settings": {"region": "north"}})).await;
    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 1, "it may have kept the settings");

    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 2);
    let next = bad_modules::bytes(COUNTER_NEXT);
    host.upload(ACCOUNT, "counter", "?activate=true", MASTER_KEY, next).await.expect(201);
    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 1, "another version");
    host.call("POST", &format!("{}/rollback", path(ACCOUNT)), TENANT_KEY, Some(json!({"data": {}}))).await.expect(200);
    assert_eq!(calls(&host, &receiver, ACCOUNT).await, 1, "it went with its version");
    host.finish().await;
}

#[tokio::test]
async fn an_instance_is_never_shared_between_accounts() {
    let receiver = Receiver::start().await;
    let host = a_host(&receiver).start().await;
    bring(&host, RESELLER, COUNTER, json!({"reuse": 100})).await;
    change(&host, RESELLER, json!({"offered": true})).await;
    for (account, count) in [(ACCOUNT, 1), (RESELLER, 1), (ACCOUNT, 2), (ACCOUNT, 3), (RESELLER, 2), (ACCOUNT, 4)] {
        assert_eq!(calls(&host, &receiver, account).await, count, "{account}");
    }
    host.finish().await;
}

#[tokio::test]
async fn what_waits_to_be_used_again_is_bounded() {
    let receiver = Receiver::start().await;
    let host = a_host(&receiver).setting("modules.idle_instances_max", 1).start().await;
    bring(&host, RESELLER, COUNTER, json!({"reuse": 100})).await;
    change(&host, RESELLER, json!({"offered": true})).await;
    for (account, count) in [(ACCOUNT, 1), (ACCOUNT, 2), (RESELLER, 1), (ACCOUNT, 1), (ACCOUNT, 2)] {
        assert_eq!(calls(&host, &receiver, account).await, count, "{account}");
    }
    host.finish().await;
}

#[tokio::test]
async fn one_that_has_waited_for_too_long_is_thrown_away() {
    let receiver = Receiver::start().await;
    let host = a_host(&receiver).setting("modules.idle_instance_ms", 10).start().await;
    bring(&host, ACCOUNT, COUNTER, json!({"reuse": 1000})).await;
    let mut last = 0;
    // Each call but the first comes after a pause that is longer than an instance may wait.
    for _ in 0..100 {
        let count = calls(&host, &receiver, ACCOUNT).await;
        if count <= last {
            host.finish().await;
            return;
        }
        last = count;
        tokio::task::yield_now().await;
    }
    panic!("one instance has served {last} calls");
}

#[tokio::test]
async fn the_operators_modules_of_a_folder_are_used_again_by_a_setting() {
    let receiver = Receiver::start().await;
    let host = a_host(&receiver)
        .module("counter", bad_modules::bytes(COUNTER))
        .setting("modules.dir_reuse", 100)
        .start()
        .await;
    for (account, count) in [(ACCOUNT, 1), (ACCOUNT, 2), (SIBLING, 1), (ACCOUNT, 3)] {
        assert_eq!(calls(&host, &receiver, account).await, count, "{account}");
    }
    host.finish().await;
}
