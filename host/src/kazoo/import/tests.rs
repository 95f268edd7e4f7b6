use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{account::hash_key, message::HookId, store::sqlite::SqliteStore};

const NOW: UnixMs = 1_714_100_000_000;
const ROOT: &str = "11112222333344445555666677778888";
const CHILD: &str = "aaaabbbbccccddddeeeeffff00001111";

async fn store() -> (SharedStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
    (Arc::new(SqliteStore::open(&url).await.expect("it opens")), folder)
}

fn validate(record: &HookRecord) -> Result<(), String> {
    match text(&record.document, "uri") {
        Some(uri) if uri.starts_with("https://") => Ok(()),
        _ => Err("uri is no web address".into()),
    }
}

async fn import(store: &SharedStore, file: &Value) -> Report {
    let key = HostKey::from_bytes([7; 32]);
    let master = AccountId::from("master");
    run(&file.to_string(), store, &key, &master, &validate, NOW).await.expect("it is loaded")
}

fn account(id: &str, tree: &[&str]) -> Value {
    json!({"_id": id, "_rev": "1-a", "pvt_type": "account", "name": format!("Account {id}"), "pvt_tree": tree,
        "pvt_reseller_id": tree.last()})
}

fn hook(id: &str, event: &str) -> Value {
    json!({"_id": id, "_rev": "2-b", "pvt_type": "webhook", "pvt_account_id": CHILD, "pvt_created": 63_881_319_200_u64,
        "name": "n", "uri": "https://h.example/", "hook": event})
}

async fn record(store: &SharedStore, id: &str) -> HookRecord {
    store.hook(&HookId::from(id)).await.expect("read").expect("it is there")
}

fn reasons(report: &Report) -> Vec<(&str, &str)> {
    report.refused.iter().map(|refused| (refused.id.as_str(), refused.reason.as_str())).collect()
}

#[tokio::test]
async fn loads_all_types_in_any_order_and_once() {
    let (store, _folder) = store().await;
    let mut child = account(CHILD, &[ROOT]);
    child["pvt_api_key"] = json!("k".repeat(64));
    (child["realm"], child["language"]) = (json!("acme.example.net"), json!("en-us"));
    child["pvt_reseller"] = json!(true);
    let file = json!([
        hook("h1", "all"),
        {"_id": "+13125550111", "pvt_type": "number", "pvt_assigned_to": CHILD},
        child,
        account(ROOT, &[]),
        {"_id": "u1", "pvt_type": "user"},
        {"_id": "gone", "pvt_type": "webhook", "pvt_deleted": true},
        {"_id": "gone2", "_deleted": true},
    ]);
    let report = import(&store, &file).await;
    assert_eq!(report.refused, []);
    assert_eq!((report.accounts.loaded, report.keys.loaded, report.numbers.loaded), (2, 1, 1));
    assert_eq!((report.hooks.loaded, report.deleted, report.passed_over["user"]), (1, 2, 1));

    let accounts = store.accounts().await.expect("read");
    let child = accounts.iter().find(|account| account.id.as_str() == CHILD).expect("it is there");
    assert_eq!(child.tree, ["master", ROOT].map(AccountId::from), "roots come under the master account");
    assert_eq!(child.reseller, Some(ROOT.into()));
    let kept = store.account(&child.id).await.expect("read").expect("it is there");
    let fields = json!({"name": child.name, "realm": "acme.example.net", "language": "en-us"});
    assert_eq!((Value::Object(kept.document), kept.is_reseller), (fields, true), "all that is public");
    assert_eq!(store.key(&hash_key(&"k".repeat(64))).await.expect("read").expect("it is there").account, child.id);
    let loaded = record(&store, "h1").await;
    assert_eq!(loaded.created_ms, 1_714_100_000_000);
    assert_eq!(
        Value::Object(loaded.document),
        json!({"name": "n", "uri": "https://h.example/", "hook": "all", "http_verb": "post", "format": "form-data",
            "retries": 2, "enabled": true, "include_internal_legs": true})
    );
    let secret = HostKey::from_bytes([7; 32]).open(&"h1".into(), &loaded.secrets[0]).expect("it opens");
    assert_eq!(secret.len(), 32);

    let cursor = store.hooks_since(0, 10).await.expect("read").cursor;
    let again = import(&store, &file).await;
    for counts in [again.accounts, again.keys, again.numbers, again.hooks] {
        assert_eq!(counts.loaded, 0);
    }
    assert_eq!((again.accounts.unchanged, again.hooks.unchanged), (2, 1));
    assert_eq!(store.hooks_since(cursor, 10).await.expect("read").changes.len(), 0, "nothing changed");
}

#[tokio::test]
async fn reads_couchdbs_answers() {
    let (store, _folder) = store().await;
    let file = json!({"total_rows": 3, "offset": 0, "rows": [
        {"id": ROOT, "key": ROOT, "value": {"rev": "1-a"}, "doc": account(ROOT, &[])},
        {"id": "x", "key": "x", "value": {"rev": "1-a"}},
        {"id": "y", "key": "y", "value": {"rev": "1-a", "deleted": true}, "doc": null},
    ]});
    let report = import(&store, &file).await;
    assert_eq!((report.accounts.loaded, report.deleted), (1, 1));
    assert_eq!(reasons(&report), [("x", "its row has no document; fetch _all_docs with include_docs=true")]);
}

