//! How a hook's record comes of what a caller sends: made, replaced, changed in part. Plain functions; what is stored
//! elsewhere comes as arguments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ACTIVE_VERSION, EVENT_ALL, HookProblem, HookProblems, HookRecord,
    document::{self, Completed, Origin},
    modifiers,
};
use crate::{message::Object, module::transform_table::UsableTransform, settings::FiringSettings};

/// What stands in the place of a header's value when a hook is shown; sent back, it keeps the stored value.
pub const HIDDEN: &str = "(hidden)";
/// Shown with a hook, and never taken from a caller.
const READ_ONLY: [&str; 4] = ["id", "disable_reason", "_read_only", "pvt_disabled_message"];

/// What documents are checked against, besides their schema.
pub struct Rules<'a> {
    /// Ceilings and networks.
    pub settings: &'a FiringSettings,
    /// The events that there are besides `all`, with the modifiers of each.
    pub events: BTreeMap<&'a str, &'a Object>,
    /// The transforms that hooks of the account may use.
    pub transforms: Vec<UsableTransform>,
    /// Whether the operator asks.
    pub is_operator: bool,
    /// The longest document, as JSON text, in bytes.
    pub bytes_max: usize,
}

impl Rules<'_> {
    /// A whole document, checked, defaults filled in. `stored` is what it takes the place of.
    pub fn whole(&self, mut document: Object, stored: Option<&HookRecord>) -> Result<Completed, HookProblems> {
        document.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
        if let Some(stored) = stored {
            keep_hidden_headers(&mut document, &stored.document);
        }
        self.check(&document, stored)
    }

    /// The stored document with what a caller wants changed: top-level keys replace, null removes.
    pub fn merged(&self, changes: Object, stored: &HookRecord) -> Result<Completed, HookProblems> {
        let mut document = stored.document.clone();
        for (name, value) in changes {
            match value {
                Value::Null => drop(document.shift_remove(&name)),
                value => drop(document.insert(name, value)),
            }
        }
        self.whole(document, Some(stored))
    }

    fn check(&self, document: &Object, stored: Option<&HookRecord>) -> Result<Completed, HookProblems> {
        let completed = document::complete(document, Origin::Api, self.settings);
        let mut problems = completed.as_ref().err().cloned().unwrap_or_default();
        let event = document.get("hook").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let modifiers = self.events.get(event.as_str());
        if !event.is_empty() && event != EVENT_ALL && modifiers.is_none() {
            let message = "Value not found in enumerated list of values";
            let mut names: Vec<_> = self.events.keys().copied().chain([EVENT_ALL]).collect();
            names.sort_unstable();
            let problem = HookProblem::new("hook", "enum", message).with("target", json!(names));
            problems.0.push(problem.with("value", event.as_str()));
        }
        problems.0.extend(self.missing_transform(document, stored));
        let bytes = serde_json::to_string(document).map_or(0, |text| text.len());
        if bytes > self.bytes_max {
            let message =
                format!("the document has {bytes} bytes; use at most {} (firing.hook_bytes_max)", self.bytes_max);
            problems.0.push(HookProblem::new("data", "maxLength", message).with("target", self.bytes_max));
        }
        if let Some(modifiers) = modifiers.filter(|_| problems.0.is_empty()) {
            let custom_data = document.get("custom_data").and_then(Value::as_object);
            problems = modifiers::check(modifiers, custom_data, self.is_operator);
        }
        match completed {
            Ok(completed) if problems.0.is_empty() => Ok(completed),
            _ => Err(problems),
        }
    }

    /// What is wrong when there is no such transform, or no such version of it. One that the hook has already is not looked
    /// at: the hook can still be changed, or disabled, when its transform has gone.
    fn missing_transform(&self, document: &Object, stored: Option<&HookRecord>) -> Option<HookProblem> {
        let (name, version) = transform_of(document)?;
        if stored.is_some_and(|stored| transform_of(&stored.document) == Some((name, version))) {
            return None;
        }
        let Some(found) = self.transforms.iter().find(|usable| usable.name == name) else {
            let names: Vec<_> = self.transforms.iter().map(|usable| usable.name.as_str()).collect();
            let message =
                "the account has no such transform, and none above it offers one; push it first, or name one of these";
            let problem = HookProblem::new("transform.module", "enum", message);
            return Some(problem.with("target", json!(names)).with("value", name));
        };
        let versions: Vec<_> = found.versions.iter().map(|(version, _)| version.as_str()).collect();
        let message = match version {
            ACTIVE_VERSION if found.is_active => return None,
            ACTIVE_VERSION => "no version of the transform is active; activate one, or name one of these",
            _ if found.versions.iter().any(|(number, digest)| version == number || version == digest) => return None,
            _ => "the transform has no such version; name one of these, or `active`",
        };
        let problem = HookProblem::new("transform.version", "enum", message);
        Some(problem.with("target", json!(versions)).with("value", version))
    }
}

