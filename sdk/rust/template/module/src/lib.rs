//! My event: a call is over. Change it to what you want to tell your receivers.

use hookbox_sdk::kazoo::Fields;
use hookbox_sdk::{Binding, Event, HandleError, JsonObject, Message, Metadata, Module};

struct Handler;

impl Module for Handler {
    /// What the module says about itself. Asked once, when it is loaded.
    fn metadata() -> Metadata {
        Metadata::new("my_event", "My event", env!("CARGO_PKG_VERSION"))
            .description("A call is over")
            .sample(
                "hung_up",
                r#"{"call_id": "b1946ac9", "hangup_cause": "NORMAL_CLEARING", "duration_s": 61}"#,
            )
    }

    /// Which messages it wants: an exchange, a routing key (`*` is one word), and what the body says of itself.
    fn bindings() -> Vec<Binding> {
        vec![
            Binding::topic("callevt")
                .routing_key("call.CHANNEL_DESTROY.*")
                .category("call_event")
                .name("CHANNEL_DESTROY"),
        ]
    }

    /// The events that a message gives: none, one or several. Nothing is kept from one call to the next.
    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        let account = message.account_id.ok_or(HandleError::NotMine)?;
        let body = Fields::parse(&message.body)
            .map_err(|error| HandleError::Malformed(error.to_string()))?;
        let call_id = body
            .netext("Call-ID")
            .ok_or(HandleError::Malformed("no Call-ID".into()))?;
        let payload = JsonObject::new()
            .put("call_id", call_id)
            .put_some("hangup_cause", body.netext("Hangup-Cause"))
            .put_some("duration_s", body.int("Duration-Seconds"));
        Ok(vec![Event::new("my_event", account, payload.finish())])
    }
}

hookbox_sdk::module!(Handler);

#[cfg(test)]
mod tests {
    /// `cargo test` checks the samples natively; `hookbox module test` does so in the real sandbox.
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::Handler>("samples");
    }
}
