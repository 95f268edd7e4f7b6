//! Modules of accounts over REST: uploaded, shown, activated, rolled back, tried out, deleted; and all that is refused.

use std::time::Duration;

use futures_util::stream;
use hookbox_tests::{
    bad_modules::{self, AS_TOLD, CRM, CRM_NEXT, ECHO, IMPOSTOR, UNKNOWN_IMPORT, WRONG_WORLD},
    rest::{Called, send},
    samples::{ACCOUNT, bad},
    test_host::{Builder, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost},
};
use serde_json::{Value, json};

fn modules(account: &str, rest: &str) -> String {
    format!("/v2/accounts/{account}/webhook_modules{rest}")
}

/// A host whose tenants may bind what the test modules bind.
fn a_host() -> Builder {
    TestHost::builder().without_broker().setting("modules.tenant_bindings", json!(["bad"]))
}

async fn call(host: &TestHost, method: &str, rest: &str, data: Value) -> Called {
    let body = (method != "GET" && method != "DELETE").then(|| json!({"data": data}));
    host.call(method, &modules(ACCOUNT, rest), TENANT_KEY, body).await
}

async fn get(host: &TestHost, rest: &str) -> Value {
    call(host, "GET", rest, Value::Null).await.expect(200).data().clone()
}

async fn upload(host: &TestHost, name: &str, query: &str, path: &str) -> Called {
    host.upload(ACCOUNT, name, query, TENANT_KEY, bad_modules::bytes(path)).await
}

#[tokio::test]
async fn a_component_is_uploaded_checked_and_kept_and_not_active_before_its_owner_says_so() {
    let host = a_host().start().await;
    let made = upload(&host, "crm", "", CRM).await.expect(201);
    let digest = made.data()["digest"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(&*digest));
    assert_eq!(
        (&made.data()["version"], &made.data()["kind"], &made.data()["active"]),
        (&json!("1.0.0"), &json!("module"), &json!(false))
    );
    assert_eq!(made.data()["size_bytes"], bad_modules::bytes(CRM).len());
    assert_eq!(made.data()["bindings"][0]["exchange"], "bad");
    assert_eq!(made.data()["uploaded_by"]["account_id"], ACCOUNT);
    assert!(made.data()["imports"].as_array().is_some_and(|imports| !imports.is_empty()), "{made:?}");
    assert_eq!(made.data()["report"]["bytes"], made.data()["size_bytes"]);

    // The same bytes again are the version that is there.
    let again = upload(&host, "crm", "", CRM).await.expect(200);
    assert_eq!(again.data(), made.data());
    let shown = get(&host, "/crm").await;
    assert_eq!((&shown["active"], &shown["own"], &shown["kind"]), (&Value::Null, &json!(true), &json!("module")));
    assert!(host.running.modules.seen_by(Some(&ACCOUNT.into())).iter().all(|module| module.name() != "crm"));

    let active = call(&host, "POST", "/crm/activate", json!({"version": "1.0.0"})).await.expect(200);
    assert_eq!(active.data()["active"], json!({"digest": digest, "version": "1.0.0"}));
    let loaded = host.running.modules.get(&format!("{ACCOUNT}/crm").as_str().into()).unwrap();
    assert_eq!((loaded.digest.as_str(), loaded.name()), (&*digest, "crm"));
    // Active already.
    let same = call(&host, "POST", "/crm/activate", json!({"version": digest})).await.expect(200);
    assert_eq!(same.envelope["revision"], active.envelope["revision"]);

    let next = upload(&host, "crm", "?activate=true", CRM_NEXT).await.expect(201);
    assert_eq!((&next.data()["version"], &next.data()["active"]), (&json!("2.0.0"), &json!(true)));
    let versions = get(&host, "/crm/versions").await;
    let versions: Vec<_> = versions.as_array().unwrap().iter().map(|version| &version["version"]).collect();
    assert_eq!(versions, ["2.0.0", "1.0.0"]);

    let back = call(&host, "POST", "/crm/rollback", json!({})).await.expect(200);
    assert_eq!(back.data()["active"]["version"], "1.0.0");
    let none = call(&host, "POST", "/crm/rollback", json!({})).await.expect(409);
    assert!(none.data()["message"].as_str().unwrap().contains("no version was active before"), "{none:?}");

    call(&host, "DELETE", "/crm/versions/1.0.0", Value::Null).await.expect(409);
    call(&host, "DELETE", "/crm/versions/2.0.0", Value::Null).await.expect(200);
    call(&host, "DELETE", "/crm/versions/2.0.0", Value::Null).await.expect(404);
    call(&host, "GET", "/crm/versions/2.0.0", Value::Null).await.expect(404);
    assert_eq!(get(&host, "/crm/versions/1.0.0").await["active"], true);

    let gone = call(&host, "DELETE", "/crm", Value::Null).await.expect(200);
    assert_eq!(gone.data()["_read_only"], json!({"deleted": true}));
    call(&host, "DELETE", "/crm", Value::Null).await.expect(404);
    assert_eq!(get(&host, "").await, json!([]));
    assert!(host.running.modules.get(&format!("{ACCOUNT}/crm").as_str().into()).is_none());
    host.finish().await;
}

