//! The event `channel_bridge`: two channels were joined.

use channel_event::{Declaration, Property};
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};

struct ChannelBridge;

const MORE: [Property; 2] = [
    Property {
        key: "original_number",
        kind: "string",
        description: "The number as it was dialled, before the platform changed it",
        sample: r#""+13125550199""#,
    },
    Property {
        key: "other_leg_destination_number",
        kind: "string",
        description: "The number that the other leg called",
        sample: r#""4000""#,
    },
];

impl Module for ChannelBridge {
    fn metadata() -> Metadata {
        Declaration {
            id: "channel_bridge",
            name: "Channel Bridge",
            description: "Two channels were joined, so that their parties hear each other",
            version: env!("CARGO_PKG_VERSION"),
            more: &MORE,
        }
        .metadata()
    }

    fn bindings() -> Vec<Binding> {
        channel_event::bindings("CHANNEL_BRIDGE")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        channel_event::handle("channel_bridge", &message, |event, payload| {
            payload
                .put_some("original_number", event.channel_vars.netext("Original-Number"))
                .put_some("other_leg_destination_number", event.body.netext("Other-Leg-Destination-Number"))
        })
    }
}

hookbox_sdk::module!(ChannelBridge);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::ChannelBridge>("samples");
    }
}
