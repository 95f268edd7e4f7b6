//! What went on of late, in figures: read for overviews, at a cost with a bound.

use async_trait::async_trait;

use super::{FiringCounts, StoreResult};
use crate::message::{AccountId, HookId, UnixMs};

/// Firings of one kind are counted up to this; there may be more.
pub const FIRINGS_COUNTED_MAX: u32 = 10_000;

/// What an overview needs of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPoint {
    /// When it began.
    pub at_ms: UnixMs,
    /// Whether it went well.
    pub success: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// A hook that failed of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingHook {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub hook: HookId,
    /// How often.
    pub count: u32,
}

/// Figures of one account, or of all (`None`).
#[async_trait]
pub trait Traffic {
    /// The newest attempts that began at or after a time, the newest first, at most so many.
    async fn attempt_points(
        &self,
        account: Option<&AccountId>,
        from_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<AttemptPoint>>;
    /// Firings that wait and that were given up, each counted up to [`FIRINGS_COUNTED_MAX`].
    async fn firings_of(&self, account: Option<&AccountId>) -> StoreResult<FiringCounts>;
    /// The hooks that failed most often after a time, the worst first, at most so many.
    async fn most_failing(
        &self,
        account: Option<&AccountId>,
        after_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<FailingHook>>;
}
