//! Accounts: kept, found, written over a revision, moved and deleted.

use super::*;

pub(crate) async fn keeps_accounts_and_tells_what_changed(store: SharedStore) {
    let [root, child] = [account("a1", &[]), account("a2", &["a1"])];
    assert_eq!(store.put_accounts(&[root.clone(), child.clone()], NOW).await.expect("written"), [true, true]);
    assert!(!store.put_account(&child, NOW).await.expect("written"), "the same again changes nothing");
    let first = store.accounts_since(0, 1).await.expect("read");
    assert_eq!(first.changes, [Ok(root.clone())]);
    let second = store.accounts_since(first.cursor, 10).await.expect("read");
    assert_eq!(second.changes, [Ok(child.clone())]);
    assert!(store.put_account(&Account { name: "new".into(), ..root.clone() }, NOW).await.expect("written"));
    assert!(store.delete_account(&child.id, NOW).await.expect("deleted"));
    assert!(!store.delete_account(&child.id, NOW).await.expect("deleted"));
    let third = store.accounts_since(second.cursor, 10).await.expect("read");
    assert_eq!(third.changes, [Ok(Account { name: "new".into(), ..root }), Err(child.id.clone())]);
    assert_eq!(store.accounts().await.expect("read").len(), 1);
    assert!(store.put_account(&child, NOW).await.expect("written"), "a deleted one can come back");
    assert_eq!(store.accounts().await.expect("read").len(), 2);
}

pub(crate) async fn a_deleted_account_takes_what_is_its_own(store: SharedStore) {
    store.put_account(&account("a1", &[]), NOW).await.expect("written");
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    store.put_number("+1312", &"a1".into()).await.expect("written");
    let key = KeyRecord::new("f00d", "a1".into(), "k", NOW);
    store.put_key(&key).await.expect("written");
    store.put_job(&jobs::job("j1", "a1")).await.expect("written");
    store.put_webhook_settings(Some(&"a1".into()), &object(json!({"x": 1}))).await.expect("written");
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let mut travelled = firing(2, "", None);
    travelled.target = Target::Inline(Arc::new(firings::inline_hook("a1")));
    store.commit(&wait(travelled, NOW)).await.expect("committed");
    store.commit(&given_up(firing(3, "long-gone", None), NOW)).await.expect("committed");
    store.commit(&[failure(attempt(1, "h1", NOW))]).await.expect("committed");
    assert!(store.delete_account(&"a1".into(), NOW).await.expect("deleted"));
    assert_eq!(store.hook(&"h1".into()).await.expect("read"), None);
    assert_eq!(store.numbers().await.expect("read"), []);
    assert_eq!(store.key(&key.hash).await.expect("read"), None);
    assert_eq!(store.job(&"a1".into(), "j1").await.expect("read"), None);
    assert_eq!(store.all_webhook_settings().await.expect("read"), []);
    let listed = store.undelivered(&UndeliveredQuery::newest("a1".into(), None, 9)).await.expect("read");
    let mut reasons: Vec<_> =
        listed.iter().map(|row| (row.firing.id.as_str().to_owned(), row.reason.as_str())).collect();
    reasons.sort();
    let deleted = "the account was deleted";
    let [first, second, third] = [1, 2, 3].map(|id| format!("{id:064x}"));
    assert_eq!(reasons, [(first, deleted), (second, deleted), (third, "404")], "listed, as attempts are");
    assert_eq!(counts(&store).await, (0, 3));
    assert_eq!(store.attempts(&AttemptQuery::newest("a1".into(), None, 9)).await.expect("read").len(), 1, "they stay");
}

async fn save(store: &SharedStore, record: &AccountRecord, based_on: Option<i64>) -> Saved {
    store.save_account(record, based_on, &[notice("saved")], NOW).await.expect("asked")
}

/// A record, written; as it is stored then.
async fn saved(store: &SharedStore, id: &str, tree: &[&str]) -> AccountRecord {
    assert_eq!(save(store, &record(id, tree), None).await, Saved::Done(1));
    AccountRecord { revision: 1, ..record(id, tree) }
}

