//! The event `mms`: a multimedia message came in from a carrier.

use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};

struct Mms;

impl Module for Mms {
    fn metadata() -> Metadata {
        let description = "A multimedia message came in from a carrier";
        text_message::metadata("mms", description, env!("CARGO_PKG_VERSION"))
    }

    fn bindings() -> Vec<Binding> {
        text_message::bindings("mms")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        text_message::handle("mms", &message)
    }
}

hookbox_sdk::module!(Mms);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::Mms>("samples");
    }
}
