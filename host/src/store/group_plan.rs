//! What a group of entries is to a database: rows of a few kinds, each kind written by one statement.
//!
//! The kinds are written in this order: attempts, failures, new firings, changes of stored ones, those that ended well.
//! For one firing that is also the order in which one process asks for them, so a group may hold several changes of it.

use super::{Entry, FiringChange};
use crate::{
    attempt::Attempt,
    message::{Firing, LeaseToken, UnixMs, WebhookId},
};

/// `state` of a firing that waits, or is under a lease.
pub(super) const WAITING: i64 = 0;
/// `state` of one that ended undelivered.
pub(super) const UNDELIVERED: i64 = 1;

/// A firing as it shall stand in the store.
pub(super) struct Kept<'a> {
    pub(super) firing: &'a Firing,
    pub(super) state: i64,
    pub(super) due_ms: UnixMs,
    pub(super) reason: Option<&'a str>,
}

/// A group, sorted by kind of statement.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) attempts: Vec<&'a Attempt>,
    pub(super) failures: Vec<&'a Attempt>,
    pub(super) new: Vec<Kept<'a>>,
    pub(super) changed: Vec<(&'a LeaseToken, Kept<'a>)>,
    pub(super) delivered: Vec<(&'a WebhookId, &'a LeaseToken)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(group: &'a [Entry]) -> Self {
        let mut plan = Plan::default();
        plan.attempts.reserve(group.len());
        for entry in group {
            if let Some(attempt) = &entry.attempt {
                plan.attempts.push(attempt);
                if entry.counts_as_failure {
                    plan.failures.push(attempt);
                }
            }
            match &entry.change {
                FiringChange::None => {}
                FiringChange::Wait { firing, due_ms } => {
                    plan.keep(Kept { firing, state: WAITING, due_ms: *due_ms, reason: None });
                }
                FiringChange::Park { firing, until_ms } => {
                    plan.new.push(Kept { firing, state: WAITING, due_ms: *until_ms, reason: None });
                }
                FiringChange::Delivered { id, lease } => plan.delivered.push((id, lease)),
                FiringChange::Undelivered { firing, reason, at_ms } => {
                    plan.keep(Kept { firing, state: UNDELIVERED, due_ms: *at_ms, reason: Some(reason) });
                }
            }
        }
        plan
    }

    /// One that was stored is changed by its lease; one that never was is put in.
    fn keep(&mut self, kept: Kept<'a>) {
        match &kept.firing.lease {
            Some(lease) => self.changed.push((lease, kept)),
            None => self.new.push(kept),
        }
    }
}
