//! The queue in front of the store's [stored calls](crate::store::stored_calls): changes are written in groups, never a
//! commit a call, however many a busy module has.
//!
//! [`CallLog::change`] returns when the group that holds the change is on the disk, so whoever waits for it may settle the
//! message. A group is closed `store.group_wait_ms` after its first change was handed in, or at `store.group_rows_max`
//! changes; while one is being written the next one fills.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error_chain::chain,
    settings::{ModuleSettings, StoreSettings},
    store::{
        SharedStore, StoreError, StoreResult,
        stored_calls::{CallBounds, CallChange},
    },
};

/// One that waits for its group.
struct Queued {
    change: CallChange,
    since: Instant,
    answer: oneshot::Sender<StoreResult<bool>>,
}

/// Writes what becomes of stored calls.
pub struct CallLog {
    store: SharedStore,
    bounds: CallBounds,
    group_wait: Duration,
    group_rows_max: usize,
    queue: mpsc::Sender<Queued>,
    /// The other end of the queue; outlives the writer, who holds it while it runs.
    waiting: Mutex<mpsc::Receiver<Queued>>,
    /// Rung when a group was written: there may be calls to make.
    pub written: Notify,
}

impl CallLog {
    /// One that writes as soon as it [runs](Self::run).
    pub fn new(store: SharedStore, groups: &StoreSettings, modules: &ModuleSettings) -> Self {
        let group_rows_max = usize::try_from(groups.group_rows_max).unwrap_or(usize::MAX).clamp(1, 1 << 20);
        let (queue, waiting) = mpsc::channel(group_rows_max * 8);
        Self {
            store,
            bounds: CallBounds {
                calls_max: modules.stored_calls_per_account_max,
                bytes_max: modules.stored_call_bytes_per_account_max,
            },
            group_wait: Duration::from_millis(groups.group_wait_ms),
            group_rows_max,
            queue,
            waiting: Mutex::new(waiting),
            written: Notify::new(),
        }
    }

    /// Hands a change in, and returns when it is on the disk; whether it was done
    /// ([`StoredCalls::change_stored_calls`](crate::store::stored_calls::StoredCalls::change_stored_calls)).
    pub async fn change(&self, change: CallChange) -> StoreResult<bool> {
        let (answer, written) = oneshot::channel();
        let queued = Queued { change, since: Instant::now(), answer };
        // Neither end is closed while the log is there, so only a writer that broke off drops an answer.
        self.queue.send(queued).await.map_err(|_| StoreError::CallNotStored(None))?;
        written.await.unwrap_or(Err(StoreError::CallNotStored(None)))
    }

    /// Writes until `stop`; then writes what still waits, and ends. An error of the store does not end it: it goes to
    /// those whose group it was.
    pub async fn run(&self, stop: CancellationToken) -> StoreResult<()> {
        let mut waiting = self.waiting.lock().await;
        let mut group = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = waiting.recv_many(&mut group, self.group_rows_max) => {}
                () = stop.cancelled() => return Ok(()),
            }
            let Some(first) = group.first() else { return Ok(()) };
            let closes = first.since + self.group_wait;
            while group.len() < self.group_rows_max {
                let room = self.group_rows_max - group.len();
                if timeout_at(closes, waiting.recv_many(&mut group, room)).await.is_err() {
                    break;
                }
            }
            self.write(&mut group).await;
        }
    }

    async fn write(&self, group: &mut Vec<Queued>) {
        let (changes, answers): (Vec<_>, Vec<_>) = group.drain(..).map(|queued| (queued.change, queued.answer)).unzip();
        let written = self.store.change_stored_calls(&changes, &self.bounds).await.map_err(Arc::new);
        if let Err(error) = &written {
            tracing::error!(
                error = chain(&**error),
                changes = changes.len(),
                "what becomes of calls could not be stored"
            );
        }
        for (at, answer) in answers.into_iter().enumerate() {
            let result = match &written {
                Ok(done) => Ok(done.get(at).copied().unwrap_or(false)),
                Err(error) => Err(StoreError::CallNotStored(Some(Arc::clone(error)))),
            };
            // Whoever asked may be gone; the change is written all the same.
            let _ = answer.send(result);
        }
        self.written.notify_one();
    }
}
