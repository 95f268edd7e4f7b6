//! The event `channel_destroy`: a channel is gone.

use channel_event::{Declaration, Property};
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};

struct ChannelDestroy;

const MORE: [Property; 5] = [
    Property {
        key: "hangup_cause",
        kind: "string",
        description: "Why the call ended, as the switch names it",
        sample: r#""NORMAL_CLEARING""#,
    },
    Property {
        key: "hangup_code",
        kind: "string",
        description: "The SIP answer that ended the call",
        sample: r#""sip:200""#,
    },
    Property {
        key: "duration_seconds",
        kind: "integer",
        description: "How long the leg was there, in seconds",
        sample: "61",
    },
    Property { key: "ringing_seconds", kind: "integer", description: "How long it rang, in seconds", sample: "6" },
    Property {
        key: "billing_seconds",
        kind: "integer",
        description: "How long it was answered, in seconds",
        sample: "55",
    },
];

impl Module for ChannelDestroy {
    fn metadata() -> Metadata {
        Declaration {
            id: "channel_destroy",
            name: "Channel Destroy",
            description: "A channel is gone, mostly because someone hung up",
            version: env!("CARGO_PKG_VERSION"),
            more: &MORE,
        }
        .metadata()
    }

    fn bindings() -> Vec<Binding> {
        channel_event::bindings("CHANNEL_DESTROY")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        channel_event::handle("channel_destroy", &message, |event, payload| {
            payload
                .put_some("hangup_cause", event.body.netext("Hangup-Cause"))
                .put_some("hangup_code", event.body.netext("Hangup-Code"))
                .put_some("duration_seconds", event.body.int("Duration-Seconds"))
                .put_some("ringing_seconds", event.body.int("Ringing-Seconds"))
                .put_some("billing_seconds", event.body.int("Billing-Seconds"))
        })
    }
}

hookbox_sdk::module!(ChannelDestroy);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::ChannelDestroy>("samples");
    }
}
