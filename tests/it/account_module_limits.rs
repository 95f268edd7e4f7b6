//! Limits that an account above sets for an account's modules: who may, what they bind, whom they leave alone, and that
//! every node obeys without a restart.

use std::time::Duration;

use hookbox::{
    clock::Clock,
    host::{self, HostOptions, RunningHost},
    module::Limit,
};
use hookbox_tests::{
    bad_modules::{self, BUSY, CRM, CRM_NEXT, ECHO},
    eventually::eventually_within,
    receiver::Receiver,
    rest::Called,
    samples::{ACCOUNT, bad, channel_created},
    test_host::{Builder, MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
    transforms,
};
use serde_json::{Value, json};

/// Less than the calls of these tests burn, and more than may be too little for any.
const FUEL: u64 = 150_000;
/// Watching every 100 ms, so the next node has heard of a change by then.
const SECOND: Duration = Duration::from_secs(1);

fn a_host() -> Builder {
    TestHost::builder()
        .without_broker()
        .setting("modules.tenant_bindings", json!(["bad"]))
        .setting("modules.watch_ms", 100)
}

fn of(account: &str) -> String {
    format!("/v2/accounts/{account}/configs/webhook_modules")
}

async fn set(host: &TestHost, method: &str, account: &str, key: &str, data: Value) -> Called {
    host.call(method, &of(account), key, Some(json!({"data": data}))).await
}

/// A key of the reseller's own: it is above both tenants, and not the operator.
async fn resellers_key(host: &TestHost) -> String {
    let path = format!("/v2/accounts/{RESELLER}/keys");
    let made = host.call("PUT", &path, MASTER_KEY, Some(json!({"data": {"name": "k"}}))).await.expect(201);
    made.data()["api_key"].as_str().unwrap().to_owned()
}

async fn bring(host: &TestHost, account: &str, name: &str, component: &str) -> Called {
    host.upload(account, name, "?activate=true", MASTER_KEY, bad_modules::bytes(component)).await
}

/// Posts a message that is work for the busy module, and gives how many events came of it.
async fn worked(host: &TestHost, account: &str) -> u64 {
    let (status, envelope) = host.post(account, MASTER_KEY, &bad(account).with("Work", 200)).await;
    assert_eq!(status, 202, "{envelope}");
    envelope["data"][0]["events"].as_u64().unwrap()
}

/// What the last dead letter of an account says.
async fn last_reason(host: &TestHost, account: &str) -> String {
    let letters = host.call("GET", &format!("/v2/accounts/{account}/dead_letters"), MASTER_KEY, None).await.expect(200);
    letters.data()[0]["reason"].as_str().unwrap_or_default().to_owned()
}

fn message(called: &Called) -> &str {
    called.data()["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_call_over_the_accounts_fuel_is_charged_and_a_siblings_is_not() {
    let host = a_host().start().await;
    let reseller = resellers_key(&host).await;
    for account in [ACCOUNT, SIBLING] {
        bring(&host, account, "busy", BUSY).await.expect(201);
    }
    assert_eq!((worked(&host, ACCOUNT).await, worked(&host, SIBLING).await), (1, 1));

    set(&host, "PATCH", ACCOUNT, &reseller, json!({"fuel_max": FUEL})).await.expect(200);
    assert_eq!((worked(&host, ACCOUNT).await, worked(&host, SIBLING).await), (0, 1));
    let words = format!(
        "it burnt its {FUEL} units of fuel; raise fuel_max of account {ACCOUNT}, which an account above it can change"
    );
    let reason = last_reason(&host, ACCOUNT).await;
    assert!(reason.contains(&words), "{reason}");
    assert_eq!(last_reason(&host, SIBLING).await, "");
    // A dry run is under the same.
    let path = format!("/v2/accounts/{ACCOUNT}/webhook_modules/busy/test");
    let body = json!({"data": {"message": bad(ACCOUNT).with("Work", 200).to_json()}});
    let tried = host.call("POST", &path, TENANT_KEY, Some(body)).await.expect(200);
    assert_eq!(tried.data()["outcome"], "failed", "{tried:?}");

    // What is set for the reseller is a ceiling for both, and goes without a restart as it came.
    set(&host, "DELETE", ACCOUNT, &reseller, json!({})).await.expect(200);
    assert_eq!(worked(&host, ACCOUNT).await, 1);
    set(&host, "POST", RESELLER, MASTER_KEY, json!({"fuel_max": FUEL})).await.expect(200);
    assert_eq!((worked(&host, ACCOUNT).await, worked(&host, SIBLING).await), (0, 0));
    let reason = last_reason(&host, SIBLING).await;
    assert!(reason.contains(&format!("fuel_max of account {RESELLER}")), "{reason}");
    set(&host, "PATCH", RESELLER, MASTER_KEY, json!({"fuel_max": null})).await.expect(200);
    assert_eq!((worked(&host, ACCOUNT).await, worked(&host, SIBLING).await), (1, 1));
    host.finish().await;
}

#[tokio::test]
async fn a_transform_is_bound_by_its_owners_account() {
    let receiver = Receiver::start().await;
    let told = json!({"module": transforms::NAME, "settings": {"do": "loop"}});
    let hook = a_hook("channel_create").to(&receiver).with("transform", told).with("retry_schedule_s", json!([]));
    let id = hook.id();
    let host = a_host().hook(hook).start().await;
    transforms::register(&host, ACCOUNT).await;
    set(&host, "PATCH", ACCOUNT, MASTER_KEY, json!({"fuel_max": FUEL})).await.expect(200);
    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    let attempt = Value::Object(host.expect_attempts(&id, 1).await.remove(0)).to_string();
    assert!(attempt.contains(&format!("raise fuel_max of account {ACCOUNT}")), "{attempt}");
    host.finish().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn uploads_are_bound_by_the_account_and_say_by_what() {
    let host = a_host().start().await;
    let reseller = resellers_key(&host).await;
    let bytes = bad_modules::bytes(CRM).len() as u64;
    for (limits, status, limit) in [
        (json!({"upload_bytes_per_account_max": bytes - 1}), 409, "upload_bytes_per_account_max"),
        (json!({"component_bytes_max": bytes - 1}), 413, "component_bytes_max"),
        (json!({"modules_per_account_max": 0}), 409, "modules_per_account_max"),
    ] {
        set(&host, "POST", ACCOUNT, &reseller, limits).await.expect(200);
        let refused = bring(&host, ACCOUNT, "crm", CRM).await.expect(status);
        let words = format!("({limit} of account {ACCOUNT}, which an account above it can change)");
        assert!(refused.envelope.to_string().contains(&words), "{words}: {:#}", refused.envelope);
    }
    bring(&host, SIBLING, "crm", CRM).await.expect(201);

    set(&host, "POST", ACCOUNT, &reseller, json!({"versions_per_module_max": 1})).await.expect(200);
    bring(&host, ACCOUNT, "crm", CRM).await.expect(201);
    let refused = bring(&host, ACCOUNT, "crm", CRM_NEXT).await.expect(409);
    assert!(message(&refused).contains(&format!("may have 1 versions (versions_per_module_max of account {ACCOUNT}")));
    bring(&host, ACCOUNT, "echo", ECHO).await.expect(201);

    // What is there when a limit comes stays, and its owner's own limits are held to it from then on.
    set(&host, "POST", ACCOUNT, &reseller, json!({"modules_per_account_max": 0, "time_limit_ms": 9})).await.expect(200);
    let crm = format!("/v2/accounts/{ACCOUNT}/webhook_modules/crm");
    host.call("GET", &crm, TENANT_KEY, None).await.expect(200);
    let own = |ms: u64| json!({"data": {"limits": {"time_limit_ms": ms}}});
    let refused = host.call("PATCH", &crm, TENANT_KEY, Some(own(10))).await.expect(400);
    let said = refused.data().pointer("/limits.time_limit_ms/maximum").unwrap();
    let words = format!("10 is over time_limit_ms of account {ACCOUNT}, which an account above it can change");
    assert_eq!((&said["message"], &said["target"]), (&json!(words), &json!(9)));
    host.call("PATCH", &crm, TENANT_KEY, Some(own(9))).await.expect(200);
    host.finish().await;
}

#[tokio::test]
async fn only_an_account_above_sets_limits_and_only_below_what_binds_it() {
    let host = a_host().start().await;
    let reseller = resellers_key(&host).await;
    for method in ["POST", "PATCH", "DELETE"] {
        let own = set(&host, method, ACCOUNT, TENANT_KEY, json!({"fuel_max": FUEL})).await.expect(403);
        assert_eq!(
            message(&own),
            format!("limits of account {ACCOUNT} bind it: only an account above it can change them")
        );
        set(&host, method, RESELLER, &reseller, json!({})).await.expect(403);
        let operators = set(&host, method, MASTER, MASTER_KEY, json!({})).await.expect(403);
        assert!(message(&operators).contains("settings of [modules]"), "{operators:?}");
        for foreign in [SIBLING, RESELLER, MASTER, "nobody"] {
            let refused = set(&host, method, foreign, TENANT_KEY, json!({"fuel_max": FUEL})).await.expect(403);
            assert_eq!(message(&refused), "forbidden", "{foreign}");
        }
        set(&host, method, "nobody", MASTER_KEY, json!({})).await.expect(404);
    }
    host.call("GET", &of(SIBLING), TENANT_KEY, None).await.expect(403);
    host.call("GET", &of(ACCOUNT), "", None).await.expect(401);

    let most = host.settings.modules.fuel_max;
    set(&host, "PATCH", RESELLER, MASTER_KEY, json!({"fuel_max": 3 * FUEL})).await.expect(200);
    for (account, data, pointer, words) in [
        (ACCOUNT, json!({"fuel_max": 99_999}), "/fuel_max/minimum", "at least 100000".to_owned()),
        (
            RESELLER,
            json!({"fuel_max": most + 1}),
            "/fuel_max/maximum",
            "over the operator's own limit (modules.fuel_max)".to_owned(),
        ),
        (
            ACCOUNT,
            json!({"fuel_max": 3 * FUEL + 1}),
            "/fuel_max/maximum",
            format!("over fuel_max of account {RESELLER}"),
        ),
        (ACCOUNT, json!({"time_limit_ms": "soon"}), "/time_limit_ms/type", "integer".to_owned()),
        (ACCOUNT, json!({"workers": 1}), "/workers/unknown", "is no limit".to_owned()),
    ] {
        let refused = set(&host, "PATCH", account, MASTER_KEY, data).await.expect(400);
        let said = refused.data().pointer(pointer).and_then(|said| said["message"].as_str()).unwrap_or_default();
        assert!(said.contains(&words), "{pointer}: {:#}", refused.envelope);
    }

    // The account sees what binds it, and by whose say.
    let shown = async || host.call("GET", &of(ACCOUNT), TENANT_KEY, None).await.expect(200).data().clone();
    let of_reseller = shown().await;
    assert_eq!(of_reseller["_read_only"]["effective"]["fuel_max"], 3 * FUEL);
    assert_eq!(of_reseller["_read_only"]["set_for"], json!({"fuel_max": RESELLER}));
    assert_eq!((of_reseller.get("fuel_max"), &of_reseller["id"]), (None, &json!("webhook_modules")));
    let both = json!({"fuel_max": "200000", "log_bytes_max": 7});
    set(&host, "PATCH", ACCOUNT, &reseller, both).await.expect(200);
    let own = set(&host, "PATCH", ACCOUNT, &reseller, json!({"log_bytes_max": null})).await.expect(200);
    assert_eq!(shown().await, *own.data());
    assert_eq!((&own.data()["fuel_max"], own.data().get("log_bytes_max")), (&json!(200_000), None));
    assert_eq!(own.data()["_read_only"]["effective"]["fuel_max"], 200_000);
    assert_eq!(own.data()["_read_only"]["set_for"], json!({"fuel_max": ACCOUNT}));
    // An answer can be sent back as it came.
    let same = set(&host, "POST", ACCOUNT, &reseller, own.data().clone()).await.expect(200);
    assert_eq!(same.data(), own.data());
    // Lowered above it since: the smallest counts.
    set(&host, "PATCH", RESELLER, MASTER_KEY, json!({"fuel_max": FUEL})).await.expect(200);
    let lowered = shown().await;
    assert_eq!(
        (&lowered["fuel_max"], &lowered["_read_only"]["effective"]["fuel_max"]),
        (&json!(200_000), &json!(FUEL))
    );
    assert_eq!(lowered["_read_only"]["set_for"], json!({"fuel_max": RESELLER}));
    host.finish().await;
}

/// Waits, a second at most, until this is what a call of the account's may burn on that host.
async fn expect_fuel(host: &RunningHost, expected: u64) {
    eventually_within(SECOND, "the other host to obey", async || {
        match host.modules.ceiling(Limit::FuelMax, &ACCOUNT.into()).most {
            most if most == expected => Ok(()),
            most => Err(most),
        }
    })
    .await;
}

#[tokio::test]
async fn every_node_on_the_store_obeys_within_a_second_and_after_a_restart() {
    let host = a_host().start().await;
    let other = host::start(host.settings.clone(), HostOptions::default()).await.unwrap();
    other.ready().await;
    let fuel = async |expected: u64| expect_fuel(&other, expected).await;
    fuel(host.settings.modules.fuel_max).await;
    set(&host, "PATCH", RESELLER, MASTER_KEY, json!({"fuel_max": 2 * FUEL})).await.expect(200);
    fuel(2 * FUEL).await;
    set(&host, "PATCH", ACCOUNT, MASTER_KEY, json!({"fuel_max": FUEL})).await.expect(200);
    fuel(FUEL).await;
    set(&host, "DELETE", ACCOUNT, MASTER_KEY, json!({})).await.expect(200);
    fuel(2 * FUEL).await;
    assert!(other.stop().await);

    bring(&host, ACCOUNT, "busy", BUSY).await.expect(201);
    set(&host, "PATCH", ACCOUNT, MASTER_KEY, json!({"fuel_max": FUEL})).await.expect(200);
    let host = host.restarted(Clock::System).await;
    assert_eq!(worked(&host, ACCOUNT).await, 0);
    let gone = host.call("DELETE", &format!("/v2/accounts/{ACCOUNT}"), MASTER_KEY, None).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let made = json!({"data": {"id": ACCOUNT, "name": "anew"}});
    host.call("PUT", &format!("/v2/accounts/{RESELLER}"), MASTER_KEY, Some(made)).await.expect(201);
    let anew = host.call("GET", &of(ACCOUNT), MASTER_KEY, None).await.expect(200);
    assert_eq!(anew.data().get("fuel_max"), None, "limits go with their account");
    host.finish().await;
}

#[tokio::test]
async fn a_notice_tells_other_nodes_at_once() {
    // The periodic look does not help.
    let host = TestHost::builder().setting("modules.watch_ms", 3_600_000).start().await;
    let other = host::start(host.settings.clone(), HostOptions::default()).await.unwrap();
    other.ready().await;
    let listening = host.amqp.as_ref().unwrap().listen("configuration", "doc_edited.*.webhook_module_limits.*").await;
    set(&host, "PATCH", ACCOUNT, MASTER_KEY, json!({"fuel_max": FUEL})).await.expect(200);
    let notice = listening.next().await.json();
    assert_eq!((&notice["Account-ID"], &notice["Type"]), (&json!(ACCOUNT), &json!("webhook_module_limits")));
    expect_fuel(&other, FUEL).await;
    assert!(other.stop().await);
    host.finish().await;
}
