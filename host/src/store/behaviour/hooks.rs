//! Hooks: kept, written over a revision, listed, switched off and deleted.

use super::*;

pub(crate) async fn keeps_hooks_and_tells_what_changed(store: SharedStore) {
    let [first, second] = [hook("h1", "a1"), hook("h2", "a1")];
    assert_eq!(store.put_hooks(&[first.clone(), second.clone()], NOW).await.expect("written"), [true, true]);
    assert_eq!(store.hook(&first.id).await.expect("read"), Some(first.clone()));
    assert!(!store.put_hook(&first, NOW).await.expect("written"), "the same again changes nothing");
    let seen = store.hooks_since(0, 10).await.expect("read");
    assert_eq!(seen.changes.len(), 2);
    let mut edited = first.clone();
    edited.document.insert("name".into(), "edited".into());
    assert!(store.put_hook(&edited, NOW).await.expect("written"));
    assert!(store.delete_hook(&second.id, &[], NOW).await.expect("deleted"));
    assert!(!store.delete_hook(&second.id, &[], NOW).await.expect("deleted"));
    let later = store.hooks_since(seen.cursor, 10).await.expect("read");
    match later.changes.as_slice() {
        [HookChange::Saved(saved), HookChange::Deleted(account, id)] => {
            assert_eq!((saved.revision, saved.document.get("name")), (2, Some(&json!("edited"))));
            assert_eq!((account.as_str(), id), ("a1", &second.id));
        }
        other => unreachable!("{other:?}"),
    }
    let last = store.hooks_since(later.cursor, 10).await.expect("read");
    assert_eq!((last.changes.len(), last.cursor), (0, later.cursor));
    assert!(store.put_hook(&second, NOW).await.expect("written"), "a deleted one can come back");
}

pub(crate) async fn disables_a_hook_in_one_step(store: SharedStore) {
    let id = HookId::from("h1");
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    store.commit(&[failure(attempt(1, "h1", NOW))]).await.expect("committed");
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    store.commit(&wait(firing(2, "h2", None), NOW)).await.expect("committed");
    let notices = &[notice("off")];
    assert!(store.disable_hook(&id, "too many failed attempts", notices, NOW).await.expect("disabled"));
    assert!(!store.disable_hook(&id, "again", notices, NOW).await.expect("disabled"));
    assert!(!store.disable_hook(&"nobody".into(), "again", notices, NOW).await.expect("disabled"));
    let disabled = store.hook(&id).await.expect("read").expect("it is there");
    assert_eq!(disabled.document.get("enabled"), Some(&json!(false)));
    assert_eq!((disabled.disabled_message.as_deref(), disabled.revision), (Some("too many failed attempts"), 2));
    assert_eq!(store.failure_count(&id, 0).await.expect("counted"), 0);
    assert_eq!(counts(&store).await, (1, 1), "those of other hooks wait on");
    let undelivered = undelivered(&store, "h1", 10).await;
    assert_eq!(undelivered[0].reason, "the hook was disabled: too many failed attempts");
    let kept = store.notices(10).await.expect("read");
    assert_eq!(kept.len(), 1);
    assert_eq!(Notice { id: 0, ..kept[0].clone() }, notice("off"));
    store.delete_notice(kept[0].id).await.expect("removed");
    assert_eq!(store.notices(10).await.expect("read"), []);
}

pub(crate) async fn a_hook_that_is_saved_disabled_lets_nothing_wait(store: SharedStore) {
    let off = |mut record: HookRecord| {
        record.document.insert("enabled".into(), json!(false));
        record
    };
    store.put_account(&account("a1", &[]), NOW).await.expect("written");
    store.put_hooks(&[hook("h1", "a1"), hook("h2", "a1"), hook("h3", "a1")], NOW).await.expect("written");
    for (id, of) in [(1, "h1"), (2, "h2"), (3, "h3")] {
        store.commit(&wait(firing(id, of, None), NOW)).await.expect("committed");
    }
    assert!(store.put_hook(&off(hook("h1", "a1")), NOW + 1).await.expect("written"));
    assert_eq!(store.save_hook(&off(hook("h2", "a1")), Some(1), &[], NOW + 1).await.expect("asked"), Saved::Done(2));
    let edit = edited(&hook("h3", "a1"), "x");
    assert_eq!(store.save_hook(&edit, Some(1), &[], NOW + 1).await.expect("asked"), Saved::Done(2));
    for id in ["h1", "h2"] {
        let listed = undelivered(&store, id, 10).await;
        let [row] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((row.reason.as_str(), row.ended_ms), ("the hook was disabled", NOW + 1));
    }
    assert_eq!(counts(&store).await, (1, 2), "that of a hook that stays on waits on");
}

pub(crate) async fn a_deleted_hook_lets_nothing_wait(store: SharedStore) {
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let notices_of = async |store: &SharedStore| store.notices(10).await.expect("read").len();
    assert!(store.delete_hook(&"h1".into(), &[notice("gone")], NOW).await.expect("deleted"));
    assert!(!store.delete_hook(&"h1".into(), &[notice("gone")], NOW).await.expect("deleted"));
    assert_eq!((counts(&store).await, notices_of(&store).await), ((0, 1), 1));
    let listed = undelivered(&store, "h1", 10).await;
    assert_eq!((listed[0].reason.as_str(), listed[0].ended_ms), ("the hook was deleted", NOW));
}

