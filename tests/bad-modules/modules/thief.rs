//! Makes events under the name of one of the operator's modules.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("thief", |mut message: Message| {
    let body = std::mem::take(&mut message.body);
    Ok(hookbox_bad_modules::event("sms", message, body))
});