async fn ids_below(store: &SharedStore, root: &str, children_only: bool) -> Vec<String> {
    let below = store.accounts_below(&root.into(), children_only, None, 100).await.expect("read");
    below.iter().map(|record| record.account.id.to_string()).collect()
}

pub(crate) async fn an_imported_account_has_a_document(store: SharedStore) {
    store.put_accounts(&[account("a1", &[]), account("a2", &["a1"])], NOW).await.expect("written");
    let [above, below] = [store.account(&"a1".into()).await, store.account(&"a2".into()).await]
        .map(|record| record.expect("read").expect("it is there"));
    assert_eq!((above.is_reseller, below.is_reseller), (true, false), "whoever is named as reseller is one");
    assert_eq!(below.account, account("a2", &["a1"]));
    assert_eq!(below.document, object(json!({"name": "Account a2"})));
    assert_eq!((below.revision, below.created_ms), (1, NOW));
    let mut edited = below.clone();
    edited.document.insert("realm".into(), "r.example".into());
    assert_eq!(save(&store, &edited, Some(1)).await, Saved::Done(2));
    let renamed = Account { name: "new".into(), ..below.account };
    assert!(store.put_account(&renamed, NOW + 1).await.expect("written"));
    let renamed = store.account(&"a2".into()).await.expect("read").expect("it is there");
    assert_eq!(renamed.document, object(json!({"name": "new", "realm": "r.example"})), "the rest is left alone");
    assert_eq!((renamed.revision, renamed.created_ms), (3, NOW));
}

pub(crate) async fn an_account_is_saved_over_its_revision(store: SharedStore) {
    let first = saved(&store, "a1", &[]).await;
    assert_eq!(store.account(&"a1".into()).await.expect("read"), Some(first.clone()));
    assert_eq!(save(&store, &first, None).await, Saved::Conflict, "it is there");
    assert_eq!(save(&store, &first, Some(1)).await, Saved::Done(1), "it is so already");
    let mut edited = first.clone();
    edited.document.insert("timezone".into(), "UTC".into());
    assert_eq!(save(&store, &edited, Some(7)).await, Saved::Conflict);
    assert_eq!(save(&store, &edited, Some(1)).await, Saved::Done(2));
    assert_eq!(save(&store, &edited, Some(1)).await, Saved::Conflict, "somebody was faster");
    assert_eq!(save(&store, &record("a2", &[]), Some(1)).await, Saved::Conflict, "it is missing");
    assert_eq!(notices(&store).await, ["saved"; 2], "one for each that wrote something");
    let renamed = AccountRecord { account: Account { name: "new".into(), ..edited.account.clone() }, ..edited };
    assert_eq!(save(&store, &renamed, Some(2)).await, Saved::Done(3));
    let kept = store.account(&"a1".into()).await.expect("read").expect("it is there");
    assert_eq!(kept.document["name"], "new", "the document has the name");
    let followed = store.accounts_since(0, 10).await.expect("read");
    assert_eq!(followed.changes, [Ok(kept.account)]);
}

pub(crate) async fn a_deleted_account_can_be_made_again(store: SharedStore) {
    let first = saved(&store, "a1", &[]).await;
    assert!(store.delete_account(&"a1".into(), NOW).await.expect("deleted"));
    assert_eq!(store.account(&"a1".into()).await.expect("read"), None);
    assert_eq!(save(&store, &first, Some(1)).await, Saved::Conflict);
    let again = AccountRecord { created_ms: NOW + 5, ..first };
    assert_eq!(save(&store, &again, None).await, Saved::Done(3), "revisions go on counting");
    let again = AccountRecord { revision: 3, ..again };
    assert_eq!(store.account(&"a1".into()).await.expect("read"), Some(again));
}

pub(crate) async fn a_new_account_needs_its_parent(store: SharedStore) {
    saved(&store, "m", &[]).await;
    assert_eq!(save(&store, &record("a1", &["nobody"]), None).await, Saved::Conflict);
    saved(&store, "r", &["m"]).await;
    assert_eq!(save(&store, &record("a1", &["r"]), None).await, Saved::Conflict, "its parent is elsewhere");
    saved(&store, "a1", &["m", "r"]).await;
    assert!(store.delete_account(&"r".into(), NOW).await.expect("deleted"));
    assert_eq!(save(&store, &record("a2", &["m", "r"]), None).await, Saved::Conflict, "its parent is gone");
}