/// Name and version of the transform in a document.
fn transform_of(document: &Object) -> Option<(&str, &str)> {
    let transform = document.get("transform")?;
    let version = transform.get("version").and_then(Value::as_str).unwrap_or(ACTIVE_VERSION);
    Some((transform.get("module")?.as_str()?, version))
}

/// Header values are written and never shown, so a document that was read and sent back names none of them.
fn keep_hidden_headers(document: &mut Object, stored: &Object) {
    let Some(Value::Object(headers)) = document.get_mut("headers") else { return };
    for (name, value) in headers.iter_mut().filter(|(_, value)| *value == HIDDEN) {
        let kept = stored.get("headers").and_then(Value::as_object);
        let kept = kept.and_then(|kept| kept.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)));
        if let Some((_, kept)) = kept {
            *value = kept.clone();
        }
    }
}

/// The hook as callers see it: without its secret and its headers' values, with the reason when it was switched off.
pub fn shown(record: &HookRecord) -> Object {
    let mut document = record.document.clone();
    if let Some(Value::Object(headers)) = document.get_mut("headers") {
        headers.values_mut().for_each(|value| *value = json!(HIDDEN));
    }
    document.insert("id".to_owned(), json!(record.id));
    if let Some(reason) = disable_reason(record) {
        document.insert("disable_reason".to_owned(), json!(reason));
    }
    document
}

