//! KAZOO beside: accounts, numbers and hooks are read from its CouchDB at the start, in pages, and kept fresh by its
//! change notices; what has gone there goes here, and nothing else. What waits for a new account is in `kazoo_newcomers`.

use std::time::Duration;

use hookbox::{account::user_directory::HashMethod, kazoo::reader::ReaderState};
use hookbox_tests::{
    broker::Broker,
    chaos_proxy::ChaosProxy,
    couchdb::CouchDb,
    eventually::{eventually, eventually_within},
    real_program::Place,
    receiver::Receiver,
    samples::{ACCOUNT, Message, account_changed, document_changed, hook_changed, number_changed, sms_received},
    test_host::{Builder, HookDraft, MASTER, MASTER_KEY, RESELLER, TestHost, a_hook, now_ms},
};
use serde_json::{Value, json};

/// Never, as far as a test is concerned.
pub(crate) const NEVER_MS: u64 = 3_600_000;
/// KAZOO's master account, a root; RESELLER and ACCOUNT are known to every test host without CouchDB.
pub(crate) const ROOT: &str = "00007777000077770000777700007777";
/// Sorts before its parent.
pub(crate) const CHILD: &str = "00001111000011110000111100001111";
pub(crate) const OTHER: &str = "eeee2222eeee2222eeee2222eeee2222";
pub(crate) const STRANGER: &str = "eeee9999eeee9999eeee9999eeee9999";

pub(crate) fn account(id: &str, tree: &[&str]) -> Value {
    json!({"_id": id, "pvt_type": "account", "name": format!("Account {id}"), "realm": format!("{id}.example.net"),
        "pvt_tree": tree, "pvt_api_key": format!("{id}{id}")})
}

/// KAZOO's CouchDB with a root, its child and another below it.
pub(crate) async fn a_couchdb() -> CouchDb {
    let couchdb = CouchDb::start().await;
    for account in [account(ROOT, &[]), account(CHILD, &[ROOT]), account(OTHER, &[ROOT])] {
        couchdb.put("accounts", account);
    }
    couchdb
}

/// A host beside it that learns nothing but by reading and by notices.
pub(crate) fn beside(couchdb: &CouchDb) -> Builder {
    TestHost::builder().setting("kazoo.couchdb_url", couchdb.url()).setting("store.poll_ms", NEVER_MS)
}

/// A hook of CHILD for texts.
pub(crate) fn a_childs_hook(receiver: &Receiver) -> HookDraft {
    a_hook("sms").to(receiver).of(CHILD)
}

pub(crate) fn knows(host: &TestHost, account: &str) -> bool {
    host.running.pipeline.accounts.contains(&account.into())
}

pub(crate) fn has_hook(host: &TestHost, account: &str, hook: &str) -> bool {
    host.running.hooks.get(&account.into(), &hook.into()).is_some()
}

/// Waits until the host has the hook, or has it no more.
pub(crate) async fn expect_hook(host: &TestHost, account: &str, hook: &str, there: bool) {
    eventually("the hook to come or to go", async || {
        let is_there = has_hook(host, account, hook);
        if is_there == there { Ok(()) } else { Err(is_there) }
    })
    .await;
}

