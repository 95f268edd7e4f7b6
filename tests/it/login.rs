//! Logging in: a token for a key, nothing for anybody else, and not too many tries.

use hookbox::clock::Clock;
use hookbox_tests::{
    samples::ACCOUNT,
    test_host::{MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, now_ms},
};
use serde_json::{Value, json};

fn key(key: &str) -> Option<Value> {
    Some(json!({"data": {"api_key": key}}))
}

#[tokio::test]
async fn a_key_gives_a_token_that_opens_the_same_for_some_time() {
    let clock = Clock::manual(now_ms());
    let host = TestHost::builder().without_broker().clock(clock.clone()).setting("api.token_minutes", 5).start().await;
    let login = host.call("PUT", "/v2/api_auth", "", key(TENANT_KEY)).await.expect(201);
    let expected = json!({
        "account_id": ACCOUNT, "is_reseller": false, "reseller_id": RESELLER, "language": "en-us", "apps": [],
    });
    assert_eq!(*login.data(), expected);
    let token = login.envelope["auth_token"].as_str().unwrap().to_owned();
    assert_eq!(login.header("x-auth-token"), Some(token.as_str()));
    assert!(!login.envelope.to_string().contains(TENANT_KEY));

    let path = format!("/v2/accounts/{ACCOUNT}");
    let seen = host.call("GET", &path, &token, None).await.expect(200);
    assert_eq!(seen.envelope["auth_token"], token.as_str(), "a token is echoed, a key never");
    host.call("GET", &format!("/v2/accounts/{SIBLING}"), &token, None).await.expect(403);
    host.call("PUT", "/v2/api_auth", "", key(&token)).await.expect(401);
    host.call("GET", &path, &format!("{token}A"), None).await.expect(401);
    clock.advance(5 * 60_000);
    let late = host.call("GET", &path, &token, None).await.expect(401);
    assert_eq!(late.envelope["message"], "invalid credentials");
    let master = host.call("PUT", "/v2/api_auth", "", key(MASTER_KEY)).await.expect(201);
    assert_eq!((&master.data()["account_id"], &master.data()["is_reseller"]), (&json!(MASTER), &json!(true)));
    host.finish().await;
}

#[tokio::test]
async fn who_cannot_log_in_is_told_nothing() {
    let host = TestHost::builder().without_broker().start().await;
    let refused = host.call("PUT", "/v2/api_auth", "", key("wrong")).await.expect(401);
    assert_eq!(refused.envelope["message"], "invalid_credentials");
    assert_eq!(*refused.data(), json!({"message": "invalid credentials"}));
    // Without KAZOO's users nobody logs in as one: not where there is such an account, nor where there is none.
    for name in [ACCOUNT, "nobody"] {
        let data = json!({"data": {"credentials": "0123", "account_name": name}});
        let same = host.call("PUT", "/v2/user_auth", "", Some(data)).await.expect(401);
        assert_eq!((same.data(), &same.envelope["message"]), (refused.data(), &refused.envelope["message"]));
    }
    for (path, data, pointer) in [
        ("/v2/api_auth", json!({}), "/data/api_key/required"),
        ("/v2/api_auth", json!({"api_key": 7}), "/data/api_key/type"),
        ("/v2/api_auth", json!({"api_key": "k".repeat(600)}), "/data/api_key/maxLength"),
        ("/v2/user_auth", json!({"credentials": "0123"}), "/data/account_name/required"),
        ("/v2/user_auth", json!({"account_name": "x"}), "/data/credentials/required"),
        ("/v2/user_auth", json!({"account_name": "x", "credentials": "0", "method": "plain"}), "/data/method/enum"),
    ] {
        let refused = host.call("PUT", path, "", Some(json!({"data": data}))).await.expect(400);
        assert!(refused.envelope.pointer(pointer).is_some(), "{pointer}: {}", refused.envelope);
    }
    host.finish().await;
}

#[tokio::test]
async fn guesses_are_slowed_down_wherever_they_are_made() {
    let clock = Clock::manual(now_ms());
    let builder = TestHost::builder().without_broker().clock(clock.clone());
    let host = builder.setting("api.auth_failures_per_min", 3).start().await;
    let user = json!({"data": {"credentials": "0123", "account_name": "x"}});
    host.call("PUT", "/v2/api_auth", "", key("wrong")).await.expect(401);
    host.call("PUT", "/v2/user_auth", "", Some(user.clone())).await.expect(401);
    host.call("GET", &format!("/v2/accounts/{ACCOUNT}"), "wrong", None).await.expect(401);
    for (method, path, token, body) in [
        ("PUT", "/v2/api_auth", "", key(TENANT_KEY)),
        ("PUT", "/v2/user_auth", "", Some(user)),
        ("GET", "/v2/accounts/x", TENANT_KEY, None),
    ] {
        let refused = host.call(method, path, token, body).await.expect(429);
        assert_eq!(refused.envelope["message"], "too_many_requests");
    }
    clock.advance(60_000);
    host.call("PUT", "/v2/api_auth", "", key(TENANT_KEY)).await.expect(201);
    host.finish().await;
}
