//! The good neighbour: one event, whose payload is the message's body.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("echo", |mut message: Message| {
    let body = std::mem::take(&mut message.body);
    Ok(hookbox_bad_modules::event("echo", message, body))
});
