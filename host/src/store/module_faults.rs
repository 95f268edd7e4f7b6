//! What modules and transforms have done wrong of late, counted for all nodes; and which of the operator's are in quarantine
//! for it.
//!
//! Faults are those of one version: the same name with another component starts at none. Written in groups and judged by
//! [`crate::module::quarantining`]. That a tenant's is in quarantine stands in its own record
//! ([`super::registered_modules`]); the operator's have none, so theirs stands here, bound to the component's digest.

use async_trait::async_trait;

use super::{Notice, StoreResult, registered_modules::Quarantine};
use crate::message::{ModuleId, UnixMs};

/// How many of the operator's quarantines are kept of one module: one a component, the oldest go.
pub const KEPT_PER_MODULE: u32 = 20;

/// One version of a module or a transform.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Component {
    /// `account/name`, or the name alone of an operator's module.
    pub module: ModuleId,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// Faults of one version that are written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Whose.
    pub of: Component,
    /// When the last of them was.
    pub at_ms: UnixMs,
    /// How many.
    pub count: u64,
}

/// Faults and quarantines, as a store keeps them.
#[async_trait]
pub trait ModuleFaults {
    /// Adds faults, all or none.
    async fn add_module_faults(&self, faults: &[Faults]) -> StoreResult<()>;
    /// How many faults the version has after `after_ms`.
    async fn module_fault_count(&self, of: &Component, after_ms: UnixMs) -> StoreResult<u64>;
    /// Versions that have at least `least` faults after `after_ms`, with their counts, in order; older faults are removed.
    async fn sweep_module_faults(&self, after_ms: UnixMs, least: u64) -> StoreResult<Vec<(Component, u64)>>;
    /// Forgets the faults of all versions of a module or transform.
    async fn clear_module_faults(&self, module: &ModuleId) -> StoreResult<()>;
    /// Puts a component of an operator's module into quarantine, keeps the notices and forgets the component's faults, in one
    /// transaction. `false`, and nothing done, when it is in quarantine already.
    async fn quarantine_operators_module(
        &self,
        module: &ModuleId,
        quarantine: &Quarantine,
        notices: &[Notice],
    ) -> StoreResult<bool>;
    /// Which components of the operator's modules are in quarantine, in order of their names.
    async fn quarantined_operators_modules(&self) -> StoreResult<Vec<(ModuleId, Quarantine)>>;
    /// Lifts the quarantine of all components of an operator's module, and forgets its faults. `false` when none was in
    /// quarantine.
    async fn lift_operators_quarantine(&self, module: &ModuleId) -> StoreResult<bool>;
}
