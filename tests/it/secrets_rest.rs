//! Rotating a hook's secret: receivers that know the old one can follow for a day.

use hookbox::clock::{Clock, gregorian_s};
use hookbox_tests::{
    receiver::{Receiver, Request},
    rest::Called,
    samples::ACCOUNT,
    test_host::{HookDraft, MASTER_KEY, SIBLING, TENANT_KEY, TestHost, a_hook, now_ms},
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

const HOUR_MS: u64 = 3_600_000;

fn path(hook: &HookDraft, rest: &str) -> String {
    format!("/v2/accounts/{ACCOUNT}/webhooks/{}{rest}", hook.id())
}

async fn rotate(host: &TestHost, hook: &HookDraft, data: Value) -> Called {
    host.call("POST", &path(hook, "/secret"), TENANT_KEY, Some(json!({"data": data}))).await
}

async fn a_host(clock: &Clock, hook: &HookDraft) -> TestHost {
    TestHost::builder().without_broker().hook(hook.clone()).clock(clock.clone()).start().await
}

/// The next request of a test.
async fn signed(host: &TestHost, receiver: &Receiver, hook: &HookDraft) -> Request {
    let before = receiver.requests().len();
    host.call("POST", &path(hook, "/test"), TENANT_KEY, None).await.expect(200);
    receiver.expect_requests(before + 1).await.remove(before)
}

fn signatures(request: &Request) -> Vec<String> {
    request.header("webhook-signature").unwrap().split(' ').map(str::to_owned).collect()
}

/// Whether the library of the standard signs so with this secret, whatever the time.
fn takes(secret: &str, request: &Request) -> bool {
    let (id, at) = (request.header("webhook-id").unwrap(), request.header("webhook-timestamp").unwrap());
    let theirs = Webhook::new(secret).unwrap().sign(id, at.parse().unwrap(), request.text().as_bytes()).unwrap();
    signatures(request).contains(&theirs)
}

/// Whether a receiver that knows this secret takes the request, which was sent just now.
fn verifies(secret: &str, request: &Request) -> bool {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    Webhook::new(secret).unwrap().verify(request.text().as_bytes(), &headers).is_ok()
}

fn secret_of(rotated: &Called) -> String {
    rotated.data()["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_old_secret_signs_too_for_a_day() {
    let (clock, receiver) = (Clock::manual(now_ms() - HOUR_MS), Receiver::start().await);
    let hook = a_hook("channel_create").to(&receiver);
    let host = a_host(&clock, &hook).await;
    let first =
        secret_of(&rotate(&host, &hook, json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})).await.expect(200));
    assert_eq!(first, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");

    clock.advance(HOUR_MS);
    let rotated = rotate(&host, &hook, json!({})).await.expect(200);
    let second = secret_of(&rotated);
    let now_s = gregorian_s(clock.now_ms());
    // The one that it was imported with ends an hour before the first that was rotated away.
    assert_eq!(rotated.data()["old_until"], json!([now_s + 24 * 3600, now_s + 23 * 3600]));
    let request = signed(&host, &receiver, &hook).await;
    assert_eq!(signatures(&request).len(), 3);
    assert!(verifies(&first, &request) && verifies(&second, &request), "{request}");

    clock.advance(24 * HOUR_MS - 1);
    let request = signed(&host, &receiver, &hook).await;
    assert_eq!(signatures(&request).len(), 2);
    assert!(takes(&first, &request) && takes(&second, &request), "{request}");

    clock.advance(1);
    let request = signed(&host, &receiver, &hook).await;
    assert_eq!(signatures(&request).len(), 1);
    assert!(!takes(&first, &request) && takes(&second, &request), "{request}");
    host.finish().await;
}

#[tokio::test]
async fn two_old_secrets_are_kept_at_most_and_expired_ones_go() {
    let (clock, receiver) = (Clock::manual(now_ms()), Receiver::start().await);
    let hook = a_hook("channel_create").to(&receiver);
    let host = a_host(&clock, &hook).await;
    let mut secrets = Vec::new();
    for _ in 0..4 {
        secrets.push(secret_of(&rotate(&host, &hook, json!({})).await.expect(200)));
    }
    let request = signed(&host, &receiver, &hook).await;
    let taken: Vec<_> = secrets.iter().map(|secret| takes(secret, &request)).collect();
    assert_eq!((taken, signatures(&request).len()), (vec![false, true, true, true], 3));
    // Naming the newest again makes it sign once only.
    rotate(&host, &hook, json!({"secret": secrets[3]})).await.expect(200);
    assert_eq!(signatures(&signed(&host, &receiver, &hook).await).len(), 3);
    clock.advance(24 * HOUR_MS);
    let rotated = rotate(&host, &hook, json!({})).await.expect(200);
    assert_eq!(rotated.data()["old_until"].as_array().unwrap().len(), 1, "those that had ended are gone");
    let record = host.running.store.hook(&hook.id().into()).await.unwrap().unwrap();
    assert_eq!(record.secrets.len(), 2);
    host.finish().await;
}

#[tokio::test]
async fn the_public_key_follows_the_secret() {
    let (clock, receiver) = (Clock::manual(now_ms()), Receiver::start().await);
    let hook = a_hook("channel_create").to(&receiver).with("signature", "ed25519");
    let host = a_host(&clock, &hook).await;
    let key = async || host.call("GET", &path(&hook, "/public_key"), TENANT_KEY, None).await.expect(200).data().clone();
    let before = key().await;
    rotate(&host, &hook, json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})).await.expect(200);
    let after = key().await;
    assert_ne!(before, after);
    assert_eq!(after, json!({"public_key": "whpk_jhkHtYdDhId8AyS9L8MC9O6rVoQzqfyn9e3IHGQYG6Y="}));
    let signatures = signatures(&signed(&host, &receiver, &hook).await);
    assert!(signatures.len() == 2 && signatures.iter().all(|one| one.starts_with("v1a,")), "{signatures:?}");
    host.finish().await;
}

#[tokio::test]
async fn what_is_no_secret_or_not_ones_own_is_refused() {
    let (clock, receiver) = (Clock::manual(now_ms()), Receiver::start().await);
    let hook = a_hook("channel_create").to(&receiver);
    let host = a_host(&clock, &hook).await;
    for data in [json!({"secret": "hunter2"}), json!({"secret": 1}), json!({"secret": ""})] {
        let refused = rotate(&host, &hook, data.clone()).await.expect(400);
        assert!(refused.data().get("secret").is_some(), "{data}: {}", refused.envelope);
    }
    for (method, rest) in [("POST", "secret"), ("GET", "public_key")] {
        host.call(method, &format!("/v2/accounts/{ACCOUNT}/webhooks/none/{rest}"), TENANT_KEY, None).await.expect(404);
        let elsewhere = format!("/v2/accounts/{SIBLING}/webhooks/{}/{rest}", hook.id());
        host.call(method, &elsewhere, MASTER_KEY, None).await.expect(404);
    }
    let stale =
        host.request("POST", &path(&hook, "/secret")).header("x-auth-token", TENANT_KEY).header("if-match", "\"99\"");
    assert_eq!(hookbox_tests::rest::send(stale).await.status, 412);
    let rotated = rotate(&host, &hook, json!({})).await.expect(200);
    let shown = host.call("GET", &path(&hook, ""), TENANT_KEY, None).await.expect(200);
    assert_eq!(shown.header("etag"), rotated.header("etag"));
    assert!(!shown.envelope.to_string().contains("whsec_"), "a secret is shown once");
    host.finish().await;
}
