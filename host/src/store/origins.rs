//! What came from KAZOO's CouchDB, and of which document.
//!
//! Made and read by [`crate::kazoo`] alone. What has an origin goes when its document has gone; what has none was made
//! here (over REST, by an import) and is never touched.

use async_trait::async_trait;

use super::StoreResult;
use crate::message::{AccountId, HookId};

/// Something in the store that came of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// An account.
    Account(AccountId),
    /// An API key, by its hash.
    Key(String),
    /// A phone number.
    Number(String),
    /// A hook.
    Hook(HookId),
}

impl Thing {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Key(_) => "key",
            Self::Number(_) => "number",
            Self::Hook(_) => "hook",
        }
    }

    /// What names it among its kind.
    pub fn id(&self) -> &str {
        match self {
            Self::Account(id) => id.as_str(),
            Self::Key(hash) => hash,
            Self::Number(number) => number,
            Self::Hook(id) => id.as_str(),
        }
    }

    /// The thing of a kind and an id; `None` for a kind that there is not.
    pub fn of(kind: &str, id: String) -> Option<Self> {
        match kind {
            "account" => Some(Self::Account(id.into())),
            "key" => Some(Self::Key(id)),
            "number" => Some(Self::Number(id)),
            "hook" => Some(Self::Hook(id.into())),
            _ => None,
        }
    }
}

/// Where a thing came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What came.
    pub thing: Thing,
    /// Whose it is.
    pub account: AccountId,
    /// The database.
    pub database: String,
    /// The document's `_id`.
    pub document: String,
    /// The document's `_rev` then; empty when it has to be looked at again in any case.
    pub revision: String,
}

/// Origins, as a store keeps them.
#[async_trait]
pub trait Origins {
    /// What came of these documents of a database.
    async fn came_of(&self, database: &str, documents: &[String]) -> StoreResult<Vec<Origin>>;
    /// Notes origins, over those that were noted of the same things, as seen in this round (never in an earlier one
    /// than noted already).
    async fn note_origins(&self, origins: &[Origin], round: i64) -> StoreResult<()>;
    /// Forgets where a thing came from; with an account, also where all came from that is its own.
    async fn forget_origin(&self, thing: &Thing) -> StoreResult<()>;
    /// A number for a new reading of everything, greater than all before.
    async fn new_round(&self) -> StoreResult<i64>;
    /// Documents (database and `_id`) that no round since this one has seen, at most `limit`.
    async fn unseen_since(&self, round: i64, limit: u32) -> StoreResult<Vec<(String, String)>>;
}
