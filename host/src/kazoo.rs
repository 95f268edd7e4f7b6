//! KAZOO beside: its accounts, numbers and hooks, read from its CouchDB and kept fresh.
//!
//! On when `kazoo.couchdb_url` is set. The parts:
//! - [`couchdb`] speaks the few calls of CouchDB's HTTP interface that are needed.
//! - [`import`] turns documents into rows of the store, for `hookbox import kazoo` and for the reader alike.
//! - [`applying`] writes what was fetched, and takes out what has gone.
//! - [`reader`] reads everything at the start and now and then, and each document that a change [`notice`] names.
//! - [`newcomers`] lets the first messages of an account that is not known yet wait until it was asked for, and until
//!   its hooks are there too ([`meeting`]).
//! - [`users`] finds who logs in.
//!
//! Life of a hook that is made in KAZOO: the data layer publishes a notice; [`crate::changes::Listener`] hears it and
//! hands it to the reader; the reader fetches the document, which becomes a row of the store; the follower reads the
//! row into the hook table. CouchDB is only read, never written.
//!
//! What must hold:
//! - Only what came from CouchDB goes when it has gone from there ([`crate::store::origins`]). What was made here stays.
//! - A document is written when its revision is another than the one that was written last: what happened here to what
//!   came of it (a hook disabled for failing) stays until the document is edited.
//! - One fetch and its writing at a time: what was fetched earlier is never written over what was fetched later.
//! - Nothing is taken out that CouchDB was not asked for by its id and did not deny.
//!
//! *Not* guaranteed: when CouchDB was away at the start, what happens between then and the end of the first reading finds
//! the accounts and hooks that the store had. And a process that is killed between writing a row and noting where it came from leaves a row that
//! counts as made here, until the document is read again; that is at the next start, unless the document has gone by then.

pub mod couchdb;
pub mod import;
pub mod applying;
pub mod notice;
pub mod meeting;
pub mod reader;
pub mod newcomers;
pub mod users;

use thiserror::Error;

use self::couchdb::CouchDbError;
use crate::store::StoreError;

/// Where accounts are, the whole tree.
pub const ACCOUNTS: &str = "accounts";
/// Where hooks are, those of all accounts.
pub const HOOKS: &str = "webhooks";
/// How the names of the databases of numbers begin; the number's first digits follow.
pub const NUMBERS: &str = "numbers/";

/// What there is in CouchDB could not be made to be here too.
#[derive(Debug, Error)]
pub enum KazooError {
    /// It could not be read; the operator's to mend, or to wait for.
    #[error(transparent)]
    CouchDb(#[from] CouchDbError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
