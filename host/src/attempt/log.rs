//! The queue in front of [`Store::commit`]: attempts and firing changes are written in groups, never one by one.
//!
//! [`AttemptLog::record`] returns when the group that holds the entry is on the disk, so whoever waits for it may
//! settle the message. A group is closed `store.group_wait_ms` after its first entry was handed in, or at
//! `store.group_rows_max` rows; while one is being written the next one fills, so under load nobody waits for the
//! clock.
//!
//! [`AttemptLog::run`] does the writing, and removes what is too old, at start and every hour. It can be started anew at
//! any time: what waits in the queue stays there. Entries of a group that could not be written are answered with the
//! error, and their messages go back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use crate::{
    clock::Clock,
    settings::Settings,
    store::{Entry, FiringChange, SharedStore, StoreError},
};

/// How often attempts that are too old are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const DAY_MS: u64 = 86_400_000;

/// The entry is not in the store. Our fault; the message has to come again.
#[derive(Clone, Debug, Error)]
pub enum LogError {
    /// Its group could not be written.
    #[error("the attempt could not be recorded")]
    Store(#[source] Arc<StoreError>),
    /// The writer broke off while its group was being written; whether it is there is not known.
    #[error("the attempt's recording was cut off")]
    CutOff,
}

/// When groups are closed, and what is kept how long.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// How long the first entry of a group waits for others.
    pub group_wait_ms: u64,
    /// Entries in a group, at most.
    pub group_rows_max: usize,
    /// Entries that wait for the writer; over it, `record` waits for room.
    pub queue_max: usize,
    /// For how many days attempts are kept.
    pub keep_days: u64,
}

impl LogLimits {
    /// Those of the settings; as many entries may wait as eight groups hold.
    pub fn new(settings: &Settings) -> Self {
        let group_rows_max = usize::try_from(settings.store.group_rows_max).unwrap_or(usize::MAX).clamp(1, 1 << 20);
        Self {
            group_wait_ms: settings.store.group_wait_ms,
            group_rows_max,
            queue_max: group_rows_max.saturating_mul(8),
            keep_days: settings.attempts.keep_days,
        }
    }
}

/// One that waits for its group.
struct Queued {
    entry: Entry,
    since: Instant,
    answer: oneshot::Sender<Result<(), LogError>>,
}

/// The log of attempts.
pub struct AttemptLog {
    store: SharedStore,
    clock: Clock,
    limits: LogLimits,
    log_successes: AtomicBool,
    queue: mpsc::Sender<Queued>,
    /// The other end of the queue; outlives the writer, who holds it while it runs.
    waiting: Mutex<mpsc::Receiver<Queued>>,
}

impl AttemptLog {
    /// A log that writes to the store as soon as it [runs](Self::run).
    pub fn new(store: SharedStore, clock: Clock, limits: LogLimits, log_successes: bool) -> Self {
        let (queue, waiting) = mpsc::channel(limits.queue_max.max(1));
        Self {
            store,
            clock,
            limits,
            log_successes: AtomicBool::new(log_successes),
            queue,
            waiting: Mutex::new(waiting),
        }
    }

    /// Whether attempts that went well are kept too: `webhooks.log_successful_attempts`, as it is now.
    pub fn set_log_successes(&self, log_successes: bool) {
        self.log_successes.store(log_successes, Ordering::Relaxed);
    }

    /// Hands an entry in, and returns when it is on the disk.
    pub async fn record(&self, mut entry: Entry) -> Result<(), LogError> {
        if !self.log_successes.load(Ordering::Relaxed) {
            entry.attempt = entry.attempt.filter(|attempt| !attempt.outcome.is_success());
        }
        if entry.attempt.is_none() && matches!(entry.change, FiringChange::None) {
            return Ok(());
        }
        let (answer, written) = oneshot::channel();
        let queued = Queued { entry, since: Instant::now(), answer };
        // Neither end is closed while the log is there, so only a writer that broke off drops an answer.
        self.queue.send(queued).await.map_err(|_| LogError::CutOff)?;
        written.await.unwrap_or(Err(LogError::CutOff))
    }

    /// Entries that wait for the writer.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Writes, and prunes, until it is dropped. One at a time: a second call waits for the first to end.
    pub async fn run(&self) {
        let waiting = self.waiting.lock().await;
        tokio::join!(self.write(waiting), self.prune_hourly());
    }

    async fn write(&self, mut waiting: impl std::ops::DerefMut<Target = mpsc::Receiver<Queued>>) {
        let rows_max = self.limits.group_rows_max;
        let mut group = Vec::with_capacity(rows_max);
        while waiting.recv_many(&mut group, rows_max).await > 0 {
            let closes = group[0].since + Duration::from_millis(self.limits.group_wait_ms);
            while group.len() < rows_max {
                let room = rows_max - group.len();
                if timeout_at(closes, waiting.recv_many(&mut group, room)).await.is_err() {
                    break;
                }
            }
            self.commit(&mut group).await;
        }
    }

    async fn commit(&self, group: &mut Vec<Queued>) {
        let (entries, answers): (Vec<Entry>, Vec<_>) =
            group.drain(..).map(|queued| (queued.entry, queued.answer)).unzip();
        let result = self.store.commit(&entries).await.map_err(|error| LogError::Store(Arc::new(error)));
        if let Err(error) = &result {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            tracing::error!(%cause, entries = entries.len(), "attempts could not be recorded; their messages go back");
        }
        for answer in answers {
            // Whoever asked may be gone; the entry is written all the same.
            let _ = answer.send(result.clone());
        }
    }

