//! The tree of accounts: resellers, their customers, and the numbers and keys that belong to them.

use serde::{Deserialize, Serialize};

use crate::message::{AccountId, UnixMs};

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// For people.
    pub name: String,
    /// From the root down to its parent; empty for the root. KAZOO's `pvt_tree`.
    pub tree: Vec<AccountId>,
    /// The nearest reseller above it; KAZOO's `pvt_reseller_id`.
    pub reseller: Option<AccountId>,
}

/// What is kept of an API key. The key itself is shown once and never stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// SHA-256 of the key, in hex.
    pub hash: String,
    /// The account that it opens, with all descendants.
    pub account: AccountId,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_ms: UnixMs,
}
