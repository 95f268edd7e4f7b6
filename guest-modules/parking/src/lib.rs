//! The event `parking`: a call was parked, fetched, or given up by its caller. Which of the three is `event_name` in
//! the payload, which is the message itself without what concerns the platform only.

use hookbox_sdk::kazoo::{self, Definition, Fields, Kind};
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module, log};

struct Parking;

const CALL_EVENT: Definition<'_> = Definition {
    required: &["Call-ID"],
    kinds: &[
        ("Custom-Application-Vars", Kind::Object),
        ("Custom-Channel-Vars", Kind::Object),
        ("Custom-SIP-Headers", Kind::Object),
        ("Fax-Info", Kind::Object),
    ],
};

/// What receivers do not see of the message.
const LEFT_OUT: [&str; 6] = ["Node", "Msg-ID", "App-Version", "App-Name", "Event-Category", "Custom-Channel-Vars"];

impl Module for Parking {
    fn metadata() -> Metadata {
        Metadata::new("parking", "Call Parking", env!("CARGO_PKG_VERSION"))
            .description("A call was parked, fetched again, or given up by its caller while parked")
            .sample("PARK_PARKED", include_str!("../sample.json"))
            .payload_schema(include_str!("../payload-schema.json"))
    }

    fn bindings() -> Vec<Binding> {
        let events = ["PARK_PARKED", "PARK_RETRIEVED", "PARK_ABANDONED"];
        let binding = Binding::topic("callevt").category("call_event");
        vec![events.iter().fold(binding, |binding, event| binding.routing_key(&format!("call.{event}.*")).name(event))]
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        let malformed = |error: serde_json::Error| HandleError::Malformed(error.to_string());
        let mut body = Fields::parse(&message.body).map_err(malformed)?;
        CALL_EVENT.check(&body)?;
        let account = body.object("Custom-Channel-Vars").and_then(|vars| Some(vars.netext("Account-ID")?.into_owned()));
        let Some(account) = account else {
            log::debug("parking: the call has no account");
            return Err(HandleError::NotMine);
        };
        body.retain(|key| !LEFT_OUT.contains(&key));
        body.set("Account-ID", &account);
        let payload = kazoo::normalize(&body.to_json()).map_err(malformed)?;
        Ok(vec![Event::new("parking", account, payload)])
    }
}

hookbox_sdk::module!(Parking);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hookbox_sdk::HandleError;
    use hookbox_sdk::rehearsal::{self, Rehearsal, message};
    use serde_json::{Value, json};

    use super::Parking;

    #[test]
    fn samples() {
        rehearsal::check::<Parking>("samples");
    }

    fn result(changes: &Value) -> Result<Value, HandleError> {
        let mut body = json!({
            "App-Name": "callflow", "App-Version": "4.0.0", "Event-Category": "call_event",
            "Event-Name": "PARK_RETRIEVED", "Msg-ID": "91b0", "Call-ID": "77af",
            "Custom-Channel-Vars": {"Account-ID": "a1"},
        });
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let message = message("callevt", "call.PARK_RETRIEVED.77af", &body.to_string());
        let events = Rehearsal::new().handle::<Parking>(message).result?;
        Ok(serde_json::from_str(&events[0].payload).unwrap())
    }

    #[test]
    fn without_an_account_nothing_happens() {
        assert_eq!(result(&json!({"Custom-Channel-Vars": {}})), Err(HandleError::NotMine));
        assert_eq!(
            result(&json!({"Custom-Channel-Vars": {"Account-ID": ""}, "Account-ID": "a2"})),
            Err(HandleError::NotMine)
        );
    }

    #[test]
    fn what_is_no_call_event_is_malformed() {
        for header in ["Custom-Channel-Vars", "Custom-Application-Vars", "Custom-SIP-Headers", "Fax-Info"] {
            for wrong in [json!([]), json!("x"), Value::Null] {
                let malformed = HandleError::Malformed(format!("{header} is not an object"));
                assert_eq!(result(&json!({header: wrong})), Err(malformed));
            }
        }
    }

    #[test]
    fn an_account_of_another_type_becomes_text_and_replaces_the_messages_own() {
        let payload = result(&json!({
            "Account-ID": "other", "Custom-Channel-Vars": {"Account-ID": 17}, "Parking-Slot": 4,
            "Caller-ID-Name": null, "Server-ID": "", "Custom-Application-Vars": {"A-B": [null]},
        }));
        let expected = json!({
            "event_name": "PARK_RETRIEVED", "call_id": "77af", "account_id": "17", "parking_slot": 4,
            "server_id": "", "custom_application_vars": {"a_b": [null]},
        });
        assert_eq!(payload, Ok(expected));
    }
}
