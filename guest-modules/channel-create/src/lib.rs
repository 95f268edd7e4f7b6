//! The event `channel_create`: a new channel came to be.

use channel_event::Declaration;
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};

struct ChannelCreate;

impl Module for ChannelCreate {
    fn metadata() -> Metadata {
        Declaration {
            id: "channel_create",
            name: "Channel Create",
            description: "A new channel came to be: someone calls, or is being called",
            version: env!("CARGO_PKG_VERSION"),
            more: &[],
        }
        .metadata()
    }

    fn bindings() -> Vec<Binding> {
        channel_event::bindings("CHANNEL_CREATE")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        channel_event::handle("channel_create", &message, |_, payload| payload)
    }
}

hookbox_sdk::module!(ChannelCreate);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::ChannelCreate>("samples");
    }
}
