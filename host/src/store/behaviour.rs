//! What every backend of the store has to do: one function a behaviour, given an empty store. Each backend's tests run
//! them all.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::*;
use crate::{
    account::hash_key,
    attempt::{Fault, Outcome, SentRequest},
    hook::{Format, Hook, SealedSecret, Verb},
    message::{Event, Source, Target},
};

/// Runs each behaviour as a test on a store of its own.
macro_rules! behaves {
    ($open:path: $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (store, _guard) = $open().await;
                $crate::store::behaviour::$name(store).await;
            }
        )*
    };
}
pub(crate) use behaves;

const NOW: UnixMs = 1_714_100_000_000;

pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => unreachable!("{other} is no object"),
    }
}

pub(crate) fn account(id: &str, tree: &[&str]) -> Account {
    Account {
        id: id.into(),
        name: format!("Account {id}"),
        tree: tree.iter().map(|id| AccountId::from(*id)).collect(),
        reseller: tree.last().map(|id| AccountId::from(*id)),
    }
}

pub(crate) fn hook(id: &str, account: &str) -> HookRecord {
    HookRecord {
        id: id.into(),
        account: account.into(),
        document: object(json!({"name": "n", "uri": "https://h.example/", "hook": "object", "enabled": true})),
        disabled_message: None,
        secrets: vec![SealedSecret { sealed: "c2VhbGVk".into(), until_ms: None }],
        revision: 1,
        created_ms: NOW,
    }
}

pub(crate) fn attempt(id: u64, hook: &str, at_ms: UnixMs) -> Attempt {
    Attempt {
        id: format!("{at_ms:012x}{id:020x}"),
        webhook_id: format!("{id:064x}").into(),
        account: "a1".into(),
        hook: hook.into(),
        hook_event: "object".into(),
        module: "object".into(),
        at_ms,
        try_number: 1,
        uri: "https://h.example/".into(),
        request: SentRequest { method: "POST", headers: vec![], body: "{}".into() },
        outcome: Outcome::Failed { fault: Fault::Connection, detail: "refused".into() },
        duration_ms: 3,
        next_try_ms: None,
        retries_left: 0,
        payload: None,
    }
}

pub(crate) fn firing(id: u64, hook: &str, lease: Option<&str>) -> Box<Firing> {
    let event = Event {
        module: "object".into(),
        hook_event: "object".into(),
        account: "a1".into(),
        payload: object(json!({"id": "d1", "n": 1})),
        facets: vec![("type".into(), "user".into())],
        selectors: Arc::from(vec!["type".to_owned()]),
        internal_leg: false,
        within: None,
    };
    Box::new(Firing {
        id: format!("{id:064x}").into(),
        target: Target::Stored("a1".into(), hook.into()),
        event: Arc::new(event),
        tries: 1,
        created_ms: NOW,
        lease: lease.map(|token| LeaseToken(token.into())),
    })
}

fn change(change: FiringChange) -> [Entry; 1] {
    [Entry { attempt: None, counts_as_failure: false, change }]
}

fn wait(firing: Box<Firing>, due_ms: UnixMs) -> [Entry; 1] {
    change(FiringChange::Wait { firing, due_ms })
}

fn failure(attempt: Attempt) -> Entry {
    Entry { attempt: Some(attempt), counts_as_failure: true, change: FiringChange::None }
}

async fn counts(store: &SharedStore) -> (u64, u64) {
    let FiringCounts { waiting, undelivered } = store.firing_counts(None).await.expect("they are counted");
    (waiting, undelivered)
}

async fn undelivered(store: &SharedStore, hook: &str, limit: u32) -> Vec<UndeliveredRow> {
    let query = UndeliveredQuery::newest("a1".into(), Some(hook.into()), limit);
    store.undelivered(&query).await.expect("they are read")
}

async fn claim(store: &SharedStore, now_ms: UnixMs) -> Vec<Firing> {
    store.claim_due(now_ms, now_ms + 1000, 100).await.expect("they are claimed")
}

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
    assert!(store.delete_account(&"a1".into(), NOW).await.expect("deleted"));
    assert_eq!(store.hook(&"h1".into()).await.expect("read"), None);
    assert_eq!(store.numbers().await.expect("read"), []);
    assert_eq!(store.key(&hash_key("f00d")).await.expect("read"), None);
}

