//! A transform on the stage: firings, and what is expected to be sent of each, after the host's own check of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    on_stage::{OnStage, error_in_words},
    sample::{Sample, make_known},
    stage::{LOADED_AT_MS, Played, Stage, fault, play},
};
use crate::{
    account::AccountTree,
    firing::{
        request::{FORM_TYPE, JSON_TYPE},
        transform::{Bounds, Rewritten},
    },
    message::Object,
    module::{
        ModuleError, Transform, bindings::hookbox::webhook::types as wit, sandbox::Called, transform::TransformInput,
    },
    settings::FiringSettings,
};

/// A transform, and what a host holds it to.
pub(super) struct HeldTransform {
    pub(super) transform: Transform,
    pub(super) firing: Arc<FiringSettings>,
    /// `modules.output_bytes_max`.
    pub(super) payload_bytes_max: usize,
}

/// A firing as samples say it. What is left out is the first try of a post of JSON, without headers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    webhook_id: String,
    account_id: String,
    hook_id: String,
    hook_event: String,
    attempt: u32,
    verb: String,
    uri: String,
    payload: Object,
    headers: Vec<(String, String)>,
    content_type: String,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            webhook_id: "5a".repeat(32),
            account_id: "a".repeat(32),
            hook_id: "b".repeat(32),
            hook_event: "channel_destroy".into(),
            attempt: 1,
            verb: "post".into(),
            uri: "https://receiver.example.com/in".into(),
            payload: Object::new(),
            headers: Vec::new(),
            content_type: JSON_TYPE.into(),
        }
    }
}

/// `result` is the fields that are to change, `"dropped"`, `{"failed": …}` or `{"fault": …}`. Hosts make a fresh instance
/// for every firing, so none is used twice here.
impl OnStage for HeldTransform {
    type Handed = wit::Firing;
    const HANDED: &'static str = "firing";
    const EXPECTED: &'static [&'static str] = &["result"];

    fn handed(
        value: Value,
        accounts: Option<AccountTree>,
        _stage: &Stage,
    ) -> Result<(wit::Firing, Arc<AccountTree>), String> {
        let firing = handed_in(serde_json::from_value(value).map_err(|error| format!("firing: {error}"))?)?;
        let accounts = accounts.unwrap_or_default();
        make_known(&accounts, &firing.account_id);
        Ok((firing, Arc::new(accounts)))
    }

    fn expected(mut said: Object, handed: &wit::Firing, _stage: &Stage) -> Result<Option<Value>, String> {
        match said.shift_remove("result") {
            Some(Value::Object(changed)) if !is_error(&changed) => {
                let mut whole = sendable(handed);
                for (field, value) in changed {
                    match whole.get_mut(&field) {
                        Some(place) => *place = value,
                        None => {
                            let fields: Vec<_> = whole.keys().map(String::as_str).collect();
                            return Err(format!(
                                "result: a transform does not change {field}, but {}",
                                fields.join(", ")
                            ));
                        }
                    }
                }
                Ok(Some(whole.into()))
            }
            other => Ok(other),
        }
    }

    fn accepted(answer: &Value, handed: &wit::Firing) -> (&'static str, Value) {
        ("result", changed(answer, handed).map_or_else(|| answer.clone(), Value::Object))
    }

    fn in_words(answer: &Value, handed: &wit::Firing) -> String {
        match changed(answer, handed) {
            Some(fields) if fields.is_empty() => "nothing changed".into(),
            Some(fields) => {
                let fields: Vec<_> = fields.keys().map(|field| field.replace('_', " ")).collect();
                format!("another {}", fields.join(", "))
            }
            None => error_in_words(answer),
        }
    }

    fn shown(answer: &Value, handed: &wit::Firing) -> Vec<Value> {
        changed(answer, handed).filter(|fields| !fields.is_empty()).map(Value::Object).into_iter().collect()
    }

    fn play_fresh(&self, sample: &Sample<wit::Firing>) -> Played {
        let handed = &sample.handed;
        let input = TransformInput {
            firing: handed.clone(),
            account: handed.account_id.as_str().into(),
            settings: Arc::clone(&sample.surroundings.settings),
            limits: None,
            now_ms: LOADED_AT_MS,
        };
        let bounds = Bounds::new(handed, &self.firing, self.payload_bytes_max);
        let call = || {
            let Called { result, log, cost } = self.transform.call_among(&sample.surroundings.accounts, &input);
            let check = |given| bounds.check(given).map_err(|reason| ModuleError::Output { reason });
            Called { result: result.and_then(|given| given.map(check).transpose()), log, cost }
        };
        play(call, answer)
    }
}

/// Only what hosts hand in.
fn handed_in(fields: Fields) -> Result<wit::Firing, String> {
    let Fields { verb, content_type, payload, .. } = &fields;
    if !["get", "post", "put"].contains(&verb.as_str()) {
        return Err(format!("firing: verb {verb:?} is none of get, post, put"));
    }
    if ![JSON_TYPE, FORM_TYPE].contains(&content_type.as_str()) {
        return Err(format!("firing: content_type {content_type:?} is neither {JSON_TYPE} nor {FORM_TYPE}"));
    }
    let payload = Value::Object(payload.clone()).to_string();
    let Fields { webhook_id, account_id, hook_id, hook_event, attempt, verb, uri, headers, content_type, .. } = fields;
    Ok(wit::Firing { webhook_id, account_id, hook_id, hook_event, attempt, verb, uri, payload, headers, content_type })
}

fn answer(result: Result<Option<Rewritten>, ModuleError>) -> Value {
    match result {
        Ok(Some(Rewritten { uri, payload, headers, content_type })) => {
            json!({"uri": uri, "payload": payload, "headers": headers, "content_type": content_type})
        }
        Ok(None) => json!("dropped"),
        Err(error) => fault(&error),
    }
}

/// What a transform may change, unchanged, as answers have it.
fn sendable(handed: &wit::Firing) -> Object {
    let payload = serde_json::from_str(&handed.payload).unwrap_or(Value::Null);
    let fields = [
        ("uri", json!(handed.uri)),
        ("payload", payload),
        ("headers", json!(handed.headers)),
        ("content_type", json!(handed.content_type)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

/// The fields that are others than those handed in, the order of keys included; `None` when nothing is to be sent.
fn changed(answer: &Value, handed: &wit::Firing) -> Option<Object> {
    let mut fields = answer.as_object().filter(|fields| !is_error(fields))?.clone();
    let (before, text) = (sendable(handed), Value::to_string);
    fields.retain(|field, value| before.get(field).map(text) != Some(text(value)));
    Some(fields)
}

fn is_error(answer: &Object) -> bool {
    answer.contains_key("failed") || answer.contains_key("fault")
}
