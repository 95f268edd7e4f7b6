//! A transform on the stage: firings, and what is expected to be sent of each, after the host's own check of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    on_stage::{Calls, OnStage, error_in_words},
    sample::{Sample, make_known},
    stage::{LOADED_AT_MS, Played, Stage, fault, play},
};
use crate::{
    account::AccountTree,
    firing::{
        given::GivenFiring,
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
        let given: GivenFiring = serde_json::from_value(value).map_err(|error| format!("firing: {error}"))?;
        let firing = given.handed_in()?;
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
        let (input, bounds) = self.input(sample);
        play(|| self.call(sample, &input, &bounds), answer)
    }

    fn measured<R>(
        &self,
        sample: &Sample<wit::Firing>,
        measure: impl FnOnce(&mut Calls<'_>, Option<&mut Calls<'_>>) -> R,
    ) -> R {
        let (input, bounds) = self.input(sample);
        let mut fresh: Calls<'_> = Box::new(|| {
            let called = self.call(sample, &input, &bounds);
            called.result.is_ok().then_some(called.cost)
        });
        measure(&mut fresh, None)
    }
}

impl HeldTransform {
    /// As a host would call it, and what of its answer a host would send.
    fn input(&self, sample: &Sample<wit::Firing>) -> (TransformInput, Bounds) {
        let handed = &sample.handed;
        let input = TransformInput {
            firing: handed.clone(),
            account: handed.account_id.as_str().into(),
            settings: Arc::clone(&sample.surroundings.settings),
            limits: None,
            now_ms: LOADED_AT_MS,
        };
        (input, Bounds::new(handed, &self.firing, self.payload_bytes_max))
    }

    fn call(&self, sample: &Sample<wit::Firing>, input: &TransformInput, bounds: &Bounds) -> Called<Option<Rewritten>> {
        self.transform.call_among(&sample.surroundings.accounts, input).checked(|given| bounds.check(given))
    }
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
