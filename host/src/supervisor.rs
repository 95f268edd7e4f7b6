//! Keeps the long-running parts alive.
//!
//! Each part (ingress, change listener, retry scheduler, disabler, module watcher, …) is a loop that ends only when the
//! host stops. When one fails or panics, it alone is started anew, after a pause that grows; the hook table and
//! everything stored live outside the parts. A part that fails more than `supervisor.restarts_max` times within
//! `supervisor.restarts_window_s` ends the process with the reason, for the service manager to start it anew.

use std::{
    collections::{HashMap, VecDeque},
    error::Error,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::counter;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{error_chain::chain, ingress::doubling_pause, settings::SupervisorSettings};

/// What is known of a part.
#[derive(Default)]
struct Part {
    fault: Notify,
    restarts: AtomicU64,
    ended: AtomicBool,
}

/// Watches over the parts.
#[derive(Clone)]
pub struct Supervisor {
    settings: SupervisorSettings,
    stopping: CancellationToken,
    parts: TaskTracker,
    started: Arc<Mutex<HashMap<&'static str, Arc<Part>>>>,
    fatal: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// A supervisor whose parts end when `stopping` is cancelled.
    pub fn new(settings: SupervisorSettings, stopping: CancellationToken) -> Self {
        Self { settings, stopping, parts: TaskTracker::new(), started: Arc::default(), fatal: watch::Sender::default() }
    }

    /// Starts a part. `part` is called for each start; its future is dropped where it stands when the host stops.
    pub fn start<F, Fut, E>(&self, name: &'static str, part: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + Send + 'static,
    {
        let stopping = self.stopping.clone();
        self.start_to_its_end(name, move || {
            let (run, stopping) = (part(), stopping.clone());
            async move {
                tokio::select! {
                    ended = run => ended,
                    () = stopping.cancelled() => Ok(()),
                }
            }
        });
    }

    /// Starts a part that sees by itself that the host stops, and has to be let end.
    pub fn start_to_its_end<F, Fut, E>(&self, name: &'static str, part: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + Send + 'static,
    {
        let known = Arc::new(Part::default());
        counter!("hookbox_part_restarts_total", "part" => name).increment(0);
        self.started.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&known));
        let this = self.clone();
        self.parts.spawn(async move {
            this.keep_alive(name, part, &known).await;
            known.ended.store(true, Ordering::Relaxed);
        });
    }

    /// Makes a part panic where it stands. For tests that show that it comes back. `false` when there is no such part.
    pub fn inject_fault(&self, name: &str) -> bool {
        self.part(name).inspect(|part| part.fault.notify_one()).is_some()
    }

    /// How often a part was started anew.
    pub fn restarts(&self, name: &str) -> u64 {
        self.part(name).map_or(0, |part| part.restarts.load(Ordering::Relaxed))
    }

    /// The names of the parts that were started.
    pub fn part_names(&self) -> Vec<&'static str> {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = started.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The names of the parts that have not ended.
    pub fn at_work(&self) -> Vec<&'static str> {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let at_work = started.iter().filter(|(_, part)| !part.ended.load(Ordering::Relaxed));
        let mut names: Vec<_> = at_work.map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    fn part(&self, name: &str) -> Option<Arc<Part>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Waits for a part that cannot be kept alive; gives the reason.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.fatal.subscribe();
        loop {
            if let Some(reason) = fatal.borrow_and_update().clone() {
                return reason;
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for all parts to end, after `stopping` was cancelled.
    pub async fn ended(&self) {
        self.parts.close();
        self.parts.wait().await;
    }

    async fn keep_alive<F, Fut, E>(&self, name: &'static str, part: F, known: &Arc<Part>)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + Send + 'static,
    {
        let window = Duration::from_secs(self.settings.restarts_window_s);
        let mut restarts = Restarts::new(usize::try_from(self.settings.restarts_max).unwrap_or(usize::MAX), window);
        loop {
            let (run, watched) = (part(), Arc::clone(known));
            let ended = tokio::spawn(async move {
                tokio::select! {
                    ended = run => ended.map_err(|error| chain(&error)),
                    () = watched.fault.notified() => injected_panic(),
                }
            })
            .await;
            if self.stopping.is_cancelled() {
                return;
            }
            let reason = match ended {
                Ok(Ok(())) => "it ended, though nobody asked it to".to_owned(),
                Ok(Err(error)) => error,
                Err(panic) => format!("it panicked: {}", panic_text(panic)),
            };
            known.restarts.fetch_add(1, Ordering::Relaxed);
            counter!("hookbox_part_restarts_total", "part" => name).increment(1);
            match restarts.next(Instant::now()) {
                Some(nth) => {
                    let pause = doubling_pause(nth, self.settings.pause_ms, self.settings.pause_ms_max);
                    tracing::error!(part = name, %reason, ?pause, "a part failed and is started anew");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stopping.cancelled() => return,
                    }
                }
                None => {
                    let reason = format!(
                        "{name} failed more than {} times within {} s (supervisor.restarts_max), last: {reason}",
                        self.settings.restarts_max, self.settings.restarts_window_s
                    );
                    self.fatal.send_replace(Some(reason));
                    return;
                }
            }
        }
    }
}

#[expect(clippy::panic, reason = "this is the fault that tests put in")]
fn injected_panic() -> Result<(), String> {
    panic!("a fault put in by a test")
}

fn panic_text(panic: tokio::task::JoinError) -> String {
    match panic.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a text".to_owned()),
        Err(cancelled) => cancelled.to_string(),
    }
}

/// When a part was restarted, as far back as matters.
struct Restarts {
    at: VecDeque<Instant>,
    most: usize,
    window: Duration,
}

impl Restarts {
    fn new(most: usize, window: Duration) -> Self {
        Self { at: VecDeque::new(), most, window }
    }

    /// Counts a restart: how many there were before it within the window, or `None` when this is one too many.
    fn next(&mut self, now: Instant) -> Option<u64> {
        while self.at.front().is_some_and(|at| now.duration_since(*at) >= self.window) {
            self.at.pop_front();
        }
        let before = self.at.len();
        self.at.push_back(now);
        (before < self.most).then_some(before as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_restart_within_the_window_is_one_too_many() {
        let (mut restarts, now) = (Restarts::new(5, Duration::from_secs(10)), Instant::now());
        let given: Vec<_> = (0..6).map(|n| restarts.next(now + Duration::from_secs(n))).collect();
        assert_eq!(given, [Some(0), Some(1), Some(2), Some(3), Some(4), None]);
    }

    #[test]
    fn restarts_outside_the_window_are_forgotten() {
        let (mut restarts, now) = (Restarts::new(1, Duration::from_secs(10)), Instant::now());
        assert_eq!(restarts.next(now), Some(0));
        assert_eq!(restarts.next(now + Duration::from_secs(10)), Some(0));
        assert_eq!(restarts.next(now + Duration::from_secs(11)), None);
    }
}
