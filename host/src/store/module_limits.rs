//! Limits that accounts above have set for an account's modules, as they were set.
//!
//! Written over REST ([`crate::api::module_limits`]), followed by every node ([`crate::module::stored`]); what they amount
//! to is [`crate::module::account_limits`]' to say.

use async_trait::async_trait;

use super::{Changes, Notice, StoreResult};
use crate::message::{AccountId, Object};

/// Limits of accounts, as a store keeps them.
#[async_trait]
pub trait ModuleLimits {
    /// What is set for an account; empty when nothing is.
    async fn module_limits(&self, account: &AccountId) -> StoreResult<Object>;
    /// What changed since the cursor (0 for all), at most `limit`; empty where nothing is set any more.
    async fn module_limits_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<(AccountId, Object)>>;
    /// Sets them in place of what was set, and keeps the notices, in one transaction. Nothing, and `false`, when there is no
    /// such account (any more).
    async fn put_module_limits(&self, account: &AccountId, limits: &Object, notices: &[Notice]) -> StoreResult<bool>;
}
