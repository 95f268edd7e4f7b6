//! A firing as people write it to try out a transform: in samples and dry runs. What is left out is the first try of a post
//! of JSON, without headers.

use serde::Deserialize;
use serde_json::Value;

use super::{
    request::{FORM_TYPE, JSON_TYPE},
    transform::Bounds,
};
use crate::{
    message::Object,
    module::{bindings::hookbox::webhook::types as wit, check::TrialFiring},
    settings::FiringSettings,
};

/// The fields of a firing, each with its default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the contract's record `firing` says what they are")]
pub struct GivenFiring {
    pub webhook_id: String,
    /// The default is a made-up one.
    pub account_id: Option<String>,
    pub hook_id: String,
    pub hook_event: String,
    pub attempt: u32,
    pub verb: String,
    pub uri: String,
    pub payload: Object,
    pub headers: Vec<(String, String)>,
    pub content_type: String,
}

impl Default for GivenFiring {
    fn default() -> Self {
        Self {
            webhook_id: "5a".repeat(32),
            account_id: None,
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

impl GivenFiring {
    /// As a transform is handed it. What no host hands in is refused, in words.
    pub fn handed_in(self) -> Result<wit::Firing, String> {
        let Self { verb, content_type, .. } = &self;
        if !["get", "post", "put"].contains(&verb.as_str()) {
            return Err(format!("firing: verb {verb:?} is none of get, post, put"));
        }
        if ![JSON_TYPE, FORM_TYPE].contains(&content_type.as_str()) {
            return Err(format!("firing: content_type {content_type:?} is neither {JSON_TYPE} nor {FORM_TYPE}"));
        }
        Ok(wit::Firing {
            webhook_id: self.webhook_id,
            account_id: self.account_id.unwrap_or_else(|| "a".repeat(32)),
            hook_id: self.hook_id,
            hook_event: self.hook_event,
            attempt: self.attempt,
            verb: self.verb,
            uri: self.uri,
            payload: Value::Object(self.payload).to_string(),
            headers: self.headers,
            content_type: self.content_type,
        })
    }
}

/// A firing that a transform is tried with before anybody may use it, and how its answer is held to the rules.
pub fn on_trial(name: String, firing: wit::Firing, settings: &FiringSettings, payload_bytes_max: usize) -> TrialFiring {
    let bounds = Bounds::new(&firing, settings, payload_bytes_max);
    TrialFiring { name, firing, check: Box::new(move |given| bounds.check(given).map(|sent| sent.payload)) }
}
