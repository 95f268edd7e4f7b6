//! Stage 3, match: what a hook is, which settings are valid, and (in [`matching`]) which hooks want an event.
//!
//! A hook is stored as the document that KAZOO would have ([`HookRecord`]), and worked with as [`Hook`].

use serde::{Deserialize, Serialize};

use crate::message::{AccountId, HookId, Object, UnixMs};

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
