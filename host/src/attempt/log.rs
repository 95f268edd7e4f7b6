//! The queue in front of [`Store::commit`](crate::store::Store::commit): attempts and firing changes are written in
//! [groups](crate::store::group_writer), never one by one.
//!
//! [`AttemptLog::record`] returns when the group that holds the entry is on the disk, so whoever waits for it may
//! settle the message. [`AttemptLog::run`] does the writing, and removes what is too old (attempts, ended bulk resends, dead letters), at start
//! and every hour, dead letters that a module has too many of every minute. It can be started anew at
//! any time: what waits in the queue stays there. Entries of a group that could not be written are answered with the
//! error, and their messages go back.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    settings::{AttemptSettings, DeadLetterSettings, StoreSettings, WebhookSettings},
    store::{Entry, FiringChange, SharedStore, StoreError, StoreResult, group_writer::GroupWriter},
    telemetry::meters::meters,
};

/// How often attempts that are too old are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How often dead letters over `dead_letters.rows_per_module_max` are removed: a flood comes by the thousand a second.
const TRIM_EVERY: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 86_400_000;

/// The log of attempts.
pub struct AttemptLog {
    store: SharedStore,
    clock: Clock,
    keep_days: u64,
    dead_letters: DeadLetterSettings,
    log_successes: AtomicBool,
    groups: GroupWriter<Entry, StoreResult<()>>,
}

impl AttemptLog {
    /// A log that writes to the store as soon as it [runs](Self::run).
    pub fn new(
        store: SharedStore,
        groups: &StoreSettings,
        attempts: &AttemptSettings,
        dead_letters: &DeadLetterSettings,
        webhooks: &WebhookSettings,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            clock,
            keep_days: attempts.keep_days,
            dead_letters: dead_letters.clone(),
            log_successes: AtomicBool::new(webhooks.log_successful_attempts),
            groups: GroupWriter::new(groups),
        }
    }

    /// Whether attempts that went well are kept too: `webhooks.log_successful_attempts`, as it is now.
    pub fn set_log_successes(&self, log_successes: bool) {
        self.log_successes.store(log_successes, Ordering::Relaxed);
    }

    /// Hands an entry in, and returns when it is on the disk.
    pub async fn record(&self, mut entry: Entry) -> StoreResult<()> {
        if !self.log_successes.load(Ordering::Relaxed) {
            entry.attempt = entry.attempt.filter(|attempt| !attempt.outcome.is_success());
        }
        if entry.attempt.is_none() && matches!(entry.change, FiringChange::None) {
            return Ok(());
        }
        self.keep(entry).await
    }

    /// As [`record`](Self::record), whatever `webhooks.log_successful_attempts` says: for tries that somebody asked for.
    pub async fn keep(&self, entry: Entry) -> StoreResult<()> {
        self.groups.write(entry).await.unwrap_or(Err(StoreError::CutOff))
    }

    /// Entries that wait for the writer.
    pub fn queued(&self) -> usize {
        self.groups.queued()
    }

    /// Writes, and prunes, until `stop`; then writes what still waits, and ends. One at a time: a second call waits for
    /// the first to end. An error of the store does not end it: it goes to those whose group it was.
    pub async fn run(&self, stop: CancellationToken) -> StoreResult<()> {
        tokio::select! {
            () = self.groups.run(stop, |entries| self.commit(entries)) => Ok(()),
            () = self.prune_hourly() => Ok(()),
        }
    }

    async fn commit(&self, entries: Vec<Entry>) -> Vec<StoreResult<()>> {
        let began = Instant::now();
        let failure = self.store.commit(&entries).await.err().map(Arc::new);
        meters().store_commit.record(began.elapsed());
        if let Some(error) = &failure {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            let entries = entries.len();
            tracing::error!(%error, %cause, entries, "attempts could not be recorded; their messages go back");
        }
        let result = || failure.as_ref().map_or(Ok(()), |error| Err(StoreError::NotRecorded(Arc::clone(error))));
        entries.iter().map(|_| result()).collect()
    }

    async fn prune_hourly(&self) {
        let (mut hours, mut minutes) = (interval(PRUNE_EVERY), interval(TRIM_EVERY));
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What one module has too many of goes first: then the others' is not too many.
            tokio::select! {
                biased;
                _ = minutes.tick() => self.trim().await,
                _ = hours.tick() => self.prune().await,
            }
        }
    }

    async fn trim(&self) {
        let rows_max = self.dead_letters.rows_per_module_max;
        pruned("dead letters of modules with too many", self.store.trim_dead_letters(rows_max).await);
    }

    async fn prune(&self) {
        let now_ms = self.clock.now_ms();
        let before = |days: u64| now_ms.saturating_sub(days.saturating_mul(DAY_MS));
        let before_ms = before(self.keep_days);
        pruned("attempts", self.store.prune_attempts(before_ms).await);
        pruned("ended bulk resends", self.store.prune_jobs(before_ms).await);
        let DeadLetterSettings { keep_days, rows_max, .. } = self.dead_letters;
        pruned("dead letters", self.store.prune_dead_letters(before(keep_days), rows_max).await);
    }
}

