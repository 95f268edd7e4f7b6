//! What all calls share: Crossbar's envelope, its headers, and what becomes of requests that are no good.

use hookbox_tests::{
    rest::send,
    samples::ACCOUNT,
    test_host::{MASTER_KEY, TENANT_KEY, TestHost},
};
use serde_json::{Value, json};

async fn a_host() -> TestHost {
    TestHost::builder().without_broker().start().await
}

fn own() -> String {
    format!("/v2/accounts/{ACCOUNT}")
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let host = a_host().await;
    let request =
        |id: &str| host.request("GET", &own()).header("x-auth-token", TENANT_KEY).header("x-request-id", id.to_owned());
    let named = send(request("my-request.7")).await.expect(200);
    assert_eq!(
        (named.header("x-request-id"), &named.envelope["request_id"]),
        (Some("my-request.7"), &json!("my-request.7"))
    );
    let envelope = named.envelope.as_object().unwrap();
    for key in ["data", "status", "revision", "node", "timestamp", "version"] {
        assert!(envelope.contains_key(key), "{key}: {envelope:?}");
    }
    assert!(!envelope.contains_key("auth_token"), "a key is never echoed");
    // One that cannot be shown is not taken over.
    for odd in ["", "a b", &"x".repeat(129)] {
        let made = send(request(odd)).await.expect(200);
        let id = made.envelope["request_id"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    let refused = send(host.request("GET", "/v2/nothing").header("x-request-id", "r1")).await.expect(404);
    assert_eq!(refused.envelope["request_id"], "r1");
    host.finish().await;
}

#[tokio::test]
async fn an_answer_can_be_pretty() {
    let host = a_host().await;
    let text = async |pretty: &str| {
        let request =
            host.request("GET", &own()).header("x-auth-token", TENANT_KEY).header("x-pretty-print", pretty.to_owned());
        request.send().await.unwrap().text().await.unwrap()
    };
    assert!(text("true").await.contains("\n  \"data\": {"));
    assert!(!text("false").await.contains('\n'));
    host.finish().await;
}

#[tokio::test]
async fn any_page_may_ask() {
    let host = a_host().await;
    let preflight = host
        .request("OPTIONS", &own())
        .header("origin", "https://console.example")
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "x-auth-token,if-match,content-type");
    let allowed = send(preflight).await.expect(200);
    let list = |name: &str| allowed.header(name).unwrap_or_default().to_ascii_lowercase();
    assert_eq!(list("access-control-allow-origin"), "*");
    assert_eq!(list("access-control-max-age"), "86400");
    assert!(list("access-control-allow-methods").contains("patch"), "{:?}", allowed.headers);
    for header in ["x-auth-token", "if-match", "content-type"] {
        assert!(list("access-control-allow-headers").contains(header), "{header}: {:?}", allowed.headers);
    }
    let refused = send(host.request("GET", &own()).header("origin", "https://console.example")).await.expect(401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert!(refused.header("access-control-expose-headers").unwrap().contains("x-auth-token"));
    host.finish().await;
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let host = a_host().await;
    let get = host.call("GET", &own(), TENANT_KEY, None).await.expect(200);
    let head = host.call("HEAD", &own(), TENANT_KEY, None).await.expect(200);
    assert_eq!((head.envelope, head.headers.get("etag")), (Value::Null, get.headers.get("etag")));
    host.call("HEAD", &own(), "wrong", None).await.expect(401);
    host.finish().await;
}

#[tokio::test]
async fn a_wrong_method_or_path_is_named() {
    let host = a_host().await;
    let refused = host.call("DELETE", "/v2/api_auth", MASTER_KEY, None).await.expect(405);
    assert_eq!((refused.header("allow"), &refused.envelope["message"]), (Some("PUT"), &json!("invalid_method")));
    let keys = host.call("POST", &format!("{}/keys", own()), TENANT_KEY, Some(json!({"data": {}}))).await.expect(405);
    let allow = keys.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("PUT"), "{allow}");
    for path in ["/v2", "/v2/nothing", "/v3/webhooks", "/v2/accounts", "/v2/accounts/", "/v2/accounts/a/b/c/d"] {
        let refused = host.call("GET", path, MASTER_KEY, None).await.expect(404);
        assert_eq!(refused.envelope["status"], "error", "{path}");
    }
    host.finish().await;
}

#[tokio::test]
async fn an_account_has_so_many_hooks_and_no_more() {
    let host = TestHost::builder().without_broker().setting("api.hooks_per_account_max", 1).start().await;
    let path = format!("/v2/accounts/{ACCOUNT}/webhooks");
    let hook = || Some(json!({"data": {"name": "n", "uri": "https://example.com/", "hook": "sms"}}));
    let made = host.call("PUT", &path, TENANT_KEY, hook()).await.expect(201);
    let refused = host.call("PUT", &path, TENANT_KEY, hook()).await.expect(409);
    assert!(refused.data()["message"].as_str().unwrap().contains("api.hooks_per_account_max"));
    let id = made.data()["id"].as_str().unwrap();
    host.call("DELETE", &format!("{path}/{id}"), TENANT_KEY, None).await.expect(200);
    host.call("PUT", &path, TENANT_KEY, hook()).await.expect(201);
    host.finish().await;
}

#[tokio::test]
async fn a_body_has_a_bound() {
    let host = TestHost::builder().without_broker().setting("api.body_bytes_max", 2000).start().await;
    let body = |bytes: usize| Some(json!({"data": {"name": "a", "note": "n".repeat(bytes)}}));
    host.call("POST", &own(), TENANT_KEY, body(1900)).await.expect(200);
    let refused = host.call("POST", &own(), TENANT_KEY, body(2000)).await.expect(413);
    assert_eq!(refused.data()["file"]["maxSize"]["target"], 2000);
    host.finish().await;
}

#[tokio::test]
async fn a_verb_counts_on_post_only() {
    let host = a_host().await;
    let patch = json!({"verb": "patch", "data": {"note": 1}});
    host.call("POST", &own(), TENANT_KEY, Some(patch.clone())).await.expect(200);
    let read = host.call("POST", &own(), TENANT_KEY, Some(json!({"VERB": "GET"}))).await.expect(200);
    assert_eq!(read.data()["note"], 1);
    let by_query = host.call("POST", &format!("{}?verb=get", own()), TENANT_KEY, None).await.expect(200);
    assert_eq!(by_query.data()["note"], 1);
    // A link must never delete.
    let got = host.call("GET", &format!("{}?verb=delete", own()), MASTER_KEY, None).await.expect(200);
    assert_eq!(got.data()["note"], 1);
    let made = json!({"verb": "delete", "data": {"name": "kept"}});
    host.call("PUT", &own(), TENANT_KEY, Some(made)).await.expect(201);
    host.call("POST", &own(), TENANT_KEY, Some(json!({"verb": "odd", "data": {"name": "a"}}))).await.expect(405);
    host.finish().await;
}

#[tokio::test]
async fn a_key_is_taken_from_wherever_it_stands() {
    let host = a_host().await;
    let bearer = |value: String| send(host.request("GET", &own()).header("authorization", value));
    bearer(format!("Bearer {TENANT_KEY}")).await.expect(200);
    bearer(format!("Basic {TENANT_KEY}")).await.expect(401);
    bearer("Bearer ".to_owned()).await.expect(401);
    let by_query = host.call("GET", &format!("{}?auth_token={TENANT_KEY}", own()), "", None).await.expect(200);
    assert!(!by_query.envelope.to_string().contains(TENANT_KEY));
    let body = json!({"auth_token": TENANT_KEY, "data": {"note": 1}});
    host.call("PATCH", &own(), "", Some(body.clone())).await.expect(200);
    // A header goes before what stands in the body.
    host.call("PATCH", &own(), "wrong", Some(body)).await.expect(401);
    let none = host.call("GET", &own(), "", None).await.expect(401);
    assert_eq!(
        (none.data(), &none.envelope["message"]),
        (&json!({"message": "invalid credentials"}), &json!("invalid_credentials"))
    );
    let wrong = host.call("GET", &own(), "wrong", None).await.expect(401);
    assert_eq!((wrong.data(), &wrong.envelope["message"]), (&json!({}), &json!("invalid credentials")));
    assert!(wrong.envelope.get("version").is_none());
    host.finish().await;
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let host = a_host().await;
    let first = host.call("GET", &own(), TENANT_KEY, None).await.expect(200);
    let tag = first.header("etag").unwrap().to_owned();
    let ask = async |method: &str, tag: &str| {
        send(host.request(method, &own()).header("x-auth-token", TENANT_KEY).header("if-none-match", tag.to_owned()))
            .await
    };
    let same = ask("GET", &tag).await.expect(304);
    assert_eq!((same.envelope, same.headers.get("etag")), (Value::Null, first.headers.get("etag")));
    ask("HEAD", &format!("W/{tag}, \"x\"")).await.expect(304);
    host.call("PATCH", &own(), TENANT_KEY, Some(json!({"data": {"note": 2}}))).await.expect(200);
    ask("GET", &tag).await.expect(200);
    host.finish().await;
}

#[tokio::test]
async fn the_description_names_every_call() {
    let host = a_host().await;
    let (status, text) = host.get("/openapi.json").await;
    let described: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    for (path, methods) in [
        ("/v2/accounts/{account_id}", vec!["get", "put", "post", "patch", "delete"]),
        ("/v2/accounts/{account_id}/move", vec!["post"]),
        ("/v2/accounts/{account_id}/reseller", vec!["put", "delete"]),
        ("/v2/accounts/{account_id}/children", vec!["get"]),
        ("/v2/accounts/{account_id}/keys", vec!["get", "put"]),
        ("/v2/accounts/{account_id}/keys/{key_id}", vec!["get", "delete"]),
        ("/v2/accounts/{account_id}/configs/webhooks", vec!["get", "post", "patch", "delete"]),
        ("/v2/accounts/{account_id}/configs/webhook_modules", vec!["get", "post", "patch", "delete"]),
        ("/v2/system_configs/webhooks", vec!["get", "post", "patch", "delete"]),
        ("/v2/api_auth", vec!["put"]),
        ("/v2/user_auth", vec!["put"]),
    ] {
        for method in methods {
            assert!(described["paths"][path][method].is_object(), "{method} {path}");
        }
    }
    host.finish().await;
}
