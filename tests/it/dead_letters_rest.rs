//! Messages that modules failed on, over REST: seen by the operator and by whose they are, handed in again, dropped.

use hookbox::store::{DeadLetter, DeadLetterQuery};
use hookbox_tests::{
    bad_modules::{self, ECHO, TRAP},
    receiver::Receiver,
    samples::{ACCOUNT, bad},
    test_host::{MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

/// A host with a module that traps on every message and one that takes every message, and so many letters of the first:
/// the first was posted by the account, the others by the operator.
async fn with_letters(receiver: &Receiver, count: usize) -> TestHost {
    let host = TestHost::builder()
        .without_broker()
        .module("trap", bad_modules::bytes(TRAP))
        .module("echo", bad_modules::bytes(ECHO))
        .hook(a_hook("echo").to(receiver))
        .setting("modules.fault_count", 10_000)
        .setting("dead_letters.bulk_rows_max", 2)
        .start()
        .await;
    for nth in 0..count {
        let key = if nth == 0 { TENANT_KEY } else { MASTER_KEY };
        let (status, envelope) = host.post(ACCOUNT, key, &bad(ACCOUNT)).await;
        assert_eq!(status, 202, "{envelope}");
    }
    receiver.expect_requests(count).await;
    host
}

async fn letters(host: &TestHost) -> Vec<DeadLetter> {
    host.running.store.dead_letters(&DeadLetterQuery::newest(100)).await.unwrap()
}

/// A letter as the newest one, of another module.
async fn letter_of(host: &TestHost, module: Option<&str>) -> i64 {
    let letter = letters(host).await.remove(0);
    let letter = DeadLetter { module: module.map(Into::into), owner: None, ..letter };
    host.running.store.put_dead_letter(&letter).await.unwrap()
}

fn own(rest: &str) -> String {
    format!("/v2/accounts/{ACCOUNT}/dead_letters{rest}")
}

fn ids(data: &Value) -> Vec<i64> {
    data.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn the_operator_sees_all_and_an_account_its_own() {
    let receiver = Receiver::start().await;
    let host = with_letters(&receiver, 3).await;
    let stored = letters(&host).await;
    let all = host.call("GET", "/v2/dead_letters", MASTER_KEY, None).await.expect(200);
    assert_eq!(ids(all.data()), stored.iter().map(|letter| letter.id).collect::<Vec<_>>());
    let first = host.call("GET", "/v2/dead_letters?page_size=2", MASTER_KEY, None).await.expect(200);
    let next = first.envelope["next_start_key"].as_str().unwrap();
    let second = host.call("GET", &format!("/v2/dead_letters?start_key={next}"), MASTER_KEY, None).await.expect(200);
    assert_eq!(ids(second.data()), [stored[2].id]);
    for (module, count) in [("trap", 3), ("echo", 0)] {
        let of_module = host.call("GET", &format!("/v2/dead_letters?module={module}"), MASTER_KEY, None).await;
        assert_eq!(of_module.expect(200).data().as_array().unwrap().len(), count);
    }

    let owned = host.call("GET", &own(""), TENANT_KEY, None).await.expect(200);
    let id = stored[2].id;
    assert_eq!(ids(owned.data()), [id], "what the operator posted is the operator's");
    let letter = &owned.data()[0];
    assert_eq!((&letter["module"], &letter["account_id"]), (&json!("trap"), &json!(ACCOUNT)));
    assert_eq!(letter["message"]["body"]["Account-ID"], ACCOUNT);
    assert_eq!((&letter["message"]["source"], &letter["message"]["exchange"]), (&json!("http"), &json!("bad")));
    let one = host.call("GET", &own(&format!("/{id}")), TENANT_KEY, None).await.expect(200);
    assert_eq!(one.data(), letter);
    assert_eq!(host.call("GET", &format!("/v2/dead_letters/{id}"), MASTER_KEY, None).await.expect(200).data(), letter);

    // Nobody else's.
    host.call("GET", "/v2/dead_letters", TENANT_KEY, None).await.expect(403);
    for (method, rest) in [("GET", ""), ("DELETE", ""), ("POST", "/replay")] {
        host.call(method, &format!("/v2/dead_letters/{id}{rest}"), TENANT_KEY, None).await.expect(403);
        host.call(method, &own(&format!("/{}{rest}", stored[0].id)), TENANT_KEY, None).await.expect(404);
        let siblings = format!("/v2/accounts/{SIBLING}/dead_letters/{id}{rest}");
        host.call(method, &siblings, MASTER_KEY, None).await.expect(404);
        host.call(method, &siblings, TENANT_KEY, None).await.expect(403);
        for made_up in ["0", "x", "-1", "99999999999999999999"] {
            host.call(method, &format!("/v2/dead_letters/{made_up}{rest}"), MASTER_KEY, None).await.expect(404);
        }
    }
    host.call("GET", "/v2/dead_letters?start_key=odd", MASTER_KEY, None).await.expect(400);
    assert_eq!(letters(&host).await.len(), 3);
    host.finish().await;
}

#[tokio::test]
async fn a_replay_hands_the_message_to_that_module_alone() {
    let receiver = Receiver::start().await;
    let host = with_letters(&receiver, 1).await;
    let trapped = letters(&host).await[0].id;

    let failed = host.call("POST", &own(&format!("/{trapped}/replay")), TENANT_KEY, None).await.expect(422);
    assert!(failed.data()["message"].as_str().unwrap().contains("this module always traps"), "{}", failed.envelope);
    assert_eq!(letters(&host).await.len(), 1, "it stays, and there is no second one");
    assert_eq!(receiver.requests().len(), 1, "the good module is not handed it again");

    let mended = letter_of(&host, Some("echo")).await;
    let worked = host.call("POST", &format!("/v2/dead_letters/{mended}/replay"), MASTER_KEY, None).await.expect(200);
    assert_eq!(worked.data(), &json!({"events": 1, "firings": 1}));
    receiver.expect_requests(2).await;
    host.call("POST", &format!("/v2/dead_letters/{mended}/replay"), MASTER_KEY, None).await.expect(404);

    for (module, words) in [
        (Some("gone"), "module gone is not active"),
        (Some("sms"), "module sms does not ask for such messages any more"),
    ] {
        let id = letter_of(&host, module).await;
        let refused = host.call("POST", &format!("/v2/dead_letters/{id}/replay"), MASTER_KEY, None).await.expect(409);
        assert!(refused.data()["message"].as_str().unwrap().contains(words), "{}", refused.envelope);
    }
    // One that never reached a module goes to all that want it; when one fails, nothing is fired and it stays.
    let of_broker = letter_of(&host, None).await;
    host.call("POST", &format!("/v2/dead_letters/{of_broker}/replay"), MASTER_KEY, None).await.expect(422);
    host.running.modules.unload_file(&host.module_file("trap"));
    let worked = host.call("POST", &format!("/v2/dead_letters/{of_broker}/replay"), MASTER_KEY, None).await.expect(200);
    assert_eq!(worked.data(), &json!({"events": 1, "firings": 1}));
    receiver.expect_requests(3).await;
    host.finish().await;
}

#[tokio::test]
async fn a_module_in_quarantine_is_handed_nothing_again() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .without_broker()
        .module("trap", bad_modules::bytes(TRAP))
        .setting("modules.fault_count", 1)
        .start()
        .await;
    host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    let id = letters(&host).await[0].id;
    let refused = host.call("POST", &own(&format!("/{id}/replay")), TENANT_KEY, None).await.expect(409);
    assert!(refused.data()["message"].as_str().unwrap().contains("quarantine"), "{}", refused.envelope);
    let deleted = host.call("DELETE", &own(&format!("/{id}")), TENANT_KEY, None).await.expect(200);
    assert_eq!(deleted.data()["id"], id.to_string());
    host.call("DELETE", &own(&format!("/{id}")), TENANT_KEY, None).await.expect(404);
    assert!(letters(&host).await.is_empty() && receiver.requests().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn many_are_replayed_or_deleted_a_few_at_a_time() {
    let receiver = Receiver::start().await;
    let host = with_letters(&receiver, 3).await;
    for _ in 0..3 {
        letter_of(&host, Some("echo")).await;
    }
    let all = host.call("POST", "/v2/dead_letters/replay?module=echo", MASTER_KEY, None).await.expect(200);
    assert_eq!(all.data(), &json!({"replayed": 2, "failed": [], "left": 1}));
    let all = host.call("POST", "/v2/dead_letters/replay?module=echo", MASTER_KEY, None).await.expect(200);
    assert_eq!(all.data(), &json!({"replayed": 1, "failed": [], "left": 0}));
    assert!(all.envelope["next_start_key"].is_null());
    receiver.expect_requests(6).await;

    // Those that fail again stay; the key leads past them.
    let path = "/v2/dead_letters/replay?module=trap";
    let first = host.call("POST", path, MASTER_KEY, None).await.expect(200);
    let failed = first.data()["failed"].as_array().unwrap();
    assert_eq!((failed.len(), &first.data()["left"]), (2, &json!(3)));
    assert!(failed[0]["reason"].as_str().unwrap().contains("module trap"), "{}", first.envelope);
    let next = first.envelope["next_start_key"].as_str().unwrap();
    let second = host.call("POST", &format!("{path}&start_key={next}"), MASTER_KEY, None).await.expect(200);
    assert_eq!(second.data()["failed"].as_array().unwrap().len(), 1);

    for (method, path) in [("POST", "/v2/dead_letters/replay"), ("DELETE", "/v2/dead_letters")] {
        let refused = host.call(method, path, MASTER_KEY, None).await.expect(400);
        assert!(refused.data().pointer("/module/required").is_some(), "{}", refused.envelope);
        host.call(method, &format!("{path}?module=trap"), TENANT_KEY, None).await.expect(403);
    }
    let deleted = host.call("DELETE", "/v2/dead_letters?module=trap", MASTER_KEY, None).await.expect(200);
    assert_eq!(deleted.data(), &json!({"deleted": 2, "left": 1}));
    let deleted = host.call("DELETE", "/v2/dead_letters?module=trap", MASTER_KEY, None).await.expect(200);
    assert_eq!(deleted.data(), &json!({"deleted": 1, "left": 0}));
    host.finish().await;
}
