//! What a module makes of a message. The record is the contract's; here is how to fill it.

use crate::Event;

impl Event {
    /// An event of one account: `hook_event` is the name that hooks subscribe to, a module's own id as a rule;
    /// `payload` is a JSON object, written by [`JsonObject`](crate::JsonObject) or taken from the message.
    #[must_use]
    pub fn new(hook_event: &str, account_id: impl Into<String>, payload: impl Into<String>) -> Self {
        Self {
            hook_event: hook_event.to_owned(),
            account_id: account_id.into(),
            payload: payload.into(),
            facets: Vec::new(),
            internal_leg: false,
            inline_hook: None,
        }
    }

    /// A value that hooks may choose by: a hook with this key in its `custom_data` gets the event when the values are
    /// equal or its own is `all`. The key must be among the module's
    /// [selectors](crate::Metadata::selector).
    #[must_use]
    pub fn facet(mut self, key: &str, value: &str) -> Self {
        self.facets.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Whether the event tells of a leg inside the platform, which hooks with `include_internal_legs: false` do not want.
    #[must_use]
    pub fn internal_leg(mut self, internal: bool) -> Self {
        self.internal_leg = internal;
        self
    }

    /// The hook document that travelled in the message: the event fires at it alone.
    #[must_use]
    pub fn inline_hook(mut self, hook: impl Into<String>) -> Self {
        self.inline_hook = Some(hook.into());
        self
    }
}
