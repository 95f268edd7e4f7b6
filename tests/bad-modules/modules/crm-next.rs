//! A tenant's module, its next version: one event, which tells the version and the message's body.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("crm", "2.0.0", |message: Message| {
    let payload = format!("{{\"version\": \"2.0.0\", \"message\": {}}}", message.body);
    Ok(hookbox_bad_modules::event("crm", message, payload))
});
