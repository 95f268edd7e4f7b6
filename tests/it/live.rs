//! What happens at this moment: told to those who may hear it, as it happens, within bounds.

use std::time::Duration;

use hookbox_tests::{
    bad_modules,
    receiver::Receiver,
    rest::send,
    samples::{ACCOUNT, bad, sms_received},
    test_host::{MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

/// How long a listener waits for what is to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A call that listens.
struct Listener {
    answer: reqwest::Response,
    rest: String,
}

impl Listener {
    async fn of(host: &TestHost, account: &str, key: &str) -> Self {
        let request = host.request("GET", &format!("/v2/accounts/{account}/live")).header("x-auth-token", key);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut listener = Self { answer, rest: String::new() };
        let (name, _) = listener.next().await.unwrap();
        assert_eq!(name, "listening");
        listener
    }

    /// The next event's name and data; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.rest.clone().split_once("\n\n") {
                self.rest = rest.to_owned();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                // Comments keep the connection alive.
                let Some(name) = field("event: ").or_else(|| field("event:")) else { continue };
                let data = field("data: ").or_else(|| field("data:")).unwrap();
                return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            let piece =
                tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("an event in time").unwrap()?;
            self.rest.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    async fn expect(&mut self, name: &str) -> Value {
        let (heard, data) = self.next().await.unwrap_or_else(|| panic!("it ended before {name}"));
        assert_eq!(heard, name, "{data}");
        data
    }
}

#[tokio::test]
async fn an_attempt_is_told_to_its_account_and_those_above_without_what_was_sent() {
    let receiver = Receiver::start().await;
    let hook = a_hook("sms").to(&receiver).with("custom_data", json!({"note": "not for listeners"}));
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).start().await;
    let mut own = Listener::of(&host, ACCOUNT, TENANT_KEY).await;
    let mut above = Listener::of(&host, RESELLER, MASTER_KEY).await;
    let mut all = Listener::of(&host, MASTER, MASTER_KEY).await;
    let mut beside = Listener::of(&host, SIBLING, MASTER_KEY).await;
    host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    for listener in [&mut own, &mut above, &mut all] {
        let told = listener.expect("attempt").await;
        assert_eq!(
            (&told["hook_id"], &told["result"], &told["resp_status_code"]),
            (&json!(id), &json!("success"), &json!("200"))
        );
        assert!(!told.to_string().contains("not for listeners"), "{told}");
        let attempt = format!("/v2/accounts/{ACCOUNT}/webhooks/attempts/{}", told["id"].as_str().unwrap());
        host.call("GET", &attempt, TENANT_KEY, None).await.expect(200);
    }
    // The end of the host is the next that the one beside hears.
    assert!(host.running.stop().await, "listeners do not hold up the host");
    beside.expect("again").await;
    assert_eq!(beside.next().await, None);
}

#[tokio::test]
async fn a_hook_that_is_switched_off_and_a_module_in_quarantine_are_told() {
    let receiver = Receiver::start().await.answering([410]);
    let hook = a_hook("sms").to(&receiver);
    let id = hook.id();
    let host = TestHost::builder()
        .without_broker()
        .hook(hook)
        .module("trap", bad_modules::bytes(bad_modules::TRAP))
        .setting("modules.fault_count", 1)
        .start()
        .await;
    let mut own = Listener::of(&host, ACCOUNT, TENANT_KEY).await;
    let mut all = Listener::of(&host, MASTER, MASTER_KEY).await;
    host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    let quarantined = all.expect("module_quarantined").await;
    assert_eq!(quarantined["module"], "trap");
    assert!(quarantined["reason"].as_str().unwrap().contains("trapped"), "{quarantined}");
    host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    // The operator's module is no tenant's business: the first that the tenant hears of is its hook.
    own.expect("attempt").await;
    let disabled = own.expect("hook_disabled").await;
    assert_eq!((&disabled["hook_id"], &disabled["account_id"]), (&json!(id), &json!(ACCOUNT)));
    assert!(disabled["reason"].as_str().unwrap().contains("410"), "{disabled}");
    drop((own, all));
    host.finish().await;
}

#[tokio::test]
async fn listeners_are_as_many_as_may_be_and_each_comes_again_after_a_while() {
    let host = TestHost::builder()
        .without_broker()
        .setting("api.live_clients_max", 1)
        .setting("api.live_s_max", 1)
        .start()
        .await;
    let mut only = Listener::of(&host, ACCOUNT, TENANT_KEY).await;
    let path = format!("/v2/accounts/{ACCOUNT}/live");
    let refused = host.call("GET", &path, TENANT_KEY, None).await.expect(503);
    assert!(refused.data()["message"].as_str().unwrap().contains("api.live_clients_max"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("10"));
    only.expect("again").await;
    assert_eq!(only.next().await, None);
    // Its place is free again.
    Listener::of(&host, ACCOUNT, TENANT_KEY).await;
    host.finish().await;
}

#[tokio::test]
async fn the_callers_of_one_account_leave_places_to_others() {
    let host = TestHost::builder().without_broker().setting("api.live_clients_per_account_max", 1).start().await;
    let own = Listener::of(&host, ACCOUNT, TENANT_KEY).await;
    let path = format!("/v2/accounts/{ACCOUNT}/live");
    let refused = host.call("GET", &path, TENANT_KEY, None).await.expect(503);
    assert!(refused.data()["message"].as_str().unwrap().contains("api.live_clients_per_account_max"), "{refused:?}");
    // Whose key it is counts, not what is looked at.
    let above = Listener::of(&host, ACCOUNT, MASTER_KEY).await;
    drop((own, above));
    host.finish().await;
}

#[tokio::test]
async fn nobody_listens_without_a_key_that_opens_the_account() {
    let host = TestHost::builder().without_broker().start().await;
    let live = |account: &str, key: &str| {
        let request = host.request("GET", &format!("/v2/accounts/{account}/live"));
        send(if key.is_empty() { request } else { request.header("x-auth-token", key.to_owned()) })
    };
    live(ACCOUNT, "").await.expect(401);
    live(ACCOUNT, "no such key").await.expect(401);
    live(SIBLING, TENANT_KEY).await.expect(403);
    live(RESELLER, TENANT_KEY).await.expect(403);
    host.finish().await;
}
