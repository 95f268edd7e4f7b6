//! Never says what it is.

use hookbox_bad_modules::Handled;
use hookbox_bad_modules::bindings::hookbox::webhook::types::{Binding, Message, Metadata};

struct Module;

impl hookbox_bad_modules::bindings::Guest for Module {
    fn metadata() -> Metadata {
        let mut turns = 0_u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }

    fn bindings() -> Vec<Binding> {
        hookbox_bad_modules::bindings()
    }

    fn handle_event(_message: Message) -> Handled {
        Ok(Vec::new())
    }
}

hookbox_bad_modules::bindings::export_module!(Module);
