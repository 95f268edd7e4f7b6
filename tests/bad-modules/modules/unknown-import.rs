//! A module of the right world that needs an interface which nobody offers.

#[allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package evil:host;
            interface files {
                read: func(path: string) -> string;
            }
            world thief {
                import files;
                include hookbox:webhook/webhook-module@1.0.0;
            }
        ",
        world: "evil:host/thief",
        generate_all,
    });
}

use bindings::evil::host::files;
use bindings::hookbox::webhook::types::{Binding, Event, HandleError, Message, Metadata};

struct Module;

impl bindings::Guest for Module {
    fn metadata() -> Metadata {
        Metadata {
            id: "unknown_import".to_owned(),
            name: "unknown_import".to_owned(),
            description: "A module of the tests".to_owned(),
            version: "1.0.0".to_owned(),
            modifiers: "{}".to_owned(),
            selectors: Vec::new(),
            samples: Vec::new(),
            payload_schema: "{}".to_owned(),
        }
    }

    fn bindings() -> Vec<Binding> {
        Vec::new()
    }

    fn handle_event(_message: Message) -> Result<Vec<Event>, HandleError> {
        Err(HandleError::Failed(files::read("/etc/passwd")))
    }
}

bindings::export!(Module with_types_in bindings);
