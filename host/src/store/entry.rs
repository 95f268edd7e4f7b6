//! What a try changes in the store.

use crate::{
    attempt::Attempt,
    message::{Firing, LeaseToken, UnixMs, WebhookId},
};

/// What a try, or the wish to keep a firing, changes in the store. Entries of a group are committed together; an
/// attempt and the change of its firing are one entry, so that neither is seen without the other.
#[derive(Debug)]
pub struct Entry {
    /// The try to record, when there was one.
    pub attempt: Option<Attempt>,
    /// Whether the try counts against the hook (design §4, disabler).
    pub counts_as_failure: bool,
    /// What becomes of the firing.
    pub change: FiringChange,
}

/// What becomes of a firing in the store.
#[derive(Debug)]
pub enum FiringChange {
    /// It was never stored, and has ended.
    None,
    /// Keep it: waiting for `due_ms`. With a lease, it takes the place of the stored one that the lease holds, which is
    /// given back by that, and changes nothing when there is none such. Without a lease it is new, unless it is stored already (the message
    /// came twice): then the stored one is left alone.
    Wait {
        /// The firing, with its tries counted.
        firing: Box<Firing>,
        /// When the next try is due.
        due_ms: UnixMs,
    },
    /// Keep it under a lease, because this process is still at it. A firing that is stored under another lease, or without one, is left alone.
    Park {
        /// The firing; its `lease` is set.
        firing: Box<Firing>,
        /// When somebody else may take it.
        until_ms: UnixMs,
    },
    /// It has ended well: remove the stored one, when this lease still holds it.
    Delivered {
        /// Which.
        id: WebhookId,
        /// The proof.
        lease: LeaseToken,
    },
    /// It ended without being delivered: kept in the hook's list of undelivered, with the reason. Leases count as for
    /// `Wait`.
    Undelivered {
        /// The firing.
        firing: Box<Firing>,
        /// For people.
        reason: String,
        /// When it ended.
        at_ms: UnixMs,
    },
}