pub(crate) async fn keeps_numbers_and_keys(store: SharedStore) {
    assert!(store.put_number("+1312", &"a1".into()).await.expect("written"));
    assert!(!store.put_number("+1312", &"a1".into()).await.expect("written"));
    assert!(store.put_number("+1312", &"a2".into()).await.expect("written"));
    assert_eq!(store.numbers().await.expect("read"), [("+1312".to_owned(), AccountId::from("a2"))]);
    let key = KeyRecord::new("f00d", "a1".into(), "k", NOW);
    assert!(store.put_key(&key).await.expect("written"));
    assert!(!store.put_key(&KeyRecord { created_ms: NOW + 1, ..key.clone() }).await.expect("written"));
    assert_eq!(store.key(&hash_key("f00d")).await.expect("read"), Some(key.clone()));
    assert_eq!(store.keys(&"a1".into()).await.expect("read"), std::slice::from_ref(&key));
    assert!(store.delete_key(&key.account, &key.id).await.expect("revoked"));
    assert_eq!(store.key(&hash_key("f00d")).await.expect("read"), None);
}

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
    let notice =
        Notice { id: 0, exchange: "notifications".into(), routing_key: "k".into(), body: object(json!({"a": 1})) };
    let notices = std::slice::from_ref(&notice);
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
    assert_eq!(Notice { id: 0, ..kept[0].clone() }, notice);
    store.delete_notice(kept[0].id).await.expect("removed");
    assert_eq!(store.notices(10).await.expect("read"), []);
}

pub(crate) async fn a_deleted_hook_leaves_no_firings(store: SharedStore) {
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    store.delete_hook(&"h1".into(), &[], NOW).await.expect("deleted");
    assert_eq!(counts(&store).await, (0, 0));
}

pub(crate) async fn records_attempts_with_their_firings(store: SharedStore) {
    let group: Vec<Entry> = (0..700)
        .map(|n| Entry {
            attempt: Some(attempt(n, if n % 2 == 0 { "h1" } else { "h2" }, NOW + n)),
            counts_as_failure: n % 2 == 0,
            change: match n % 4 {
                0 => FiringChange::Wait { firing: firing(n, "h1", None), due_ms: NOW + n },
                1 => FiringChange::Park { firing: firing(n, "h2", Some("mine")), until_ms: NOW + n },
                2 => FiringChange::Undelivered { firing: firing(n, "h1", None), reason: "404".into(), at_ms: NOW },
                _ => FiringChange::None,
            },
        })
        .collect();
    store.commit(&group).await.expect("committed");
    store.commit(&group).await.expect("committed again, as if the answer had been lost");
    let (account, hook) = (AccountId::from("a1"), HookId::from("h1"));
    assert_eq!(store.attempts(&AttemptQuery::newest(account.clone(), None, 1000)).await.expect("read").len(), 700);
    let newest = store.attempts(&AttemptQuery::newest(account, Some(hook.clone()), 2)).await.expect("read");
    assert_eq!(newest[0].document["id"], json!(attempt(698, "h1", NOW + 698).id), "the newest first");
    assert_eq!(store.attempts(&AttemptQuery::newest("a2".into(), Some(hook), 2)).await.expect("read").len(), 0, "of its own account only");
    assert_eq!(counts(&store).await, (350, 175));
    let claimed = claim(&store, NOW + 3).await;
    let claimed: Vec<_> = claimed.iter().map(|firing| (firing.id.as_str(), firing.tries)).collect();
    let [first, second] = [0, 1].map(|n| format!("{n:064x}"));
    assert_eq!(claimed, [(first.as_str(), 1), (second.as_str(), 1)], "longest due first, with their tries");
}

pub(crate) async fn an_empty_group_is_fine(store: SharedStore) {
    store.commit(&[]).await.expect("committed");
    store.ping().await.expect("it answers");
}