#[tokio::test]
async fn everything_is_read_in_pages_at_the_start() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    couchdb.put("accounts", account("ffff0000ffff0000ffff0000ffff0000", &[ROOT, OTHER]));
    couchdb.put("accounts", json!({"_id": "_design/accounts", "views": {}}));
    couchdb.put("accounts", json!({"_id": STRANGER, "pvt_type": "account", "pvt_tree": [], "pvt_deleted": true}));
    let hooks: Vec<HookDraft> = (0..5).map(|_| a_childs_hook(&receiver)).collect();
    for hook in &hooks {
        couchdb.put("webhooks", hook.document());
    }
    for (number, owner) in [("+13125550101", Some(CHILD)), ("+13125550102", Some(OTHER)), ("+13125550103", None)] {
        couchdb.put("numbers/+1312", json!({"_id": number, "pvt_type": "number", "pvt_assigned_to": owner}));
    }
    couchdb.put("numbers/+1415", json!({"_id": "+14155550101", "pvt_type": "number", "pvt_assigned_to": ROOT}));
    let host = beside(&couchdb).setting("kazoo.couchdb_page_rows", 2).start().await;

    assert_eq!(host.running.couchdb(), ReaderState::Fresh, "all is there when the host says that it is ready");
    let accounts = &host.running.pipeline.accounts;
    let above = accounts.ancestors(&"ffff0000ffff0000ffff0000ffff0000".into()).unwrap();
    assert_eq!(above.to_vec(), [MASTER, ROOT, OTHER].map(Into::into), "KAZOO's root is below the master account");
    assert!(knows(&host, CHILD) && !knows(&host, STRANGER));
    for hook in &hooks {
        assert!(has_hook(&host, CHILD, &hook.id()));
    }
    assert_eq!(accounts.account_of_number("+13125550102"), Some(OTHER.into()));
    assert_eq!(accounts.account_of_number("+14155550101"), Some(ROOT.into()));
    assert_eq!(accounts.account_of_number("+13125550103"), None);
    assert_eq!(couchdb.calls("GET /webhooks/_all_docs").len(), 3, "five documents, two at a time");
    assert!(!couchdb.calls("POST /accounts/_all_docs").is_empty(), "a child before its parent is fetched again");
    let named = host.running.store.accounts_named("realm", &format!("{CHILD}.example.net")).await.unwrap();
    assert_eq!(named, [CHILD.into()]);
    let (status, _) = host.post(CHILD, &format!("{CHILD}{CHILD}"), &sms_received(CHILD)).await;
    assert_eq!(status, 202, "an account's pvt_api_key is a key");
    receiver.expect_requests(5).await;
    assert!(host.get("/readyz").await.1.contains("\"ready\""));
    host.finish().await;
}

#[tokio::test]
async fn a_new_hook_fires_within_a_second_of_its_notice() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).start().await;
    let hook = a_childs_hook(&receiver);

    let revision = couchdb.put("webhooks", hook.document());
    host.publish(hook_changed("doc_created", CHILD, &hook.id()).with("Rev", revision)).await;

    eventually_within(Duration::from_secs(1), "the hook to come", async || {
        if has_hook(&host, CHILD, &hook.id()) { Ok(()) } else { Err("not there") }
    })
    .await;
    host.publish(sms_received(CHILD)).await;
    receiver.expect_requests(1).await;
    host.finish().await;
}

#[tokio::test]
async fn an_edited_hook_is_never_read_from_an_old_copy() {
    let (couchdb, before, after) = (a_couchdb().await, Receiver::start().await, Receiver::start().await);
    let hook = a_childs_hook(&before);
    couchdb.put("webhooks", hook.document());
    let host = beside(&couchdb).start().await;

    let revision = couchdb.edit("webhooks", &hook.id(), "uri", after.url("/"));
    couchdb.lag("webhooks", &hook.id(), 2);
    host.publish(hook_changed("doc_edited", CHILD, &hook.id()).with("Rev", revision)).await;

    eventually("the edit to be there", async || {
        let hook = host.running.hooks.get(&CHILD.into(), &hook.id().as_str().into());
        let uri = hook.map(|hook| hook.uri.to_string());
        if uri == Some(after.url("/")) { Ok(()) } else { Err(uri) }
    })
    .await;
    assert_eq!(couchdb.calls(&format!("GET /webhooks/{}", hook.id())).len(), 3, "asked until it was new enough");
    host.finish().await;
}

#[tokio::test]
async fn a_new_hook_is_asked_for_until_it_is_there() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).start().await;
    let hook = a_childs_hook(&receiver);
    let revision = couchdb.put("webhooks", hook.document());
    couchdb.lag("webhooks", &hook.id(), 2);
    host.publish(hook_changed("doc_created", CHILD, &hook.id()).with("Rev", revision)).await;
    expect_hook(&host, CHILD, &hook.id(), true).await;
    assert_eq!(couchdb.calls(&format!("GET /webhooks/{}", hook.id())).len(), 3);
    host.finish().await;
}

