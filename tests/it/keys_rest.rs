//! API keys over REST: shown once, listed without themselves, revoked at once.

use hookbox::clock::gregorian_s;
use hookbox_tests::{
    eventually::eventually,
    rest::Called,
    samples::ACCOUNT,
    test_host::{MASTER, MASTER_KEY, SIBLING, TENANT_KEY, TestHost, now_ms},
};
use serde_json::{Value, json};

async fn make(host: &TestHost, account: &str, key: &str, data: Value) -> Called {
    host.call("PUT", &format!("/v2/accounts/{account}/keys"), key, Some(json!({"data": data}))).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_until_it_is_revoked() {
    let host = TestHost::builder().without_broker().start().await;
    let made = make(&host, ACCOUNT, TENANT_KEY, json!({"name": "CRM"})).await.expect(201);
    let (id, key) = (made.data()["id"].as_str().unwrap(), made.data()["api_key"].as_str().unwrap());
    assert_eq!((made.header("location"), key.len()), (Some(id), 64));
    let created = made.data()["created"].as_u64().unwrap();
    assert!(created.abs_diff(gregorian_s(now_ms())) < 60, "{created}");

    let path = format!("/v2/accounts/{ACCOUNT}/keys/{id}");
    host.call("GET", &format!("/v2/accounts/{ACCOUNT}"), key, None).await.expect(200);
    let used = eventually("the use to be noted", async || {
        let shown = host.call("GET", &path, TENANT_KEY, None).await.expect(200);
        if shown.data()["last_used"].is_u64() { Ok(shown) } else { Err(shown.envelope) }
    })
    .await;
    assert_eq!((&used.data()["name"], used.data().get("api_key")), (&json!("CRM"), None));
    let listed = host.call("GET", &format!("/v2/accounts/{ACCOUNT}/keys"), key, None).await.expect(200);
    let text = listed.envelope.to_string();
    assert_eq!(listed.data().as_array().unwrap().len(), 2);
    assert!(!text.contains(key) && !text.contains("hash"), "{text}");

    let login = json!({"data": {"api_key": key}});
    let login = host.call("PUT", "/v2/api_auth", "", Some(login)).await.expect(201);
    let token = login.envelope["auth_token"].as_str().unwrap().to_owned();
    host.call("GET", &path, &token, None).await.expect(200);
    let gone = host.call("DELETE", &path, TENANT_KEY, None).await.expect(200);
    assert_eq!(gone.data()["_read_only"], json!({"deleted": true}));
    host.call("GET", &path, key, None).await.expect(401);
    host.call("GET", &path, &token, None).await.expect(401);
    host.call("DELETE", &path, TENANT_KEY, None).await.expect(404);
    host.finish().await;
}

#[tokio::test]
async fn a_key_of_another_account_is_not_there() {
    let host = TestHost::builder().without_broker().start().await;
    let made = make(&host, SIBLING, MASTER_KEY, json!({})).await.expect(201);
    let id = made.data()["id"].as_str().unwrap();
    for method in ["GET", "DELETE"] {
        let own = format!("/v2/accounts/{ACCOUNT}/keys/{id}");
        let refused = host.call(method, &own, TENANT_KEY, None).await.expect(404);
        assert_eq!((&refused.envelope["message"], &refused.data()["cause"]), (&json!("bad_identifier"), &json!(id)));
        host.call(method, &format!("/v2/accounts/{SIBLING}/keys/{id}"), TENANT_KEY, None).await.expect(403);
        host.call(method, &format!("/v2/accounts/{ACCOUNT}/keys/..%2F{id}"), MASTER_KEY, None).await.expect(404);
    }
    host.call("GET", &format!("/v2/accounts/{SIBLING}/keys/{id}"), MASTER_KEY, None).await.expect(200);
    host.finish().await;
}

#[tokio::test]
async fn there_are_only_so_many_and_the_operators_last_one_stays() {
    let host = TestHost::builder().without_broker().setting("api.keys_per_account_max", 2).start().await;
    make(&host, ACCOUNT, TENANT_KEY, json!({"name": null})).await.expect(201);
    make(&host, ACCOUNT, TENANT_KEY, json!({})).await.expect(409);
    for (data, code) in [(json!({"name": 1}), "type"), (json!({"name": "n".repeat(129)}), "maxLength")] {
        let refused = make(&host, ACCOUNT, TENANT_KEY, data).await.expect(400);
        assert!(refused.data()["name"][code].is_object(), "{}", refused.envelope);
    }
    host.call("PUT", &format!("/v2/accounts/{ACCOUNT}/keys"), TENANT_KEY, None).await.expect(400);

    let keys = host.call("GET", &format!("/v2/accounts/{MASTER}/keys"), MASTER_KEY, None).await.expect(200);
    let last = format!("/v2/accounts/{MASTER}/keys/{}", keys.data()[0]["id"].as_str().unwrap());
    host.call("DELETE", &last, MASTER_KEY, None).await.expect(409);
    make(&host, MASTER, MASTER_KEY, json!({})).await.expect(201);
    host.call("DELETE", &last, MASTER_KEY, None).await.expect(200);
    host.call("GET", &last, MASTER_KEY, None).await.expect(401);
    host.finish().await;
}