pub(crate) async fn gives_back_what_was_stored(store: SharedStore) {
    let inline = Hook {
        id: "63881319201".into(),
        account: "a1".into(),
        event: "notifications".into(),
        uri: "https://h.example/".into(),
        verb: Verb::Post,
        format: Format::Json,
        retries: 2,
        enabled: true,
        include_internal_legs: true,
        include_subaccounts: false,
        rare: None,
        secrets: Default::default(),
    };
    let stored = firing(1, "h1", None);
    let mut travelled = firing(2, "", None);
    travelled.target = Target::Inline(Arc::new(inline.clone()));
    store.commit(&wait(stored.clone(), NOW)).await.expect("committed");
    store.commit(&wait(travelled, NOW + 1)).await.expect("committed");
    let claimed = claim(&store, NOW + 1).await;
    assert_eq!(claimed[0].event, stored.event);
    assert_eq!(claimed[0].target.hook_id().as_str(), "h1");
    assert_eq!((claimed[0].created_ms, claimed[0].lease.is_some()), (NOW, true));
    match &claimed[1].target {
        Target::Inline(hook) => assert_eq!(**hook, inline),
        Target::Stored(..) => unreachable!("it travelled in the message"),
    }
}

pub(crate) async fn a_claim_is_held_until_its_lease_ends(store: SharedStore) {
    assert_eq!(store.next_due_ms().await.expect("asked"), None);
    store.commit(&wait(firing(1, "h1", None), NOW + 500)).await.expect("committed");
    assert_eq!(store.next_due_ms().await.expect("asked"), Some(NOW + 500));
    assert_eq!(claim(&store, NOW + 499).await.len(), 0, "not due yet");
    let first = claim(&store, NOW + 500).await;
    assert_eq!(store.next_due_ms().await.expect("asked"), Some(NOW + 1500));
    assert_eq!(claim(&store, NOW + 1499).await.len(), 0, "still held");
    let second = claim(&store, NOW + 1500).await;
    assert_ne!(first[0].lease, second[0].lease, "each claim has a token of its own");
}

pub(crate) async fn claims_of_many_never_overlap(store: SharedStore) {
    let group: Vec<Entry> = (0..300).flat_map(|n| wait(firing(n, "h1", None), NOW)).collect();
    store.commit(&group).await.expect("committed");
    let claims = (0..10).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.claim_due(NOW, NOW + 1000, 40).await.expect("claimed") })
    });
    let mut ids = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        ids.extend(claim.await.expect("it ran").into_iter().map(|firing| firing.id));
    }
    assert_eq!(ids.len(), 300);
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 300);
}

pub(crate) async fn a_stale_lease_changes_nothing(store: SharedStore) {
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let slow = claim(&store, NOW).await.remove(0);
    let holder = claim(&store, NOW + 1000).await.remove(0);
    let stale = || Box::new(slow.clone());
    let lease = slow.lease.clone().expect("it was claimed");
    let reason = String::from("late");
    for late in [
        FiringChange::Wait { firing: stale(), due_ms: NOW },
        FiringChange::Park { firing: stale(), until_ms: NOW },
        FiringChange::Undelivered { firing: stale(), reason: reason.clone(), at_ms: NOW },
        FiringChange::Delivered { id: slow.id.clone(), lease },
    ] {
        store.commit(&change(late)).await.expect("committed");
        assert_eq!(counts(&store).await, (1, 0));
        assert_eq!(store.next_due_ms().await.expect("asked"), Some(NOW + 2000), "the holder's lease stands");
    }
    let lease = holder.lease.clone().expect("it was claimed");
    store.commit(&change(FiringChange::Delivered { id: holder.id, lease })).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 0));
    for late in [
        FiringChange::Wait { firing: stale(), due_ms: NOW },
        FiringChange::Undelivered { firing: stale(), reason, at_ms: NOW },
    ] {
        store.commit(&change(late)).await.expect("committed");
        assert_eq!(counts(&store).await, (0, 0), "what ended does not come back");
    }
}

pub(crate) async fn the_holder_may_do_all(store: SharedStore) {
    let parked = || firing(1, "h1", Some("mine"));
    let park = |until_ms| change(FiringChange::Park { firing: parked(), until_ms });
    store.commit(&park(NOW + 10)).await.expect("committed");
    store.commit(&park(NOW + 20)).await.expect("committed");
    assert_eq!(store.next_due_ms().await.expect("asked"), Some(NOW + 20), "the lease is longer now");
    let mut tried = parked();
    tried.tries = 7;
    store.commit(&wait(tried, NOW + 5)).await.expect("committed");
    let claimed = claim(&store, NOW + 5).await.remove(0);
    assert_eq!(claimed.tries, 7);
    let given_up = FiringChange::Undelivered { firing: Box::new(claimed), reason: "404".into(), at_ms: NOW };
    store.commit(&change(given_up)).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 1));
}

