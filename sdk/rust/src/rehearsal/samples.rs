//! Folders of samples: messages, and the events expected of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Accounts, Outcome, Rehearsal, declaration, message};
use crate::{Binding, Event, HandleError, Message, Module};

/// One file of a folder of samples.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// What the sample shows, for people.
    #[allow(dead_code, reason = "for people")]
    about: String,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    accounts: Accounts,
    message: SampleMessage,
    events: Option<Vec<Value>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleMessage {
    exchange: String,
    routing_key: String,
    #[serde(default)]
    account_id: Option<String>,
    body: Value,
}

/// Checks what a module declares, and every sample of a folder (`*.json`, at least one; the path is seen from the
/// crate's root).
///
/// ```json
/// {
///   "about": "What this sample shows",
///   "settings": {"key": "value, or any JSON"},
///   "accounts": {"resellers": {"a1": "r1"}, "ancestors": {"a1": ["r1"]}, "numbers": {"+13125550199": "a1"}},
///   "message": {"exchange": "house", "routing_key": "door.front", "account_id": "a1", "body": {"…": "…"}},
///   "events": [{"hook_event": "doorbell", "account_id": "a1", "payload": {"…": "…"},
///               "facets": {"door": "front"}, "internal_leg": false, "inline_hook": null}]
/// }
/// ```
///
/// Of an event, facets, internal leg and inline hook may be left out when there are none. In place of `events`, `error`
/// is `"not_mine"`, `{"malformed": "reason"}` or `{"failed": "reason"}`. Payloads must agree in the order of their keys
/// too, for forms are sent in that order. The message must be one that the module's bindings ask for.
///
/// # Panics
///
/// When anything is not as it should be, with all of what is not.
pub fn check<M: Module>(folder: impl AsRef<Path>) {
    let mut problems = declaration::problems::<M>();
    let files = sample_files(folder.as_ref());
    if files.is_empty() {
        problems.push(format!("{} holds no sample (*.json)", folder.as_ref().display()));
    }
    for file in files {
        problems.extend(sample_problems::<M>(&file).into_iter().map(|why| format!("{}: {why}", file.display())));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn sample_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

fn sample_problems<M: Module>(file: &Path) -> Vec<String> {
    let sample = fs::read_to_string(file)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_str::<Sample>(&text).map_err(|error| error.to_string()));
    let sample = match sample {
        Ok(sample) => sample,
        Err(why) => return vec![why],
    };
    let mut message = message(&sample.message.exchange, &sample.message.routing_key, &sample.message.body.to_string());
    message.account_id = sample.message.account_id;
    let mut problems = Vec::new();
    if !M::bindings().iter().any(|binding| asks_for(binding, &message)) {
        problems.push(format!("no binding of the module asks for {} {}", message.exchange, message.routing_key));
    }
    let mut host = Rehearsal { accounts: sample.accounts, ..Rehearsal::new() };
    for (key, value) in sample.settings {
        host = host.setting(&key, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let Outcome { result, log } = host.handle::<M>(message);
    let expected = match (sample.events, sample.error) {
        (Some(events), None) => json!(events.into_iter().map(with_defaults).collect::<Vec<_>>()),
        (None, Some(error)) => error,
        _ => return vec!["give either events or error".to_owned()],
    };
    let actual = match result {
        Ok(events) => events.iter().map(event_json).collect(),
        Err(error) => error_json(&error),
    };
    // Compared as texts, so that the order of keys counts.
    let (expected, actual) = (format!("{expected:#}"), format!("{actual:#}"));
    if expected != actual {
        let log: String = log.iter().map(|(level, text)| format!("\n{level:?} {text}")).collect();
        problems.push(format!("expected\n{expected}\nbut the module answered\n{actual}\nand logged:{log}"));
    }
    problems
}

fn with_defaults(event: Value) -> Value {
    let field = |name: &str, default: Value| event.get(name).cloned().unwrap_or(default);
    json!({
        "hook_event": field("hook_event", Value::Null),
        "account_id": field("account_id", Value::Null),
        "payload": field("payload", Value::Null),
        "facets": field("facets", json!({})),
        "internal_leg": field("internal_leg", json!(false)),
        "inline_hook": field("inline_hook", Value::Null),
    })
}

fn event_json(event: &Event) -> Value {
    let parsed = |json: &str| serde_json::from_str(json).unwrap_or_else(|error| json!(format!("{error}: {json}")));
    let facets = event.facets.iter().map(|(key, value)| (key.clone(), json!(value)));
    json!({
        "hook_event": event.hook_event,
        "account_id": event.account_id,
        "payload": parsed(&event.payload),
        "facets": facets.collect::<serde_json::Map<_, _>>(),
        "internal_leg": event.internal_leg,
        "inline_hook": event.inline_hook.as_deref().map(parsed),
    })
}

fn error_json(error: &HandleError) -> Value {
    match error {
        HandleError::Malformed(reason) => json!({"malformed": reason}),
        HandleError::NotMine => json!("not_mine"),
        HandleError::Failed(reason) => json!({"failed": reason}),
    }
}

/// Whether the host would hand the message over because of this binding.
fn asks_for(binding: &Binding, message: &Message) -> bool {
    let routed = |key: &String| {
        let (key, routing_key): (Vec<_>, Vec<_>) = (key.split('.').collect(), message.routing_key.split('.').collect());
        topic_matches(&key, &routing_key)
    };
    binding.exchange == message.exchange
        && binding.routing_keys.iter().any(routed)
        && binding.category == message.category
        && binding.names.iter().any(|name| name == "*" || *name == message.name)
}

/// As a topic exchange does: `*` is one word, `#` any number of words.
fn topic_matches(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern.split_first(), words.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => topic_matches(rest, words),
        (Some((&"#", rest)), Some((_, later))) => topic_matches(rest, words) || topic_matches(pattern, later),
        (Some((part, rest)), Some((word, later))) => (*part == "*" || part == word) && topic_matches(rest, later),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::topic_matches;

    fn matches(pattern: &str, key: &str) -> bool {
        topic_matches(&pattern.split('.').collect::<Vec<_>>(), &key.split('.').collect::<Vec<_>>())
    }

    #[test]
    fn routing_keys_match_as_on_a_topic_exchange() {
        assert!(matches("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a%2Eb"));
        assert!(!matches("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a.b"));
        assert!(!matches("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE"));
        assert!(matches("#", "a.b.c") && matches("skel.#", "skel") && matches("skel.#", "skel.a.b"));
        assert!(matches("#.c", "a.b.c") && !matches("#.c", "a.b"));
    }
}