#[tokio::test]
async fn more_notices_than_can_be_kept_are_made_up_for() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).setting("kazoo.couchdb_notices_max", 1).start().await;
    couchdb.slow(Duration::from_millis(100));
    let hooks: Vec<HookDraft> = (0..5).map(|_| a_childs_hook(&receiver)).collect();
    for hook in &hooks {
        let revision = couchdb.put("webhooks", hook.document());
        host.publish(hook_changed("doc_created", CHILD, &hook.id()).with("Rev", revision)).await;
    }
    for hook in &hooks {
        expect_hook(&host, CHILD, &hook.id(), true).await;
    }
    host.finish().await;
}

#[tokio::test]
async fn what_changed_while_no_notice_could_be_heard_is_read() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let vhost = Broker::shared().await.vhost().await;
    let mut proxy = ChaosProxy::start(vhost.amqp_port).await;
    let host = beside(&couchdb)
        .amqp_url(vhost.url_through(proxy.port()))
        .setting("amqp.reconnect_pause_ms_max", 100)
        .start()
        .await;
    let hook = a_childs_hook(&receiver);
    proxy.refuse().await;
    couchdb.put("webhooks", hook.document());
    proxy.restore().await;
    expect_hook(&host, CHILD, &hook.id(), true).await;
    host.finish().await;
}

#[tokio::test]
async fn a_hook_of_an_account_that_is_not_known_brings_it_along() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).start().await;
    let (told, silent) = (a_hook("sms").to(&receiver).of(STRANGER), a_hook("sms").to(&receiver).of(STRANGER));
    couchdb.put("accounts", account(STRANGER, &[ROOT, OTHER]));
    couchdb.put("webhooks", silent.document());
    let revision = couchdb.put("webhooks", told.document());
    host.publish(hook_changed("doc_created", STRANGER, &told.id()).with("Rev", revision)).await;
    expect_hook(&host, STRANGER, &told.id(), true).await;
    expect_hook(&host, STRANGER, &silent.id(), true).await;
    host.finish().await;
}

#[tokio::test]
async fn a_document_that_is_no_hook_is_refused_and_what_it_was_goes() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let (bad, good) = (a_childs_hook(&receiver), a_childs_hook(&receiver));
    couchdb.put("webhooks", bad.document());
    couchdb.put("webhooks", a_childs_hook(&receiver).to_uri("nowhere").document());
    let host = beside(&couchdb).start().await;
    assert!(has_hook(&host, CHILD, &bad.id()), "its neighbour does not hold it up");

    let revision = couchdb.edit("webhooks", &bad.id(), "uri", "nowhere");
    host.publish(hook_changed("doc_edited", CHILD, &bad.id()).with("Rev", revision)).await;
    expect_hook(&host, CHILD, &bad.id(), false).await;
    let revision = couchdb.put("webhooks", good.document());
    host.publish(hook_changed("doc_created", CHILD, &good.id()).with("Rev", revision)).await;
    expect_hook(&host, CHILD, &good.id(), true).await;
    host.finish().await;
}

#[tokio::test]
async fn a_deleted_hook_goes() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let (marked, removed) = (a_childs_hook(&receiver), a_childs_hook(&receiver));
    for hook in [&marked, &removed] {
        couchdb.put("webhooks", hook.document());
    }
    let host = beside(&couchdb).start().await;
    assert!(has_hook(&host, CHILD, &marked.id()) && has_hook(&host, CHILD, &removed.id()));

    let revision = couchdb.edit("webhooks", &marked.id(), "pvt_deleted", true);
    host.publish(hook_changed("doc_deleted", CHILD, &marked.id()).with("Rev", revision)).await;
    let revision = couchdb.delete("webhooks", &removed.id());
    host.publish(hook_changed("doc_deleted", CHILD, &removed.id()).with("Rev", revision)).await;

    expect_hook(&host, CHILD, &marked.id(), false).await;
    expect_hook(&host, CHILD, &removed.id(), false).await;
    host.publish(sms_received(CHILD)).await;
    host.finish().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_deleted_account_takes_its_hooks_and_keys_along() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let hook = a_childs_hook(&receiver);
    couchdb.put("webhooks", hook.document());
    let host = beside(&couchdb).start().await;

    couchdb.edit("accounts", CHILD, "pvt_deleted", true);
    host.publish(document_changed("doc_deleted", CHILD, "account", CHILD)).await;

    expect_hook(&host, CHILD, &hook.id(), false).await;
    assert!(!knows(&host, CHILD));
    assert_eq!(host.post(CHILD, &format!("{CHILD}{CHILD}"), &sms_received(CHILD)).await.0, 401);

    // It comes back with all its hooks, which had no notices of their own.
    let revision = couchdb.edit("accounts", CHILD, "pvt_deleted", false);
    host.publish(account_changed("doc_edited", CHILD).with("Rev", revision)).await;
    expect_hook(&host, CHILD, &hook.id(), true).await;
    host.finish().await;
}

