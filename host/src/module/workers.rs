//! The threads that run modules, and the lines in front of them.
//!
//! Guests never run on tokio's threads: one that does not yield would stop its timers. A call stands in its module's line
//! ([`lines`]) until a worker takes it. The workers are shared out by account and module, by the CPU time that calls used,
//! and no account keeps more than its share of them busy. So a module that takes its 50 ms for every call delays its own
//! messages only; and those not for long: a call that would stand in line for too long gets no place, and one that does
//! all the same is taken out. Whoever asked sees its channel closed without an answer, and stores the call.

pub mod lines;
pub mod pace;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wasmtime::Engine;

use self::lines::{Asked, LineBounds, Lines, NoPlace};
use super::{engine::Engines, sandbox::thread_cpu_time};
use crate::settings::ModuleSettings;

/// One call, ready to run; it answers through a channel of its own, which closes when it is taken out of the line.
pub type Job = Box<dyn FnOnce() + Send>;

/// The workers. They end when this is dropped, after the calls that wait.
pub struct Workers {
    queue: Arc<Queue>,
    threads: usize,
}

struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    closing: Condvar,
}

struct State {
    lines: Lines<Job>,
    closed: bool,
    idle: usize,
}

/// How many workers do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkersNow {
    /// Threads with a call.
    pub busy: usize,
    /// Threads without.
    pub idle: usize,
    /// Calls in line.
    pub calls_waiting: usize,
}

