//! Counts its calls in its memory, and tells the count (2.0.0); traps when the message asks for it.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("counter", "2.0.0", |message: Message| Ok(hookbox_bad_modules::count(message)));
