//! What calls of modules and transforms cost: one line for each charged account, module and day.
//!
//! Written by [`crate::module::ledger`] in groups, read by the owner of an account and by the operator.

use async_trait::async_trait;

use super::StoreResult;
use crate::message::{AccountId, ModuleId, UnixMs};

const DAY_MS: u64 = 86_400_000;

/// A day since 1970, UTC.
pub type Day = u32;

/// The day of a time.
pub fn day_of(at_ms: UnixMs) -> Day {
    Day::try_from(at_ms / DAY_MS).unwrap_or(Day::MAX)
}

/// Which line a call is added to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CostLine {
    /// When.
    pub day: Day,
    /// Whom it is charged to; `None`: the operator.
    pub account: Option<AccountId>,
    /// What was called: `account/name`, or the name alone of an operator's module.
    pub module: ModuleId,
}

/// What a line adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostSums {
    /// Calls.
    pub calls: u64,
    /// About one unit an instruction.
    pub fuel: u64,
    /// How long they took, µs.
    pub time_us: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Memory of the largest call, bytes.
    pub memory_bytes_max: u64,
}

impl CostSums {
    /// Adds others of the same line.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.time_us = self.time_us.saturating_add(other.time_us);
        self.faults = self.faults.saturating_add(other.faults);
        self.memory_bytes_max = self.memory_bytes_max.max(other.memory_bytes_max);
    }
}

/// Which lines are asked for.
#[derive(Clone, Debug)]
pub struct CostQuery {
    /// Those of these modules.
    pub modules: Vec<ModuleId>,
    /// Charged to this account; `None`: whomever.
    pub account: Option<AccountId>,
    /// From this day on.
    pub from: Day,
    /// Up to this day.
    pub to: Day,
    /// What comes after this line.
    pub after: Option<CostLine>,
    /// At most so many.
    pub limit: u32,
}

/// The lines, as a store keeps them.
#[async_trait]
pub trait ModuleCosts {
    /// Adds to lines, all or none.
    async fn add_module_costs(&self, costs: &[(CostLine, CostSums)]) -> StoreResult<()>;
    /// Lines, the latest day first.
    async fn module_costs(&self, query: &CostQuery) -> StoreResult<Vec<(CostLine, CostSums)>>;
    /// Removes the lines of days before this one; how many.
    async fn prune_module_costs(&self, before: Day) -> StoreResult<u64>;
}
