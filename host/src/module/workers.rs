//! The threads that run modules, and the queue in front of them.
//!
//! Guests never run on tokio's threads: one that does not yield would stop its timers. Calls wait in a queue a module,
//! bounded; a worker takes the next call from the module that has used the least time so far, and one module keeps at
//! most its share of the workers busy. So a module that takes its 50 ms for every call delays its own messages only.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use wasmtime::Engine;

use super::engine::Engines;
use crate::{message::ModuleId, settings::ModuleSettings};

/// One call, ready to run; it answers through a channel of its own.
pub type Job = Box<dyn FnOnce() + Send>;

/// The workers. They end when this is dropped, after the calls under way.
pub struct Workers {
    queue: Arc<Queue>,
    queue_max: usize,
}

struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// Workers that one module may keep busy.
    share: usize,
}

#[derive(Default)]
struct State {
    lines: HashMap<ModuleId, Line>,
    closed: bool,
    idle: usize,
}

/// The calls of one module that wait.
#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    running: usize,
    used: Duration,
}

/// The module has as many calls waiting as it may.
#[derive(Debug)]
pub struct LineFull;

impl Workers {
    /// Starts the threads.
    pub fn start(engines: &Engines, settings: &ModuleSettings) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match usize::try_from(settings.workers).unwrap_or(usize::MAX) {
            0 => cores,
            n => n,
        };
        let share = (workers * usize::try_from(settings.share_percent).unwrap_or(100) / 100).max(1);
        let queue = Arc::new(Queue { state: Mutex::default(), ready: Condvar::new(), share });
        for n in 0..workers {
            let (queue, engines) = (Arc::clone(&queue), engines.clone());
            std::thread::Builder::new().name(format!("module-{n}")).spawn(move || work(&queue, &engines))?;
        }
        Ok(Self { queue, queue_max: usize::try_from(settings.queue_max).unwrap_or(usize::MAX) })
    }

    /// Puts a call into its module's line.
    pub fn submit(&self, module: &ModuleId, job: Job) -> Result<(), LineFull> {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.lines.contains_key(module) {
            // One that was idle does not get back the time that it did not use.
            let used = state.lines.values().filter(|line| line.is_busy()).map(|line| line.used).min();
            state.lines.insert(module.clone(), Line { used: used.unwrap_or_default(), ..Line::default() });
        }
        let Some(line) = state.lines.get_mut(module) else { return Err(LineFull) };
        if line.jobs.len() >= self.queue_max {
            return Err(LineFull);
        }
        line.jobs.push_back(job);
        // A worker that could not take it would wake for nothing, which costs more than the call.
        let may_run = line.running < self.queue.share;
        let is_worker_idle = state.idle > 0;
        drop(state);
        if may_run && is_worker_idle {
            self.queue.ready.notify_one();
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.queue.ready.notify_all();
    }
}

impl Line {
    fn is_busy(&self) -> bool {
        self.running > 0 || !self.jobs.is_empty()
    }
}

impl State {
    /// The next call: of the modules that may run one, that which has used the least.
    fn take(&mut self, share: usize) -> Option<(ModuleId, Job)> {
        let (module, line) = self
            .lines
            .iter_mut()
            .filter(|(_, line)| line.running < share && !line.jobs.is_empty())
            .min_by_key(|(_, line)| line.used)?;
        let job = line.jobs.pop_front()?;
        line.running += 1;
        Some((module.clone(), job))
    }

    /// Whether another worker would find something.
    fn has_runnable(&self, share: usize) -> bool {
        self.lines.values().any(|line| line.running < share && !line.jobs.is_empty())
    }

    fn finish(&mut self, module: &ModuleId, took: Duration) {
        if let Some(line) = self.lines.get_mut(module) {
            line.running -= 1;
            line.used += took;
            if !line.is_busy() {
                self.lines.remove(module);
            }
        }
    }
}

fn work(queue: &Queue, engines: &Engines) {
    Engine::tls_eager_initialize();
    let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match state.take(queue.share) {
            Some((module, job)) => {
                let leaves_more = state.idle > 0 && state.has_runnable(queue.share);
                drop(state);
                if leaves_more {
                    queue.ready.notify_one();
                }
                let began = Instant::now();
                let running = engines.running();
                // A panic in a host function must not take the worker with it; the caller sees its channel closed.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    tracing::error!(%module, "a call of the module panicked in the host; this is a fault of Hookbox");
                }
                drop(running);
                state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.finish(&module, began.elapsed());
            }
            None if state.closed => return,
            None => {
                state.idle += 1;
                state = queue.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lines: &[(&str, usize, u64)]) -> State {
        let mut state = State::default();
        for (module, jobs, used_ms) in lines {
            let jobs = (0..*jobs).map(|_| Box::new(|| ()) as Job).collect();
            let line = Line { jobs, running: 0, used: Duration::from_millis(*used_ms) };
            state.lines.insert(ModuleId::from(*module), line);
        }
        state
    }

    fn next(state: &mut State, share: usize) -> Option<String> {
        state.take(share).map(|(module, _)| module.to_string())
    }

    #[test]
    fn the_module_that_used_least_goes_first() {
        let mut state = state(&[("greedy", 9, 50), ("modest", 9, 1)]);
        assert_eq!(next(&mut state, 8).as_deref(), Some("modest"));
        state.finish(&"modest".into(), Duration::from_millis(100));
        assert_eq!(next(&mut state, 8).as_deref(), Some("greedy"));
    }

    #[test]
    fn no_module_takes_more_than_its_share() {
        let mut state = state(&[("greedy", 9, 0), ("modest", 1, 50)]);
        assert_eq!(next(&mut state, 1).as_deref(), Some("greedy"));
        assert_eq!(next(&mut state, 1).as_deref(), Some("modest"));
        assert_eq!(next(&mut state, 1), None);
    }

    #[test]
    fn a_line_that_is_done_is_forgotten() {
        let mut state = state(&[("one", 1, 0)]);
        assert!(next(&mut state, 1).is_some());
        state.finish(&"one".into(), Duration::ZERO);
        assert!(state.lines.is_empty());
    }
}
