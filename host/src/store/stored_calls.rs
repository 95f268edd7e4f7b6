//! Calls of modules that are kept to be made later, because the module was over its share of the workers.
//!
//! Stored by the pipeline before it settles the message, claimed under leases by any node, removed when each firing of
//! what the module made has ended or is stored. Changes come in groups ([`crate::module::stored_calls`]).

use async_trait::async_trait;

use super::{DeadLetter, StoreResult};
use crate::message::{AccountId, LeaseToken, Message, ModuleId, UnixMs};

/// One call that waits: this message, for this module alone.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCall {
    /// A digest of message and module: a message that comes twice is stored once.
    pub id: String,
    /// The module.
    pub module: ModuleId,
    /// Whom the call is charged to; `None`: the operator.
    pub account: Option<AccountId>,
    /// The message, whole.
    pub message: Message,
    /// When it was stored.
    pub created_ms: UnixMs,
    /// Set when this process has claimed it: what it must show to change it.
    pub lease: Option<LeaseToken>,
}

/// What becomes of a stored call. Changes of a group are committed together.
#[derive(Debug)]
pub enum CallChange {
    /// Keep it, free from now on. One that is stored already is left alone.
    Keep(Box<StoredCall>),
    /// It was made, and what came of it is safe: remove it, when this lease still holds it.
    Made {
        /// Which.
        id: String,
        /// The proof.
        lease: LeaseToken,
    },
    /// It never will be made: in its place keep the dead letter, when this lease still holds it.
    GivenUp {
        /// Which.
        id: String,
        /// The proof.
        lease: LeaseToken,
        /// What is kept.
        letter: Box<DeadLetter>,
    },
    /// It could not be made now: others may claim it from then on, when this lease still holds it.
    PutBack {
        /// Which.
        id: String,
        /// The proof.
        lease: LeaseToken,
        /// From when on.
        free_ms: UnixMs,
    },
}

/// How much may wait of what is charged to one account; for the operator, of each module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallBounds {
    /// Calls.
    pub calls_max: u64,
    /// Bytes of their messages.
    pub bytes_max: u64,
}

impl CallBounds {
    /// Whether there is room for one more beside these.
    pub fn have_room(&self, calls: u64, bytes: u64, more_bytes: u64) -> bool {
        calls < self.calls_max && bytes.saturating_add(more_bytes) <= self.bytes_max
    }
}

/// The calls of one module that wait, charged to one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    /// The module.
    pub module: ModuleId,
    /// Whom they are charged to; `None`: the operator.
    pub account: Option<AccountId>,
    /// How many, claimed ones included.
    pub calls: u64,
}

/// The stored calls, as a store keeps them.
#[async_trait]
pub trait StoredCalls {
    /// Changes stored calls, all or none. Tells of each whether it was done: `false` for one to be kept that is over the
    /// bounds (it is not kept), and for another whose lease does not hold any more (nothing was changed).
    async fn change_stored_calls(&self, changes: &[CallChange], bounds: &CallBounds) -> StoreResult<Vec<bool>>;
    /// Which modules have calls that wait, and how many.
    async fn stored_call_lines(&self) -> StoreResult<Vec<CallLine>>;
    /// How many calls of the module wait, whomever they are charged to.
    async fn stored_call_count(&self, module: &ModuleId) -> StoreResult<u64>;
    /// Takes up to `limit` free calls of the line under new leases until `until_ms`, those that were free longest first.
    async fn claim_stored_calls(
        &self,
        line: &CallLine,
        now_ms: UnixMs,
        until_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<StoredCall>>;
}