#[tokio::test]
async fn an_account_that_was_deleted_here_stays_so_until_it_is_edited_there() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let hook = a_childs_hook(&receiver);
    couchdb.put("webhooks", hook.document());
    let host = beside(&couchdb).start().await;
    host.running.store.delete_account(&CHILD.into(), now_ms()).await.unwrap();
    host.running.follower.catch_up().await.unwrap();

    let host = host.restarted(hookbox::clock::Clock::System).await;
    assert!(!knows(&host, CHILD) && !has_hook(&host, CHILD, &hook.id()));
    let revision = couchdb.edit("accounts", CHILD, "name", "again");
    host.publish(account_changed("doc_edited", CHILD).with("Rev", revision)).await;
    expect_hook(&host, CHILD, &hook.id(), true).await;
    host.finish().await;
}

#[tokio::test]
async fn a_changed_key_and_a_released_number_are_no_more() {
    let couchdb = a_couchdb().await;
    let number = "+13125550101";
    couchdb.put("numbers/+1312", json!({"_id": number, "pvt_type": "number", "pvt_assigned_to": CHILD}));
    let host = beside(&couchdb).start().await;
    let status = async |key: String| host.post(CHILD, &key, &sms_received(CHILD)).await.0;
    assert_eq!(status(format!("{CHILD}{CHILD}")).await, 202);

    let revision = couchdb.edit("accounts", CHILD, "pvt_api_key", "n".repeat(64));
    host.publish(account_changed("doc_edited", CHILD).with("Rev", revision)).await;
    let revision = couchdb.edit("numbers/+1312", number, "pvt_assigned_to", Value::Null);
    host.publish(number_changed("doc_edited", number, CHILD).with("Rev", revision)).await;

    eventually("the number to be nobody's", async || match host.running.pipeline.accounts.account_of_number(number) {
        None => Ok(()),
        owner => Err(owner),
    })
    .await;
    assert_eq!((status(format!("{CHILD}{CHILD}")).await, status("n".repeat(64)).await), (401, 202));
    host.finish().await;
}

