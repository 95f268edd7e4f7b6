//! Tenants' modules at work: whose messages they see and whose hooks they reach, on every node that shares the store,
//! after a restart, and when the operator wants a name for itself.

use std::{fs, time::Duration};

use hookbox::{
    clock::Clock,
    host::{self, HostOptions, RunningHost},
    message::ModuleId,
    module::Module,
};
use hookbox_tests::{
    amqp::Published,
    bad_modules::{self, CRM, CRM_NEXT, THIEF, TRAP},
    eventually::{eventually, eventually_within},
    receiver::Receiver,
    samples::{ACCOUNT, bad},
    test_host::{Builder, HookDraft, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

const CHILD: &str = "cccc0000cccc0000cccc0000cccc0000";
const SECOND: Duration = Duration::from_secs(1);

fn a_host() -> Builder {
    TestHost::builder().setting("modules.tenant_bindings", json!(["bad"])).document(json!({
        "_id": CHILD, "pvt_type": "account", "name": "child", "pvt_tree": [RESELLER, ACCOUNT], "pvt_reseller_id": RESELLER,
    }))
}

fn crm_hook(account: &str, receiver: &Receiver, path: &str) -> HookDraft {
    a_hook("crm").of(account).to_uri(&receiver.url(path)).with("include_subaccounts", true)
}

async fn bring(host: &TestHost, account: &str, component: &str) {
    host.upload(account, "crm", "?activate=true", MASTER_KEY, bad_modules::bytes(component)).await.expect(201);
}

fn id(account: &str) -> ModuleId {
    ModuleId::of_tenant(&account.into(), "crm")
}

fn path(account: &str, rest: &str) -> String {
    format!("/v2/accounts/{account}/webhook_modules/crm{rest}")
}

/// Where a module's events arrived, in order.
async fn paths(receiver: &Receiver, count: usize) -> Vec<String> {
    let requests = receiver.expect_requests(count).await;
    let mut paths: Vec<_> = requests.iter().map(|request| request.path()[1..].to_owned()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn a_tenants_module_sees_its_subtree_and_reaches_its_owners_hooks_until_it_is_offered() {
    let receiver = Receiver::start().await;
    let host = a_host()
        .hook(crm_hook(RESELLER, &receiver, "/reseller"))
        .hook(crm_hook(ACCOUNT, &receiver, "/account"))
        .hook(crm_hook(CHILD, &receiver, "/child"))
        .hook(crm_hook(SIBLING, &receiver, "/sibling"))
        .start()
        .await;
    bring(&host, ACCOUNT, CRM).await;

    for account in [ACCOUNT, CHILD, SIBLING, RESELLER] {
        host.publish(bad(account)).await;
    }
    assert_eq!(paths(&receiver, 2).await, ["account", "account"], "its own and its child's, at its own hook");

    let offer = json!({"data": {"offered": true}});
    host.call("PATCH", &path(ACCOUNT, ""), TENANT_KEY, Some(offer)).await.expect(200);
    host.publish(bad(CHILD)).await;
    assert_eq!(paths(&receiver, 4).await, ["account", "account", "account", "child"]);
    host.publish(bad(SIBLING)).await;
    host.expect_settled().await;
    host.finish().await;
    assert_eq!(receiver.requests().len(), 4, "never the reseller's, never the sibling's");
}

#[tokio::test]
async fn events_of_the_operators_names_are_not_a_tenants_to_make() {
    let receiver = Receiver::start().await;
    let host = a_host().without_broker().hook(a_hook("sms").to(&receiver)).start().await;
    host.upload(ACCOUNT, "thief", "?activate=true", TENANT_KEY, bad_modules::bytes(THIEF)).await.expect(201);
    let (_, envelope) = host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    assert_eq!(envelope["data"][0], json!({"settlement": "ack", "events": 0, "firings": 0}));
    let letters = host.call("GET", &format!("/v2/accounts/{ACCOUNT}/dead_letters"), TENANT_KEY, None).await.expect(200);
    let letter = &letters.data()[0];
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("operator's to make")), "{letters:?}");
    assert_eq!(letter["module"], format!("{ACCOUNT}/thief"));
    host.finish().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn two_tenants_may_use_one_name() {
    let receiver = Receiver::start().await;
    let host = a_host()
        .hook(crm_hook(ACCOUNT, &receiver, "/account"))
        .hook(crm_hook(SIBLING, &receiver, "/sibling"))
        .start()
        .await;
    bring(&host, ACCOUNT, CRM).await;
    bring(&host, SIBLING, CRM_NEXT).await;
    host.publish(bad(ACCOUNT)).await;
    host.publish(bad(SIBLING)).await;
    let mut seen: Vec<_> = receiver
        .expect_requests(2)
        .await
        .iter()
        .map(|request| (request.path().to_owned(), request.json()["version"].clone()))
        .collect();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(seen, [("/account".to_owned(), json!("1.0.0")), ("/sibling".to_owned(), json!("2.0.0"))]);
    host.finish().await;
}

#[tokio::test]
async fn hooks_can_be_made_for_events_of_modules_that_the_account_sees() {
    let receiver = Receiver::start().await;
    let host = a_host().without_broker().start().await;
    let hook = json!({"data": {"name": "n", "uri": receiver.url("/"), "hook": "crm"}});
    let make = async |account: &str| {
        host.call("PUT", &format!("/v2/accounts/{account}/webhooks"), MASTER_KEY, Some(hook.clone())).await.status
    };
    let listed = async |key: &str| {
        let list = host.call("GET", "/v2/webhooks", key, None).await.expect(200);
        list.data().as_array().unwrap().iter().any(|kind| kind["id"] == "crm")
    };
    assert_eq!(make(ACCOUNT).await, 400);
    bring(&host, ACCOUNT, CRM).await;
    assert_eq!((make(ACCOUNT).await, make(CHILD).await, make(SIBLING).await), (201, 400, 400));
    assert!(listed(TENANT_KEY).await);
    assert!(!listed("").await, "who is not logged in sees the operator's alone");
    let offer = json!({"data": {"offered": true}});
    host.call("PATCH", &path(ACCOUNT, ""), TENANT_KEY, Some(offer)).await.expect(200);
    assert_eq!((make(CHILD).await, make(SIBLING).await, make(RESELLER).await), (201, 400, 400));
    host.finish().await;
}

#[tokio::test]
async fn a_hook_of_a_tenants_event_can_be_tested() {
    let receiver = Receiver::start().await;
    let hook = crm_hook(ACCOUNT, &receiver, "/");
    let id = hook.id();
    let host = a_host().without_broker().hook(hook).start().await;
    bring(&host, ACCOUNT, CRM).await;
    let body = json!({"data": {"payload": {"a": 1}}});
    host.call("POST", &format!("/v2/accounts/{ACCOUNT}/webhooks/{id}/test"), TENANT_KEY, Some(body)).await.expect(200);
    assert_eq!(receiver.expect_requests(1).await[0].json()["a"], 1);
    host.finish().await;
}

#[tokio::test]
async fn what_is_active_is_bound_and_what_nothing_asks_for_is_released() {
    let receiver = Receiver::start().await;
    let host = a_host().hook(crm_hook(ACCOUNT, &receiver, "/")).start().await;
    let amqp = host.amqp.as_ref().unwrap();
    amqp.declare_exchange("bad", lapin::ExchangeKind::Topic).await;
    assert!(matches!(amqp.publish(&bad(ACCOUNT)).await, Published::Unrouted));
    bring(&host, ACCOUNT, CRM).await;
    // Bound by the time of the answer.
    host.publish(bad(ACCOUNT)).await;
    host.upload(SIBLING, "crm", "?activate=true", MASTER_KEY, bad_modules::bytes(CRM)).await.expect(201);
    host.call("DELETE", &path(ACCOUNT, ""), TENANT_KEY, None).await.expect(200);
    // The sibling asks for it still.
    host.publish(bad(ACCOUNT)).await;
    host.call("DELETE", &path(SIBLING, ""), MASTER_KEY, None).await.expect(200);
    eventually("the binding to go", async || match amqp.publish(&bad(ACCOUNT)).await {
        Published::Unrouted => Ok(()),
        other => Err(other),
    })
    .await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn what_was_bound_before_a_restart_is_released_too() {
    // Longer than the host runs: its end comes first.
    let host = a_host().setting("amqp.unbind_after_ms", 600_000).start().await;
    bring(&host, ACCOUNT, CRM).await;
    host.call("DELETE", &path(ACCOUNT, ""), TENANT_KEY, None).await.expect(200);
    host.publish(bad(ACCOUNT)).await;
    let TestHost { running, amqp, vhost, settings, folder } = host;
    assert!(running.stop().await);
    let amqp_settings = hookbox::settings::AmqpSettings { unbind_after_ms: 100, ..settings.amqp.clone() };
    let settings = hookbox::settings::Settings { amqp: amqp_settings, ..settings };
    let running = host::start(settings.clone(), HostOptions::default()).await.unwrap();
    running.ready().await;
    let host = TestHost { running, amqp, vhost, settings, folder };
    eventually("the binding to go", async || match host.amqp.as_ref().unwrap().publish(&bad(ACCOUNT)).await {
        Published::Unrouted => Ok(()),
        other => Err(other),
    })
    .await;
    host.finish().await;
}

async fn another(host: &TestHost) -> RunningHost {
    let other = host::start(host.settings.clone(), HostOptions::default()).await.unwrap();
    other.ready().await;
    other
}

/// Waits, a second at most, until the other node has this version.
async fn expect_version(other: &RunningHost, account: &str, version: Option<&str>) {
    eventually_within(SECOND, "the other node to obey", async || {
        let held = other.modules.get(&id(account)).map(|module| module.metadata.version.clone());
        if held.as_deref() == version { Ok(()) } else { Err(held) }
    })
    .await;
}

#[tokio::test]
async fn another_node_obeys_an_activation_within_a_second() {
    // By notice alone: its periodic look comes in an hour.
    let host = a_host().setting("modules.watch_ms", 3_600_000).start().await;
    let other = another(&host).await;
    // The notice that it was made and the one that it is active come one after the other.
    bring(&host, ACCOUNT, CRM).await;
    expect_version(&other, ACCOUNT, Some("1.0.0")).await;
    bring(&host, ACCOUNT, CRM_NEXT).await;
    expect_version(&other, ACCOUNT, Some("2.0.0")).await;
    host.call("POST", &path(ACCOUNT, "/rollback"), TENANT_KEY, None).await.expect(200);
    expect_version(&other, ACCOUNT, Some("1.0.0")).await;
    host.call("DELETE", &path(ACCOUNT, ""), TENANT_KEY, None).await.expect(200);
    expect_version(&other, ACCOUNT, None).await;
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn without_a_broker_another_node_obeys_within_a_second_too() {
    let host = a_host().without_broker().start().await;
    let other = another(&host).await;
    bring(&host, ACCOUNT, CRM).await;
    expect_version(&other, ACCOUNT, Some("1.0.0")).await;
    host.running.store.delete_account(&ACCOUNT.into(), 1).await.unwrap();
    expect_version(&other, ACCOUNT, None).await;
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn what_was_active_is_active_after_a_restart() {
    let receiver = Receiver::start().await;
    let host = a_host().hook(crm_hook(ACCOUNT, &receiver, "/")).start().await;
    bring(&host, ACCOUNT, CRM).await;
    bring(&host, ACCOUNT, CRM_NEXT).await;
    let host = host.restarted(Clock::default()).await;
    host.publish(bad(ACCOUNT)).await;
    assert_eq!(receiver.expect_requests(1).await[0].json()["version"], "2.0.0");
    host.call("POST", &path(ACCOUNT, "/rollback"), TENANT_KEY, None).await.expect(200);
    host.publish(bad(ACCOUNT)).await;
    assert_eq!(receiver.expect_requests(2).await[1].json()["version"], "1.0.0");
    host.finish().await;
}

#[tokio::test]
async fn a_name_that_the_operator_takes_sets_the_tenants_module_aside_until_it_is_free() {
    let receiver = Receiver::start().await;
    let host = a_host()
        .without_broker()
        .module("trap", bad_modules::bytes(TRAP))
        .setting("modules.watch_ms", 50)
        .hook(crm_hook(ACCOUNT, &receiver, "/"))
        .start()
        .await;
    bring(&host, ACCOUNT, CRM).await;
    let origin = |module: &Module| module.owner.as_ref().map(ToString::to_string);
    fs::write(host.module_file("crm"), bad_modules::bytes(CRM_NEXT)).unwrap();
    let shown = eventually("the operator's module", async || {
        let shown = host.call("GET", &path(ACCOUNT, ""), TENANT_KEY, None).await.expect(200).data().clone();
        if shown.get("set_aside").is_some() { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert!(shown["set_aside"].as_str().unwrap().contains("operator's"), "{shown:#}");
    assert!(host.running.modules.get(&id(ACCOUNT)).is_none());
    assert_eq!(host.running.modules.get(&"crm".into()).as_deref().and_then(origin), None);
    let refused = json!({"data": {"version": "1.0.0"}});
    host.call("POST", &path(ACCOUNT, "/activate"), TENANT_KEY, Some(refused)).await.expect(409);
    assert_eq!(host.get("/readyz").await.0, 200, "a tenant's module is no business of the operator's");

    fs::remove_file(host.module_file("crm")).unwrap();
    eventually("the tenant's module to be back", async || host.running.modules.get(&id(ACCOUNT)).ok_or("not there"))
        .await;
    let (status, envelope) = host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(1)), "{envelope}");
    assert_eq!(receiver.expect_requests(1).await[0].json()["version"], "1.0.0");
    host.finish().await;
}

#[tokio::test]
async fn the_notice_of_a_module_names_it() {
    let host = a_host().start().await;
    let inbox = host.amqp.as_ref().unwrap().listen("configuration", "*.*.webhook_module.*").await;
    bring(&host, ACCOUNT, CRM).await;
    let heard = inbox.expect(2).await;
    let mut events: Vec<_> = heard.iter().map(|notice| notice.json()["Event-Name"].clone()).collect();
    events.sort_by_key(Value::to_string);
    assert_eq!(events, ["doc_created", "doc_edited"]);
    for notice in &heard {
        let body = notice.json();
        assert_eq!((&body["ID"], &body["Type"]), (&json!(format!("{ACCOUNT}/crm")), &json!("webhook_module")));
        assert!(notice.routing_key.ends_with(&format!(".webhook_module.{ACCOUNT}%2Fcrm")), "{}", notice.routing_key);
    }
    host.finish().await;
}
