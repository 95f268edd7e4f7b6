//! Quarantine: faults are counted by all nodes together and over a restart, at the count nobody calls the version any more, its
//! owner and the platform are told, the messages are kept, and another version or a hand brings it back.

use hookbox::{
    clock::Clock,
    host::{self, HostOptions, RunningHost},
    message::UnixMs,
    store::{DeadLetter, DeadLetterQuery, module_faults::Component},
};
use hookbox_tests::{
    bad_modules::{self, AS_TOLD, BAD_OUTPUT, CRM, CRM_BROKEN, TRAP},
    eventually::eventually,
    operator::Operator,
    real_program::Place,
    receiver::Receiver,
    samples::{ACCOUNT, bad, channel_created},
    test_host::{Builder, MASTER, MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook},
    upload_desk::taken_in,
};
use serde_json::{Value, json};

const NOON: UnixMs = 1_800_000_000_000;

/// A host that puts a module into quarantine at so many faults in a minute.
fn at_faults(count: u64) -> Builder {
    TestHost::builder()
        .setting("modules.tenant_bindings", json!(["bad"]))
        .setting("modules.fault_count", count)
        .setting("modules.fault_write_ms", 1)
        .setting("modules.watch_ms", 50)
}

async fn bring(host: &TestHost, name: &str, query: &str, component: &str) {
    host.upload(ACCOUNT, name, query, TENANT_KEY, bad_modules::bytes(component)).await.expect(201);
}

async fn call(host: &TestHost, method: &str, path: &str, data: Option<Value>) -> Value {
    let path = format!("/v2/accounts/{ACCOUNT}/webhook_modules/{path}");
    host.call(method, &path, TENANT_KEY, data.map(|data| json!({"data": data}))).await.expect(200).data().clone()
}

/// As the master account.
async fn as_operator(host: &TestHost, method: &str, path: &str) -> Value {
    let path = format!("/v2/accounts/{MASTER}/webhook_modules/{path}");
    host.call(method, &path, MASTER_KEY, None).await.expect(200).data().clone()
}

