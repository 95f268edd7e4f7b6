//! Hooks and accounts that are changed elsewhere (another node, an import): heard of at once by a change notice on the
//! `configuration` exchange, and found by the periodic look when there is no notice.

use std::time::Duration;

use hookbox::{hook::HookRecord, store::SharedStore};
use hookbox_tests::{
    eventually::eventually_within,
    receiver::Receiver,
    samples::{ACCOUNT, hook_changed, sms_received},
    test_host::{HookDraft, MASTER, RESELLER, TestHost, a_hook, account, import, now_ms},
};

/// Never, as far as a test is concerned: what is heard, is heard by notice.
const NEVER_MS: u64 = 3_600_000;
/// "At once": milliseconds, or a second or two on a machine that is busy with other things.
const SOON: Duration = Duration::from_secs(3);

/// The other node: a connection of its own to the same store.
async fn elsewhere(host: &TestHost) -> SharedStore {
    hookbox::host::open_store(&host.settings).await.unwrap()
}

/// The hook as it is stored, edited.
async fn edited(store: &SharedStore, hook: &str, key: &str, value: impl Into<serde_json::Value>) -> HookRecord {
    let mut record = store.hook(&hook.into()).await.unwrap().unwrap();
    record.document.insert(key.to_owned(), value.into());
    record
}

/// Waits until the host holds the hook with this URI; `None`: until it holds it no more.
async fn expect_uri(host: &TestHost, within: Duration, hook: &str, uri: Option<&str>) {
    eventually_within(within, "the change to be heard", async || {
        let held = host.running.hooks.get(&ACCOUNT.into(), &hook.into()).map(|hook| hook.uri.to_string());
        if held.as_deref() == uri { Ok(()) } else { Err(held) }
    })
    .await;
}

/// What the platform's data layer publishes. A listener that is not there yet looks when it comes.
async fn tell(host: &TestHost, action: &str, hook: &str) {
    host.amqp.as_ref().unwrap().publish(&hook_changed(action, ACCOUNT, hook)).await;
}

async fn a_host_that_only_hears_notices(hook: HookDraft) -> TestHost {
    TestHost::builder().hook(hook).setting("store.poll_ms", NEVER_MS).start().await
}

#[tokio::test]
async fn an_edited_hook_is_heard_of_at_once() {
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    let hook = a_hook("sms").to(&before);
    let id = hook.id();
    let host = a_host_that_only_hears_notices(hook).await;
    let store = elsewhere(&host).await;

    assert!(store.put_hook(&edited(&store, &id, "uri", after.url("/")).await, now_ms()).await.unwrap());
    tell(&host, "doc_edited", &id).await;

    expect_uri(&host, SOON, &id, Some(&after.url("/"))).await;
    host.publish(sms_received(ACCOUNT)).await;
    after.expect_requests(1).await;
    assert!(before.requests().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn a_new_hook_is_heard_of_at_once() {
    let receiver = Receiver::start().await;
    let host = a_host_that_only_hears_notices(a_hook("mms").to(&receiver)).await;
    let hook = a_hook("sms").to(&receiver);

    import(&host.settings, &[hook.document()]).await;
    tell(&host, "doc_created", &hook.id()).await;

    expect_uri(&host, SOON, &hook.id(), Some(&receiver.url("/"))).await;
    host.publish(sms_received(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn a_deleted_hook_and_a_disabled_one_fire_no_more() {
    let receiver = Receiver::start().await;
    let (one, other) = (a_hook("sms").to(&receiver), a_hook("sms").to(&receiver));
    let (deleted, disabled) = (one.id(), other.id());
    let host = TestHost::builder().hook(one).hook(other).setting("store.poll_ms", NEVER_MS).start().await;
    let store = elsewhere(&host).await;

    store.delete_hook(&deleted.as_str().into(), &[], now_ms()).await.unwrap();
    tell(&host, "doc_deleted", &deleted).await;
    expect_uri(&host, SOON, &deleted, None).await;
    store.put_hook(&edited(&store, &disabled, "enabled", false).await, now_ms()).await.unwrap();
    tell(&host, "doc_edited", &disabled).await;
    expect_uri(&host, SOON, &disabled, None).await;

    host.publish(sms_received(ACCOUNT)).await;
    host.finish().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_waiting_retry_follows_an_edited_hook() {
    let (before, after) = (Receiver::start().await.answering([500]), Receiver::start().await);
    let hook = a_hook("sms").to(&before).with("retry_schedule_s", [1]);
    let id = hook.id();
    let host = a_host_that_only_hears_notices(hook).await;
    host.publish(sms_received(ACCOUNT)).await;
    let first = &before.expect_requests(1).await[0];

    let store = elsewhere(&host).await;
    store.put_hook(&edited(&store, &id, "uri", after.url("/")).await, now_ms()).await.unwrap();
    tell(&host, "doc_edited", &id).await;
    expect_uri(&host, SOON, &id, Some(&after.url("/"))).await;

    let second = &after.expect_requests(1).await[0];
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    host.finish().await;
}

#[tokio::test]
async fn without_a_notice_the_periodic_look_finds_it() {
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    let hook = a_hook("sms").to(&before);
    let id = hook.id();
    let host = TestHost::builder().without_broker().hook(hook).setting("store.poll_ms", 100).start().await;
    let store = elsewhere(&host).await;

    store.put_hook(&edited(&store, &id, "uri", after.url("/")).await, now_ms()).await.unwrap();

    expect_uri(&host, SOON * 5, &id, Some(&after.url("/"))).await;
    host.finish().await;
}

#[tokio::test]
async fn a_number_that_changes_hands_or_belongs_to_nobody_any_more_is_found_too() {
    let host = TestHost::builder().without_broker().setting("store.poll_ms", 100).start().await;
    let store = elsewhere(&host).await;
    let tree = &host.running.pipeline.accounts;
    let expect_owner = async |owner: Option<&str>| {
        eventually_within(SOON * 5, "the number to change hands", async || {
            let known = tree.account_of_number("+13125550104");
            if known == owner.map(Into::into) { Ok(()) } else { Err(known) }
        })
        .await;
    };
    store.put_number("+13125550104", &ACCOUNT.into()).await.unwrap();
    expect_owner(Some(ACCOUNT)).await;
    store.put_number("+13125550104", &RESELLER.into()).await.unwrap();
    expect_owner(Some(RESELLER)).await;
    assert_eq!(store.delete_numbers(&["+13125550104".into()]).await.unwrap(), 1);
    expect_owner(None).await;
    host.finish().await;
}

#[tokio::test]
async fn a_new_account_and_its_numbers_are_found_too() {
    let host = TestHost::builder().without_broker().setting("store.poll_ms", 100).start().await;
    let store = elsewhere(&host).await;
    let new = "dddd0000dddd0000dddd0000dddd0000";
    store.put_account(&account(new, &[MASTER, RESELLER]), now_ms()).await.unwrap();
    store.put_number("+13125550103", &new.into()).await.unwrap();

    let tree = &host.running.pipeline.accounts;
    eventually_within(SOON * 5, "the account to be known", async || {
        let known = (tree.contains(&new.into()), tree.account_of_number("+13125550103"));
        if known == (true, Some(new.into())) { Ok(()) } else { Err(known) }
    })
    .await;
    store.delete_account(&new.into(), now_ms()).await.unwrap();
    eventually_within(SOON * 5, "the account to be forgotten", async || {
        let known = (tree.contains(&new.into()), tree.account_of_number("+13125550103"));
        if known == (false, None) { Ok(()) } else { Err(known) }
    })
    .await;
    host.finish().await;
}
