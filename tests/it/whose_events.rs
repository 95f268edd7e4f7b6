//! Whose events: the host, not the module, decides whose a message is and whose hooks it reaches; and what a key opens.
//!
//! The tree here: the master account, below it a reseller, below that the account and its sibling, and below the
//! account a child.

use std::time::Duration;

use hookbox::store::DeadLetterQuery;
use hookbox_tests::{
    receiver::Receiver,
    samples::{ACCOUNT, Message, channel_created, sms_received},
    test_host::{Builder, HookDraft, MASTER, MASTER_KEY, RESELLER, SIBLING, TENANT_KEY, TestHost, a_hook, http},
};
use serde_json::{Value, json};

const CHILD: &str = "cccc0000cccc0000cccc0000cccc0000";

/// Everybody in the tree, with the name that their hooks' requests go by.
const TREE: [(&str, &str); 5] =
    [("master", MASTER), ("reseller", RESELLER), ("account", ACCOUNT), ("sibling", SIBLING), ("child", CHILD)];

fn with_child() -> Builder {
    TestHost::builder().document(json!({
        "_id": CHILD, "pvt_type": "account", "name": "child", "pvt_tree": [RESELLER, ACCOUNT], "pvt_reseller_id": RESELLER,
    }))
}

/// Everybody has a hook for texts of their own, and one for those of their subaccounts too.
async fn everybody_listens(receiver: &Receiver) -> TestHost {
    let own = |(name, account): (&str, &str)| a_hook("sms").of(account).to_uri(&receiver.url(&format!("/{name}")));
    let all = |(name, account): (&str, &str)| {
        let uri = receiver.url(&format!("/{name}-and-below"));
        a_hook("sms").of(account).to_uri(&uri).with("include_subaccounts", true)
    };
    let hooks: Vec<HookDraft> = TREE.into_iter().map(own).chain(TREE.into_iter().map(all)).collect();
    hooks.into_iter().fold(with_child(), |builder, hook| builder.hook(hook)).start().await
}

/// The paths at which the message arrived, sorted; it must have arrived at so many, and the host is done with it.
async fn paths(receiver: &Receiver, count: usize) -> Vec<String> {
    let mut paths: Vec<_> =
        receiver.expect_requests(count).await.iter().map(|request| request.path()[1..].to_owned()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn an_event_reaches_its_account_and_the_ancestors_that_ask_for_it() {
    let receiver = Receiver::start().await;
    let host = everybody_listens(&receiver).await;
    host.publish(sms_received(ACCOUNT)).await;
    let expected = ["account", "account-and-below", "master-and-below", "reseller-and-below"];
    assert_eq!(paths(&receiver, 4).await, expected);
    host.finish().await;
    assert_eq!(receiver.requests().len(), 4, "not the sibling's, not the child's");
}

#[tokio::test]
async fn a_resellers_own_event_reaches_none_of_its_customers() {
    let receiver = Receiver::start().await;
    let host = everybody_listens(&receiver).await;
    host.publish(sms_received(RESELLER)).await;
    assert_eq!(paths(&receiver, 3).await, ["master-and-below", "reseller", "reseller-and-below"]);
    host.finish().await;
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn what_the_operator_posts_is_the_platforms_word() {
    let receiver = Receiver::start().await;
    let host = everybody_listens(&receiver).await;
    // Posted at the master's own address, about an account far below.
    let (status, envelope) = host.post(MASTER, MASTER_KEY, &sms_received(CHILD)).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(5)), "{envelope}");
    let expected = ["account-and-below", "child", "child-and-below", "master-and-below", "reseller-and-below"];
    assert_eq!(paths(&receiver, 5).await, expected);
    host.finish().await;
}

#[tokio::test]
async fn a_tenants_post_reaches_its_subtree_and_never_the_ancestors() {
    let receiver = Receiver::start().await;
    let host = everybody_listens(&receiver).await;
    let (status, envelope) = host.post(ACCOUNT, TENANT_KEY, &sms_received(CHILD)).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(3)), "{envelope}");
    assert_eq!(paths(&receiver, 3).await, ["account-and-below", "child", "child-and-below"]);

    // At the child's address it is the child's word, which the account above does not hear.
    let (status, envelope) = host.post(CHILD, TENANT_KEY, &sms_received(CHILD)).await;
    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(2)), "{envelope}");
    receiver.expect_requests(5).await;
    host.finish().await;
}

#[tokio::test]
async fn a_tenant_cannot_speak_for_others() {
    let receiver = Receiver::start().await;
    let host = everybody_listens(&receiver).await;
    for other in [SIBLING, RESELLER, MASTER] {
        let (status, envelope) = host.post(ACCOUNT, TENANT_KEY, &sms_received(other)).await;
        assert_eq!((status, &envelope["data"][0]["settlement"]), (422, &json!("discard")), "{envelope}");
        let reason = envelope["data"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(other) && reason.contains("subtree"), "{reason}");
    }
    receiver.expect_silence(Duration::from_millis(50)).await;
    assert!(
        host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap().is_empty(),
        "nothing to be replayed"
    );
    host.finish().await;
}