    async fn prune_hourly(&self) {
        let mut hours = interval(PRUNE_EVERY);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            hours.tick().await;
            self.prune().await;
        }
    }

    async fn prune(&self) {
        let before_ms = self.clock.now_ms().saturating_sub(self.limits.keep_days.saturating_mul(DAY_MS));
        match self.store.prune_attempts(before_ms).await {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, "attempts older than attempts.keep_days were removed"),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, %cause, "old attempts could not be removed; tried again in an hour");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        attempt::Outcome,
        store::{behaviour, sqlite::SqliteStore},
    };

    const LIMITS: LogLimits = LogLimits { group_wait_ms: 1, group_rows_max: 100, queue_max: 800, keep_days: 1 };

    async fn log(limits: LogLimits) -> (Arc<AttemptLog>, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
        let store = SqliteStore::open(&url).await.expect("it opens");
        (Arc::new(AttemptLog::new(Arc::new(store), Clock::manual(DAY_MS * 30), limits, true)), folder)
    }

    fn start(log: &Arc<AttemptLog>) -> tokio::task::JoinHandle<()> {
        let log = Arc::clone(log);
        tokio::spawn(async move { log.run().await })
    }

    fn entry(n: u64) -> Entry {
        let attempt = behaviour::attempt(n, "h1", DAY_MS * 30);
        Entry { attempt: Some(attempt), counts_as_failure: true, change: FiringChange::None }
    }

    fn success(n: u64) -> Entry {
        let outcome = Outcome::Answered { status: 204, headers: vec![], body: String::new(), body_cut: false };
        let attempt = behaviour::attempt(n, "h1", DAY_MS * 30);
        let attempt = Some(crate::attempt::Attempt { outcome, ..attempt });
        Entry { attempt, counts_as_failure: false, change: FiringChange::None }
    }

    async fn recorded(log: &AttemptLog) -> usize {
        log.store.attempts(&"a1".into(), None, 10_000).await.expect("they are read").len()
    }

    async fn record_all(log: &Arc<AttemptLog>, numbers: std::ops::Range<u64>) -> Vec<Result<(), LogError>> {
        let tasks: Vec<_> = numbers
            .map(|n| {
                let log = Arc::clone(log);
                tokio::spawn(async move { log.record(entry(n)).await })
            })
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("it ran"));
        }
        results
    }

    #[tokio::test]
    async fn what_is_recorded_is_there_when_record_returns() {
        let (log, _folder) = log(LIMITS).await;
        let writer = start(&log);
        log.record(entry(1)).await.expect("it is recorded");
        assert_eq!(recorded(&log).await, 1);
        let results = record_all(&log, 2..1000).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(recorded(&log).await, 999);
        writer.abort();
    }

    #[tokio::test]
    async fn a_full_group_does_not_wait_for_the_clock() {
        let (log, _folder) = log(LogLimits { group_wait_ms: 3_600_000, group_rows_max: 10, ..LIMITS }).await;
        let writer = start(&log);
        let results = record_all(&log, 0..20).await;
        assert!(results.iter().all(Result::is_ok));
        writer.abort();
    }

    #[tokio::test]
    async fn a_writer_started_anew_finds_what_waits() {
        let (log, _folder) = log(LIMITS).await;
        let waiting = tokio::spawn({
            let log = Arc::clone(&log);
            async move { record_all(&log, 0..50).await }
        });
        let first = start(&log);
        first.abort();
        let _ = first.await;
        let second = start(&log);
        let results = waiting.await.expect("it ran");
        // The one that was in the first writer's hands, if any, was told that it was cut off; nobody waits for ever.
        let lost = results.iter().filter(|result| result.is_err()).count();
        assert!(recorded(&log).await >= 50 - lost);
        second.abort();
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_written_is_answered_with_the_error() {
        let (log, _folder) = log(LIMITS).await;
        let writer = start(&log);
        log.store.close().await;
        let results = record_all(&log, 0..20).await;
        assert!(results.iter().all(|result| matches!(result, Err(LogError::Store(_)))));
        assert!(!writer.is_finished(), "it goes on");
        writer.abort();
    }

    #[tokio::test]
    async fn successes_are_left_out_when_they_are_not_wanted() {
        let (log, _folder) = log(LIMITS).await;
        let writer = start(&log);
        log.set_log_successes(false);
        log.record(success(1)).await.expect("nothing to do");
        log.record(entry(2)).await.expect("it is recorded");
        assert_eq!(recorded(&log).await, 1);
        log.set_log_successes(true);
        log.record(success(3)).await.expect("it is recorded");
        assert_eq!(recorded(&log).await, 2);
        writer.abort();
    }

    #[tokio::test]
    async fn old_attempts_go_at_start() {
        let (log, _folder) = log(LIMITS).await;
        let mut old = entry(1);
        old.attempt = Some(behaviour::attempt(1, "h1", DAY_MS * 29 - 1));
        log.store.commit(&[old, entry(2)]).await.expect("committed");
        let writer = start(&log);
        while recorded(&log).await > 1 {
            tokio::task::yield_now().await;
        }
        writer.abort();
    }
}
