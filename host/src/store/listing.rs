//! What is asked of the store in pages, and what the pages hold. A page is asked for with the place of the last row of
//! the one before; a place that no row has is as good as any other.

use crate::message::{AccountId, Firing, HookId, ModuleId, Object, UnixMs};

/// From an attempt's begin to its row: the longest request (two minutes, `firing.request_timeout_ms_max`), the queue
/// in front of the store, and clocks of nodes that differ.
pub(super) const RECORDED_WITHIN_MS: u64 = 300_000;

/// Which attempts to list, newest first.
#[derive(Clone, Debug)]
pub struct AttemptQuery {
    /// Of hooks of this account.
    pub account: AccountId,
    /// Of this hook only.
    pub hook: Option<HookId>,
    /// Begun at or after this time.
    pub from_ms: UnixMs,
    /// Begun at or before this time.
    pub to_ms: UnixMs,
    /// Only those that succeeded, or only those that did not.
    pub success: Option<bool>,
    /// Go on after the row with this cursor.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl AttemptQuery {
    /// The newest of an account, or of one of its hooks.
    pub fn newest(account: AccountId, hook: Option<HookId>, limit: u32) -> Self {
        Self { account, hook, from_ms: 0, to_ms: UnixMs::MAX, success: None, after: None, limit }
    }
}

/// A recorded attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// Where it stands in the order of recording; to go on listing after it.
    pub cursor: i64,
    /// As it is shown: KAZOO's field names.
    pub document: Object,
    /// The event's payload when the request's body is not the payload as JSON (forms, GET, no request at all).
    pub payload: Option<Object>,
}

/// Which undelivered firings to list, those that ended last first.
#[derive(Clone, Debug)]
pub struct UndeliveredQuery {
    /// Of hooks of this account.
    pub account: AccountId,
    /// Of this hook only.
    pub hook: Option<HookId>,
    /// Ended at or after this time.
    pub from_ms: UnixMs,
    /// Ended at or before this time.
    pub to_ms: UnixMs,
    /// Go on after the row with this cursor.
    pub after: Option<(UnixMs, i64)>,
    /// At most so many.
    pub limit: u32,
}

impl UndeliveredQuery {
    /// Those of an account, or of one of its hooks, that ended last.
    pub fn newest(account: AccountId, hook: Option<HookId>, limit: u32) -> Self {
        Self { account, hook, from_ms: 0, to_ms: UnixMs::MAX, after: None, limit }
    }
}

/// A firing that ended without being delivered.
#[derive(Clone, Debug)]
pub struct UndeliveredRow {
    /// Where it stands in the listing; to go on after it.
    pub cursor: (UnixMs, i64),
    /// The firing, without a lease.
    pub firing: Firing,
    /// Why, for people.
    pub reason: String,
    /// When it ended.
    pub ended_ms: UnixMs,
}

/// Which dead letters to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterQuery {
    /// Only those of this owner: messages that it posted, or that its own module failed on. `None` for all.
    pub owner: Option<AccountId>,
    /// Only those of this module.
    pub module: Option<ModuleId>,
    /// Go on after (that is, below) this id.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl DeadLetterQuery {
    /// The newest of all.
    pub fn newest(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }
}
