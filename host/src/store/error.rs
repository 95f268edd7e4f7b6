//! What can go wrong in a store; always our fault, never a receiver's or a tenant's.

use std::sync::Arc;

use thiserror::Error;

/// The store could not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// `store.url` leads nowhere.
    #[error("store.url {url}: cannot open the store; {remedy}")]
    Open {
        /// The URL, without its password.
        url: String,
        /// What to do.
        remedy: String,
        /// What the driver said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The store was written by a newer Hookbox.
    #[error("the store has schema {found}, this program knows up to {known}; start the newer program")]
    Newer {
        /// The schema's version in the store.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The database server cannot hold a store.
    #[error("the database cannot hold a store: {reason}")]
    Unsuitable {
        /// Why, and what to do.
        reason: String,
    },
    /// A call failed in the database.
    #[error("the store failed to {doing}")]
    Database {
        /// What was being done, to follow "failed to".
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// A stored row cannot be read back.
    #[error("the store's {what} {id} cannot be read: {reason}")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
    /// The group of entries that this one was in could not be written; none of it was.
    #[error("the attempt could not be recorded")]
    NotRecorded(#[source] Arc<StoreError>),
    /// A message that a module failed on could not be kept: the store failed, or the writer broke off.
    #[error("the message could not be kept for the module that failed on it")]
    LetterNotKept(#[source] Option<Arc<StoreError>>),
    /// What becomes of a call that waits could not be written: the store failed, or the writer broke off.
    #[error("the call of a module could not be stored")]
    CallNotStored(#[source] Option<Arc<StoreError>>),
    /// The writer broke off while the entry's group was being written; whether it was is not known.
    #[error("the recording of the attempt was cut off")]
    CutOff,
}

/// What one call to the store gives.
pub type StoreResult<T> = Result<T, StoreError>;
