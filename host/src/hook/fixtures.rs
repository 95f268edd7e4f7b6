//! Hooks and events for tests.

use serde_json::Value;

use super::{Hook, document::Origin};
use crate::{
    message::{Event, Object},
    settings::Settings,
};

/// A hook of the fields; what a hook needs and they lack is filled in.
#[expect(clippy::expect_used, reason = "tests")]
pub(crate) fn hook_of(fields: &Value) -> Hook {
    let mut document = Object::new();
    document.insert("_id".to_owned(), "h00k".into());
    document.insert("pvt_account_id".to_owned(), "acc0unt".into());
    document.insert("uri".to_owned(), "https://receiver.example.com/in".into());
    document.insert("hook".to_owned(), "object".into());
    document.extend(fields.as_object().cloned().unwrap_or_default());
    let firing = Settings::default().firing;
    super::document::complete(&document, Origin::Kazoo, &firing).expect("the fields are good");
    Hook::inline(&document, &firing).expect("the fields are good")
}

/// An event `object` of the account `acc0unt`.
pub(crate) fn an_event() -> Event {
    Event {
        module: "object".into(),
        hook_event: "object".to_owned(),
        account: "acc0unt".into(),
        payload: Object::new(),
        facets: Vec::new(),
        selectors: [].into(),
        internal_leg: false,
        within: None,
        hooks_of: None,
        trace: None,
    }
}
