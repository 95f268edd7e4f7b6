//! KAZOO beside: the first events of an account that nobody knows yet wait for it and its hooks, bounded in time and number.

use std::time::Duration;

use hookbox_tests::{
    eventually::eventually,
    receiver::Receiver,
    samples::{account_changed, sms_received},
    test_host::a_hook,
};

use crate::kazoo_beside::{CHILD, OTHER, ROOT, STRANGER, a_childs_hook, a_couchdb, account, beside, knows};

#[tokio::test]
async fn the_first_events_of_an_unknown_account_wait_for_it() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).start().await;
    let above = "eeee8888eeee8888eeee8888eeee8888";
    let (own, resellers) = (a_hook("sms").to(&receiver).of(STRANGER), a_hook("sms").to(&receiver).of(above));
    couchdb.put("accounts", account(above, &[ROOT]));
    couchdb.put("accounts", account(STRANGER, &[ROOT, above]));
    couchdb.put("webhooks", own.document());
    couchdb.put("webhooks", resellers.with("include_subaccounts", true).document());

    host.publish(sms_received(STRANGER)).await;
    host.publish(sms_received(STRANGER)).await;

    receiver.expect_requests(4).await;
    let view = format!("GET /webhooks/_design/webhooks/_view/accounts_listing?startkey=\"{STRANGER}\"");
    assert_eq!(couchdb.calls(&view).len(), 1, "asked once for all who wait");
    host.finish().await;
}

#[tokio::test]
async fn an_event_that_comes_between_an_account_and_its_hooks_waits_for_these() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).setting("kazoo.couchdb_page_rows", 2).start().await;
    couchdb.put("accounts", account(STRANGER, &[ROOT]));
    for _ in 0..3 {
        couchdb.put("webhooks", a_hook("sms").to(&receiver).of(STRANGER).document());
    }
    couchdb.slow_views(Duration::from_millis(300));
    host.publish(sms_received(STRANGER)).await;
    eventually("the account to be known", async || if knows(&host, STRANGER) { Ok(()) } else { Err("not yet") }).await;
    host.publish(sms_received(STRANGER)).await;
    receiver.expect_requests(6).await;
    host.finish().await;
}

#[tokio::test]
async fn hooks_are_found_without_the_view_too() {
    let (couchdb, receiver) = (a_couchdb().await.without_views(), Receiver::start().await);
    let host = beside(&couchdb).setting("kazoo.couchdb_page_rows", 2).start().await;
    couchdb.put("accounts", account(STRANGER, &[ROOT]));
    for _ in 0..3 {
        couchdb.put("webhooks", a_hook("sms").to(&receiver).of(STRANGER).document());
        couchdb.put("webhooks", a_hook("sms").to(&receiver).of(OTHER).document());
    }
    host.publish(sms_received(STRANGER)).await;
    receiver.expect_requests(3).await;
    host.finish().await;
}

#[tokio::test]
async fn an_account_that_nobody_knows_is_asked_for_once() {
    let couchdb = a_couchdb().await;
    let host = beside(&couchdb).start().await;
    for _ in 0..5 {
        host.publish(sms_received(STRANGER)).await;
    }
    host.publish(sms_received("no account at all")).await;
    host.expect_settled().await;
    assert_eq!(couchdb.calls(&format!("GET /accounts/{STRANGER}")).len(), 1);
    assert!(couchdb.calls("GET /accounts/no").is_empty());

    // Its notice ends what is remembered.
    let revision = couchdb.put("accounts", account(STRANGER, &[ROOT]));
    host.publish(account_changed("doc_created", STRANGER).with("Rev", revision)).await;
    eventually("the account to be known", async || if knows(&host, STRANGER) { Ok(()) } else { Err("not yet") }).await;
    host.finish().await;
}

#[tokio::test]
async fn an_account_is_asked_for_again_when_it_was_remembered_long_enough() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).setting("kazoo.unknown_account_remembered_ms", 0).start().await;
    host.publish(sms_received(STRANGER)).await;
    eventually("it to be asked for", async || {
        let calls = couchdb.calls(&format!("GET /accounts/{STRANGER}"));
        if calls.len() == 1 { Ok(()) } else { Err(calls) }
    })
    .await;
    host.expect_settled().await;
    // Nobody tells of it.
    couchdb.put("accounts", account(STRANGER, &[ROOT]));
    couchdb.put("webhooks", a_hook("sms").to(&receiver).of(STRANGER).document());
    host.publish(sms_received(STRANGER)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn nobody_waits_over_the_bounds() {
    for bound in ["kazoo.unknown_accounts_waiting_max", "kazoo.unknown_accounts_remembered_max"] {
        let couchdb = a_couchdb().await;
        let least = i32::from(bound.contains("remembered"));
        let host = beside(&couchdb).setting(bound, least).start().await;
        // With a bound of one, this one is remembered.
        host.publish(sms_received("nobody")).await;
        host.expect_settled().await;
        host.publish(sms_received(STRANGER)).await;
        host.expect_settled().await;
        assert!(couchdb.calls(&format!("GET /accounts/{STRANGER}")).is_empty(), "{bound}");
        host.finish().await;
    }
}

#[tokio::test]
async fn waiting_ends_when_couchdb_does_not_answer() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let hook = a_childs_hook(&receiver);
    couchdb.put("webhooks", hook.document());
    let host = beside(&couchdb).setting("kazoo.unknown_account_wait_ms", 50).start().await;
    couchdb.slow(Duration::from_secs(60));
    host.publish(sms_received(STRANGER)).await;
    host.publish(sms_received(CHILD)).await;
    receiver.expect_requests(1).await;
    host.expect_settled().await;
    host.finish().await;
}
