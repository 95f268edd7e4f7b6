//! Traps on every message.
#![allow(clippy::panic)]

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("trap", |_message: Message| panic!("this module always traps"));