#[tokio::test]
async fn what_the_check_refuses_is_named_with_its_step_and_leaves_nothing() {
    let host =
        a_host().setting("modules.time_limit_ms", 10).setting("modules.fuel_max", 100_000_000_000_u64).start().await;
    let foreign = TestHost::builder().without_broker().start().await;
    for (name, component, step, words) in [
        ("wrong_world", bad_modules::bytes(WRONG_WORLD), "world", "does not fit the world"),
        ("unknown_import", bad_modules::bytes(UNKNOWN_IMPORT), "imports", "evil:host/files"),
        ("core", bad_modules::core_module(), "component", "build a component"),
        ("zip", bad_modules::zip(), "component", "not WebAssembly"),
        ("noise", bad_modules::noise(), "component", "not a usable component"),
        ("empty", Vec::new(), "component", "not WebAssembly"),
        ("other_name", bad_modules::bytes(CRM), "metadata", "id crm"),
        ("metadata_loop", bad_modules::bytes(bad_modules::METADATA_LOOP), "metadata", "it ran past"),
    ] {
        let refused = host.upload(ACCOUNT, name, "?activate=true", TENANT_KEY, component).await.expect(422);
        let message = refused.data()["message"].as_str().unwrap();
        assert_eq!(refused.data()["step"], step, "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
    }
    // Its bindings are not what the built-in modules bind.
    let refused = foreign.upload(ACCOUNT, "crm", "", TENANT_KEY, bad_modules::bytes(CRM)).await.expect(422);
    let message = refused.data()["message"].as_str().unwrap();
    assert_eq!(refused.data()["step"], "bindings");
    assert!(message.contains("\"bad.#\"") && message.contains("modules.tenant_bindings"), "{message}");
    for host in [host, foreign] {
        assert_eq!(get(&host, "").await, json!([]));
        host.finish().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_itself_is_said_before_the_body_is_looked_at() {
    let host = a_host().setting("modules.component_bytes_max", 100_000).start().await;
    let crm = || bad_modules::bytes(CRM);
    for (account, key, status) in [
        (ACCOUNT, "", 401),
        (ACCOUNT, "wrong", 401),
        (SIBLING, TENANT_KEY, 403),
        (RESELLER, TENANT_KEY, 403),
        ("nobody", TENANT_KEY, 403),
        ("nobody", MASTER_KEY, 404),
    ] {
        let called = host.upload(account, "crm", "", key, crm()).await;
        assert_eq!(called.status, status, "{account}: {:#}", called.envelope);
    }
    for (name, query) in [("CRM", ""), ("all", ""), ("c.rm", ""), ("crm", "?activate=maybe"), ("crm", "?version=1")] {
        host.upload(ACCOUNT, name, query, TENANT_KEY, crm()).await.expect(400);
    }
    // A module says its own version.
    host.upload(ACCOUNT, "crm", "?version=3.0.0", TENANT_KEY, crm()).await.expect(400);
    let request = host.request("PUT", &modules(ACCOUNT, "/crm/versions")).header("x-auth-token", TENANT_KEY);
    let typed = send(request.header("content-type", "application/json").body("{\"data\": {}}")).await.expect(415);
    assert!(typed.data()["message"].as_str().unwrap().contains("application/wasm"));
    // Too large, as announced and as it comes.
    let big = vec![0; 300_000];
    let refused = host.upload(ACCOUNT, "crm", "", TENANT_KEY, big.clone()).await.expect(413);
    assert!(refused.envelope.to_string().contains("modules.component_bytes_max"), "{:#}", refused.envelope);
    let pieces =
        stream::iter(big.chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>());
    let request = host.request("PUT", &modules(ACCOUNT, "/crm/versions")).header("x-auth-token", TENANT_KEY);
    let request = request.header("content-type", "application/wasm").body(reqwest::Body::wrap_stream(pieces));
    send(request).await.expect(413);
    assert_eq!(get(&host, "").await, json!([]));
    // As a query's parameter, too.
    let path = modules(ACCOUNT, &format!("/crm/versions?auth_token={TENANT_KEY}"));
    let request = host.request("PUT", &path).header("content-type", "application/wasm").body(crm());
    send(request).await.expect(201);
    host.finish().await;
}

#[tokio::test]
async fn names_of_the_operators_modules_are_taken() {
    let host = a_host().module("echo", bad_modules::bytes(ECHO)).start().await;
    for (name, path) in [("channel_create", IMPOSTOR), ("echo", ECHO)] {
        let refused = upload(&host, name, "", path).await.expect(409);
        assert!(refused.data()["message"].as_str().unwrap().contains("operator's"), "{:#}", refused.envelope);
    }
    host.finish().await;
}

#[tokio::test]
async fn what_an_account_keeps_has_bounds() {
    let size = bad_modules::bytes(CRM).len();
    let host = a_host()
        .setting("modules.modules_per_account_max", 1)
        .setting("modules.versions_per_module_max", 1)
        .start()
        .await;
    upload(&host, "crm", "", CRM).await.expect(201);
    for (name, path, words) in
        [("echo", ECHO, "modules.modules_per_account_max"), ("crm", CRM_NEXT, "modules.versions_per_module_max")]
    {
        let refused = upload(&host, name, "", path).await.expect(409);
        assert!(refused.data()["message"].as_str().unwrap().contains(words), "{:#}", refused.envelope);
    }
    host.finish().await;

    let host = a_host().setting("modules.upload_bytes_per_account_max", size + 10).start().await;
    upload(&host, "crm", "", CRM).await.expect(201);
    let refused = upload(&host, "crm", "", CRM_NEXT).await.expect(409);
    assert!(refused.data()["message"].as_str().unwrap().contains("upload_bytes_per_account_max"));
    // Another component under a version that is there.
    call(&host, "DELETE", "/crm", Value::Null).await.expect(200);
    upload(&host, "crm", "", CRM).await.expect(201);
    host.finish().await;
}

#[tokio::test]
async fn another_component_does_not_take_a_version_that_is_there() {
    let host = a_host().start().await;
    upload(&host, "crm", "", CRM).await.expect(201);
    // A custom section makes another component of it, which says the same about itself.
    let mut other = bad_modules::bytes(CRM);
    other.extend([0, 2, 1, b'x']);
    let refused = host.upload(ACCOUNT, "crm", "", TENANT_KEY, other).await.expect(409);
    assert!(refused.data()["message"].as_str().unwrap().contains("1.0.0"), "{:#}", refused.envelope);
    host.finish().await;
}

#[tokio::test]
async fn uploads_have_places_and_a_time() {
    let host = a_host()
        .setting("modules.uploads_max", 1)
        .setting("modules.upload_timeout_ms", 1000)
        .setting("api.request_timeout_ms", 500)
        .start()
        .await;
    // One that begins and does not go on; sent again when it came while another had the place.
    let url = modules(ACCOUNT, "/slow/versions");
    let request = move |host: &TestHost| {
        let stuck = stream::once(async { Ok::<_, std::io::Error>(b"\0asm".to_vec()) });
        let stuck = reqwest::Body::wrap_stream(futures_util::StreamExt::chain(stuck, stream::pending()));
        let request = host.request("PUT", &url).header("x-auth-token", TENANT_KEY);
        request.header("content-type", "application/wasm").body(stuck)
    };
    let mut stuck = tokio::spawn(send(request(&host)));
    let full = hookbox_tests::eventually::eventually("no place to be left", async || {
        if stuck.is_finished() {
            stuck = tokio::spawn(send(request(&host)));
        }
        // No component: refused without being compiled, so that its place is soon free.
        match host.upload(ACCOUNT, "crm", "", TENANT_KEY, b"junk".to_vec()).await {
            called if called.status == 503 => Ok(called),
            called => Err(called.status),
        }
    })
    .await;
    assert!(full.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok()), "{full:?}");
    assert!(full.data()["message"].as_str().unwrap().contains("modules.uploads_max"), "{:#}", full.envelope);
    let slow = tokio::time::timeout(Duration::from_secs(10), stuck).await.unwrap().unwrap().expect(408);
    assert!(slow.data()["message"].as_str().unwrap().contains("modules.upload_timeout_ms"), "{:#}", slow.envelope);
    let after = upload(&host, "crm", "", CRM).await;
    assert!(matches!(after.status, 200 | 201), "its place is free again: {after:?}");
    host.finish().await;
}

#[tokio::test]
async fn settings_limits_and_the_offer_are_changed_and_checked() {
    let host = a_host().setting("modules.settings_bytes_max", 20).start().await;
    upload(&host, "crm", "?activate=true", CRM).await.expect(201);
    let revision = get(&host, "/crm").await;
    assert_eq!(
        (&revision["settings"], &revision["limits"], &revision["offered"]),
        (&json!({}), &json!({}), &json!(false))
    );
    let changes = json!({"settings": {"region": "north"}, "limits": {"time_limit_ms": 20}, "offered": true});
    let changed = call(&host, "PATCH", "/crm", changes.clone()).await.expect(200);
    for field in ["settings", "limits", "offered"] {
        assert_eq!(changed.data()[field], changes[field]);
    }
    let loaded = host.running.modules.get(&format!("{ACCOUNT}/crm").as_str().into()).unwrap();
    assert!(loaded.offered && loaded.limits["time_limit_ms"] == 20, "this node obeys before it answers");

    for (data, field) in [
        (json!({"offered": "maybe"}), "offered"),
        (json!({"settings": {"n": 1}}), "settings.n"),
        (json!({"settings": []}), "settings"),
        (json!({"settings": {"name": "longer than twenty bytes"}}), "settings"),
        (json!({"limits": {"time_limit_ms": 1_000_000}}), "limits.time_limit_ms"),
        (json!({"limits": {"workers": 1}}), "limits.workers"),
        (json!({"limits": 1}), "limits"),
    ] {
        let refused = call(&host, "PATCH", "/crm", data.clone()).await.expect(400);
        assert!(refused.data().get(field).is_some(), "{data}: {:#}", refused.envelope);
    }
    let path = modules(ACCOUNT, "/crm");
    let stale = host.request("PATCH", &path).header("x-auth-token", TENANT_KEY).header("if-match", "\"1\"");
    send(stale.body("{\"data\": {\"offered\": false}}")).await.expect(412);
    call(&host, "PATCH", "/none", json!({})).await.expect(404);
    call(&host, "POST", "/none/activate", json!({"version": "1.0.0"})).await.expect(404);
    call(&host, "POST", "/crm/activate", json!({"version": "9.0.0"})).await.expect(404);
    call(&host, "POST", "/crm/activate", json!({})).await.expect(400);
    let nulls = call(&host, "PATCH", "/crm", json!({"settings": null, "limits": null})).await.expect(200);
    assert_eq!((&nulls.data()["settings"], &nulls.data()["limits"]), (&json!({}), &json!({})));
    host.finish().await;
}

#[tokio::test]
async fn a_module_of_another_account_is_neither_seen_nor_changed() {
    let host = a_host().start().await;
    let crm = bad_modules::bytes(CRM);
    host.upload(SIBLING, "crm", "?activate=true", MASTER_KEY, crm.clone()).await.expect(201);
    host.upload(RESELLER, "crm", "?activate=true", MASTER_KEY, crm).await.expect(201);
    assert_eq!(get(&host, "").await, json!([]), "nobody offers anything");
    for account in [SIBLING, RESELLER] {
        for (method, rest) in [
            ("GET", ""),
            ("GET", "/crm"),
            ("PATCH", "/crm"),
            ("DELETE", "/crm"),
            ("GET", "/crm/versions"),
            ("DELETE", "/crm/versions/1.0.0"),
        ] {
            let body = (method == "PATCH").then(|| json!({"data": {}}));
            host.call(method, &modules(account, rest), TENANT_KEY, body).await.expect(403);
        }
        for rest in ["/crm/activate", "/crm/rollback", "/crm/test"] {
            let body = json!({"data": {"version": "1.0.0", "message": bad(ACCOUNT).to_json()}});
            host.call("POST", &modules(account, rest), TENANT_KEY, Some(body)).await.expect(403);
        }
    }
    // At one's own address there is none.
    call(&host, "GET", "/crm", Value::Null).await.expect(404);

    // What is offered is seen and tried out, not changed, and what is its owner's alone is not shown.
    let offer = json!({"data": {"offered": true, "settings": {"key": "hidden-value"}}});
    host.call("PATCH", &modules(RESELLER, "/crm"), MASTER_KEY, Some(offer)).await.expect(200);
    let seen = get(&host, "").await;
    assert_eq!(
        (&seen[0]["id"], &seen[0]["own"], &seen[0]["account_id"]),
        (&json!("crm"), &json!(false), &json!(RESELLER))
    );
    assert!(!seen.to_string().contains("hidden-value") && get(&host, "/crm").await.get("settings").is_none());
    call(&host, "PATCH", "/crm", json!({"offered": false})).await.expect(404);
    call(&host, "DELETE", "/crm", Value::Null).await.expect(404);
    call(&host, "GET", "/crm/versions", Value::Null).await.expect(404);
    call(&host, "POST", "/crm/test", json!({"message": bad(ACCOUNT).to_json()})).await.expect(200);
    host.finish().await;
}

#[tokio::test]
async fn a_message_is_tried_out_and_nothing_comes_of_it() {
    let host = a_host().start().await;
    upload(&host, "crm", "", CRM).await.expect(201);
    let message = bad(ACCOUNT);
    let tried = async |data: Value| call(&host, "POST", "/crm/test", data).await;
    tried(json!({"message": message.to_json()})).await.expect(409);
    let done = tried(json!({"message": message.to_json(), "version": "1.0.0"})).await.expect(200);
    let done = done.data();
    assert_eq!(
        (&done["outcome"], &done["wanted"], &done["version"]),
        (&json!("events"), &json!(true), &json!("1.0.0"))
    );
    let event = &done["events"][0];
    assert_eq!((&event["hook_event"], &event["account_id"]), (&json!("crm"), &json!(ACCOUNT)));
    assert_eq!(event["payload"]["version"], "1.0.0");
    assert!(done["fuel"].as_u64() > Some(0) && done["memory_bytes"].as_u64() > Some(0), "{done:#}");
    // Not what it binds.
    let mut other = message.to_json();
    other["exchange"] = json!("other");
    let other = tried(json!({"message": other, "version": "1.0.0"})).await.expect(200);
    assert_eq!(other.data()["wanted"], false);

    // Somebody else's message: the module may not speak for them.
    let foreign = tried(json!({"message": bad(SIBLING).to_json(), "version": "1.0.0"})).await.expect(200);
    assert_eq!(foreign.data()["outcome"], "failed", "{:#}", foreign.envelope);
    assert!(foreign.data()["reason"].as_str().unwrap().contains(SIBLING));
    tried(json!({"message": {"exchange": "bad"}})).await.expect(400);
    tried(json!({})).await.expect(400);
    tried(json!({"message": message.to_json(), "version": "7.0.0"})).await.expect(404);
    let mut list = message.to_json();
    list["body"] = json!([]);
    tried(json!({"message": list, "version": "1.0.0"})).await.expect(422);
    assert!(host.running.store.dead_letters(&hookbox::store::DeadLetterQuery::newest(9)).await.unwrap().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn a_firing_is_tried_out_and_nothing_is_sent() {
    let host = a_host().start().await;
    upload(&host, "as_told", "?version=1.0.0", AS_TOLD).await.expect(201);
    let tried = async |data: Value| call(&host, "POST", "/as_told/test", data).await;
    let firing = json!({"payload": {"a": 1}, "uri": "https://example.com/in", "verb": "put"});
    tried(json!({"firing": firing})).await.expect(409);
    let told = async |settings: Value| {
        call(&host, "PATCH", "/as_told", json!({"settings": settings})).await.expect(200);
        tried(json!({"firing": firing, "version": "1.0.0"})).await.expect(200).data().clone()
    };

    let done = told(json!({"mark": "seen", "append": "?b=2", "header": "X-More=yes", "log": "here"})).await;
    assert_eq!((&done["outcome"], &done["version"]), (&json!("to_send"), &json!("1.0.0")));
    let sent = json!({
        "uri": "https://example.com/in?b=2", "payload": {"mark": "seen", "a": 1}, "headers": [["X-More", "yes"]],
        "content_type": "application/json",
    });
    assert_eq!(done["firing"], sent);
    assert_eq!(done["log"][1], json!({"level": "info", "text": "here"}));
    assert!(done["fuel"].as_u64() > Some(0) && done["memory_bytes"].as_u64() > Some(0), "{done:#}");
    // It is handed the firing of who asks, whatever that one says.
    let mut other = firing.clone();
    other["account_id"] = json!(SIBLING);
    call(&host, "PATCH", "/as_told", json!({"settings": {"report": "yes"}})).await.expect(200);
    let report = tried(json!({"firing": other, "version": "1.0.0"})).await.expect(200).data().clone();
    assert_eq!(report["firing"]["payload"]["account_id"], ACCOUNT);

    assert_eq!(told(json!({"do": "drop"})).await["outcome"], "dropped");
    for (settings, words) in [
        (json!({"do": "fail"}), "it was told to fail"),
        (json!({"do": "trap"}), "it was told to trap"),
        (json!({"uri": "https://evil.example/"}), "the URI has another scheme, host"),
        (json!({"header": "X-Hook-ID=1"}), "X-Hook-ID"),
    ] {
        let done = told(settings).await;
        let reason = done["reason"].as_str().unwrap_or_default();
        assert!(done["outcome"] == "failed" && reason.contains(words) && done.get("firing").is_none(), "{done:#}");
    }
    tried(json!({"firing": {"verb": "patch"}, "version": "1.0.0"})).await.expect(422);
    tried(json!({"firing": {"attempts": 1}, "version": "1.0.0"})).await.expect(400);
    tried(json!({"message": bad(ACCOUNT).to_json(), "version": "1.0.0"})).await.expect(400);
    tried(json!({"firing": firing, "version": "7.0.0"})).await.expect(404);

    call(&host, "POST", "/as_told/activate", json!({"version": "1.0.0"})).await.expect(200);
    tried(json!({"firing": firing})).await.expect(200);
    host.finish().await;
}

#[tokio::test]
async fn tenants_that_may_bring_nothing_bring_nothing() {
    let host = a_host().setting("modules.modules_per_account_max", 0).start().await;
    upload(&host, "crm", "", CRM).await.expect(409);
    host.finish().await;
}