pub(crate) async fn lists_accounts_below_in_pages(store: SharedStore) {
    saved(&store, "m", &[]).await;
    for id in ["b", "d", "a", "c"] {
        saved(&store, id, &["m"]).await;
    }
    saved(&store, "a1", &["m", "a"]).await;
    saved(&store, "a11", &["m", "a", "a1"]).await;
    assert!(store.delete_account(&"c".into(), NOW).await.expect("deleted"));
    assert_eq!(ids_below(&store, "m", false).await, ["a", "a1", "a11", "b", "d"]);
    assert_eq!(ids_below(&store, "m", true).await, ["a", "b", "d"]);
    assert_eq!(ids_below(&store, "a", false).await, ["a1", "a11"]);
    assert_eq!(ids_below(&store, "a11", false).await, [""; 0]);
    for children_only in [false, true] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.accounts_below(&"m".into(), children_only, after.as_ref(), 2).await.expect("read");
            let Some(last) = page.last() else { break };
            after = Some(last.account.id.clone());
            seen.extend(page.iter().map(|record| record.account.id.to_string()));
        }
        assert_eq!(seen, ids_below(&store, "m", children_only).await);
    }
    let made_up = store.accounts_below(&"m".into(), false, Some(&"a2'\"%".into()), 100).await.expect("read");
    assert_eq!(made_up.iter().map(|record| record.account.id.as_str()).collect::<Vec<_>>(), ["b", "d"]);
}

pub(crate) async fn finds_accounts_by_a_field(store: SharedStore) {
    saved(&store, "a1", &[]).await;
    saved(&store, "a2", &[]).await;
    let mut third = record("a3", &[]);
    third.document.extend(object(json!({"realm": "a1.example", "odd \"key$": "x", "n": 1})));
    assert_eq!(save(&store, &third, None).await, Saved::Done(1));
    for (field, text, found) in [
        ("name", "Account a2", vec!["a2"]),
        ("name", "account a2", vec![]),
        ("realm", "a1.example", vec!["a1", "a3"]),
        ("odd \"key$", "x", vec!["a3"]),
        ("n", "1", vec![]),
        ("$", "x", vec![]),
    ] {
        let ids = store.accounts_named(field, text).await.expect("read");
        assert_eq!(ids.iter().map(AccountId::as_str).collect::<Vec<_>>(), found, "{field} {text}");
    }
    assert!(store.delete_account(&"a2".into(), NOW).await.expect("deleted"));
    assert_eq!(store.accounts_named("name", "Account a2").await.expect("read"), []);
}

/// The record in another place.
fn moved(record: &AccountRecord, tree: &[&str]) -> AccountRecord {
    AccountRecord { account: Account { tree: account("", tree).tree, ..record.account.clone() }, ..record.clone() }
}

