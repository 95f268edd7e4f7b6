//! Bulk resends as they are stored, so that one that was begun goes on after a restart.

use serde::{Deserialize, Serialize};

use crate::message::{AccountId, HookId, UnixMs};

/// A bulk resend: sends again, page by page, what an account's hooks were sent or should have been sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ResendJob {
    /// 32 hex digits.
    pub id: String,
    /// Whose hooks.
    pub account: AccountId,
    /// One of them only.
    pub hook: Option<HookId>,
    /// From when on: the end of an undelivered firing, the begin of a successful attempt.
    pub from_ms: UnixMs,
    /// Until when.
    pub to_ms: UnixMs,
    /// Which firings.
    pub outcome: ResendOutcome,
    /// How it stands.
    pub state: JobState,
    /// How far it has come; the job's own words, empty at the beginning.
    pub progress: String,
    /// Firings that were sent again so far.
    pub resent: u64,
    /// Firings that could not be: their hook is gone or disabled, or what was sent is not kept.
    pub skipped: u64,
    /// What went wrong, when it failed.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_ms: UnixMs,
    /// When it last came on.
    pub updated_ms: UnixMs,
}

/// Which firings a bulk resend sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResendOutcome {
    /// Those that ended without being delivered.
    Undelivered,
    /// Those that were delivered.
    Delivered,
    /// Both.
    All,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words say it")]
pub enum JobState {
    Running,
    Done,
    Stopped,
    Failed,
}
