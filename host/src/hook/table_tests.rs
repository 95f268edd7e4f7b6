//! Tests of the hook table.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::hook::fixtures::{an_event, hook_of};

fn hook(account: &str, id: &str, fields: Value) -> Hook {
    let mut hook = hook_of(&fields);
    hook.account = account.into();
    hook.id = id.into();
    hook
}

fn event(account: &str, name: &str) -> Event {
    Event { account: account.into(), hook_event: name.to_owned(), ..an_event() }
}

fn ids(table: &HookTable, ancestors: &[&str], event: &Event) -> Vec<String> {
    let ancestors: Vec<AccountId> = ancestors.iter().map(|id| AccountId::from(*id)).collect();
    table.matching(&ancestors, event).iter().map(|hook| hook.id.to_string()).collect()
}

#[test]
fn own_hooks_come_first_then_ancestors_from_the_root() {
    let table = HookTable::new();
    table.extend([
        hook("parent", "p-sub", json!({"hook": "sms", "include_subaccounts": true})),
        hook("parent", "p-own", json!({"hook": "sms"})),
        hook("root", "r-all", json!({"hook": "all", "include_subaccounts": true})),
        hook("child", "c-own", json!({"hook": "sms"})),
        hook("child", "c-sub", json!({"hook": "sms", "include_subaccounts": true})),
        hook("child", "c-mms", json!({"hook": "mms"})),
        hook("sibling", "s", json!({"hook": "all", "include_subaccounts": true})),
    ]);
    assert_eq!(ids(&table, &["root", "parent"], &event("child", "sms")), ["c-own", "c-sub", "r-all", "p-sub"]);
    assert_eq!(ids(&table, &["root"], &event("parent", "sms")), ["p-own", "p-sub", "r-all"]);
    assert_eq!(ids(&table, &["root", "parent"], &event("child", "other")), ["r-all"]);
    assert_eq!(ids(&table, &[], &event("root", "sms")), ["r-all"]);
    assert_eq!(ids(&table, &["root", "unknown"], &event("nobody", "sms")), ["r-all"]);
}

#[test]
fn what_may_not_leave_a_subtree_does_not() {
    let table = HookTable::new();
    for account in ["root", "tenant", "child"] {
        table.replace(hook(account, account, json!({"hook": "sms", "include_subaccounts": true})));
    }
    let mut event = event("child", "sms");
    event.within = Some("tenant".into());
    assert_eq!(ids(&table, &["root", "tenant"], &event), ["child", "tenant"]);
    event.within = Some("child".into());
    assert_eq!(ids(&table, &["root", "tenant"], &event), ["child"]);
    event.within = Some("stranger".into());
    assert_eq!(ids(&table, &["root", "tenant"], &event), [""; 0]);
}

#[test]
fn an_event_that_is_called_all_comes_once() {
    let table = HookTable::new();
    table.replace(hook("a", "1", json!({"hook": "all"})));
    assert_eq!(ids(&table, &[], &event("a", "all")), ["1"]);
}

#[test]
fn an_account_in_its_own_line_is_asked_once() {
    let table = HookTable::new();
    table.replace(hook("a", "1", json!({"hook": "all", "include_subaccounts": true})));
    assert_eq!(ids(&table, &["a"], &event("a", "sms")), ["1"]);
}

#[test]
fn hooks_are_replaced_disabled_and_removed() {
    let table = HookTable::new();
    let (account, id) = (AccountId::from("a"), HookId::from("1"));
    assert_eq!(table.replace(hook("a", "1", json!({"hook": "sms"}))), None);
    let old = table.replace(hook("a", "1", json!({"hook": "mms"}))).unwrap();
    assert_eq!(&*old.event, "sms");
    assert_eq!(ids(&table, &[], &event("a", "sms")), [""; 0]);
    assert_eq!(ids(&table, &[], &event("a", "mms")), ["1"]);

    table.replace(hook("a", "1", json!({"hook": "mms", "enabled": false})));
    assert_eq!(ids(&table, &[], &event("a", "mms")), [""; 0]);
    assert!(!table.get(&account, &id).unwrap().enabled);
    assert_eq!(table.get(&"b".into(), &id), None, "another account has no such hook");
    assert_eq!(table.len(), 1);

    assert!(table.remove(&account, &id).is_some());
    assert_eq!(table.remove(&account, &id), None);
    assert!(table.is_empty());
    table.replace(hook("a", "2", json!({"hook": "sms"})));
    assert_eq!(table.remove_account(&account).len(), 1);
    assert_eq!(table.event_names.len(), 0);
}

