//! The nouns that the stages pass to each other, and the ids in them.
//!
//! One message becomes events, an event becomes firings, a firing has attempts:
//!
//! ```text
//! Message ──module──▶ Event ──match──▶ Firing ──fire──▶ Attempt ──record──▶ Standing
//! ```
//!
//! Attempts have a file of their own, [`crate::attempt`], and so have hooks, [`crate::hook`].

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    hook::Hook,
    telemetry::trace_context::{self, TraceContext},
};

/// A JSON object, keys in the order in which they came.
pub type Object = Map<String, Value>;

/// Milliseconds since 1970, UTC. All times in Hookbox's own records are of this kind.
pub type UnixMs = u64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An account: 32 hex digits, or 1 to 64 of `a-z 0-9 _ -`.
    AccountId
}
id! {
    /// A hook: 32 hex digits when made here; whatever KAZOO's document had when imported.
    HookId
}
id! {
    /// A module: `[a-z0-9_]{1,64}`, the name of the hook event it makes as a rule; a tenant's has its account before it,
    /// `account/name`.
    ModuleId
}
id! {
    /// A firing: 64 hex digits, the same on every try and on redelivery; sent as `webhook-id`. Tests have `test_` and 32.
    WebhookId
}

/// What the webhook ids of tests begin with, so that receivers can tell them from events.
const TEST_PREFIX: &str = "test_";

impl WebhookId {
    /// A new one, of a test that somebody asked for.
    pub fn of_test() -> Self {
        Self::from(format!("{TEST_PREFIX}{}", hex::encode(rand::random::<[u8; 16]>())))
    }

    /// Whether it is of a test.
    pub fn is_test(&self) -> bool {
        self.as_str().starts_with(TEST_PREFIX)
    }
}

impl ModuleId {
    /// The id of a tenant's module: `account/name`, so that two tenants may use one name.
    pub fn of_tenant(account: &AccountId, name: &str) -> Self {
        Self::from(format!("{account}/{name}"))
    }

    /// The tenant's account and the name within it; `None` for the operator's modules.
    pub fn tenant_and_name(&self) -> Option<(AccountId, &str)> {
        self.as_str().split_once('/').map(|(account, name)| (account.into(), name))
    }

    /// Whether it is a tenant's.
    pub fn is_of_tenant(&self) -> bool {
        self.as_str().contains('/')
    }
}

impl AccountId {
    /// Whether the text can be an account's id at all (design: 32 hex digits, or 1 to 64 of `a-z 0-9 _ -`).
    pub fn is_valid(text: &str) -> bool {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    }
}

/// Where a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A delivery of the broker.
    Amqp,
    /// A document posted to `PUT /v2/accounts/{id}/messages`.
    Http,
}

impl Source {
    /// `amqp` or `http`, as in the WIT record, logs and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Amqp => "amqp",
            Source::Http => "http",
        }
    }
}

/// One thing taken in. Made by ingress only, which has checked that the body is a JSON object within its bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Where it came in.
    pub source: Source,
    /// The exchange that it was published to, or that the poster named.
    pub exchange: String,
    /// The routing key that it was published with, or that the poster named.
    pub routing_key: String,
    /// AMQP's `message-id`, else the body's `Msg-ID`.
    pub message_id: Option<String>,
    /// The body's `Event-Category`, empty when it has none.
    pub category: String,
    /// The body's `Event-Name`, empty when it has none.
    pub name: String,
    /// The account that the host found in it by `amqp.account_pointers`, when that account is known.
    pub account: Option<AccountId>,
    /// For a tenant's post: the tenant, outside whose subtree nothing may come of it. `None` for the broker's messages
    /// and for the operator's posts.
    pub within: Option<AccountId>,
    /// When it was taken in. Guests' clocks stand at this time, so that a replay gives the same bytes.
    pub received_ms: UnixMs,
    /// The trace that it belongs to: its own span once the pipeline has begun one, before that its publisher's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "trace_context::lenient")]
    pub trace: Option<TraceContext>,
    /// The JSON object, decompressed, without what must not go further (passwords).
    pub body: String,
}

/// What a module made of a message, checked by the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The module that made it.
    pub module: ModuleId,
    /// The name that hooks subscribe to.
    pub hook_event: String,
    /// Whose event it is.
    pub account: AccountId,
    /// What receivers get, before `custom_data` and `cluster_id`.
    pub payload: Object,
    /// Compared with a hook's `custom_data` under the module's selectors.
    pub facets: Vec<(String, String)>,
    /// The `custom_data` keys that choose among the module's events.
    pub selectors: Arc<[String]>,
    /// A leg inside the platform, which hooks may refuse by `include_internal_legs: false`.
    pub internal_leg: bool,
    /// The subtree outside which no hook may get it: that of a tenant's module or of a tenant's post.
    pub within: Option<AccountId>,
    /// The one account whose hooks may get it: the owner, of a module that it offers to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks_of: Option<AccountId>,
    /// Where its attempts belong in the trace of its message; stored with a firing, so that a retry after a restart is in it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "trace_context::lenient")]
    pub trace: Option<TraceContext>,
}

/// The hook that a firing is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// One of the hook table, looked up before every attempt so that edits and disabling count at once.
    Stored(AccountId, HookId),
    /// One that travelled in the message (KAZOO's callflow notification).
    Inline(Arc<Hook>),
}

impl Target {
    /// The account whose hook it is.
    pub fn account(&self) -> &AccountId {
        match self {
            Target::Stored(account, _) => account,
            Target::Inline(hook) => &hook.account,
        }
    }

    /// The hook's id.
    pub fn hook_id(&self) -> &HookId {
        match self {
            Target::Stored(_, hook) => hook,
            Target::Inline(hook) => &hook.id,
        }
    }
}

/// One event for one hook, to its end.
#[derive(Clone, Debug)]
pub struct Firing {
    /// The same on every try.
    pub id: WebhookId,
    /// For which hook.
    pub target: Target,
    /// Of which event.
    pub event: Arc<Event>,
    /// Tries that were made and recorded.
    pub tries: u32,
    /// When the message was taken in.
    pub created_ms: UnixMs,
    /// Set when the firing is stored and this process holds its lease: what it must show to change it.
    pub lease: Option<LeaseToken>,
}

/// Proof of holding a stored firing. Drawn anew at each claim, so that a holder who was too slow changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseToken(pub String);

impl LeaseToken {
    /// A new one.
    pub fn draw() -> Self {
        Self(hex::encode(rand::random::<[u8; 16]>()))
    }
}
