//! The template: the smallest module that does something. It hands on every message of a category of its own, with its
//! keys as receivers are used to them, to the account that the host found in it.

use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module, kazoo};

struct Skel;

impl Module for Skel {
    fn metadata() -> Metadata {
        Metadata::new("skel", "Skel", env!("CARGO_PKG_VERSION"))
            .description("An example to copy from: any message of the category `skel`")
            .sample("rattle", include_str!("../sample.json"))
            .payload_schema(include_str!("../payload-schema.json"))
    }

    fn bindings() -> Vec<Binding> {
        vec![Binding::topic("skel").routing_key("skel.#").category("skel").any_name()]
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        let account = message.account_id.ok_or(HandleError::NotMine)?;
        let payload = kazoo::normalize(&message.body).map_err(|error| HandleError::Malformed(error.to_string()))?;
        Ok(vec![Event::new("skel", account, payload)])
    }
}

hookbox_sdk::module!(Skel);

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        hookbox_sdk::rehearsal::check::<super::Skel>("samples");
    }
}
