//! What a client may write of an account: KAZOO's public fields. Plain functions: a `data` object in, a document or all
//! that is wrong with it out.

use serde_json::{Value, json};

use super::super::{data::Fields, problem::Problem};
use crate::{account::AccountRecord, message::Object};

/// The longest name, bytes; KAZOO's own bound.
const NAME_BYTES_MAX: usize = 128;
/// The longest realm, bytes; DNS's own bound.
const REALM_BYTES_MAX: usize = 253;
/// What is worked out, and shown beside what clients wrote; not taken from them, so that an answer can be sent back.
const WORKED_OUT: [&str; 4] = ["id", "is_reseller", "reseller_id", "api_key"];

/// A whole document, checked: what is worked out is left out, and the realm is in lower case.
pub fn whole(mut data: Object, bytes_max: u64) -> Result<Object, Problem> {
    data.retain(|name, value| !WORKED_OUT.contains(&name.as_str()) && !value.is_null());
    let mut fields = Fields::of(&data);
    fields.required_text("name", NAME_BYTES_MAX);
    let realm = fields.text("realm").map(str::to_ascii_lowercase);
    if let Some(realm) = realm.as_deref().filter(|realm| !is_realm(realm)) {
        let message = format!("Field is not in the correct format; use 1 to {REALM_BYTES_MAX} of a-z 0-9 . - _");
        fields.wrong("realm", "wrong_format", &message, json!({"value": realm, "format": "hostname"}));
    }
    let bytes = serde_json::to_string(&data).map_or(usize::MAX, |text| text.len()) as u64;
    if bytes > bytes_max {
        let message = format!("the document has {bytes} bytes; use at most {bytes_max} (api.account_bytes_max)");
        fields.wrong("data", "maxLength", &message, json!({"target": bytes_max}));
    }
    fields.finish()?;
    if let Some(realm) = realm {
        data.insert("realm".into(), realm.into());
    }
    Ok(data)
}

/// The stored document with these fields over it: each replaces what was there, null removes it.
pub fn merged(stored: &Object, data: Object, bytes_max: u64) -> Result<Object, Problem> {
    let mut document = stored.clone();
    for (name, value) in data {
        document.insert(name, value);
    }
    whole(document, bytes_max)
}

/// A document's realm.
pub fn realm(document: &Object) -> Option<&str> {
    document.get("realm").and_then(Value::as_str)
}

/// As it is answered: what clients wrote, and what is worked out.
pub fn shown(record: &AccountRecord) -> Object {
    let mut shown = record.document.clone();
    shown.insert("id".into(), json!(record.account.id));
    shown.insert("name".into(), json!(record.account.name));
    shown.insert("is_reseller".into(), json!(record.is_reseller));
    if let Some(reseller) = &record.account.reseller {
        shown.insert("reseller_id".into(), json!(reseller));
    }
    shown
}

/// What a host's name consists of, and the underscore of SIP domains.
fn is_realm(text: &str) -> bool {
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    (1..=REALM_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    fn taken(value: Value) -> Value {
        Value::Object(whole(object(value), 1024).expect("it is taken"))
    }

    fn wrong(value: Value) -> Value {
        whole(object(value), 1024).expect_err("it is refused").data
    }

    #[test]
    fn a_document_is_kept_without_what_is_worked_out() {
        let sent = json!({
            "name": "Acme", "realm": "SIP.Acme.Example", "timezone": "Europe/Berlin", "id": "x", "is_reseller": true,
            "reseller_id": "y", "api_key": "z", "language": null,
        });
        assert_eq!(taken(sent), json!({"name": "Acme", "realm": "sip.acme.example", "timezone": "Europe/Berlin"}));
    }

    #[test]
    fn each_fault_is_named() {
        let long = "n".repeat(129);
        for (sent, pointer) in [
            (json!({}), "/name/required"),
            (json!({"name": null}), "/name/required"),
            (json!({"name": ""}), "/name/minLength"),
            (json!({"name": 1}), "/name/type"),
            (json!({"name": long}), "/name/maxLength"),
            (json!({"name": "a", "realm": 7}), "/realm/type"),
            (json!({"name": "a", "realm": ""}), "/realm/wrong_format"),
            (json!({"name": "a", "realm": "a b"}), "/realm/wrong_format"),
            (json!({"name": "a", "realm": "a/../b"}), "/realm/wrong_format"),
            (json!({"name": "a", "realm": "r".repeat(254)}), "/realm/wrong_format"),
            (json!({"name": "a", "note": "n".repeat(1024)}), "/data/maxLength"),
        ] {
            assert!(wrong(sent.clone()).pointer(pointer).is_some(), "{sent} {pointer}");
        }
        let both = wrong(json!({"realm": "/"}));
        assert!(both.get("name").is_some() && both.get("realm").is_some(), "all faults come together: {both}");
    }

    #[test]
    fn a_change_replaces_and_null_removes() {
        let stored = object(json!({"name": "Acme", "realm": "a.example", "note": {"a": 1}}));
        let changed = merged(&stored, object(json!({"realm": null, "note": {"b": 2}})), 1024);
        assert_eq!(Value::Object(changed.expect("it is taken")), json!({"name": "Acme", "note": {"b": 2}}));
        assert!(merged(&stored, object(json!({"name": null})), 1024).is_err());
    }
}
