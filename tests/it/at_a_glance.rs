//! What the console shows before anybody has to look closer: how it stands with an account, what a hook would be sent, and
//! messages to try a module out with.

use hookbox_tests::{
    bad_modules,
    receiver::Receiver,
    samples::{ACCOUNT, bad, sms_received},
    test_host::{MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook},
    transforms,
};
use serde_json::{Value, json};

async fn overview(host: &TestHost, account: &str, key: &str) -> Value {
    host.call("GET", &format!("/v2/accounts/{account}/overview"), key, None).await.expect(200).data().clone()
}

#[tokio::test]
async fn an_overview_counts_what_is_recorded() {
    let (receiver, broken) = (Receiver::start().await, Receiver::start().await.answering([500]));
    let failing = a_hook("sms").to(&broken).with("retry_schedule_s", json!([]));
    let (failing_id, name) = (failing.id(), failing.document()["name"].clone());
    let host = TestHost::builder()
        .without_broker()
        .hook(a_hook("sms").to(&receiver))
        .hook(failing)
        .module("trap", bad_modules::bytes(bad_modules::TRAP))
        .setting("modules.fault_count", 1)
        .setting("webhooks.attempt_failure_count", 4)
        .start()
        .await;
    host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    for _ in 0..3 {
        host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    }
    let own = overview(&host, ACCOUNT, TENANT_KEY).await;
    assert_eq!((&own["attempts"]["count"], &own["attempts"]["failed"]), (&json!(6), &json!(3)), "{own:#}");
    assert_eq!((&own["attempts"]["is_cut"], own["attempts"]["p99_ms"].is_u64()), (&json!(false), true));
    let minutes = own["attempts"]["minutes"].as_array().unwrap();
    let sum = |name: &str| minutes.iter().map(|minute| minute[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((minutes.len(), sum("delivered"), sum("failed")), (60, 3, 3));
    assert_eq!(own["hooks"]["count"], 2);
    let [worst] = own["hooks"]["failing"].as_array().unwrap().as_slice() else { panic!("{own:#}") };
    assert_eq!(
        [&worst["id"], &worst["name"], &worst["count"], &worst["threshold"], &worst["standing"]],
        [&json!(failing_id), &name, &json!(3), &json!(4), &json!("failing")]
    );
    assert_eq!(own["firings"], json!({"waiting": 0, "undelivered": 3, "counted_max": 10_000}));
    assert_eq!(own["modules"]["in_quarantine"][0]["id"], "trap");

    host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    let off = overview(&host, ACCOUNT, TENANT_KEY).await;
    assert_eq!(off["hooks"]["failing"], json!([]), "it is switched off, and has no failures any more");
    assert_eq!(off["hooks"]["switched_off"][0]["id"], json!(failing_id));
    assert!(off["hooks"]["switched_off"][0]["disable_reason"].is_string());

    // Everybody's with the master account, nothing of others with any other.
    let all = overview(&host, MASTER, MASTER_KEY).await;
    assert_eq!((&all["attempts"]["count"], &all["hooks"]["count"]), (&json!(8), &json!(1)));
    let beside = overview(&host, SIBLING, MASTER_KEY).await;
    assert_eq!((&beside["attempts"]["count"], &beside["attempts"]["p50_ms"]), (&json!(0), &Value::Null));
    host.call("GET", &format!("/v2/accounts/{RESELLER}/overview"), TENANT_KEY, None).await.expect(403);
    host.finish().await;
}

#[tokio::test]
async fn an_overview_is_made_of_no_more_attempts_than_it_may_cost() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .without_broker()
        .hook(a_hook("sms").to(&receiver))
        .setting("api.overview_attempts_max", 100)
        .start()
        .await;
    for _ in 0..101 {
        host.post(ACCOUNT, TENANT_KEY, &sms_received(ACCOUNT)).await;
    }
    let own = overview(&host, ACCOUNT, TENANT_KEY).await;
    assert_eq!((&own["attempts"]["count"], &own["attempts"]["is_cut"]), (&json!(100), &json!(true)));
    host.finish().await;
}

#[tokio::test]
async fn a_preview_is_the_request_that_a_test_sends_and_sends_nothing() {
    let receiver = Receiver::start().await;
    let hook = a_hook("sms")
        .to(&receiver)
        .with("custom_data", json!({"tenant": "north"}))
        .with("headers", json!({"X-Api-Key": "only-for-the-receiver"}));
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).start().await;
    let hook = format!("/v2/accounts/{ACCOUNT}/webhooks/{id}");
    let payload = json!({"data": {"payload": {"from": "+13125550111"}}});
    let made = host.call("POST", &format!("{hook}/preview"), TENANT_KEY, Some(payload.clone())).await.expect(200);
    assert!(receiver.requests().is_empty(), "something was sent");
    assert!(host.attempts(&id).await.is_empty(), "something was recorded");

    host.call("POST", &format!("{hook}/test"), TENANT_KEY, Some(payload)).await.expect(200);
    let [sent] = <[_; 1]>::try_from(receiver.expect_requests(1).await).unwrap();
    let made = made.data();
    assert_eq!((made["method"].as_str(), made["uri"].as_str()), (Some(&*sent.method), Some(&*receiver.url("/"))));
    assert_eq!(made["body"].as_str().map(str::as_bytes), Some(&*sent.body), "{made:#}");
    let headers = made["headers"].as_object().unwrap();
    assert_eq!(headers["X-Api-Key"], "(hidden)");
    for (name, value) in headers {
        // These are of the one or the other.
        if !["webhook-id", "webhook-timestamp", "webhook-signature", "X-Api-Key"].contains(&name.as_str()) {
            assert_eq!(sent.header(name), value.as_str(), "{name}");
        }
        assert!(sent.header(name).is_some(), "{name}");
    }
    host.call("POST", &format!("{hook}/preview"), MASTER_KEY, Some(json!({"data": {"sample": "none"}})))
        .await
        .expect(400);
    let of_another = format!("{}/preview", hook.replace(ACCOUNT, SIBLING));
    host.call("POST", &of_another, MASTER_KEY, None).await.expect(404);
    host.finish().await;
}

