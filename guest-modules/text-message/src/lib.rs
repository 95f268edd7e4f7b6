//! What the modules `sms` and `mms` share: they differ in the category of their messages only, which is also their id.

use hookbox_sdk::kazoo::{Definition, Fields, Kind};
use hookbox_sdk::{Binding, Event, HandleError, JsonObject, Message, Metadata, log};

const INBOUND: Definition<'_> = Definition {
    required: &["Message-ID", "Body", "From", "To"],
    kinds: &[
        ("Route-Type", Kind::OneOf(&["onnet", "offnet"])),
        ("To", Kind::Text),
        ("From", Kind::Text),
        ("Request", Kind::Text),
        ("Message-ID", Kind::Text),
        ("System-ID", Kind::Text),
        ("Body", Kind::Text),
        ("Custom-Vars", Kind::Object),
    ],
};

/// The metadata of a module whose id is the messages' category.
#[must_use]
pub fn metadata(category: &str, description: &str, version: &str) -> Metadata {
    let name = category.to_ascii_uppercase();
    let sample = JsonObject::new()
        .put("id", "5b1d7c0a9e")
        .put("account_id", "aaaabbbbccccddddeeeeffff00001111")
        .put("type", category)
        .put("from", "+13125550111")
        .put("to", "+13125550199")
        .put("body", "See you at eight")
        .put("origin", "offnet")
        .put_json("charges", "0.01");
    Metadata::new(category, &name, version)
        .description(description)
        .sample(category, &sample.finish())
        .payload_schema(include_str!("../payload-schema.json"))
}

/// The binding to messages that come in from carriers.
#[must_use]
pub fn bindings(category: &str) -> Vec<Binding> {
    let routing_key = format!("{category}.inbound.offnet.*");
    vec![Binding::topic("im").routing_key(&routing_key).category(category).name("inbound")]
}

/// Turns a message that came in into the event of its account.
///
/// # Errors
///
/// [`HandleError::Malformed`] when headers are missing or of a wrong type; [`HandleError::NotMine`] when the message
/// has no account.
pub fn handle(category: &str, message: &Message) -> Result<Vec<Event>, HandleError> {
    let body = Fields::parse(&message.body).map_err(|error| HandleError::Malformed(error.to_string()))?;
    INBOUND.check(&body)?;
    let Some(account) = body.netext("Account-ID") else {
        log::debug(&format!("{category}: the message has no account"));
        return Err(HandleError::NotMine);
    };
    let payload = JsonObject::new()
        .put_some("id", body.text("Message-ID"))
        .put("account_id", &account)
        .put_some("type", body.text("Event-Category"))
        .put_some("from", body.text("From"))
        .put_some("to", body.text("To"))
        .put_some("body", body.netext("Body"))
        .put_some("origin", body.text("Route-Type"))
        .put_some("charges", body.number("Charges"));
    Ok(vec![Event::new(category, account, payload)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hookbox_sdk::HandleError;
    use hookbox_sdk::rehearsal::message;
    use serde_json::{Value, json};

    use super::handle;

    fn result(changes: &Value) -> Result<String, HandleError> {
        let mut body = json!({
            "App-Name": "im", "App-Version": "1.0.0", "Event-Category": "sms", "Event-Name": "inbound",
            "Msg-ID": "5b1d", "Message-ID": "5b1d", "Account-ID": "a1", "From": "+1", "To": "+2", "Body": "hi",
        });
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let events = handle("sms", &message("im", "sms.inbound.offnet.5b1d", &body.to_string()))?;
        Ok(events[0].payload.clone())
    }

    #[test]
    fn what_is_not_there_is_left_out_and_so_is_an_empty_body() {
        let bare = r#"{"id":"5b1d","account_id":"a1","type":"sms","from":"+1","to":"+2"}"#;
        assert_eq!(result(&json!({"Body": "", "Charges": null})).unwrap(), bare);
        assert_eq!(result(&json!({"Body": "", "Charges": "free"})).unwrap(), bare);
    }

    #[test]
    fn charges_are_a_number_also_when_they_come_as_text() {
        for (charges, written) in [(json!("0.25"), "0.25"), (json!("3"), "3"), (json!(0.01), "0.01")] {
            let payload = result(&json!({"Charges": charges})).unwrap();
            assert!(payload.ends_with(&format!(r#""body":"hi","charges":{written}}}"#)), "{payload}");
        }
    }

    #[test]
    fn accounts_are_read_as_text() {
        assert!(result(&json!({"Account-ID": 17})).unwrap().contains(r#""account_id":"17""#));
        assert_eq!(result(&json!({"Account-ID": ""})), Err(HandleError::NotMine));
    }

    #[test]
    fn headers_of_a_wrong_type_are_malformed() {
        for (changes, reason) in [
            (json!({"From": 13}), "From is not a text"),
            (json!({"Body": null}), "Body is not a text"),
            (json!({"Route-Type": "international"}), "Route-Type is not one of onnet, offnet"),
            (json!({"Custom-Vars": []}), "Custom-Vars is not an object"),
        ] {
            assert_eq!(result(&changes), Err(HandleError::Malformed(reason.to_owned())));
        }
    }
}