pub(crate) async fn one_group_may_change_a_firing_twice(store: SharedStore) {
    let lease = LeaseToken("mine".into());
    let parked = |id| {
        let firing = firing(id, "h1", Some("mine"));
        Entry { attempt: None, counts_as_failure: false, change: FiringChange::Park { firing, until_ms: NOW + 1000 } }
    };
    let mut group = vec![parked(1), parked(2)];
    group.extend(change(FiringChange::Delivered { id: firing(1, "h1", None).id, lease }));
    group.extend(wait(firing(2, "h1", Some("mine")), NOW));
    store.commit(&group).await.expect("committed");
    assert_eq!(counts(&store).await, (1, 0));
    assert_eq!(store.next_due_ms().await.expect("asked"), Some(NOW));
}

pub(crate) async fn a_message_that_came_twice_is_stored_once(store: SharedStore) {
    store.commit(&wait(firing(1, "h1", None), NOW + 500)).await.expect("committed");
    let mut again = firing(1, "h1", None);
    again.tries = 9;
    store.commit(&wait(again, NOW)).await.expect("committed");
    let parked = FiringChange::Park { firing: firing(1, "h1", Some("other")), until_ms: NOW };
    store.commit(&change(parked)).await.expect("committed");
    let given_up = FiringChange::Undelivered { firing: firing(1, "h1", None), reason: "404".into(), at_ms: NOW };
    store.commit(&change(given_up)).await.expect("committed");
    assert_eq!(counts(&store).await, (1, 0));
    assert_eq!(store.next_due_ms().await.expect("asked"), Some(NOW + 500));
    assert_eq!(claim(&store, NOW + 500).await[0].tries, 1);
}

pub(crate) async fn a_try_under_way_may_end_well_after_disabling(store: SharedStore) {
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let claimed = claim(&store, NOW).await.remove(0);
    store.disable_hook(&"h1".into(), "410", &[], NOW).await.expect("disabled");
    store.commit(&wait(Box::new(claimed.clone()), NOW)).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 1), "it does not wait again");
    let lease = claimed.lease.expect("it was claimed");
    store.commit(&change(FiringChange::Delivered { id: claimed.id, lease })).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 0));
}

pub(crate) async fn what_was_not_delivered_can_be_sent_again(store: SharedStore) {
    for n in 0..3 {
        let given_up =
            FiringChange::Undelivered { firing: firing(n, "h1", None), reason: format!("{n}"), at_ms: NOW + n };
        store.commit(&change(given_up)).await.expect("committed");
    }
    let hook = HookId::from("h1");
    let listed = undelivered(&store, "h1", 2).await;
    assert_eq!(listed.iter().map(|row| row.reason.as_str()).collect::<Vec<_>>(), ["2", "1"], "newest first");
    let one = &listed[0].firing.id;
    assert_eq!(store.resend(&"h2".into(), Some(one), NOW).await.expect("sent"), 0, "it is another hook's");
    assert_eq!(store.resend(&hook, Some(one), NOW).await.expect("sent"), 1);
    assert_eq!(store.resend(&hook, None, NOW).await.expect("sent"), 2);
    let claimed = claim(&store, NOW).await;
    assert_eq!(claimed.iter().map(|firing| firing.tries).collect::<Vec<_>>(), [0, 0, 0]);
}

pub(crate) async fn prunes_what_is_old(store: SharedStore) {
    let mut group: Vec<Entry> = (0..1200).map(|n| failure(attempt(n, "h1", NOW + n))).collect();
    for (n, at_ms) in [(1, NOW), (2, NOW + 1500)] {
        let firing = firing(n, "h1", None);
        group.extend(change(FiringChange::Undelivered { firing, reason: "404".into(), at_ms }));
    }
    store.commit(&group).await.expect("committed");
    assert_eq!(store.prune_attempts(NOW + 1100).await.expect("pruned"), 1100);
    assert_eq!(store.attempts(&AttemptQuery::newest("a1".into(), None, 1000)).await.expect("read").len(), 100);
    assert_eq!(counts(&store).await, (0, 1));
    assert_eq!(store.prune_attempts(NOW + 1100).await.expect("pruned"), 0);
}

