//! Answers a payload that is not JSON.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("bad_output", |message: Message| {
    Ok(hookbox_bad_modules::event("bad_output", message, "{\"not\": json".to_owned()))
});
