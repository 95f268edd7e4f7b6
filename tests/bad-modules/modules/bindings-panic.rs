//! Says what it is, and panics when it is asked what to bind.

use hookbox_bad_modules::Handled;
use hookbox_bad_modules::bindings::hookbox::webhook::types::{Binding, Message, Metadata};

struct Module;

impl hookbox_bad_modules::bindings::Guest for Module {
    fn metadata() -> Metadata {
        hookbox_bad_modules::metadata("bindings_panic", "1.0.0")
    }

    #[allow(clippy::panic, reason = "that is its fault")]
    fn bindings() -> Vec<Binding> {
        panic!("nothing to bind")
    }

    fn handle_event(_message: Message) -> Handled {
        Ok(Vec::new())
    }
}

hookbox_bad_modules::bindings::export_module!(Module);
