//! Instances that serve more than one call, where the owner of a module wants that: worth it for guests that carry an
//! interpreter with them.
//!
//! An instance serves the messages of one account, in the surroundings and under the limits that it was made for, and one
//! version of a module. Between two calls it waits with the [`IdleInstances`], which are bounded in number and age over all
//! modules: where there is no room, the one that has waited longest is thrown away. It is thrown away, too, after a call
//! that failed or met a limit, after as many calls as it may serve, and with its version.
//!
//! Not guaranteed: that a call finds an instance that was used before. What a guest keeps in its memory is a cache for it,
//! never a place to store things.

use std::{
    any::Any,
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use wasmtime::Store;

use super::{
    guest::{Guest, GuestLimits, Surroundings},
    sandbox::{Called, Instance, Prepared},
    world::World,
};
use crate::{
    message::{AccountId, UnixMs},
    settings::ModuleSettings,
};

/// The instances that wait to be used again.
pub struct IdleInstances {
    most: usize,
    age_max: Duration,
    /// Those that have waited longest first.
    idle: Mutex<VecDeque<Idle>>,
    versions: AtomicU64,
}

struct Idle {
    version: u64,
    account: AccountId,
    since: Instant,
    /// An [`Instance`] of the world that the version is of.
    instance: Box<dyn Any + Send>,
}

/// The reuse of one version of a module or a transform. Its idle instances go with it.
pub struct Reuse {
    pool: Arc<IdleInstances>,
    version: u64,
}

/// What a call is made in and with.
pub struct Circumstances<'a> {
    /// Whose message it is; without one, the instance is fresh.
    pub account: Option<&'a AccountId>,
    /// What the guest may reach.
    pub surroundings: Surroundings,
    /// The bounds, reuse among them.
    pub limits: &'a GuestLimits,
    /// Where its clocks stand.
    pub now_ms: UnixMs,
    /// What its random numbers follow from.
    pub seed: u64,
}

impl IdleInstances {
    /// None yet; by `modules.idle_instances_max` and `modules.idle_instance_ms`.
    pub fn new(settings: &ModuleSettings) -> Self {
        // Each takes a place in an engine, which has to have some for those who come fresh.
        let most = settings.idle_instances_max.min(settings.instances_max / 2);
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            age_max: Duration::from_millis(settings.idle_instance_ms),
            idle: Mutex::default(),
            versions: AtomicU64::new(0),
        }
    }

    /// For a version that was loaded just now.
    pub fn for_version(self: &Arc<Self>) -> Reuse {
        Reuse { pool: Arc::clone(self), version: self.versions.fetch_add(1, Ordering::Relaxed) }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.idle().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Throws away, for ever, those that have waited for too long.
    pub async fn run(&self) -> Result<(), Infallible> {
        let mut ticks = interval((self.age_max / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.throw_away(|idle| idle.since.elapsed() >= self.age_max);
        }
    }

    fn take<W: World>(
        &self,
        version: u64,
        account: &AccountId,
        fits: impl Fn(&Instance<W>) -> bool,
    ) -> Option<Box<Instance<W>>> {
        let mut all = self.idle();
        // The one that was used last is warm.
        let at = all.iter().rposition(|idle| {
            idle.version == version && idle.account == *account && idle.instance.downcast_ref().is_some_and(&fits)
        })?;
        let found = all.remove(at)?;
        drop(all);
        found.instance.downcast().ok()
    }

    fn put<W: World>(&self, version: u64, account: AccountId, instance: Box<Instance<W>>) {
        let idle = Idle { version, account, since: Instant::now(), instance };
        let mut all = self.idle();
        all.push_back(idle);
        let over = if all.len() > self.most { all.pop_front() } else { None };
        drop(all);
        // Gives its memory back, which takes its time.
        drop(over);
    }

    fn throw_away(&self, is_over: impl Fn(&Idle) -> bool) {
        let mut all = self.idle();
        let (over, left): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut *all).into_iter().partition(is_over);
        *all = left;
        drop(all);
        drop(over);
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reuse {
    /// For another version, or for the same under other limits or settings.
    pub fn anew(&self) -> Self {
        self.pool.for_version()
    }

    /// Makes one call, in an instance that waits or in a fresh one. Gives the instance when it may be used again:
    /// [`Self::keep`] it, unless what the call gave turns out to be a fault.
    pub fn call<W: World, T>(
        &self,
        prepared: &Prepared<W>,
        circumstances: Circumstances<'_>,
        call: impl FnOnce(&W, &mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> (Called<T>, Option<Box<Instance<W>>>) {
        let Circumstances { account, surroundings, limits, now_ms, seed } = circumstances;
        let Some(account) = account.filter(|_| limits.reuse > 1) else {
            return (prepared.call(surroundings, limits, now_ms, seed, call), None);
        };
        let waiting = self.pool.take(self.version, account, |instance| instance.is_under(&surroundings, limits));
        let renewed = waiting.and_then(|mut instance| instance.renew(now_ms, seed).ok().map(|()| instance));
        let mut instance = match renewed {
            Some(instance) => instance,
            None => match prepared.instantiate(surroundings, limits, now_ms, seed) {
                Ok(instance) => Box::new(instance),
                Err(failed) => return (failed.into(), None),
            },
        };
        let called = instance.call(call);
        let may_serve_again = called.result.is_ok() && called.log.dropped_bytes == 0 && instance.may_serve_again();
        (called, may_serve_again.then_some(instance))
    }

    /// Keeps an instance for the next call.
    pub fn keep<W: World>(&self, account: &AccountId, instance: Box<Instance<W>>) {
        self.pool.put(self.version, account.clone(), instance);
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        self.pool.throw_away(|idle| idle.version == self.version);
    }
}
