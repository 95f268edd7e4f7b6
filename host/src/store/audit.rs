//! What an audit reads ([`crate::audit`]): outlines of attempts and firings in pages, without what was sent.
//!
//! Each call sees one state of the store, so that a host may be at work meanwhile: an attempt and what became of its
//! firing are one transaction, and are seen together or not at all.

use async_trait::async_trait;

use super::StoreResult;
use crate::message::{AccountId, HookId, UnixMs, WebhookId};

/// What an attempt came to, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameTo {
    /// The receiver took it.
    Delivered,
    /// The hook's transform dropped it.
    Dropped,
    /// It failed, and was to be tried again.
    FailedForNow,
    /// It failed, and was the last try.
    FailedForGood,
}

impl CameTo {
    /// Of an attempt whose record says so.
    pub(super) fn of(success: bool, was_dropped: bool, has_next_try: bool) -> Self {
        match (success, was_dropped, has_next_try) {
            (true, false, _) => Self::Delivered,
            (true, true, _) => Self::Dropped,
            (false, _, true) => Self::FailedForNow,
            (false, _, false) => Self::FailedForGood,
        }
    }
}

/// A recorded attempt, in outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptOutline {
    /// Where it stands in the order of recording; to go on reading after it.
    pub cursor: i64,
    /// The attempt's id.
    pub id: String,
    /// Of which firing.
    pub webhook_id: WebhookId,
    /// Whose hook.
    pub account: AccountId,
    /// Which hook.
    pub hook: HookId,
    /// When it began.
    pub at_ms: UnixMs,
    /// What came of it.
    pub came_to: CameTo,
}

/// How the hook of a stored firing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookStands {
    /// It may fire.
    On,
    /// It is disabled.
    Off,
    /// It was deleted, or is another account's now.
    Gone,
    /// It travelled in the message, and is in no table.
    Inline,
}

impl HookStands {
    /// Of the backends' words.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "inline" => Self::Inline,
            "gone" => Self::Gone,
            "off" => Self::Off,
            _ => Self::On,
        }
    }
}

/// A stored firing, in outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringOutline {
    /// To go on reading after it.
    pub cursor: i64,
    /// The firing.
    pub id: WebhookId,
    /// Whose hook.
    pub account: AccountId,
    /// Which hook.
    pub hook: HookId,
    /// From when on it may be claimed: when it is due, or the end of its lease. `None` for one that ended undelivered.
    pub free_ms: Option<UnixMs>,
    /// Why it ended undelivered, empty when nothing is said.
    pub reason: String,
    /// How its hook stands.
    pub hook_stands: HookStands,
}

/// The calls of an audit. All of them read only.
#[async_trait]
pub trait Audit {
    /// Attempts in the order of recording, after a cursor (0 for all), at most `limit`.
    async fn attempt_outlines(&self, after: i64, limit: u32) -> StoreResult<Vec<AttemptOutline>>;
    /// Stored firings, waiting and undelivered, in an order that does not change, after a cursor (0 for all), at most
    /// `limit`.
    async fn firing_outlines(&self, after: i64, limit: u32) -> StoreResult<Vec<FiringOutline>>;
    /// Which of these firings are stored, waiting or undelivered.
    async fn stored_firings(&self, ids: &[WebhookId]) -> StoreResult<Vec<WebhookId>>;
    /// Which of these firings of one hook have a recorded attempt that was delivered or dropped.
    async fn ended_well(&self, hook: &HookId, ids: &[WebhookId]) -> StoreResult<Vec<WebhookId>>;
    /// Which of these attempts are recorded still.
    async fn recorded_attempts(&self, ids: &[String]) -> StoreResult<Vec<String>>;
}