async fn save(store: &SharedStore, record: &HookRecord, based_on: Option<i64>) -> Saved {
    store.save_hook(record, based_on, &[notice("saved")], NOW).await.expect("asked")
}

fn edited(record: &HookRecord, name: &str) -> HookRecord {
    let mut record = record.clone();
    record.document.insert("name".into(), name.into());
    record
}

pub(crate) async fn a_hook_is_saved_over_its_revision(store: SharedStore) {
    let new = hook("h1", "a1");
    assert_eq!(save(&store, &new, None).await, Saved::Conflict, "its account is not there");
    store.put_accounts(&[account("a1", &[]), account("a2", &[])], NOW).await.expect("written");
    assert_eq!(save(&store, &new, None).await, Saved::Done(1));
    assert_eq!(save(&store, &new, None).await, Saved::Conflict, "it is there");
    store.commit(&[failure(attempt(1, "h1", NOW))]).await.expect("committed");
    assert_eq!(save(&store, &new, Some(1)).await, Saved::Done(1), "it is so already");
    assert_eq!(store.failure_count(&new.id, 0).await.expect("counted"), 1, "nothing was done");
    assert_eq!(save(&store, &edited(&new, "x"), Some(2)).await, Saved::Conflict);
    assert_eq!(save(&store, &edited(&new, "x"), Some(1)).await, Saved::Done(2));
    assert_eq!(store.failure_count(&new.id, 0).await.expect("counted"), 0, "an edit clears them");
    assert_eq!(save(&store, &edited(&new, "y"), Some(1)).await, Saved::Conflict, "somebody was faster");
    let taken_over = HookRecord { account: "a2".into(), ..edited(&new, "z") };
    assert_eq!(save(&store, &taken_over, Some(2)).await, Saved::Conflict, "it is another account's");
    assert_eq!(save(&store, &hook("h2", "a1"), Some(1)).await, Saved::Conflict, "it is missing");
    let kept = HookRecord { revision: 2, ..edited(&new, "x") };
    assert_eq!(store.hook(&new.id).await.expect("read"), Some(kept));
    assert_eq!(notices(&store).await.len(), 2, "one for each that wrote something");
}

pub(crate) async fn a_deleted_hook_can_be_made_again(store: SharedStore) {
    store.put_account(&account("a1", &[]), NOW).await.expect("written");
    let first = hook("h1", "a1");
    assert_eq!(save(&store, &first, None).await, Saved::Done(1));
    assert!(store.delete_hook(&first.id, &[], NOW).await.expect("deleted"));
    assert_eq!(save(&store, &first, Some(1)).await, Saved::Conflict);
    let again = HookRecord { created_ms: NOW + 5, ..first };
    assert_eq!(save(&store, &again, None).await, Saved::Done(3), "revisions go on counting");
    assert_eq!(store.hook(&again.id).await.expect("read"), Some(HookRecord { revision: 3, ..again.clone() }));
    assert!(store.delete_account(&"a1".into(), NOW).await.expect("deleted"));
    assert_eq!(save(&store, &again, None).await, Saved::Conflict, "its account is gone");
}

pub(crate) async fn lists_hooks_of_an_account_in_pages(store: SharedStore) {
    let mut records: Vec<HookRecord> = ["h3", "h1", "h5", "h2", "h4"].map(|id| hook(id, "a1")).to_vec();
    records.push(hook("other", "a2"));
    store.put_hooks(&records, NOW).await.expect("written");
    store.delete_hook(&"h5".into(), &[], NOW).await.expect("deleted");
    assert_eq!(store.hook_count(&"a1".into()).await.expect("counted"), 4, "neither the deleted one nor another's");
    for id in ["h1", "h3", "h4", "other"] {
        store.disable_hook(&id.into(), "failed", &[], NOW).await.expect("disabled");
    }
    // Switched off by its owner; and enabled again, with the old reason still beside it.
    let mut by_hand = hook("h2", "a1");
    by_hand.document.insert("enabled".into(), false.into());
    let on_again = HookRecord { disabled_message: Some("failed".into()), ..hook("h4", "a1") };
    store.put_hooks(&[by_hand, on_again], NOW).await.expect("written");
    let ids = |page: Vec<HookRecord>| page.into_iter().map(|record| record.id.to_string()).collect::<Vec<_>>();
    let all = async |after: Option<&str>, limit| {
        let after = after.map(HookId::from);
        ids(store.hooks_of(&"a1".into(), after.as_ref(), limit).await.expect("read"))
    };
    assert_eq!(all(None, 100).await, ["h1", "h2", "h3", "h4"]);
    assert_eq!(all(None, 3).await, ["h1", "h2", "h3"]);
    assert_eq!(all(Some("h3"), 3).await, ["h4"]);
    assert_eq!(all(Some("h1'; --"), 1).await, ["h2"], "a place that no hook has");
    let off = async |after: Option<&str>, limit| {
        let after = after.map(HookId::from);
        ids(store.switched_off_hooks(&"a1".into(), after.as_ref(), limit).await.expect("read"))
    };
    assert_eq!(off(None, 100).await, ["h1", "h3"]);
    assert_eq!(off(Some("h1"), 1).await, ["h3"]);
}