#[tokio::test]
async fn broken_documents_hold_nothing_up() {
    let (store, _folder) = store().await;
    let stranger = "99998888777766665555444433332222";
    let mut orphan = hook("h2", "all");
    orphan["pvt_account_id"] = json!(stranger);
    let mut bad = hook("h3", "all");
    bad["uri"] = json!("nowhere");
    let report = import(
        &store,
        &json!([
            account(ROOT, &[]),
            account(CHILD, &[ROOT]),
            hook("h1", "all"),
            orphan,
            bad,
            account("below", &[stranger]),
            account("No Id!", &[]),
            account("loop", &["loop"]),
            {"_id": "+1", "pvt_type": "number", "pvt_assigned_to": stranger},
            {"_id": "+2", "pvt_type": "number"},
            {"pvt_type": "webhook"},
            7,
        ]),
    )
    .await;
    assert_eq!((report.accounts.loaded, report.hooks.loaded), (2, 1));
    let refused: BTreeSet<&str> = reasons(&report).into_iter().map(|(id, _)| id).collect();
    let expected = ["h2", "h3", "below", "No Id!", "loop", "+1", "+2", "(webhook without _id)", "document 12"].into();
    assert_eq!(refused, expected);
    let printed = report.to_string();
    assert!(printed.contains("webhooks: 1 loaded, 0 unchanged"), "{printed}");
    assert!(printed.contains("refused h3: uri is no web address"), "{printed}");
}

#[tokio::test]
async fn old_events_become_notifications_of_their_type() {
    let (store, _folder) = store().await;
    let mut fax = hook("h1", "inbound_fax");
    fax["custom_data"] = json!({"crm": "7"});
    let mut by_kazoo = hook("h3", "notifications");
    by_kazoo["type"] = json!("outbound_fax");
    let file = json!([account(ROOT, &[]), account(CHILD, &[ROOT]), fax, hook("h2", "callflow"), by_kazoo]);
    let report = import(&store, &file).await;
    assert_eq!(report.refused, []);
    let second = report.migrated[0].second.clone().expect("there is a hook for errors");
    let migrated: Vec<_> = report.migrated.iter().map(|migrated| migrated.from.as_str()).collect();
    assert_eq!(migrated, ["inbound_fax", "callflow", "notifications with type outbound_fax"]);
    for (id, kind, other) in [
        ("h1", "inbound_fax", Some(second.as_str())),
        (second.as_str(), "inbound_fax_error", Some("h1")),
        ("h2", "callflow", None),
        ("h3", "outbound_fax", None),
    ] {
        let document = record(&store, id).await.document;
        assert_eq!(document["hook"], json!("notifications"));
        assert_eq!(document["custom_data"]["type"], json!(kind));
        assert_eq!(text(&document, "other_id"), other);
        assert!(!document.contains_key("type"));
    }
    assert_eq!(record(&store, &second).await.document["custom_data"]["crm"], json!("7"));
    let again = import(&store, &file).await;
    assert_eq!((again.hooks.loaded, again.hooks.unchanged), (0, 4));
}

#[tokio::test]
async fn disabled_hooks_keep_their_reason() {
    let (store, _folder) = store().await;
    let mut disabled = hook("h1", "all");
    disabled["enabled"] = json!(false);
    disabled["pvt_disabled_message"] = json!("too many failed attempts");
    import(&store, &json!([account(ROOT, &[]), account(CHILD, &[ROOT]), disabled])).await;
    let record = record(&store, "h1").await;
    assert_eq!(record.disabled_message.as_deref(), Some("too many failed attempts"));
    assert_eq!(record.document["enabled"], json!(false));
}

#[tokio::test]
async fn a_hook_or_key_of_somebody_else_is_left_alone() {
    let (store, _folder) = store().await;
    let mut theirs = hook("h1", "all");
    theirs["pvt_account_id"] = json!(ROOT);
    let mut root = account(ROOT, &[]);
    root["pvt_api_key"] = json!("key");
    import(&store, &json!([root, theirs])).await;
    let mut child = account(CHILD, &[ROOT]);
    child["pvt_api_key"] = json!("key");
    let report = import(&store, &json!([child, hook("h1", "all")])).await;
    assert_eq!(reasons(&report).len(), 2);
    assert_eq!(record(&store, "h1").await.account.as_str(), ROOT);
    assert_eq!(store.key(&hash_key("key")).await.expect("read").expect("it is there").account.as_str(), ROOT);
}

#[tokio::test]
async fn what_has_no_documents_says_what_to_save() {
    let (store, _folder) = store().await;
    let key = HostKey::from_bytes([7; 32]);
    for file in ["{", "{}", "7", "{\"rows\": 1}"] {
        let error = run(file, &store, &key, &"master".into(), &validate, NOW).await.expect_err("it is refused");
        assert!(error.to_string().contains("_all_docs?include_docs=true"), "{error}");
    }
}
