//! The event `sms`: a text message came in from a carrier.

use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};

struct Sms;

impl Module for Sms {
    fn metadata() -> Metadata {
        let description = "A text message came in from a carrier";
        text_message::metadata("sms", description, env!("CARGO_PKG_VERSION"))
    }

    fn bindings() -> Vec<Binding> {
        text_message::bindings("sms")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        text_message::handle("sms", &message)
    }
}

hookbox_sdk::module!(Sms);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::Sms>("samples");
    }
}
