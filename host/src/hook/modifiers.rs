//! What a module's modifiers ask of a hook's `custom_data` when the hook is saved (KAZOO's check, after the schema).
//!
//! Metadata has an object for each key: with `items` as a list (`"type": "array"`) or as an object of names. The hook
//! must have the key, with one of the values, or `all`. Plain functions.

use serde_json::{Value, json};

use super::{HookProblem, HookProblems, problems::path};
use crate::message::Object;

/// Notification types that only the operator is offered. Everybody may subscribe to them all the same, as in KAZOO.
pub const OPERATORS_TYPES: [&str; 2] = ["system_alert", "webhook_disabled"];
const ALL: &str = "all";

/// Says all that is wrong with `custom_data` under the modifiers of the hook's event.
pub fn check(modifiers: &Object, custom_data: Option<&Object>, is_operator: bool) -> HookProblems {
    let problems = modifiers.iter().filter_map(|(key, modifier)| {
        let items = modifier.get("items")?;
        let field = path(&["custom_data", key]);
        let Some(value) = custom_data.and_then(|data| data.get(key)) else {
            return Some(HookProblem::new(field, "required", "missing required modifier"));
        };
        let wanted = value.as_str().unwrap_or_default();
        let allowed = match items {
            Value::Array(items) => wanted == ALL || items.contains(value),
            Value::Object(items) => wanted == ALL || items.contains_key(wanted),
            _ => true,
        };
        let message = "value not found in enumerated list of values";
        let target = json!(offered(items, is_operator));
        (!allowed).then(|| HookProblem::new(field, "enum", message).with("cause", value.clone()).with("target", target))
    });
    HookProblems(problems.collect())
}

/// The values of a modifier that a caller is shown.
fn offered(items: &Value, is_operator: bool) -> Vec<Value> {
    match items {
        Value::Array(items) => items.clone(),
        Value::Object(items) => {
            let shown = |name: &&String| is_operator || !OPERATORS_TYPES.contains(&name.as_str());
            items.keys().filter(shown).map(|name| json!(name)).collect()
        }
        _ => Vec::new(),
    }
}

/// The modifiers as a caller is shown them: without the operator's types, unless the operator asks.
pub fn shown(modifiers: &Object, is_operator: bool) -> Object {
    let mut shown = modifiers.clone();
    if !is_operator {
        let items = shown.values_mut().filter_map(|modifier| modifier.get_mut("items")?.as_object_mut());
        items.for_each(|items| items.retain(|name, _| !OPERATORS_TYPES.contains(&name.as_str())));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    fn modifiers() -> Object {
        object(json!({
            "type": {"type": "object", "items": {"all": {}, "fax": {}, "system_alert": {}}},
            "action": {"type": "array", "items": ["doc_created"]},
        }))
    }

    fn found(custom_data: Value, is_operator: bool) -> Object {
        check(&modifiers(), custom_data.as_object(), is_operator).to_json()
    }

    #[test]
    fn a_hook_needs_each_modifier_with_one_of_its_values() {
        assert_eq!(found(json!({"type": "fax", "action": "doc_created"}), false), Object::new());
        assert_eq!(found(json!({"type": "all", "action": "all"}), false), Object::new());
        assert_eq!(found(json!({"type": "system_alert", "action": "all"}), false), Object::new());
        assert_eq!(
            Value::Object(found(Value::Null, false)),
            json!({
                "custom_data.type": {"required": {"message": "missing required modifier"}},
                "custom_data.action": {"required": {"message": "missing required modifier"}},
            })
        );
    }

    #[test]
    fn a_wrong_value_is_answered_with_what_would_do() {
        let wrong = json!({"type": "odd", "action": "doc_created"});
        let target = |is_operator| found(wrong.clone(), is_operator)["custom_data.type"]["enum"]["target"].clone();
        assert_eq!(target(false), json!(["all", "fax"]));
        assert_eq!(target(true), json!(["all", "fax", "system_alert"]));
        assert_eq!(found(wrong.clone(), true)["custom_data.type"]["enum"]["cause"], "odd");
    }

    #[test]
    fn tenants_are_not_shown_the_operators_types() {
        assert_eq!(shown(&modifiers(), false)["type"]["items"], json!({"all": {}, "fax": {}}));
        assert_eq!(shown(&modifiers(), true), modifiers());
    }
}
