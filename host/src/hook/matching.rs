//! Whether a hook wants an event: plain rules. [`super::table`] finds the hooks to ask.

use super::{EVENT_ALL, Hook, filter, selectors};
use crate::message::{AccountId, Event, Object};

/// Whether the hook wants the event, its account aside (see [`Reach`]).
///
/// In order: it is enabled; its event is the event's or `all`; it takes internal legs, or this is none; modifiers,
/// selectors and filter agree. All of them look at the module's payload, before `custom_data` is merged.
pub fn wants(hook: &Hook, event: &Event) -> bool {
    hook.enabled
        && (*hook.event == *event.hook_event || &*hook.event == EVENT_ALL)
        && (hook.include_internal_legs || !event.internal_leg)
        && hook.rare.as_ref().is_none_or(|rare| {
            modifiers_agree(&rare.modifiers, &event.payload)
                && selectors::choose(hook, event)
                && filter::holds(&rare.filter, &event.payload)
        })
}

/// KAZOO's `modifiers` (kept as they are there): a key that the payload lacks agrees; so does an empty list; a list must
/// hold the payload's value; any other value must be equal to it. By type, and top-level keys only.
fn modifiers_agree(modifiers: &Object, payload: &Object) -> bool {
    modifiers.iter().all(|(key, wanted)| match (payload.get(key), wanted) {
        (None, _) => true,
        (Some(_), serde_json::Value::Array(list)) if list.is_empty() => true,
        (Some(found), serde_json::Value::Array(list)) => list.contains(found),
        (Some(found), wanted) => found == wanted,
    })
}

/// Whose hooks an event can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach<'a> {
    /// The ancestors whose hooks with `include_subaccounts` it reaches, root first.
    pub ancestors: &'a [AccountId],
}

impl<'a> Reach<'a> {
    /// The reach of an event: its own account and, for hooks with `include_subaccounts`, all ancestors (root first).
    /// What may not leave a subtree ([`Event::within`]) reaches neither hooks above that subtree's root nor, when its
    /// account lies outside, any hook at all (`None`).
    pub fn of(event: &Event, ancestors: &'a [AccountId]) -> Option<Self> {
        match &event.within {
            None => Some(Self { ancestors }),
            Some(root) => match ancestors.iter().position(|ancestor| ancestor == root) {
                Some(at) => Some(Self { ancestors: &ancestors[at..] }),
                None => (*root == event.account).then_some(Self { ancestors: &[] }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::hook::fixtures::{an_event, hook_of};

    fn wanted(hook: Value) -> bool {
        let mut event = an_event();
        event.payload = json!({"n": 1, "text": "a", "list": [1]}).as_object().cloned().unwrap_or_default();
        wants(&hook_of(&hook), &event)
    }

    #[test]
    fn the_name_must_be_the_events_or_all() {
        assert!(wanted(json!({"hook": "object"})));
        assert!(wanted(json!({"hook": "OBJECT"})));
        assert!(wanted(json!({"hook": "all"})));
        assert!(!wanted(json!({"hook": "sms"})));
    }

    #[test]
    fn a_disabled_hook_wants_nothing() {
        assert!(!wanted(json!({"hook": "object", "enabled": false})));
    }

    #[test]
    fn internal_legs_can_be_refused() {
        let mut event = an_event();
        event.internal_leg = true;
        assert!(wants(&hook_of(&json!({"hook": "object"})), &event));
        assert!(!wants(&hook_of(&json!({"hook": "object", "include_internal_legs": false})), &event));
        assert!(!wants(&hook_of(&json!({"hook": "all", "include_internal_legs": false})), &event));
        event.internal_leg = false;
        assert!(wants(&hook_of(&json!({"hook": "object", "include_internal_legs": false})), &event));
    }

    #[test]
    fn modifiers_are_kazoos() {
        for (modifiers, agree) in [
            (json!({}), true),
            (json!({"absent": "x"}), true),
            (json!({"n": 1}), true),
            (json!({"n": "1"}), false),
            (json!({"n": 1.0}), false),
            (json!({"n": []}), true),
            (json!({"n": [2, 1]}), true),
            (json!({"n": [2]}), false),
            (json!({"list": [[1]]}), true),
            (json!({"list": [1]}), false),
            (json!({"n": 2, "absent": "x"}), false),
            (json!({"n": 1, "text": "b"}), false),
            (json!({"a.b": "top level only"}), true),
        ] {
            assert_eq!(wanted(json!({"hook": "object", "modifiers": modifiers})), agree, "{modifiers}");
        }
    }

    #[test]
    fn the_filter_is_asked() {
        assert!(wanted(json!({"hook": "all", "filter": [{"pointer": "/n", "op": "lt", "value": 2}]})));
        assert!(!wanted(json!({"hook": "all", "filter": [{"pointer": "/n", "op": "gt", "value": 2}]})));
    }

    fn ids(names: &[&str]) -> Vec<AccountId> {
        names.iter().map(|name| AccountId::from(*name)).collect()
    }

    #[test]
    fn within_a_subtree_nothing_goes_above_its_root() {
        let ancestors = ids(&["root", "reseller", "customer"]);
        let mut event = an_event();
        event.account = "branch".into();
        let mut reach = |within: Option<&str>| {
            event.within = within.map(AccountId::from);
            Reach::of(&event, &ancestors).map(|reach| reach.ancestors.to_vec())
        };
        assert_eq!(reach(None), Some(ancestors.clone()));
        assert_eq!(reach(Some("root")), Some(ancestors.clone()));
        assert_eq!(reach(Some("reseller")), Some(ids(&["reseller", "customer"])));
        assert_eq!(reach(Some("branch")), Some(vec![]));
        assert_eq!(reach(Some("sibling")), None);
    }

    proptest! {
        /// A subtree's root never widens whom an event reaches.
        #[test]
        fn within_only_narrows(depth in 0_usize..6, root in 0_usize..8) {
            let line: Vec<AccountId> = (0..=depth).map(|n| AccountId::from(n.to_string())).collect();
            let mut event = an_event();
            event.account = line[depth].clone();
            event.within = Some(AccountId::from(root.to_string()));
            match Reach::of(&event, &line[..depth]) {
                Some(reach) => {
                    prop_assert!(root <= depth);
                    prop_assert_eq!(reach.ancestors, &line[root..depth]);
                }
                None => prop_assert!(root > depth),
            }
        }
    }
}
