//! Makes a million events of one message.

use hookbox_bad_modules::bindings::hookbox::webhook::types::{Event, Message};

hookbox_bad_modules::module!("many_events", |message: Message| {
    let account_id = message.account_id.unwrap_or_default();
    let event = || Event {
        hook_event: String::new(),
        account_id: account_id.clone(),
        payload: "{}".to_owned(),
        facets: Vec::new(),
        internal_leg: false,
        inline_hook: None,
    };
    Ok(std::iter::repeat_with(event).take(1_000_000).collect())
});
