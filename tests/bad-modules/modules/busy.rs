//! Works as long as the message says, then makes one event, whose payload is the message's body.
//!
//! `Work` in the body is a number of rounds, in thousands.

use std::hint::black_box;

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("busy", |mut message: Message| {
    let rounds = 1000 * hookbox_bad_modules::number(&message.body, "Work");
    black_box((0..rounds).fold(0, |sum, number| black_box(sum ^ number)));
    let body = std::mem::take(&mut message.body);
    Ok(hookbox_bad_modules::event("busy", message, body))
});
