//! Runs a module in its own tests, without a host and without WebAssembly.
//!
//! ```
//! use hookbox_sdk::rehearsal::{Rehearsal, message};
//! # use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module, settings};
//! # struct Doorbell;
//! # impl Module for Doorbell {
//! #     fn metadata() -> Metadata { Metadata::new("doorbell", "Doorbell", "1.0.0") }
//! #     fn bindings() -> Vec<Binding> { vec![] }
//! #     fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
//! #         settings::get("quiet").map_or(Ok(vec![]), |_| Err(HandleError::NotMine))
//! #     }
//! # }
//!
//! let body = r#"{"Event-Category": "door", "Event-Name": "rung"}"#;
//! let outcome = Rehearsal::new().setting("quiet", "true").handle::<Doorbell>(message("house", "door.front", body));
//! assert_eq!(outcome.result, Err(HandleError::NotMine));
//! assert!(outcome.log.is_empty());
//! ```
//!
//! A transform is rehearsed in the same way, on a [`firing()`]:
//!
//! ```
//! use hookbox_sdk::rehearsal::{Rehearsal, firing};
//! # use hookbox_sdk::{Firing, Transform, settings};
//! # struct Quiet;
//! # impl Transform for Quiet {
//! #     fn transform(firing: Firing) -> Result<Option<Firing>, String> {
//! #         Ok(settings::get("quiet").is_none().then_some(firing))
//! #     }
//! # }
//!
//! let rung = firing("doorbell", r#"{"door": "front"}"#);
//! assert_eq!(Rehearsal::new().transform::<Quiet>(rung.clone()).result, Ok(Some(rung.clone())));
//! assert_eq!(Rehearsal::new().setting("quiet", "true").transform::<Quiet>(rung).result, Ok(None));
//! ```
//!
//! Most of what a module should do is better shown than programmed: a folder of samples, each a message and the events
//! that are expected of it, checked by [`check`] in one line.

mod declaration;
mod samples;
pub(crate) mod stage;

use serde::Deserialize;
use std::collections::BTreeMap;

pub use samples::check;

use crate::log::Level;
use crate::{Event, Firing, HandleError, Message, Module, Transform};

/// The host's part in a test: settings and accounts that the module finds when it asks.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    settings: BTreeMap<String, String>,
    accounts: Accounts,
}

/// A tree of accounts, as much of it as a test needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accounts {
    /// Account → its nearest reseller.
    resellers: BTreeMap<String, String>,
    /// Account → those above it, from the root down.
    ancestors: BTreeMap<String, Vec<String>>,
    /// Phone number → the account that it is assigned to.
    numbers: BTreeMap<String, String>,
}

/// What a module did with a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The events, or why there are none.
    pub result: Result<Vec<Event>, HandleError>,
    /// The lines that it wrote to its log, in order.
    pub log: Vec<(Level, String)>,
}

/// What a transform did with a firing.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformed {
    /// The firing to send, none when it is dropped, or why there is nothing to send.
    pub result: Result<Option<Firing>, String>,
    /// The lines that it wrote to its log, in order.
    pub log: Vec<(Level, String)>,
}

impl Rehearsal {
    /// A host without settings and accounts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a setting of the module. Lists and objects are JSON text.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Names the nearest reseller above an account.
    #[must_use]
    pub fn reseller(mut self, account: &str, reseller: &str) -> Self {
        self.accounts.resellers.insert(account.to_owned(), reseller.to_owned());
        self
    }

    /// Names the accounts above an account, from the root down.
    #[must_use]
    pub fn ancestors(mut self, account: &str, ancestors: &[&str]) -> Self {
        let ancestors = ancestors.iter().map(|&ancestor| ancestor.to_owned()).collect();
        self.accounts.ancestors.insert(account.to_owned(), ancestors);
        self
    }

    /// Assigns a phone number to an account.
    #[must_use]
    pub fn number(mut self, number: &str, account: &str) -> Self {
        self.accounts.numbers.insert(number.to_owned(), account.to_owned());
        self
    }

    /// Has the module handle a message.
    #[must_use]
    pub fn handle<M: Module>(&self, message: Message) -> Outcome {
        let (result, log) = self.play(|| M::handle_event(message));
        Outcome { result, log }
    }

    /// Has the transform look at a firing.
    #[must_use]
    pub fn transform<T: Transform>(&self, firing: Firing) -> Transformed {
        let (result, log) = self.play(|| T::transform(firing));
        Transformed { result, log }
    }

    /// Does something that may ask this host, e.g. reads the metadata of a module that depends on settings. Answers
    /// what came of it and the lines that were written to the log.
    pub fn play<T>(&self, action: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
        stage::enter(self.clone());
        let result = action();
        (result, stage::leave())
    }
}

/// A message as the host hands it over: category and name are taken from the body, and there is no account.
///
/// The time of arrival is the same in every test, 2024-04-26 03:06:40 UTC.
#[must_use]
pub fn message(exchange: &str, routing_key: &str, body: &str) -> Message {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Kind {
        #[serde(rename = "Event-Category")]
        category: serde_json::Value,
        #[serde(rename = "Event-Name")]
        name: serde_json::Value,
    }

    let kind: Kind = serde_json::from_str(body).unwrap_or_default();
    let text = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Message {
        source: "amqp".to_owned(),
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        category: text(kind.category),
        name: text(kind.name),
        account_id: None,
        received_ms: 1_714_100_800_000,
        body: body.to_owned(),
    }
}

/// The first try of an event with this payload, as the host hands it to a transform: a post of JSON, without headers.
#[must_use]
pub fn firing(hook_event: &str, payload: &str) -> Firing {
    Firing {
        webhook_id: "5a".repeat(32),
        account_id: "a".repeat(32),
        hook_id: "b".repeat(32),
        hook_event: hook_event.to_owned(),
        attempt: 1,
        verb: "post".to_owned(),
        uri: "https://receiver.example.com/in".to_owned(),
        payload: payload.to_owned(),
        headers: Vec::new(),
        content_type: "application/json".to_owned(),
    }
}