/// The hook in a list, as KAZOO's view has it.
pub fn summary(record: &HookRecord) -> Object {
    let mut summary = Object::new();
    summary.insert("id".to_owned(), json!(record.id));
    for name in ["hook", "name", "uri", "enabled", "group"] {
        if let Some(value) = record.document.get(name) {
            summary.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(reason) = disable_reason(record) {
        summary.insert("disable_reason".to_owned(), json!(reason));
    }
    summary
}

/// Whether it fires.
pub fn is_enabled(document: &Object) -> bool {
    document.get("enabled") != Some(&Value::Bool(false))
}

/// Why the host has switched the hook off, when it has.
pub fn disable_reason(record: &HookRecord) -> Option<&str> {
    record.disabled_message.as_deref().filter(|_| !is_enabled(&record.document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    fn stored(document: Value) -> HookRecord {
        HookRecord {
            id: "h1".into(),
            account: "a1".into(),
            document: object(document),
            disabled_message: None,
            secrets: Vec::new(),
            revision: 1,
            created_ms: 0,
        }
    }

    fn with_rules<T>(test: impl Fn(&Rules<'_>) -> T) -> T {
        let settings = Settings::from_parts(None, std::iter::empty()).expect("the defaults").firing;
        let modifiers = object(json!({"type": {"type": "array", "items": ["user"]}}));
        let (object, parking) = (&modifiers, &Object::new());
        let events = BTreeMap::from([("object", object), ("parking", parking)]);
        let usable = |name: &str, is_active| UsableTransform {
            name: name.into(),
            owner: "a1".into(),
            versions: vec![("1.0.0".into(), "5a".repeat(32))],
            is_active,
        };
        let transforms = vec![usable("mask", true), usable("idle", false)];
        test(&Rules { settings: &settings, events, transforms, is_operator: false, bytes_max: 500 })
    }

    fn problems(document: Value) -> Object {
        with_rules(|rules| rules.whole(object(document.clone()), None).expect_err("it is refused").to_json())
    }

    #[test]
    fn all_that_is_wrong_is_said_together() {
        let found = problems(json!({"hook": "odd", "retries": 9}));
        for field in ["name", "uri", "hook", "retries"] {
            assert!(found.contains_key(field), "{field}: {found:?}");
        }
        assert_eq!(found["hook"]["enum"]["target"], json!(["all", "object", "parking"]));
    }

    #[test]
    fn modifiers_are_looked_at_when_the_schema_is_content() {
        let document = json!({"name": "n", "uri": "https://example.com/", "hook": "object"});
        assert_eq!(problems(document).keys().collect::<Vec<_>>(), ["custom_data.type"]);
    }

    #[test]
    fn a_document_has_a_bound() {
        let document = json!({"name": "n", "uri": "https://example.com/", "hook": "parking", "note": "x".repeat(500)});
        assert!(problems(document)["data"]["maxLength"]["message"].as_str().is_some_and(|text| text.contains("500")));
    }

    #[test]
    fn a_transform_must_be_there() {
        let with = |transform: Value| json!({"name": "n", "uri": "https://example.com/", "hook": "parking", "transform": transform});
        for good in [
            json!({"module": "mask"}),
            json!({"module": "mask", "version": "1.0.0"}),
            json!({"module": "idle", "version": "5a".repeat(32)}),
        ] {
            with_rules(|rules| rules.whole(object(with(good.clone())), None).expect("it is there"));
        }
        let refused = problems(with(json!({"module": "gone"})));
        assert_eq!(refused["transform.module"]["enum"]["target"], json!(["mask", "idle"]));
        for (transform, words) in [
            (json!({"module": "idle"}), "no version of the transform is active"),
            (json!({"module": "mask", "version": "2.0.0"}), "the transform has no such version"),
        ] {
            let refused = problems(with(transform));
            let problem = &refused["transform.version"]["enum"];
            assert!(problem["message"].as_str().is_some_and(|message| message.starts_with(words)), "{problem}");
            assert_eq!(problem["target"], json!(["1.0.0"]));
        }
    }

    #[test]
    fn a_hook_whose_transform_has_gone_can_be_changed() {
        let transform = json!({"module": "gone", "version": "active", "settings": {}});
        let record =
            stored(json!({"name": "n", "uri": "https://example.com/", "hook": "parking", "transform": transform}));
        let change = |changes: Value| with_rules(|rules| rules.merged(object(changes.clone()), &record));
        assert_eq!(change(json!({"enabled": false})).expect("it is sound").document["transform"], transform);
        let other_settings = json!({"transform": {"module": "gone", "settings": {"a": "b"}}});
        assert!(change(other_settings).is_ok());
        assert!(change(json!({"transform": {"module": "gone", "version": "1.0.0"}})).is_err());
        assert!(!change(json!({"transform": null})).expect("it is sound").document.contains_key("transform"));
    }

    #[test]
    fn a_change_in_part_replaces_and_removes_at_the_top() {
        let record = stored(json!({
            "name": "n", "uri": "https://example.com/", "hook": "object", "group": "g", "custom_data": {"type": "user", "k": "v"},
        }));
        let changes =
            object(json!({"group": null, "custom_data": {"type": "user"}, "id": "other", "disable_reason": "x"}));
        let Completed { document, .. } =
            with_rules(|rules| rules.merged(changes.clone(), &record).expect("it is sound"));
        assert_eq!(document["custom_data"], json!({"type": "user"}));
        for gone in ["group", "id", "disable_reason"] {
            assert!(!document.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn hidden_headers_keep_their_values_and_are_not_shown() {
        let record = stored(json!({
            "name": "n", "uri": "https://example.com/", "hook": "parking", "headers": {"X-Key": "secret"},
        }));
        let seen = shown(&record);
        assert_eq!(seen["headers"], json!({"X-Key": HIDDEN}));
        let Completed { document, .. } =
            with_rules(|rules| rules.whole(seen.clone(), Some(&record)).expect("it is sound"));
        assert_eq!(document["headers"], json!({"X-Key": "secret"}));
    }

    #[test]
    fn only_a_hook_that_was_switched_off_shows_a_reason() {
        let mut record = stored(json!({"name": "n", "enabled": false}));
        assert!(!summary(&record).contains_key("disable_reason"));
        record.disabled_message = Some("too many".into());
        assert_eq!(summary(&record)["disable_reason"], "too many");
        assert_eq!(shown(&record)["disable_reason"], "too many");
    }
}
