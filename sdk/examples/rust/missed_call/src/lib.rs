//! A call that nobody answered, told once it is over: for a list of people to call back.
//!
//! Every call ends with CHANNEL_DESTROY on each of its legs. Missed is an inbound leg that rang and was never answered.
//! Who hangs up at once did not want to speak: the setting `min_ringing_s` (3) says how long is long enough.

use hookbox_sdk::kazoo::Fields;
use hookbox_sdk::{Binding, Event, HandleError, JsonObject, Message, Metadata, Module, log, settings};

struct MissedCall;

const MIN_RINGING_S: i64 = 3;

impl Module for MissedCall {
    fn metadata() -> Metadata {
        Metadata::new("missed_call", "Missed call", env!("CARGO_PKG_VERSION"))
            .description("A call rang and nobody answered it")
            .sample("missed", r#"{"call_id": "b1946ac9", "from": "+13125550111", "to": "4000", "rang_s": 21}"#)
    }

    fn bindings() -> Vec<Binding> {
        vec![
            Binding::topic("callevt")
                .routing_key("call.CHANNEL_DESTROY.*")
                .category("call_event")
                .name("CHANNEL_DESTROY"),
        ]
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        let account = message.account_id.ok_or(HandleError::NotMine)?;
        let body = Fields::parse(&message.body).map_err(|error| HandleError::Malformed(error.to_string()))?;
        let is_inbound = body.netext("Call-Direction").as_deref() == Some("inbound");
        let was_answered = body.int("Billing-Seconds").unwrap_or(0) > 0;
        if !is_inbound || was_answered {
            return Err(HandleError::NotMine);
        }
        let rang_s = body.int("Ringing-Seconds").unwrap_or(0);
        let enough = settings::get("min_ringing_s").and_then(|text| text.parse().ok()).unwrap_or(MIN_RINGING_S);
        if rang_s < enough {
            log::debug(&format!("rang for {rang_s} s only"));
            return Ok(vec![]);
        }
        let payload = JsonObject::new()
            .put_some("call_id", body.netext("Call-ID"))
            .put_some("from", body.netext("Caller-ID-Number"))
            .put_some("to", body.netext("Callee-ID-Number"))
            .put("rang_s", rang_s);
        Ok(vec![Event::new("missed_call", account, payload.finish())])
    }
}

hookbox_sdk::module!(MissedCall);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::MissedCall>("samples");
    }
}