/// Says what came of removing what is too old, or too many.
fn pruned(what: &str, rows: StoreResult<u64>) {
    match rows {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "old {what} were removed"),
        Err(error) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, %cause, "old {what} could not be removed; tried again in an hour");
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        attempt::Outcome,
        settings::Settings,
        store::{AttemptQuery, behaviour, sqlite::SqliteStore},
    };

    async fn log(group_wait_ms: u64, group_rows_max: u64) -> (Arc<AttemptLog>, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
        let store = SqliteStore::open(&url).await.expect("it opens");
        let Settings { store: groups, dead_letters, webhooks, .. } = Settings::default();
        let groups = StoreSettings { group_wait_ms, group_rows_max, ..groups };
        let attempts = AttemptSettings { keep_days: 1 };
        let clock = Clock::manual(DAY_MS * 30);
        let log = AttemptLog::new(Arc::new(store), &groups, &attempts, &dead_letters, &webhooks, clock);
        (Arc::new(log), folder)
    }

    fn start(log: &Arc<AttemptLog>) -> tokio::task::JoinHandle<()> {
        let log = Arc::clone(log);
        tokio::spawn(async move { log.run(CancellationToken::new()).await.expect("it ends well") })
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
        log.store.attempts(&AttemptQuery::newest("a1".into(), None, 10_000)).await.expect("they are read").len()
    }

    async fn record_all(log: &Arc<AttemptLog>, numbers: std::ops::Range<u64>) -> Vec<StoreResult<()>> {
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
        let (log, _folder) = log(1, 100).await;
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
        let (log, _folder) = log(3_600_000, 10).await;
        let writer = start(&log);
        let results = record_all(&log, 0..20).await;
        assert!(results.iter().all(Result::is_ok));
        writer.abort();
    }

    #[tokio::test]
    async fn a_writer_started_anew_finds_what_waits() {
        let (log, _folder) = log(1, 100).await;
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
    async fn what_waits_is_written_before_it_ends() {
        let (log, _folder) = log(1, 10).await;
        let stop = CancellationToken::new();
        stop.cancel();
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let log = Arc::clone(&log);
                tokio::spawn(async move { log.record(entry(n)).await })
            })
            .collect();
        while log.queued() < 50 {
            tokio::task::yield_now().await;
        }
        log.run(stop).await.expect("it ends well");
        for entry in waiting {
            entry.await.expect("it ran").expect("it is recorded");
        }
        assert_eq!(recorded(&log).await, 50);
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_written_is_answered_with_the_error() {
        let (log, _folder) = log(1, 100).await;
        let writer = start(&log);
        log.store.close().await;
        let results = record_all(&log, 0..20).await;
        assert!(results.iter().all(|result| matches!(result, Err(StoreError::NotRecorded(_)))));
        assert!(!writer.is_finished(), "it goes on");
        writer.abort();
    }

    #[tokio::test]
    async fn successes_are_left_out_when_they_are_not_wanted() {
        let (log, _folder) = log(1, 100).await;
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
        let (log, _folder) = log(1, 100).await;
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
