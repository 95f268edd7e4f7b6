//! A tenant's module before it was mended: it traps on every message.
#![allow(clippy::panic)]

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("crm", "0.9.0", |_message: Message| panic!("this version is broken"));
