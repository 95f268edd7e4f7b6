//! Sleeps for an hour before it answers.
#![allow(clippy::disallowed_methods, reason = "sleeping is what it is for")]

use std::thread::sleep;
use std::time::Duration;

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("sleeper", |message: Message| {
    sleep(Duration::from_secs(3600));
    Ok(hookbox_bad_modules::event("sleeper", message, "{\"slept\":true}".to_owned()))
});
