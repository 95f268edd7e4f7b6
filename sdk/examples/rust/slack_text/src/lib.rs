//! Any event as a line in a chat, for receivers that want `{"text": …}` as Slack's incoming webhooks do.
//!
//! `channel_destroy` with `{"call_id": "b1", "duration_seconds": 61}` becomes
//! `{"text": "*channel destroy*\ncall_id: b1\nduration_seconds: 61"}`. What is an object or a list itself is left out.

use hookbox_sdk::{Firing, JsonObject, Transform};
use serde_json::{Map, Value};

struct SlackText;

impl Transform for SlackText {
    fn transform(mut firing: Firing) -> Result<Option<Firing>, String> {
        let payload: Map<String, Value> = serde_json::from_str(&firing.payload).map_err(|error| error.to_string())?;
        let title = firing.hook_event.replace('_', " ");
        let lines = payload.iter().filter_map(|(key, value)| Some(format!("\n{key}: {}", plain(value)?)));
        let text = format!("*{title}*{}", lines.collect::<String>());
        firing.payload = JsonObject::new().put("text", text).finish();
        firing.content_type = "application/json".into();
        Ok(Some(firing))
    }
}

hookbox_sdk::transform!(SlackText);

/// A text, a number or a yes or no.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_a_line_of_each_plain_field() {
        let firing = Firing {
            webhook_id: "w1".into(),
            account_id: "a1".into(),
            hook_id: "h1".into(),
            hook_event: "channel_destroy".into(),
            attempt: 1,
            verb: "post".into(),
            uri: "https://example.com/hook".into(),
            payload: r#"{"call_id": "b1", "answered": true, "vars": {"a": 1}, "duration_seconds": 61}"#.into(),
            headers: vec![],
            content_type: "application/x-www-form-urlencoded".into(),
        };
        let changed = SlackText::transform(firing).expect("no error").expect("not dropped");
        let text = r#"{"text":"*channel destroy*\ncall_id: b1\nanswered: true\nduration_seconds: 61"}"#;
        assert_eq!((changed.payload.as_str(), changed.content_type.as_str()), (text, "application/json"));
    }
}