async fn post(host: &TestHost) {
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &bad(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
}

async fn letters(host: &TestHost) -> Vec<DeadLetter> {
    host.running.store.dead_letters(&DeadLetterQuery::newest(1000)).await.unwrap()
}

/// What the account is shown of its module, once it is in this state.
async fn in_state(host: &TestHost, name: &str, state: &str) -> Value {
    eventually(&format!("{name} to be {state}"), async || {
        let shown = call(host, "GET", name, None).await;
        if shown["state"] == state { Ok(shown) } else { Err(shown) }
    })
    .await
}

/// Waits until the store has so many faults of the operator's module.
async fn expect_faults(host: &TestHost, module: &str, count: u64) {
    let digest = host.running.modules.get(&module.into()).unwrap().digest.clone();
    let of = Component { module: module.into(), digest };
    eventually(&format!("{count} faults of {module}"), async || {
        match host.running.store.module_fault_count(&of, 0).await.unwrap() {
            there if there == count => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Waits until the node calls the module no more, or again.
async fn expect_called(node: &RunningHost, module: &str, is_called: bool) {
    let what = if is_called { "called" } else { "in quarantine" };
    eventually(&format!("{module} to be {what}"), async || {
        let reason = node.modules.get(&module.into()).map(|module| module.quarantine());
        if reason.as_ref().is_some_and(|reason| reason.is_none() == is_called) { Ok(()) } else { Err(reason) }
    })
    .await;
}

async fn another(host: &TestHost) -> RunningHost {
    let other = host::start(host.settings.clone(), HostOptions::default()).await.unwrap();
    other.ready().await;
    other
}

#[tokio::test]
async fn what_failed_too_often_is_told_of_mended_and_replayed() {
    let (receiver, told) = (Receiver::start().await, Receiver::start().await);
    let kind = json!({"type": "webhook_module_quarantined"});
    let host = at_faults(3)
        .hook(a_hook("crm").to(&receiver))
        .hook(a_hook("notifications").to(&told).with("custom_data", kind.clone()))
        .hook(a_hook("notifications").of(SIBLING).to(&receiver).with("custom_data", kind))
        .start()
        .await;
    let heard = host.amqp.as_ref().unwrap().listen("notifications", "notifications.webhook.*").await;
    bring(&host, "crm", "?activate=true", CRM_BROKEN).await;
    assert_eq!(call(&host, "GET", "crm", None).await["state"], "active");

    for nth in 1..=3 {
        host.publish(bad(ACCOUNT).message_id(&format!("message {nth}"))).await;
        eventually("the message to be kept", async || {
            let kept = letters(&host).await.len();
            if kept == nth { Ok(()) } else { Err(kept) }
        })
        .await;
    }

    let shown = in_state(&host, "crm", "quarantined").await;
    let quarantine = &shown["quarantine"];
    let reason = quarantine["reason"].as_str().unwrap();
    assert!(reason.starts_with("failed 3 times within 60000 ms, last: it trapped: "), "{reason}");
    assert_eq!((&quarantine["version"], &quarantine["last_message"]), (&json!("0.9.0"), &json!("message 3")));
    assert_eq!(quarantine["digest"], shown["active"]["digest"]);
    assert!(quarantine["since"].as_u64().is_some_and(|since| since > 63_000_000_000), "{quarantine}");
    assert_eq!(host.get("/readyz").await.0, 200, "a tenant's module is no business of the operator's");

    // The platform is told, and with it the account's hooks.
    let notice = heard.next().await;
    assert_eq!(notice.routing_key, "notifications.webhook.module_quarantined");
    let payload = told.expect_requests(1).await.remove(0).json();
    for (theirs, ours, expected) in [
        ("Account-ID", "account_id", json!(ACCOUNT)),
        ("Event-Name", "event_name", json!("webhook_module_quarantined")),
        ("Module-ID", "module_id", json!(format!("{ACCOUNT}/crm"))),
        ("Module-Kind", "module_kind", json!("module")),
        ("Module-Version", "module_version", json!("0.9.0")),
        ("Module-Digest", "module_digest", quarantine["digest"].clone()),
        ("Reason", "reason", json!(reason)),
        ("Last-Message", "last_message", json!("message 3")),
    ] {
        assert_eq!((&notice.json()[theirs], &payload[ours]), (&expected, &expected), "{theirs}");
    }

    // Meanwhile messages are kept, and not even a replay calls it.
    host.publish(bad(ACCOUNT).message_id("message 4")).await;
    let kept = eventually("the fourth letter", async || {
        let letters = letters(&host).await;
        if letters.len() == 4 { Ok(letters) } else { Err(letters.len()) }
    })
    .await;
    assert!(kept[0].reason.starts_with("it was not called: it is in quarantine: failed 3 times"), "{}", kept[0].reason);
    let replay = |id: i64| format!("/v2/accounts/{ACCOUNT}/dead_letters/{id}/replay");
    host.call("POST", &replay(kept[0].id), TENANT_KEY, None).await.expect(409);
    assert!(receiver.requests().is_empty());

    // Mended.
    bring(&host, "crm", "?activate=true", CRM).await;
    let shown = call(&host, "GET", "crm", None).await;
    assert_eq!((&shown["state"], shown.get("quarantine")), (&json!("active"), None));
    for (nth, letter) in kept.iter().rev().enumerate() {
        let replayed = host.call("POST", &replay(letter.id), TENANT_KEY, None).await.expect(200);
        assert_eq!(replayed.data(), &json!({"events": 1, "firings": 1}));
        assert_eq!(receiver.expect_requests(nth + 1).await[nth].json()["version"], "1.0.0");
    }
    assert!(letters(&host).await.is_empty());
    host.finish().await;
    assert_eq!((heard.waiting(), told.requests().len()), (0, 1), "told of once");
}

#[tokio::test]
async fn a_quarantine_outlives_a_restart_and_is_bound_to_the_component() {
    let host = at_faults(2).without_broker().module("trap", bad_modules::bytes(TRAP)).start().await;
    bring(&host, "crm", "?activate=true", CRM_BROKEN).await;
    post(&host).await;
    post(&host).await;
    in_state(&host, "crm", "quarantined").await;
    eventually("the store to know of the operator's", async || {
        let kept = host.running.store.quarantined_operators_modules().await.unwrap();
        if kept.len() == 1 { Ok(()) } else { Err(kept) }
    })
    .await;

    let host = host.restarted(Clock::default()).await;
    let (status, answer) = host.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(answer.contains("module trap is in quarantine: failed 2 times within 60000 ms"), "{answer}");
    assert_eq!(call(&host, "GET", "crm", None).await["state"], "quarantined");
    post(&host).await;
    let letters = letters(&host).await;
    assert_eq!(letters.len(), 6);
    assert!(letters[..2].iter().all(|letter| letter.reason.starts_with("it was not called: ")), "{letters:?}");

    let expect_quarantine = async |expected: bool| {
        eventually("/readyz to say so", async || match host.get("/readyz").await {
            (200, _) if !expected => Ok(()),
            (503, answer) if expected && answer.contains("module trap is in quarantine: ") => Ok(()),
            other => Err(other),
        })
        .await;
    };
    std::fs::write(host.module_file("trap"), bad_modules::bytes(BAD_OUTPUT)).unwrap();
    expect_quarantine(false).await;
    std::fs::remove_file(host.module_file("trap")).unwrap();
    std::fs::write(host.module_file("trap-again"), bad_modules::bytes(TRAP)).unwrap();
    expect_quarantine(true).await;
    host.finish().await;
}

#[tokio::test]
async fn faults_before_a_restart_count_after_it() {
    let host = at_faults(3).without_broker().module("trap", bad_modules::bytes(TRAP)).start().await;
    post(&host).await;
    post(&host).await;
    let host = host.restarted(Clock::default()).await;
    assert_eq!(host.get("/readyz").await.0, 200);
    expect_faults(&host, "trap", 2).await;
    let standing = as_operator(&host, "GET", "trap/quarantine").await;
    assert_eq!((&standing["faults"], &standing["fault_count"]), (&json!(2), &json!(3)));
    assert_eq!((&standing["module"], &standing["quarantine"]), (&json!("trap"), &Value::Null));
    post(&host).await;
    expect_called(&host.running, "trap", false).await;
    host.finish().await;
}

#[tokio::test]
async fn faults_that_are_too_old_are_forgotten() {
    let clock = Clock::manual(NOON);
    let builder = at_faults(3).without_broker().setting("modules.fault_window_ms", 1000).clock(clock.clone());
    let host = builder.module("trap", bad_modules::bytes(TRAP)).start().await;
    post(&host).await;
    post(&host).await;
    expect_faults(&host, "trap", 2).await;
    clock.advance(1000);
    // Swept, though nothing fails.
    expect_faults(&host, "trap", 0).await;
    post(&host).await;
    post(&host).await;
    expect_faults(&host, "trap", 2).await;
    assert_eq!(host.get("/readyz").await.0, 200);
    clock.advance(999);
    post(&host).await;
    expect_called(&host.running, "trap", false).await;
    host.finish().await;
}

#[tokio::test]
async fn faults_on_two_nodes_add_up_and_both_stop_and_begin_again_together() {
    let host = at_faults(4).without_broker().module("trap", bad_modules::bytes(TRAP)).start().await;
    let other = another(&host).await;
    bring(&host, "crm", "?activate=true", CRM_BROKEN).await;
    let crm = format!("{ACCOUNT}/crm");
    expect_called(&other, &crm, true).await;
    for _ in 0..2 {
        post(&host).await;
        other.pipeline.handle(taken_in(&bad(ACCOUNT))).await;
    }
    for module in ["trap", &crm] {
        expect_called(&host.running, module, false).await;
        expect_called(&other, module, false).await;
    }
    let reason = in_state(&host, "crm", "quarantined").await["quarantine"]["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("failed 4 times within 60000 ms, last: it trapped: "), "{reason}");

    // A tenant's by another version…
    bring(&host, "crm", "?activate=true", CRM).await;
    expect_called(&host.running, &crm, true).await;
    expect_called(&other, &crm, true).await;
    // … the operator's by hand.
    let standing = as_operator(&host, "GET", "trap/quarantine").await;
    assert_eq!(standing["quarantine"]["version"], "1.0.0");
    let lifted = as_operator(&host, "DELETE", "trap/quarantine").await;
    assert_eq!((&lifted["quarantine"], &lifted["faults"]), (&Value::Null, &json!(0)));
    expect_called(&host.running, "trap", true).await;
    expect_called(&other, "trap", true).await;
    // It begins at none, and can fail again.
    other.pipeline.handle(taken_in(&bad(ACCOUNT))).await;
    expect_faults(&host, "trap", 1).await;
    expect_called(&other, "trap", true).await;
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn a_tenant_lifts_its_own_quarantine_by_hand_and_nobody_elses() {
    let host = at_faults(2).without_broker().module("trap", bad_modules::bytes(TRAP)).start().await;
    let other = another(&host).await;
    bring(&host, "crm", "?activate=true", CRM_BROKEN).await;
    let crm = format!("{ACCOUNT}/crm");
    for round in 0..2 {
        post(&host).await;
        post(&host).await;
        in_state(&host, "crm", "quarantined").await;
        expect_called(&other, &crm, false).await;
        let lifted = call(&host, "DELETE", "crm/quarantine", None).await;
        assert_eq!((&lifted["quarantine"], &lifted["module"]), (&Value::Null, &json!(crm)), "round {round}");
        assert_eq!(call(&host, "GET", "crm", None).await["state"], "active");
        expect_called(&host.running, &crm, true).await;
        expect_called(&other, &crm, true).await;
    }
    for (account, key, name, status) in [
        (ACCOUNT, TENANT_KEY, "trap", 404),
        (MASTER, TENANT_KEY, "trap", 403),
        (SIBLING, TENANT_KEY, "crm", 403),
        (SIBLING, MASTER_KEY, "crm", 404),
        (MASTER, MASTER_KEY, "none", 404),
    ] {
        for method in ["GET", "DELETE"] {
            let path = format!("/v2/accounts/{account}/webhook_modules/{name}/quarantine");
            host.call(method, &path, key, None).await.expect(status);
        }
    }
    expect_called(&host.running, "trap", false).await;
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn a_transform_goes_into_quarantine_everywhere_and_comes_back() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([]));
    let hook = hook.with("transform", json!({"module": "as_told"}));
    let host = at_faults(2).without_broker().hook(hook.clone()).start().await;
    let other = another(&host).await;
    bring(&host, "as_told", "?activate=true&version=1.0.0", AS_TOLD).await;
    let settings = async |settings: Value| call(&host, "PATCH", "as_told", Some(json!({"settings": settings}))).await;
    settings(json!({"do": "trap"})).await;
    for nth in 1..=2 {
        host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
        host.expect_attempts(&hook.id(), nth).await;
    }

    let shown = in_state(&host, "as_told", "quarantined").await;
    let last = host.attempts(&hook.id()).await.remove(0);
    assert_eq!(shown["quarantine"]["last_message"], last["event_id"], "{last:?}");
    let in_quarantine = async |node: &RunningHost| {
        let registered = node.modules.transforms.registered(&ACCOUNT.into(), "as_told")?;
        registered.version("active")?.quarantine.reason()
    };
    eventually("the other node to obey", async || in_quarantine(&other).await.ok_or("not yet")).await;
    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    let refused = host.expect_attempts(&hook.id(), 3).await.remove(0);
    assert!(refused["client_error"].as_str().unwrap().contains("it is in quarantine: failed 2 times"), "{refused:?}");

    settings(json!({})).await;
    call(&host, "DELETE", "as_told/quarantine", None).await;
    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    eventually("the other node to obey", async || match in_quarantine(&other).await {
        None => Ok(()),
        Some(reason) => Err(reason),
    })
    .await;
    assert!(other.stop().await);
    host.finish().await;
}

#[tokio::test]
async fn an_operator_sees_and_lifts_a_quarantine_from_the_command_line() {
    let place = Place::with_settings(
        "modules.dir = \"modules\"\nmodules.fault_count = 1\nmodules.tenant_bindings = [\"bad\"]\nmodules.watch_ms = 50",
    );
    place.write("modules/trap.wasm", bad_modules::bytes(TRAP));
    place.write("crm.wasm", bad_modules::bytes(CRM_BROKEN));
    let host = place.serve().await;
    let operator = Operator::at(&place, &host, MASTER_KEY);
    operator.does(&["module", "push", "crm.wasm", "--activate"]).await;
    let free = operator.does(&["module", "quarantine", "trap"]).await;
    assert!(free.contains("0 of 1 within 60000 ms") && free.contains("quarantine  no"), "{free}");
    let message = bad(MASTER);
    assert_eq!(host.post(MASTER, &message.to_json()).await.0, 202);
    let message = message.json()["Msg-ID"].as_str().unwrap().to_owned();

    let quarantined = async |name: &str| {
        eventually(&format!("{name} to be in quarantine"), async || {
            let standing = operator.reads(&["module", "quarantine", name]).await;
            if standing["quarantine"].is_null() { Err(standing) } else { Ok(standing) }
        })
        .await
    };
    assert_eq!(quarantined("trap").await["quarantine"]["last_message"], message);
    quarantined("crm").await;
    let shown = operator.does(&["module", "quarantine", "trap"]).await;
    assert!(shown.contains("failed 1 times within 60000 ms, last: it trapped: "), "{shown}");
    let list = operator.does(&["module", "list"]).await;
    assert!(list.contains("quarantined") && list.contains("failed 1 times within 60000 ms"), "{list}");
    let shown = operator.does(&["module", "show", "crm"]).await;
    assert!(shown.contains("0.9.0") && shown.contains(&message) && shown.contains("quarantined"), "{shown}");

    let trap = operator.does(&["module", "lift", "trap"]).await;
    assert_eq!(trap, "trap is called again, and its faults are forgotten");
    let crm = operator.does(&["module", "lift", "crm"]).await;
    assert_eq!(crm, format!("{MASTER}/crm is called again, and its faults are forgotten"));
    assert_eq!(operator.reads(&["module", "show", "crm"]).await["module"]["state"], "active");
    assert_eq!(host.stop().await, 0);
}