#[tokio::test]
async fn a_preview_goes_through_the_hooks_transform() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder().without_broker().start().await;
    let transform = transforms::register(&host, ACCOUNT).await;
    let preview = async |settings: Value| {
        let told = json!({"module": transforms::NAME, "version": transform.version, "settings": settings});
        let hook = json!({"name": "t", "uri": receiver.url("/"), "hook": "sms", "format": "json", "transform": told});
        let (status, made) =
            host.put(&format!("/v2/accounts/{ACCOUNT}/webhooks"), TENANT_KEY, json!({"data": hook}).to_string()).await;
        assert_eq!(status, 201, "{made:#}");
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v2/accounts/{ACCOUNT}/webhooks/{id}/preview");
        host.call("POST", &path, TENANT_KEY, None).await.expect(200).data().clone()
    };
    let through = preview(json!({"log": "hello"})).await;
    assert_eq!(through["dropped"], false, "{through:#}");
    assert!(through["transform"]["fuel"].as_u64().unwrap() > 0 && through["method"] == "POST", "{through:#}");
    assert!(receiver.requests().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn there_are_messages_to_try_any_module_out_with() {
    let host = TestHost::builder().without_broker().setting("modules.tenant_bindings", json!(["bad"])).start().await;
    let modules = format!("/v2/accounts/{SIBLING}/webhook_modules");
    let messages = async |name: &str| host.call("GET", &format!("{modules}/{name}/messages"), MASTER_KEY, None).await;
    // Those of the operator's modules are about the account that asks, and what is made of them is its own.
    for name in ["channel_create", "sms", "notifications", "object"] {
        let listed = messages(name).await.expect(200);
        let [first, ..] = listed.data().as_array().unwrap().as_slice() else { panic!("{name}: {listed:?}") };
        assert!(first["message"]["body"].is_object(), "{first:#}");
        let mut made = 0;
        for sample in listed.data().as_array().unwrap() {
            let asked = json!({"data": {"message": sample["message"]}});
            let came = host.call("POST", &format!("{modules}/{name}/test"), MASTER_KEY, Some(asked)).await.expect(200);
            for event in came.data()["events"].as_array().unwrap() {
                made += 1;
                assert!(
                    came.data()["outcome"] == "events" && event["account_id"] == SIBLING,
                    "{name} {sample:#} {came:?}"
                );
            }
        }
        assert!(made > 0, "{name}: its samples make no event");
    }
    // A tenant's own: the last that came in, or one that is made up.
    host.upload(ACCOUNT, "crm", "?activate=true", TENANT_KEY, bad_modules::bytes(bad_modules::CRM)).await.expect(201);
    let own = format!("/v2/accounts/{ACCOUNT}/webhook_modules/crm/messages");
    let made_up = host.call("GET", &own, TENANT_KEY, None).await.expect(200);
    assert_eq!(
        (&made_up.data()[0]["name"], &made_up.data()[0]["message"]["exchange"]),
        (&json!("made up"), &json!("bad"))
    );
    host.post(ACCOUNT, TENANT_KEY, &bad(ACCOUNT)).await;
    let recent = host.call("GET", &own, TENANT_KEY, None).await.expect(200);
    assert_eq!(
        (&recent.data()[0]["name"], &recent.data()[0]["message"]["routing_key"]),
        (&json!("recent"), &json!("bad.message"))
    );
    messages("nothing").await.expect(404);
    messages("crm").await.expect(404);
    host.finish().await;
}
