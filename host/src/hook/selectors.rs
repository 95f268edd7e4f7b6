//! Selectors: the `custom_data` keys by which a hook chooses among the events of one name (KAZOO's `type`, `action`).

use super::Hook;
use crate::message::Event;

/// Whether the hook's `custom_data` chooses this event.
///
/// A hook without `custom_data` takes every event, and so does a hook for the event `all`, whatever its `custom_data`.
/// Else each selector of the event is looked up there: `all` takes every facet; no entry takes only an event that has
/// no such facet; any other text must be the facet's.
pub fn choose(hook: &Hook, event: &Event) -> bool {
    let Some(rare) = hook.rare.as_ref().filter(|rare| !rare.custom_data.is_empty()) else {
        return true;
    };
    if &*hook.event == super::EVENT_ALL {
        return true;
    }
    event.selectors.iter().all(|selector| {
        let mut facets = event.facets.iter().filter(|(name, _)| name == selector).map(|(_, value)| value.as_str());
        match rare.custom_data.get(selector).filter(|wanted| !wanted.is_null()) {
            Some(wanted) if wanted == "all" => true,
            Some(wanted) => facets.any(|facet| wanted == facet),
            None => facets.next().is_none(),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::hook::fixtures::{an_event, hook_of};

    fn chosen(hook: &str, custom_data: Value, facets: &[(&str, &str)]) -> bool {
        let hook = hook_of(&json!({"hook": hook, "custom_data": custom_data}));
        let mut event = an_event();
        event.selectors = ["type".to_owned(), "action".to_owned()].into();
        event.facets = facets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        choose(&hook, &event)
    }

    const EDITED_USER: [(&str, &str); 2] = [("type", "user"), ("action", "doc_edited")];

    #[test]
    fn without_custom_data_every_event_is_taken() {
        assert!(chosen("object", json!({}), &EDITED_USER));
        assert!(chosen("object", Value::Null, &EDITED_USER));
    }

    #[test]
    fn every_selector_must_agree() {
        assert!(chosen("object", json!({"type": "user", "action": "doc_edited"}), &EDITED_USER));
        assert!(chosen("object", json!({"type": "all", "action": "doc_edited"}), &EDITED_USER));
        assert!(chosen("object", json!({"type": "all", "action": "all", "k": "v"}), &EDITED_USER));
        assert!(!chosen("object", json!({"type": "device", "action": "doc_edited"}), &EDITED_USER));
        assert!(!chosen("object", json!({"type": "user", "action": "doc_deleted"}), &EDITED_USER));
        assert!(!chosen("object", json!({"type": "User", "action": "all"}), &EDITED_USER));
    }

    #[test]
    fn a_missing_key_takes_only_an_event_without_the_facet() {
        assert!(!chosen("object", json!({"type": "user"}), &EDITED_USER));
        assert!(!chosen("object", json!({"k": "v"}), &EDITED_USER));
        assert!(chosen("object", json!({"type": "user"}), &EDITED_USER[..1]));
        assert!(chosen("object", json!({"k": "v"}), &[]));
        assert!(!chosen("object", json!({"type": "user"}), &[]));
        assert!(chosen("object", json!({"type": "all"}), &[]));
    }

    #[test]
    fn the_event_all_skips_selectors() {
        assert!(chosen("all", json!({"type": "device"}), &EDITED_USER));
    }

    #[test]
    fn values_that_are_no_text_choose_nothing() {
        assert!(!chosen("object", json!({"type": ["user"], "action": "all"}), &EDITED_USER));
        assert!(!chosen("object", json!({"type": 1, "action": "all"}), &[("type", "1"), ("action", "x")]));
    }
}
