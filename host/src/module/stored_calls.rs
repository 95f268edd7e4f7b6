//! The queue in front of the store's [stored calls](crate::store::stored_calls): changes are written in
//! [groups](crate::store::group_writer), never a commit a call, however many a busy module has.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    error_chain::chain,
    settings::{ModuleSettings, StoreSettings},
    store::{
        SharedStore, StoreError, StoreResult,
        group_writer::GroupWriter,
        stored_calls::{CallBounds, CallChange},
    },
};

/// Writes what becomes of stored calls.
pub struct CallLog {
    store: SharedStore,
    bounds: CallBounds,
    groups: GroupWriter<CallChange, StoreResult<bool>>,
    /// Rung when a group was written: there may be calls to make.
    pub written: Notify,
}

impl CallLog {
    /// One that writes as soon as it [runs](Self::run).
    pub fn new(store: SharedStore, groups: &StoreSettings, modules: &ModuleSettings) -> Self {
        Self {
            store,
            bounds: CallBounds {
                calls_max: modules.stored_calls_per_account_max,
                bytes_max: modules.stored_call_bytes_per_account_max,
            },
            groups: GroupWriter::new(groups),
            written: Notify::new(),
        }
    }

    /// Hands a change in, and returns when it is on the disk; whether it was done
    /// ([`StoredCalls::change_stored_calls`](crate::store::stored_calls::StoredCalls::change_stored_calls)).
    pub async fn change(&self, change: CallChange) -> StoreResult<bool> {
        self.groups.write(change).await.unwrap_or(Err(StoreError::CallNotStored(None)))
    }

    /// Writes until `stop`; then writes what still waits, and ends. An error of the store does not end it: it goes to
    /// those whose group it was.
    pub async fn run(&self, stop: CancellationToken) -> StoreResult<()> {
        self.groups.run(stop, |changes| self.write(changes)).await;
        Ok(())
    }

    async fn write(&self, changes: Vec<CallChange>) -> Vec<StoreResult<bool>> {
        let written = self.store.change_stored_calls(&changes, &self.bounds).await;
        self.written.notify_one();
        match written {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(error) => {
                let (error, count) = (Arc::new(error), changes.len());
                tracing::error!(error = chain(&*error), changes = count, "what becomes of calls could not be stored");
                changes.iter().map(|_| Err(StoreError::CallNotStored(Some(Arc::clone(&error))))).collect()
            }
        }
    }
}
