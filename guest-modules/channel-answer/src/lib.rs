//! The event `channel_answer`: a channel has audio both ways.

use channel_event::Declaration;
use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};

struct ChannelAnswer;

impl Module for ChannelAnswer {
    fn metadata() -> Metadata {
        Declaration {
            id: "channel_answer",
            name: "Channel Answer",
            description: "A channel was answered: there is audio both ways",
            version: env!("CARGO_PKG_VERSION"),
            more: &[],
        }
        .metadata()
    }

    fn bindings() -> Vec<Binding> {
        channel_event::bindings("CHANNEL_ANSWER")
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        channel_event::handle("channel_answer", &message, |_, payload| payload)
    }
}

hookbox_sdk::module!(ChannelAnswer);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::ChannelAnswer>("samples");
    }
}