#[tokio::test]
async fn a_couchdb_that_is_down_at_the_start_is_read_when_it_is_up() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let (there, here) = (a_childs_hook(&receiver), a_hook("sms").to(&receiver));
    couchdb.put("webhooks", there.document());
    couchdb.go_down();
    let host = beside(&couchdb).hook(here).setting("kazoo.couchdb_retry_pause_ms_max", 200).start().await;

    assert!(matches!(host.running.couchdb(), ReaderState::Away(_)));
    let (status, text) = host.get("/readyz").await;
    assert!(status == 503 && text.contains("couchdb: CouchDB at 127.0.0.1:"), "{text}");
    assert!(!text.contains("ss%2Fword") && !text.contains("p@ss"), "{text}");
    host.publish(sms_received(ACCOUNT)).await;
    receiver.expect_requests(1).await;

    couchdb.come_up().await;
    expect_hook(&host, CHILD, &there.id(), true).await;
    eventually("the host to be ready", async || match host.get("/readyz").await {
        (200, _) => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(host.running.restarts("kazoo reader"), 0, "being away is no failure of the part");
    host.finish().await;
}

#[tokio::test]
async fn doctor_says_whether_couchdb_lets_it_in() {
    let couchdb = a_couchdb().await;
    for (url, code, said) in [
        (couchdb.url(), 0, "ok    couchdb: reached"),
        (couchdb.url_with_wrong_password(), 1, "WRONG couchdb: CouchDB at 127.0.0.1:"),
    ] {
        let place = Place::with_settings(&format!("kazoo.couchdb_url = \"{url}\""));
        let doctor = place.call(&["doctor", "--config", "hookbox.toml"]).await;
        assert_eq!(doctor.code, code, "{doctor:?}");
        assert!(doctor.stdout.contains(said) && !doctor.stdout.contains("guess"), "{doctor:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let couchdb = a_couchdb().await;
    let host = beside(&couchdb).setting("kazoo.couchdb_url", couchdb.url_with_wrong_password()).start().await;
    let ReaderState::Away(reason) = host.running.couchdb() else { panic!("it was let in") };
    assert!(reason.contains("refuses us (401); check user and password in kazoo.couchdb_url"), "{reason}");
    assert!(!reason.contains("guess"), "{reason}");
    assert!(!format!("{:?}", host.settings).contains("guess"));
    host.finish().await;
}

#[tokio::test]
async fn what_went_while_the_host_was_down_goes_and_what_was_made_here_stays() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let (gone, stays, here) = (a_childs_hook(&receiver), a_childs_hook(&receiver), a_hook("sms").to(&receiver));
    for hook in [&gone, &stays] {
        couchdb.put("webhooks", hook.document());
    }
    let number = "+13125550101";
    couchdb.put("numbers/+1312", json!({"_id": number, "pvt_type": "number", "pvt_assigned_to": CHILD}));
    let here_id = here.id();
    let host = beside(&couchdb).hook(here).start().await;
    // Made here, for an account of KAZOO's; and what is switched off here stays so.
    let store = &host.running.store;
    let key = hookbox::account::KeyRecord::new("made-here", CHILD.into(), "laptop", now_ms());
    store.put_key(&key).await.unwrap();
    store.put_number("+13125550199", &CHILD.into()).await.unwrap();
    store.disable_hook(&stays.id().as_str().into(), "too many failed attempts", &[], now_ms()).await.unwrap();

    couchdb.delete("webhooks", &gone.id());
    couchdb.delete("numbers/+1312", number);
    couchdb.edit("accounts", OTHER, "pvt_deleted", true);
    let host = host.restarted(hookbox::clock::Clock::System).await;

    let store = &host.running.store;
    assert!(store.hook(&gone.id().as_str().into()).await.unwrap().is_none());
    assert!(has_hook(&host, ACCOUNT, &here_id), "it never was in CouchDB");
    assert_eq!(host.disabled_message(&stays.id()).await.as_deref(), Some("too many failed attempts"));
    assert!(knows(&host, CHILD) && knows(&host, RESELLER) && knows(&host, MASTER) && !knows(&host, OTHER));
    assert_eq!(store.keys(&CHILD.into()).await.unwrap().len(), 2);
    let numbers: Vec<String> = store.numbers().await.unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, ["+13125550199"]);
    host.finish().await;
}

#[tokio::test]
async fn another_couchdb_takes_nothing_away() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let hook = a_childs_hook(&receiver);
    couchdb.put("webhooks", hook.document());
    let mut host = beside(&couchdb).setting("kazoo.couchdb_retry_pause_ms_max", 200).start().await;
    // A web server that is no CouchDB answers 404 to everything.
    let stranger = Receiver::start().await.answering([404]);
    let url = serde_json::to_string(&stranger.url("")).unwrap();
    host.settings.kazoo.couchdb_url = Some(serde_json::from_str(&url).unwrap());
    let host = host.restarted(hookbox::clock::Clock::System).await;
    assert!(matches!(host.running.couchdb(), ReaderState::Away(_)));
    assert!(has_hook(&host, CHILD, &hook.id()));
    host.finish().await;
}

#[tokio::test]
async fn the_hosts_own_notices_are_not_about_couchdb() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let (here, last) = (a_hook("sms").to(&receiver), a_childs_hook(&receiver));
    let host = beside(&couchdb).hook(here.clone()).start().await;
    let own = |message: Message| message.with("Node", "hookbox@elsewhere");
    host.publish(own(hook_changed("doc_edited", ACCOUNT, &here.id()))).await;
    host.publish(own(hook_changed("doc_deleted", ACCOUNT, &here.id()))).await;
    host.publish(own(account_changed("doc_deleted", STRANGER))).await;
    // One of the platform's after them: when it has been heard, so have they.
    let revision = couchdb.put("webhooks", last.document());
    host.publish(hook_changed("doc_created", CHILD, &last.id()).with("Rev", revision)).await;
    expect_hook(&host, CHILD, &last.id(), true).await;
    assert!(has_hook(&host, ACCOUNT, &here.id()));
    assert!(couchdb.calls(&format!("GET /webhooks/{}", here.id())).is_empty());
    host.expect_settled().await;
    assert!(couchdb.calls(&format!("GET /accounts/{STRANGER}")).is_empty());
    host.finish().await;
}

