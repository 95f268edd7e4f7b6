//! A firing made again of a recorded attempt: a plain rule.
//!
//! What was sent as JSON is in the record; of anything else (forms, GET, what a transform made) the payload is kept beside it. A body has
//! `custom_data` merged in as it was then; the hook's own of today is merged over it when it is sent again.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    clock::unix_ms,
    message::{AccountId, Event, Firing, HookId, Object, Target, WebhookId},
    store::AttemptRow,
};

/// The firing that the attempt was a try of, with the same id, its tries counted anew. `None` when what was sent is not
/// kept (the request could not be made, or the record is older than this rule).
pub fn firing_of(row: &AttemptRow) -> Option<Firing> {
    let text = |name: &str| row.document.get(name).and_then(Value::as_str);
    let payload = match &row.payload {
        Some(payload) => payload.clone(),
        None => serde_json::from_str::<Object>(text("req_body")?).ok()?,
    };
    let (account, hook) = (AccountId::from(text("account_id")?), HookId::from(text("hook_id")?));
    let event = Event {
        module: text("module")?.into(),
        hook_event: text("hook_event")?.to_owned(),
        account: account.clone(),
        payload,
        // Hooks were matched already.
        facets: Vec::new(),
        selectors: Arc::default(),
        internal_leg: false,
        within: None,
        hooks_of: None,
        trace: None,
    };
    Some(Firing {
        id: webhook_id(row)?,
        target: Target::Stored(account, hook),
        event: Arc::new(event),
        tries: 0,
        created_ms: row.document.get("timestamp").and_then(Value::as_u64).map_or(0, unix_ms),
        lease: None,
    })
}

/// The firing's id.
pub fn webhook_id(row: &AttemptRow) -> Option<WebhookId> {
    row.document.get("event_id").and_then(Value::as_str).map(WebhookId::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(body: &str, payload: Option<Value>) -> AttemptRow {
        let document = json!({
            "id": "1", "account_id": "a1", "hook_id": "h1", "hook_event": "sms", "event_id": "w1", "module": "sms",
            "timestamp": 62_167_219_201_u64, "req_body": body,
        });
        let object = |value: Value| value.as_object().cloned().expect("an object");
        AttemptRow { cursor: 1, document: object(document), payload: payload.map(object) }
    }

    #[test]
    fn a_json_body_is_the_payload() {
        let firing = firing_of(&row(r#"{"to": "+1"}"#, None)).expect("it is kept");
        assert_eq!(Value::Object(firing.event.payload.clone()), json!({"to": "+1"}));
        assert_eq!((firing.id.as_str(), firing.tries, firing.created_ms), ("w1", 0, 1000));
        assert_eq!((firing.target.account().as_str(), firing.target.hook_id().as_str()), ("a1", "h1"));
    }

    #[test]
    fn the_payload_beside_the_record_comes_first() {
        let firing = firing_of(&row("to=%2B1", Some(json!({"to": "+1"})))).expect("it is kept");
        assert_eq!(firing.event.payload["to"], "+1");
    }

    #[test]
    fn what_is_not_kept_is_not_made_up() {
        for body in ["", "to=%2B1", "[1]", "{"] {
            assert!(firing_of(&row(body, None)).is_none(), "{body}");
        }
    }
}
