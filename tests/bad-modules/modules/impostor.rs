//! Takes the name of a module that is built in.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("channel_create", |message: Message| {
    Ok(hookbox_bad_modules::event("channel_create", message, "{\"impostor\":true}".to_owned()))
});
