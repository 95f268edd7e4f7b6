//! What is kept when a module fails on a message, and when a message is given up altogether; and the queue in front of the
//! store that keeps it in [groups](crate::store::group_writer): a module that fails on everything fails on thousands a second.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    error_chain::chain,
    message::{Message, ModuleId, UnixMs},
    module::{Module, ModuleError},
    settings::StoreSettings,
    store::{DeadLetter, SharedStore, StoreError, StoreResult, group_writer::GroupWriter, stored_calls::StoredCall},
};

/// Keeps dead letters.
pub struct DeadLetterLog {
    store: SharedStore,
    groups: GroupWriter<DeadLetter, StoreResult<i64>>,
}

impl DeadLetterLog {
    /// One that writes as soon as it [runs](Self::run).
    pub fn new(store: SharedStore, groups: &StoreSettings) -> Self {
        Self { store, groups: GroupWriter::new(groups) }
    }

    /// Hands a letter in, and returns its id when it is on the disk.
    pub async fn keep(&self, letter: DeadLetter) -> StoreResult<i64> {
        self.groups.write(letter).await.unwrap_or(Err(StoreError::LetterNotKept(None)))
    }

    /// Writes until `stop`; then writes what still waits, and ends. An error of the store does not end it: it goes to
    /// those whose group it was.
    pub async fn run(&self, stop: CancellationToken) -> StoreResult<()> {
        self.groups.run(stop, |letters| self.write(letters)).await;
        Ok(())
    }

    async fn write(&self, letters: Vec<DeadLetter>) -> Vec<StoreResult<i64>> {
        match self.store.put_dead_letters(&letters).await {
            Ok(ids) => ids.into_iter().map(Ok).collect(),
            Err(error) => {
                let (error, count) = (Arc::new(error), letters.len());
                tracing::error!(error = chain(&*error), letters = count, "dead letters could not be kept");
                letters.iter().map(|_| Err(StoreError::LetterNotKept(Some(Arc::clone(&error))))).collect()
            }
        }
    }
}

/// The dead letter of a message that a module failed on.
pub fn of_module(module: &Module, message: &Message, error: &ModuleError, now_ms: UnixMs) -> DeadLetter {
    DeadLetter {
        id: 0,
        at_ms: now_ms,
        module: Some(module.id().clone()),
        module_version: module.metadata.version.clone(),
        reason: error.to_string(),
        owner: message.within.as_ref().or(module.owner.as_ref()).cloned(),
        message: message.clone(),
    }
}

/// The dead letter of a stored call that cannot be made. `version` is the module's now, empty when it is gone.
pub fn of_call(call: &StoredCall, version: &str, error: &ModuleError, now_ms: UnixMs) -> DeadLetter {
    DeadLetter {
        id: 0,
        at_ms: now_ms,
        module: Some(call.module.clone()),
        module_version: version.to_owned(),
        reason: error.to_string(),
        owner: call.account.clone(),
        message: call.message.clone(),
    }
}

/// The dead letter of a message that the broker gave up delivering.
pub fn of_broker(message: &Message, now_ms: UnixMs) -> DeadLetter {
    DeadLetter {
        id: 0,
        at_ms: now_ms,
        module: None::<ModuleId>,
        module_version: String::new(),
        reason: "the broker delivered it as often as it may (amqp.delivery_limit); Hookbox died or failed each time"
            .into(),
        owner: message.within.clone(),
        message: message.clone(),
    }
}
