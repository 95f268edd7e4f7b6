//! A tenant's module, its first version: one event, which tells the version and the message's body.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("crm", "1.0.0", |message: Message| {
    let payload = format!("{{\"version\": \"1.0.0\", \"message\": {}}}", message.body);
    Ok(hookbox_bad_modules::event("crm", message, payload))
});