impl Workers {
    /// Starts the threads.
    pub fn start(engines: &Engines, settings: &ModuleSettings) -> std::io::Result<Self> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match size(settings.workers) {
            0 => cores,
            n => n,
        };
        let bounds = LineBounds {
            waiting_max: size(settings.queue_max),
            share: (workers * size(settings.share_percent) / 100).max(1),
            account_at_once_max: size(settings.instances_per_account_max),
            long: Duration::from_millis(settings.long_call_ms),
        };
        let state = State { lines: Lines::new(bounds), closed: false, idle: 0 };
        let queue = Arc::new(Queue { state: Mutex::new(state), ready: Condvar::new(), closing: Condvar::new() });
        for n in 0..workers {
            let (queue, engines) = (Arc::clone(&queue), engines.clone());
            std::thread::Builder::new().name(format!("module-{n}")).spawn(move || work(&queue, &engines))?;
        }
        let every = Duration::from_millis((settings.wait_ms_max / 4).max(1));
        let watched = Arc::clone(&queue);
        std::thread::Builder::new().name("module-lines".into()).spawn(move || watch_lines(&watched, every))?;
        Ok(Self { queue, threads: workers })
    }

    /// Puts a call into its module's line.
    pub fn submit(&self, asked: &Asked<'_>, job: Job) -> Result<(), NoPlace> {
        let now = Instant::now();
        let mut state = self.queue.state();
        let may_run = state.lines.put(asked, job, now)?;
        // A worker that could not take it would wake for nothing, which costs more than the call.
        let is_worker_idle = state.idle > 0;
        drop(state);
        if may_run && is_worker_idle {
            self.queue.ready.notify_one();
        }
        Ok(())
    }

    /// How many such calls would find a place that is not further back than `wait`.
    pub fn room(&self, asked: &Asked<'_>, wait: Duration) -> usize {
        self.queue.state().lines.room(asked, wait)
    }

    /// What they do at this moment.
    pub fn now(&self) -> WorkersNow {
        let state = self.queue.state();
        let idle = state.idle.min(self.threads);
        WorkersNow { busy: self.threads - idle, idle, calls_waiting: state.lines.waiting() }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.state().closed = true;
        self.queue.ready.notify_all();
        self.queue.closing.notify_all();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(queue: &Queue, engines: &Engines) {
    Engine::tls_eager_initialize();
    // CPU time is read once a call, at its end; what this thread did between two calls is next to nothing, unless it slept.
    let (mut cpu_before, mut has_slept) = (Duration::ZERO, true);
    let mut state = queue.state();
    loop {
        match state.lines.take() {
            Some((job, turn)) => {
                let leaves_more = state.idle > 0 && state.lines.has_runnable();
                drop(state);
                if leaves_more {
                    queue.ready.notify_one();
                }
                if std::mem::take(&mut has_slept) {
                    cpu_before = thread_cpu_time();
                }
                let running = engines.running();
                // A panic in a host function must not take the worker with it.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a call of a module panicked in the host; this is a fault of Hookbox");
                }
                drop(running);
                let cpu = thread_cpu_time();
                let took = cpu.saturating_sub(std::mem::replace(&mut cpu_before, cpu));
                state = queue.state();
                state.lines.finish(&turn, took);
            }
            None if state.closed => return,
            None => {
                has_slept = true;
                state.idle += 1;
                state = queue.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

/// Takes out of the lines, now and then, the calls that stand in them for too long. A thread, because the workers may all be
/// busy then.
fn watch_lines(queue: &Queue, every: Duration) {
    let mut state = queue.state();
    while !state.closed {
        let late = state.lines.take_out_late(Instant::now());
        if !late.is_empty() {
            // Whoever is told may do so without the lock.
            drop(state);
            drop(late);
            state = queue.state();
            continue;
        }
        state = queue.closing.wait_timeout(state, every).unwrap_or_else(PoisonError::into_inner).0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;
    use crate::{message::ModuleId, settings::Settings};

    fn workers(workers: u64, wait_ms_max: u64) -> Workers {
        let settings = ModuleSettings { workers, share_percent: 100, wait_ms_max, ..Settings::default().modules };
        Workers::start(&Engines::new(&settings).unwrap(), &settings).unwrap()
    }

    fn asked(module: &ModuleId, at_once_max: usize, wait_ms: u64) -> Asked<'_> {
        let patience = Some(Duration::from_millis(wait_ms));
        Asked {
            module,
            account: None,
            mean: Duration::ZERO,
            patience,
            leaves: true,
            at_once_max,
            account_at_once_max: 100,
        }
    }

    #[test]
    fn a_module_has_no_more_instances_at_once_than_its_limit() {
        let (workers, module) = (workers(4, 60_000), ModuleId::from("crm"));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (ended, ends) = mpsc::channel();
        for _ in 0..200 {
            let (running, most, ended) = (Arc::clone(&running), Arc::clone(&most), ended.clone());
            let job = move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..100 {
                    std::thread::yield_now();
                }
                running.fetch_sub(1, Ordering::SeqCst);
                ended.send(()).unwrap();
            };
            workers.submit(&asked(&module, 2, 60_000), Box::new(job)).expect("a place");
        }
        for _ in 0..200 {
            ends.recv().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn they_tell_what_they_do() {
        let (workers, module) = (workers(1, 60_000), ModuleId::from("slow"));
        let (go_on, goes_on) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let slow = move || {
            began.send(()).unwrap();
            goes_on.recv().unwrap();
        };
        workers.submit(&asked(&module, 1, 60_000), Box::new(slow)).expect("a place");
        begins.recv().unwrap();
        workers.submit(&asked(&module, 1, 60_000), Box::new(move || answer.send(()).unwrap())).expect("a place");
        assert_eq!(workers.now(), WorkersNow { busy: 1, idle: 0, calls_waiting: 1 });
        go_on.send(()).unwrap();
        answered.recv().unwrap();
        assert_eq!(workers.now().calls_waiting, 0);
    }

    #[test]
    fn whoever_stands_in_line_for_too_long_is_told_although_all_workers_are_busy() {
        let (workers, module) = (workers(1, 20), ModuleId::from("slow"));
        let (go_on, goes_on) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        let slow = move || {
            began.send(()).unwrap();
            goes_on.recv().unwrap();
        };
        workers.submit(&asked(&module, 1, 20), Box::new(slow)).expect("a place");
        begins.recv().unwrap();
        let (answer, answered) = mpsc::channel::<()>();
        workers.submit(&asked(&module, 1, 20), Box::new(move || answer.send(()).unwrap())).expect("a place");
        assert!(answered.recv().is_err(), "it was taken out unmade");
        go_on.send(()).unwrap();
    }
}