pub(crate) async fn accounts_move_together_or_not_at_all(store: SharedStore) {
    let [_, old, new] =
        [saved(&store, "m", &[]).await, saved(&store, "r1", &["m"]).await, saved(&store, "r2", &["m"]).await];
    let (top, child) = (saved(&store, "a", &["m", "r1"]).await, saved(&store, "b", &["m", "r1", "a"]).await);
    let move_all =
        async |records: &[AccountRecord]| store.save_accounts(records, &[notice("moved")], NOW).await.expect("asked");
    let (top_there, child_there) = (moved(&top, &["m", "r2"]), moved(&child, &["m", "r2", "a"]));
    assert!(!move_all(std::slice::from_ref(&top_there)).await, "one below it is not in the list");
    let stale = AccountRecord { revision: 9, ..child_there.clone() };
    assert!(!move_all(&[top_there.clone(), stale]).await);
    let astray = moved(&child, &["m", "r2", "nobody"]);
    assert!(!move_all(&[top_there.clone(), astray]).await, "its new parent is not there");
    assert_eq!(ids_below(&store, "r1", false).await, ["a", "b"], "nothing was done");
    assert!(move_all(&[child_there.clone(), top_there.clone()]).await, "in any order");
    assert_eq!((ids_below(&store, "r1", false).await.len(), ids_below(&store, "r2", false).await.len()), (0, 2));
    assert_eq!(ids_below(&store, "a", true).await, ["b"]);
    let kept = store.account(&"b".into()).await.expect("read").expect("it is there");
    assert_eq!((&kept.account, kept.revision), (&child_there.account, 2));
    assert!(!move_all(&[top_there, child_there]).await, "they have other revisions now");
    assert!(move_all(&[]).await);
    assert_eq!(notices(&store).await.iter().filter(|key| *key == "moved").count(), 1);
    assert!(store.delete_accounts(&[old.account.id, new.account.id.clone()], &[], NOW).await.expect("deleted") == 2);
    let orphan = moved(&kept, &["m", "r2", "a", "b"]);
    assert!(!move_all(&[orphan]).await, "it would be below itself");
}

pub(crate) async fn accounts_are_deleted_in_one_step(store: SharedStore) {
    for (id, tree) in [("m", vec![]), ("a", vec!["m"]), ("b", vec!["m", "a"]), ("c", vec!["m"])] {
        saved(&store, id, &tree).await;
        store.put_hook(&hook(&format!("h-{id}"), id), NOW).await.expect("written");
        store.put_number(&format!("+{id}"), &id.into()).await.expect("written");
    }
    let seen = store.accounts_since(0, 10).await.expect("read").cursor;
    let list: Vec<AccountId> = ["a", "b", "nobody", "a"].map(AccountId::from).to_vec();
    let deleted = store.delete_accounts(&list, &[notice("gone 1"), notice("gone 2")], NOW).await.expect("deleted");
    assert_eq!(deleted, 2);
    let again = store.delete_accounts(&list, &[notice("gone 3")], NOW).await.expect("deleted");
    assert_eq!((again, store.delete_accounts(&[], &[], NOW).await.expect("deleted")), (0, 0));
    let told: Vec<String> = notices(&store).await.into_iter().filter(|key| key.starts_with("gone")).collect();
    assert_eq!(told, ["gone 1", "gone 2"]);
    let changes = store.accounts_since(seen, 10).await.expect("read").changes;
    assert_eq!(changes, [Err("a".into()), Err("b".into())]);
    let hooks = store.hooks_since(0, 10).await.expect("read").changes;
    let gone = hooks.iter().filter(|change| matches!(change, HookChange::Deleted(..))).count();
    assert_eq!((hooks.len(), gone), (4, 2));
    assert_eq!(store.numbers().await.expect("read").len(), 2);
    assert_eq!(ids_below(&store, "m", false).await, ["c"]);
}

pub(crate) async fn keeps_what_documents_say_of_accounts(store: SharedStore) {
    store.put_account(&account("a1", &[]), NOW).await.expect("written");
    let cursor = store.accounts_since(0, 10).await.expect("read").cursor;
    let fields = |id: &str, realm: &str, is_reseller: bool| AccountFields {
        id: id.into(),
        document: object(json!({"name": format!("Account {id}"), "realm": realm})),
        is_reseller,
    };
    let both = [fields("a1", "r1", true), fields("nobody", "r2", false)];
    assert_eq!(store.put_account_fields(&both).await.expect("written"), [true, false]);
    assert_eq!(store.put_account_fields(&both).await.expect("written"), [false, false]);
    let kept = store.account(&"a1".into()).await.expect("read").expect("it is there");
    assert_eq!((kept.document, kept.is_reseller, kept.revision), (both[0].document.clone(), true, 2));
    assert_eq!(store.accounts_named("realm", "r1").await.expect("read"), [AccountId::from("a1")]);
    assert_eq!(store.accounts_since(cursor, 10).await.expect("read").changes.len(), 0, "no change to followers");

    assert_eq!(store.put_account_fields(&[fields("a1", "r1", false)]).await.expect("written"), [false], "it stays one");
}
