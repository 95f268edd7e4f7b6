//! Stage 3, match: what a hook is, which settings are valid, and (in [`matching`]) which hooks want an event.
//!
//! A hook is stored as the document that KAZOO would have ([`HookRecord`]), and worked with as [`Hook`]. The parts:
//! [`document`] reads the one into the other and says all that is wrong with it ([`HookProblems`]), [`headers`] says which
//! request headers a tenant may set, [`selectors`], [`filter`] and [`matching`] say by plain rules whether a hook wants an
//! event, and [`table`] holds all hooks and finds those of an event.

pub mod document;
pub mod editing;
pub mod filter;
pub mod headers;
pub mod matching;
pub mod modifiers;
pub mod problems;
pub mod selectors;
pub mod table;

#[cfg(test)]
pub(crate) mod fixtures;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use problems::{HookProblem, HookProblems};

use crate::message::{AccountId, HookId, Object, UnixMs};

/// The hook event that takes every event.
pub const EVENT_ALL: &str = "all";

/// What a hook's `transform.version` says when it follows the active version.
pub const ACTIVE_VERSION: &str = "active";

/// A hook as it is stored: KAZOO's document with what Hookbox adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Its id; KAZOO's `_id`.
    pub id: HookId,
    /// Whose it is; KAZOO's `pvt_account_id`.
    pub account: AccountId,
    /// The public fields, defaults filled in, without `secret`.
    pub document: Object,
    /// Why it was switched off by the disabler; KAZOO's `pvt_disabled_message`.
    pub disabled_message: Option<String>,
    /// The secrets, newest first, encrypted by [`crate::store::secrets`]; base64.
    pub secrets: Vec<SealedSecret>,
    /// Counts up with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: UnixMs,
}

/// One secret of a hook, encrypted under the host's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Nonce and cipher text, base64.
    pub sealed: String,
    /// For an old one after a rotation: until when requests are signed with it too.
    pub until_ms: Option<UnixMs>,
}

/// A hook to work with: checked, defaults filled in, small enough that a million of them fit in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Its id.
    pub id: HookId,
    /// Whose it is.
    pub account: AccountId,
    /// The event's name, lower case; `all` takes every one.
    pub event: Arc<str>,
    /// An `http` or `https` URI, as the tenant wrote it.
    pub uri: Box<str>,
    /// With what verb it is fired.
    pub verb: Verb,
    /// How the body of `post` and `put` is written.
    pub format: Format,
    /// Tries after the first, 0 to 4; not asked when `rare` has a schedule.
    pub retries: u8,
    /// Whether it fires at all.
    pub enabled: bool,
    /// Whether legs inside the platform fire it.
    pub include_internal_legs: bool,
    /// Whether events of descendants fire it.
    pub include_subaccounts: bool,
    /// What most hooks do not have.
    pub rare: Option<Box<RareFields>>,
    /// With what its requests are signed; none for one that travelled in a message.
    pub secrets: Box<[SealedSecret]>,
}

/// The fields that most hooks do not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RareFields {
    /// Merged into the payload; also what selectors look at.
    pub custom_data: Object,
    /// KAZOO's payload conditions.
    pub modifiers: Object,
    /// Extra request headers, checked against the reserved names.
    pub headers: Vec<(String, String)>,
    /// Pauses between tries, in seconds; overrides `retries`.
    pub retry_schedule_s: Option<Vec<u32>>,
    /// Deadline of one try.
    pub timeout_ms: Option<u32>,
    /// Requests under way at once.
    pub max_in_flight: Option<u32>,
    /// Requests begun in one second.
    pub rate_limit_per_s: Option<u32>,
    /// How requests are signed.
    pub signature: SignatureKind,
    /// Conditions on the payload; all must hold.
    pub filter: Vec<Condition>,
    /// What may rewrite or drop its firings.
    pub transform: Option<Box<TransformUse>>,
}

/// The transform that a hook's firings go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformUse {
    /// Its name, looked for with the hook's account and then those above it.
    pub module: String,
    /// [`ACTIVE_VERSION`], a semantic version, or a digest.
    pub version: String,
    /// Pairs for its `settings` import, over those that it was registered with. Lists and objects are JSON text.
    pub settings: BTreeMap<String, String>,
}

impl TransformUse {
    /// Whether it is the active version, whichever that is when the hook fires.
    pub fn follows_active(&self) -> bool {
        self.version == ACTIVE_VERSION
    }
}

/// With what verb a hook is fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Verb {
    Get,
    #[default]
    Post,
    Put,
}

/// How the body of `post` and `put` is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `application/x-www-form-urlencoded`.
    #[default]
    FormData,
    /// `application/json`.
    Json,
}

/// How requests are signed (Standard Webhooks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureKind {
    /// `v1`: HMAC-SHA256 under the hook's secret.
    #[default]
    Hmac,
    /// `v1a`: ed25519 under a key made from the hook's secret; receivers get the public one.
    Ed25519,
}

/// One condition of a hook's `filter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// A JSON pointer into the event's payload.
    pub pointer: String,
    /// How to compare.
    pub op: Operator,
    /// With what; a list for `in`, not asked for `exists` (then `false` means "must not exist").
    #[serde(default)]
    pub value: Value,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words say it; `filter` has the rules")]
pub enum Operator {
    Eq,
    Ne,
    In,
    Prefix,
    Exists,
    Lt,
    Gt,
}