pub(crate) async fn counts_failures_exactly(store: SharedStore) {
    let (first, second) = (HookId::from("h1"), HookId::from("h2"));
    let group: Vec<Entry> = (0..5).map(|n| failure(attempt(n, "h1", NOW))).collect();
    store.commit(&group).await.expect("committed");
    store.commit(&[failure(attempt(9, "h1", NOW + 100)), failure(attempt(10, "h2", NOW + 50))]).await.expect("done");
    assert_eq!(store.failure_count(&first, NOW - 1).await.expect("counted"), 6, "five in one millisecond are five");
    assert_eq!(store.failure_count(&first, NOW).await.expect("counted"), 1);
    let mut failing = store.sweep_failures(NOW).await.expect("swept");
    failing.sort();
    assert_eq!(failing, [("a1".into(), first.clone(), 1), ("a1".into(), second.clone(), 1)]);
    assert_eq!(store.failure_count(&first, 0).await.expect("counted"), 1, "older ones are gone");
    store.clear_failures(&first).await.expect("cleared");
    assert_eq!(store.failure_count(&first, 0).await.expect("counted"), 0);
    store.put_hook(&hook("h2", "a1"), NOW).await.expect("written");
    assert_eq!(store.failure_count(&second, 0).await.expect("counted"), 0, "an edit clears them");
}

pub(crate) async fn keeps_modules_letters_values_and_settings(store: SharedStore) {
    let module = ModuleRecord {
        id: "m1".into(),
        version: "1.0.0".into(),
        digest: "d1".into(),
        metadata: object(json!({"name": "M"})),
        quarantine: None,
    };
    assert!(store.put_module(&module).await.expect("written"));
    assert!(!store.put_module(&module).await.expect("written"));
    let trapped = ModuleRecord { quarantine: Some("traps".into()), ..module };
    assert!(store.put_module(&trapped).await.expect("written"));
    assert_eq!(store.modules().await.expect("read"), [trapped]);

    let message = Message {
        source: Source::Amqp,
        exchange: "callevt".into(),
        routing_key: "call.x.y".into(),
        message_id: None,
        category: "call_event".into(),
        name: "x".into(),
        account: Some("a1".into()),
        within: None,
        received_ms: NOW,
        body: "{}".into(),
    };
    let letter = DeadLetter {
        id: 0,
        at_ms: NOW,
        module: Some("m1".into()),
        module_version: "1.0.0".into(),
        reason: "traps".into(),
        owner: None,
        message: message.clone(),
    };
    let id = store.put_dead_letter(&letter).await.expect("kept");
    let last = store.put_dead_letter(&DeadLetter { module: None, ..letter }).await.expect("kept");
    let letters = store.dead_letters(&DeadLetterQuery::newest(10)).await.expect("read");
    assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [last, id], "newest first");
    assert_eq!((&letters[1].message, &letters[0].module), (&message, &None));

    assert_eq!(store.kept_value("k").await.expect("read"), None);
    assert_eq!(store.keep_value("k", "first").await.expect("kept"), "first");
    assert_eq!(store.keep_value("k", "second").await.expect("kept"), "first");
    assert_eq!(store.kept_value("k").await.expect("read").as_deref(), Some("first"));

    let (account, set) = (AccountId::from("a1"), object(json!({"attempt_failure_count": 3})));
    assert_eq!(store.webhook_settings(None).await.expect("read"), Object::new());
    store.put_webhook_settings(None, &set).await.expect("written");
    store.put_webhook_settings(Some(&account), &set).await.expect("written");
    assert_eq!(store.webhook_settings(Some(&account)).await.expect("read"), set);
    let all = [(None, set.clone()), (Some(account.clone()), set)];
    assert_eq!(store.all_webhook_settings().await.expect("read"), all);
    store.put_webhook_settings(Some(&account), &Object::new()).await.expect("written");
    assert_eq!(store.all_webhook_settings().await.expect("read").len(), 1);
}
