//! What switching hooks off means in a store, and deleting what they belong to: what becomes of their documents, and why
//! their firings that waited end undelivered.

use serde_json::Value;

use crate::message::Object;

/// Why firings that waited end undelivered.
pub(super) const ACCOUNT_DELETED: &str = "the account was deleted";
pub(super) const HOOK_DELETED: &str = "the hook was deleted";
pub(super) const HOOK_DISABLED: &str = "the hook was disabled";

/// … of a hook that is switched off for this reason.
pub(super) fn disabled_for(reason: &str) -> String {
    format!("{HOOK_DISABLED}: {reason}")
}

/// What a hook's document says; one that says nothing is enabled.
pub(super) fn is_enabled(document: &Object) -> bool {
    document.get("enabled") != Some(&Value::Bool(false))
}

/// The document of a hook that is switched off now; `None` when it was already.
pub(super) fn switched_off(mut document: Object) -> Option<Object> {
    let before = document.insert("enabled".into(), Value::Bool(false));
    (before != Some(Value::Bool(false))).then_some(document)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hook_is_switched_off_once() {
        for (document, off) in [
            (json!({"name": "n"}), Some(json!({"name": "n", "enabled": false}))),
            (json!({"enabled": true}), Some(json!({"enabled": false}))),
            (json!({"enabled": "false"}), Some(json!({"enabled": false}))),
            (json!({"enabled": false}), None),
        ] {
            let document = document.as_object().cloned().unwrap_or_default();
            assert_eq!(is_enabled(&document), off.is_some(), "{document:?}");
            assert_eq!(switched_off(document).map(Value::Object), off);
        }
    }
}