#[tokio::test]
async fn a_reader_that_fails_is_started_anew() {
    let (couchdb, receiver) = (a_couchdb().await, Receiver::start().await);
    let host = beside(&couchdb).start().await;
    let hook = a_childs_hook(&receiver);
    couchdb.put("webhooks", hook.document());
    // It reads everything when it is back; nobody tells it of the hook.
    assert!(host.running.inject_fault("kazoo reader"));
    expect_hook(&host, CHILD, &hook.id(), true).await;
    assert_eq!(host.running.restarts("kazoo reader"), 1);
    host.finish().await;
}

#[tokio::test]
async fn users_are_found_by_their_digests() {
    let database = format!("account/{}/{}/{}", &CHILD[..2], &CHILD[2..4], &CHILD[4..]);
    let (md5, sha1) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef01234567");
    let user = |id: &str, level: &str| {
        json!({"_id": id, "pvt_type": "user", "pvt_account_id": CHILD, "priv_level": level, "pvt_md5_auth": md5,
            "pvt_sha1_auth": sha1})
    };
    for couchdb in [a_couchdb().await, a_couchdb().await.without_views()] {
        let mut disabled = user("u1", "admin");
        disabled["enabled"] = json!(false);
        couchdb.put(&database, disabled);
        let mut other = user("u2", "user");
        (other["pvt_md5_auth"], other["pvt_sha1_auth"]) = (json!("f".repeat(32)), Value::Null);
        couchdb.put(&database, other);
        couchdb.put(&database, user("u3", "admin"));
        let host = beside(&couchdb).without_broker().setting("kazoo.couchdb_page_rows", 1).start().await;
        let users = host.running.kazoo_users.clone().unwrap();

        for (method, hash) in [(HashMethod::Md5, md5), (HashMethod::Sha, sha1), (HashMethod::Md5, &md5.to_uppercase())]
        {
            let found = users.find(&CHILD.into(), method, hash).await.unwrap().unwrap();
            assert_eq!((found.id.as_str(), found.is_admin), ("u3", true));
        }
        let found = users.find(&CHILD.into(), HashMethod::Md5, &"f".repeat(32)).await.unwrap().unwrap();
        assert!(!found.is_admin);
        for (account, method, hash) in [
            (CHILD, HashMethod::Md5, "00000000000000000000000000000000"),
            (CHILD, HashMethod::Sha, md5),
            (CHILD, HashMethod::Md5, ""),
            (OTHER, HashMethod::Md5, md5),
            ("acme", HashMethod::Md5, md5),
        ] {
            assert_eq!(users.find(&account.into(), method, hash).await.unwrap(), None, "{account} {hash}");
        }
        // Over REST: the account by its name, the user by its digest; the token opens that account.
        let login =
            json!({"data": {"credentials": md5, "method": "md5", "account_realm": format!("{CHILD}.example.net")}});
        let token = host.call("PUT", "/v2/user_auth", "", Some(login)).await.expect(201);
        assert_eq!((&token.data()["account_id"], &token.data()["owner_id"]), (&json!(CHILD), &json!("u3")));
        let token = token.envelope["auth_token"].as_str().unwrap().to_owned();
        host.call("GET", &format!("/v2/accounts/{CHILD}/webhooks"), &token, None).await.expect(200);
        host.call("GET", &format!("/v2/accounts/{OTHER}/webhooks"), &token, None).await.expect(403);
        couchdb.go_down();
        assert!(users.find(&CHILD.into(), HashMethod::Md5, md5).await.is_err(), "nobody can say who that is");
        host.finish().await;
    }
    let host = TestHost::builder().without_broker().start().await;
    assert!(host.running.kazoo_users.is_none() && host.running.couchdb() == ReaderState::Off);
    let (status, _) = host.post(ACCOUNT, MASTER_KEY, &sms_received(ACCOUNT)).await;
    assert_eq!(status, 202);
    host.finish().await;
}
