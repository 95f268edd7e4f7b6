//! Answers a payload of 2 MiB, twice what a host allows unless told otherwise.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("huge_output", |message: Message| {
    let payload = format!("{{\"huge\":\"{}\"}}", "x".repeat(2 << 20));
    Ok(hookbox_bad_modules::event("huge_output", message, payload))
});