/// Else a tenant could switch off a module of the operator's for everybody, with a handful of posts.
#[tokio::test]
async fn a_tenant_that_tries_to_speak_for_others_does_not_bring_the_module_into_quarantine() {
    let receiver = Receiver::start().await;
    let host = with_child().hook(a_hook("sms").to(&receiver)).setting("modules.fault_count", 3).start().await;
    for _ in 0..5 {
        assert_eq!(host.post(ACCOUNT, TENANT_KEY, &sms_received(SIBLING)).await.0, 422);
    }
    host.publish(sms_received(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

/// The dialled number is looked up in the poster's subtree only.
#[tokio::test]
async fn a_tenants_post_finds_no_numbers_of_others() {
    let receiver = Receiver::start().await;
    let number = |number: &str, account: &str| json!({"_id": number, "pvt_type": "number", "pvt_assigned_to": account});
    let host = with_child()
        .document(number("+13125550101", SIBLING))
        .document(number("+13125550102", CHILD))
        .hook(a_hook("channel_create").of(SIBLING).to(&receiver))
        .hook(a_hook("channel_create").of(CHILD).to(&receiver))
        .start()
        .await;
    let (_, envelope) = host.post(ACCOUNT, TENANT_KEY, &call_to("+13125550101")).await;
    assert_eq!(envelope["data"][0], json!({"settlement": "ack", "events": 0, "firings": 0}));
    let (_, envelope) = host.post(ACCOUNT, TENANT_KEY, &call_to("+13125550102")).await;
    assert_eq!(envelope["data"][0], json!({"settlement": "ack", "events": 1, "firings": 1}));
    assert_eq!(receiver.expect_requests(1).await[0].header("x-account-id"), Some(CHILD));
    // The platform's own message finds the sibling.
    host.publish(call_to("+13125550101")).await;
    assert_eq!(receiver.expect_requests(2).await[1].header("x-account-id"), Some(SIBLING));
    host.finish().await;
}

/// A call from outside that says nothing of its account but the number that was dialled.
fn call_to(number: &str) -> Message {
    channel_created(ACCOUNT)
        .with("Custom-Channel-Vars", json!({"Fetch-ID": "0d9e"}))
        .with("Request", format!("{number}@acme.example.net"))
}

#[tokio::test]
async fn a_key_opens_its_own_account_and_what_is_below() {
    let host = with_child().without_broker().start().await;
    let message = sms_received(ACCOUNT);
    for (account, key, status) in [
        (ACCOUNT, TENANT_KEY, 202),
        (RESELLER, TENANT_KEY, 403),
        (SIBLING, TENANT_KEY, 403),
        (MASTER, TENANT_KEY, 403),
        // One that is not there looks like one that is not theirs.
        ("00000000000000000000000000000000", TENANT_KEY, 403),
        (ACCOUNT, MASTER_KEY, 202),
        ("00000000000000000000000000000000", MASTER_KEY, 404),
    ] {
        let (given, envelope) = host.post(account, key, &message).await;
        assert_eq!(given, status, "{account}: {envelope}");
    }
    assert_eq!(host.post(CHILD, TENANT_KEY, &sms_received(CHILD)).await.0, 202);
    let (_, envelope) = host.post(SIBLING, TENANT_KEY, &message).await;
    assert_is_error(&envelope, "403", "forbidden");
    host.finish().await;
}

#[tokio::test]
async fn without_a_key_or_with_a_wrong_one_nothing_opens() {
    let host = TestHost::builder().without_broker().start().await;
    let url = format!("http://{}/v2/accounts/{ACCOUNT}/messages", host.running.api_address);
    let body = json!({"data": sms_received(ACCOUNT).to_json()}).to_string();
    let ask = async |header: Option<(&str, String)>| {
        let request = http().put(&url).body(body.clone());
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    for none in [None, Some(("x-auth-token", String::new()))] {
        let (status, envelope) = ask(none).await;
        assert_eq!(status, 401);
        assert_is_error(&envelope, "401", "invalid_credentials");
    }
    for wrong in ["wrong", &TENANT_KEY[1..], &format!("{TENANT_KEY}0"), &TENANT_KEY.to_uppercase()] {
        let (status, envelope) = ask(Some(("x-auth-token", wrong.to_owned()))).await;
        assert_eq!(status, 401, "{wrong}");
        assert_is_error(&envelope, "401", "invalid credentials");
        assert!(!envelope.to_string().contains(wrong), "a key is never echoed");
    }
    assert_eq!(ask(Some(("authorization", format!("Basic {TENANT_KEY}")))).await.0, 401);
    assert_eq!(ask(Some(("authorization", format!("Bearer {TENANT_KEY}")))).await.0, 202);
    host.finish().await;
}

#[tokio::test]
async fn who_guesses_keys_is_slowed_down() {
    let host = TestHost::builder().without_broker().setting("api.auth_failures_per_min", 3).start().await;
    let message = sms_received(ACCOUNT);
    for _ in 0..3 {
        assert_eq!(host.post(ACCOUNT, "wrong", &message).await.0, 401);
    }
    let (status, envelope) = host.post(ACCOUNT, "wrong", &message).await;
    assert_eq!(status, 429);
    assert_is_error(&envelope, "429", "too_many_requests");
    // Also with the right one: else an answer would tell which guess was right.
    assert_eq!(host.post(ACCOUNT, TENANT_KEY, &message).await.0, 429);
    host.finish().await;
}

/// Crossbar's error envelope.
fn assert_is_error(envelope: &Value, code: &str, message: &str) {
    assert_eq!(
        (&envelope["status"], &envelope["error"], &envelope["message"]),
        (&json!("error"), &json!(code), &json!(message))
    );
    assert_eq!(envelope["request_id"].as_str().map(str::len), Some(32), "{envelope}");
    assert!(envelope["data"].is_object(), "{envelope}");
}