#[test]
fn those_that_may_fire_are_counted_apart() {
    let table = HookTable::new();
    assert_eq!(table.counts(), HookCounts::default());
    for (id, enabled, subaccounts) in [("1", true, true), ("2", true, false), ("3", false, true), ("4", false, false)] {
        table.replace(hook("acme", id, json!({"enabled": enabled, "include_subaccounts": subaccounts})));
    }
    table.replace(hook("other", "5", json!({"enabled": true})));
    assert_eq!(table.counts(), HookCounts { enabled: 3, disabled: 2 });
}

#[test]
fn names_and_ids_are_shared() {
    let table = HookTable::new();
    table.extend(["1", "2"].map(|id| hook("a", id, json!({"hook": "sms"}))));
    let hooks = table.of_account(&"a".into());
    assert!(Arc::ptr_eq(&hooks[0].event, &hooks[1].event));
    assert!(std::ptr::eq(hooks[0].account.as_str(), hooks[1].account.as_str()));
}

#[derive(Clone, Debug)]
enum Edit {
    Put { account: u8, id: u8, name: u8, subaccounts: bool, enabled: bool },
    Remove { account: u8, id: u8 },
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let put = (0..3_u8, 0..4_u8, 0..3_u8, any::<bool>(), any::<bool>())
        .prop_map(|(account, id, name, subaccounts, enabled)| Edit::Put { account, id, name, subaccounts, enabled });
    let remove = (0..3_u8, 0..4_u8).prop_map(|(account, id)| Edit::Remove { account, id });
    prop::collection::vec(prop_oneof![3 => put, 1 => remove], 0..40)
}

proptest! {
    /// The table finds what looking at every hook would find, after any edits.
    #[test]
    fn finds_what_a_plain_search_finds(edits in edits()) {
        let names = ["all", "sms", "mms"];
        let table = HookTable::new();
        let mut plain: Vec<Hook> = Vec::new();
        for edit in edits {
            match edit {
                Edit::Put { account, id, name, subaccounts, enabled } => {
                    let fields = json!({"hook": names[usize::from(name)], "include_subaccounts": subaccounts, "enabled": enabled});
                    let hook = hook(&account.to_string(), &id.to_string(), fields);
                    plain.retain(|held| (&held.account, &held.id) != (&hook.account, &hook.id));
                    plain.push(hook.clone());
                    table.replace(hook);
                }
                Edit::Remove { account, id } => {
                    let (account, id) = (AccountId::from(account.to_string()), HookId::from(id.to_string()));
                    plain.retain(|held| (&held.account, &held.id) != (&account, &id));
                    table.remove(&account, &id);
                }
            }
        }
        prop_assert_eq!(table.len(), plain.len());
        for hook in &plain {
            let found = table.get(&hook.account, &hook.id);
            prop_assert_eq!(found.as_deref(), Some(hook));
        }
        // Account 2 below 1 below 0.
        let event = event("2", "sms");
        let expected: BTreeSet<(String, String)> = plain.iter()
            .filter(|hook| matching::wants(hook, &event) && (hook.account == event.account || hook.include_subaccounts))
            .map(|hook| (hook.account.to_string(), hook.id.to_string())).collect();
        let found = table.matching(&["0".into(), "1".into()], &event);
        prop_assert_eq!(found.len(), expected.len());
        let found: BTreeSet<_> = found.iter().map(|hook| (hook.account.to_string(), hook.id.to_string())).collect();
        prop_assert_eq!(found, expected);
    }
}
