//! The queue in front of a store: what comes by the thousand a second is written in groups, never a commit each.
//!
//! [`GroupWriter::write`] returns when the group that holds the entry has been written, so whoever waits for it may settle
//! what it came of. A group is closed `store.group_wait_ms` after its first entry was handed in, or at
//! `store.group_rows_max` entries; while one is being written the next one fills, so under load nobody waits for the
//! clock.
//!
//! [`GroupWriter::run`] does the writing. It can be started anew at any time: what waits in the queue stays there.

use std::time::Duration;

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::settings::StoreSettings;

/// One that waits for its group.
struct Queued<T, R> {
    entry: T,
    since: Instant,
    answer: oneshot::Sender<R>,
}

/// Entries that wait, each to be answered with an `R`.
pub struct GroupWriter<T, R> {
    group_wait: Duration,
    group_rows_max: usize,
    queue: mpsc::Sender<Queued<T, R>>,
    /// The other end of the queue; outlives the writer, who holds it while it runs.
    waiting: Mutex<mpsc::Receiver<Queued<T, R>>>,
}

impl<T, R> GroupWriter<T, R> {
    /// An empty one. As many entries as eight groups hold may wait; over that, [`write`](Self::write) waits for room.
    pub fn new(groups: &StoreSettings) -> Self {
        let group_rows_max = usize::try_from(groups.group_rows_max).unwrap_or(usize::MAX).clamp(1, 1 << 20);
        let (queue, waiting) = mpsc::channel(group_rows_max * 8);
        let group_wait = Duration::from_millis(groups.group_wait_ms);
        Self { group_wait, group_rows_max, queue, waiting: Mutex::new(waiting) }
    }

    /// Hands an entry in, and returns what came of it when its group is written. `None` when the writer broke off with it:
    /// whether it was written is not known then.
    pub async fn write(&self, entry: T) -> Option<R> {
        let (answer, written) = oneshot::channel();
        let queued = Queued { entry, since: Instant::now(), answer };
        // Neither end is closed while this is there, so only a writer that broke off drops an answer.
        self.queue.send(queued).await.ok()?;
        written.await.ok()
    }

    /// Entries that wait for the writer.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Writes until `stop`; then writes what still waits, and ends. One at a time: a second call waits for the first to end.
    /// `write` gives what each of its entries is answered with, in their order.
    pub async fn run<F: Future<Output = Vec<R>>>(&self, stop: CancellationToken, write: impl Fn(Vec<T>) -> F) {
        let mut waiting = self.waiting.lock().await;
        let mut group = Vec::with_capacity(self.group_rows_max);
        loop {
            tokio::select! {
                biased;
                _ = waiting.recv_many(&mut group, self.group_rows_max) => {}
                () = stop.cancelled() => return,
            }
            let Some(first) = group.first() else { return };
            let closes = first.since + self.group_wait;
            while group.len() < self.group_rows_max {
                let room = self.group_rows_max - group.len();
                if timeout_at(closes, waiting.recv_many(&mut group, room)).await.is_err() {
                    break;
                }
            }
            let (entries, answers): (Vec<T>, Vec<_>) =
                group.drain(..).map(|queued| (queued.entry, queued.answer)).unzip();
            for (answer, result) in answers.into_iter().zip(write(entries).await) {
                // Whoever asked may be gone; the entry is written all the same.
                let _ = answer.send(result);
            }
        }
    }
}
