//! One call into a component: a fresh store, limits on everything, and what it cost.
//!
//! Runs on the worker threads of [`super::workers`] only; a call blocks its thread until it ends or its time does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{
    Engine, Store, Trap, UpdateDeadline,
    component::{Component, InstancePre, Linker},
};

use super::{
    ModuleError,
    bindings::WebhookModule,
    engine::TICK,
    guest::{Guest, GuestLimits, Surroundings, TimeLimit},
    guest_log::LogLines,
    imports,
    world::World,
};
use crate::message::UnixMs;

/// A component that is compiled, checked against its world, and ready to be instantiated any number of times.
pub struct Prepared<W: World = WebhookModule> {
    engine: Engine,
    pre: W::Pre,
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// About one unit an instruction.
    pub fuel: u64,
    /// Memory at its largest, summed.
    pub memory_bytes: usize,
    /// How long it took, making the instance included, µs.
    pub time_us: u64,
}

/// What a call gave: its result, what it said, what it cost.
#[derive(Debug)]
pub struct Called<T> {
    /// What the component answered, or how it failed.
    pub result: Result<T, ModuleError>,
    /// What it logged.
    pub log: LogLines,
    /// What it used.
    pub cost: Cost,
}

impl<T> Called<Option<T>> {
    /// With what the component gave held to a rule; what the rule refuses, in words, is an output that cannot be used.
    pub fn checked<U>(self, check: impl FnOnce(T) -> Result<U, String>) -> Called<Option<U>> {
        let Self { result, log, cost } = self;
        let check = |given| check(given).map_err(|reason| ModuleError::Output { reason });
        Called { result: result.and_then(|given| given.map(check).transpose()), log, cost }
    }
}

impl<W: World> Clone for Prepared<W> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), pre: self.pre.clone() }
    }
}

impl<W: World> Prepared<W> {
    /// Checks a compiled component against the world: what it imports must be offered, what the world exports must be
    /// there.
    pub fn new(engine: &Engine, component: &Component) -> Result<Self, ModuleError> {
        let pre = W::look_up(linked(engine, component)?)
            .map_err(|error| ModuleError::World { reason: format!("{}: {}", W::NAME, first_line(&error)) })?;
        Ok(Self { engine: engine.clone(), pre })
    }

    /// Instantiates the component, for this one call.
    pub fn call<T>(
        &self,
        surroundings: Surroundings,
        limits: &GuestLimits,
        now_ms: UnixMs,
        seed: u64,
        call: impl FnOnce(&W, &mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> Called<T> {
        match self.instantiate(surroundings, limits, now_ms, seed) {
            Ok(mut instance) => instance.call(call),
            Err(failed) => failed.into(),
        }
    }

    /// An instance of its own, with all limits on it.
    pub fn instantiate(
        &self,
        surroundings: Surroundings,
        limits: &GuestLimits,
        now_ms: UnixMs,
        seed: u64,
    ) -> Result<Instance<W>, Failed> {
        let began = Instant::now();
        let mut store = store(&self.engine, surroundings, limits, now_ms, seed);
        match arm(&mut store, limits).and_then(|()| W::instantiate(&self.pre, &mut store)) {
            Ok(exports) => Ok(Instance { store, exports, limits: limits.clone(), began, served: 0 }),
            Err(error) => Err(Failed {
                error: classify(&error, store.data(), limits),
                log: store.data().log.take(),
                cost: cost(&store, limits, began),
            }),
        }
    }
}

/// A compiled component whose imports are all offered.
fn linked(engine: &Engine, component: &Component) -> Result<InstancePre<Guest>, ModuleError> {
    let mut linker = Linker::new(engine);
    imports::link(&mut linker).map_err(|error| ModuleError::Host { reason: format!("linking failed: {error:#}") })?;
    linker.instantiate_pre(component).map_err(|error| ModuleError::Import { reason: first_line(&error) })
}

/// Instantiates a component of any world once, under these limits, and throws the instance away.
pub fn try_out(
    engine: &Engine,
    component: &Component,
    surroundings: Surroundings,
    limits: &GuestLimits,
    now_ms: UnixMs,
) -> Result<Cost, ModuleError> {
    let pre = linked(engine, component)?;
    let began = Instant::now();
    let mut store = store(engine, surroundings, limits, now_ms, 0);
    match arm(&mut store, limits).and_then(|()| pre.instantiate(&mut store)) {
        Ok(_) => Ok(cost(&store, limits, began)),
        Err(error) => Err(classify(&error, store.data(), limits)),
    }
}

/// A store with all limits on it but fuel and time.
fn store(engine: &Engine, surroundings: Surroundings, limits: &GuestLimits, now_ms: UnixMs, seed: u64) -> Store<Guest> {
    let mut store = Store::new(engine, Guest::new(surroundings, limits, now_ms, seed));
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(limits.hostcall_bytes_max);
    store.set_max_component_handles(limits.handles_max);
    store
}

/// An instantiated component. Thrown away after one call, unless its owner chose to have it used again.
pub struct Instance<W: World = WebhookModule> {
    store: Store<Guest>,
    exports: W,
    limits: GuestLimits,
    /// When the call under way began.
    began: Instant,
    /// Calls that it has served.
    served: u64,
}

/// An instance that could not be made.
#[derive(Debug)]
pub struct Failed {
    pub(super) error: ModuleError,
    log: LogLines,
    cost: Cost,
}

impl<T> From<Failed> for Called<T> {
    fn from(failed: Failed) -> Self {
        Self { result: Err(failed.error), log: failed.log, cost: failed.cost }
    }
}

impl<W: World> Instance<W> {
    /// Makes one call. After one that failed the instance must not be called again.
    pub fn call<T>(&mut self, call: impl FnOnce(&W, &mut Store<Guest>) -> wasmtime::Result<T>) -> Called<T> {
        self.served += 1;
        let result = call(&self.exports, &mut self.store);
        let result = result.map_err(|error| classify(&error, self.store.data(), &self.limits));
        Called { result, log: self.store.data().log.take(), cost: cost(&self.store, &self.limits, self.began) }
    }

    /// Fills up fuel and time for one more call.
    pub fn rearm(&mut self) -> wasmtime::Result<()> {
        self.began = Instant::now();
        arm(&mut self.store, &self.limits)
    }

    /// Makes it ready to be called as one of its own would be: fuel, time, log, clocks and random numbers anew. What its
    /// memory holds stays, and stays counted.
    pub fn renew(&mut self, now_ms: UnixMs, seed: u64) -> wasmtime::Result<()> {
        self.store.data_mut().renew(&self.limits, now_ms, seed);
        self.rearm()
    }

    /// Whether one that is made for such a call would be given the same.
    pub fn is_under(&self, surroundings: &Surroundings, limits: &GuestLimits) -> bool {
        let own = &self.store.data().surroundings;
        own.within == surroundings.within
            && (Arc::ptr_eq(&own.settings, &surroundings.settings) || own.settings == surroundings.settings)
            && self.limits == *limits
    }

    /// Whether it may serve another call, after one that ended well: it has served fewer than it may, and was refused no
    /// memory.
    pub fn may_serve_again(&self) -> bool {
        self.served < self.limits.reuse && self.store.data().memory.refused.is_none()
    }
}

fn cost(store: &Store<Guest>, limits: &GuestLimits, began: Instant) -> Cost {
    let fuel = limits.fuel_max.saturating_sub(store.get_fuel().unwrap_or(0));
    let time_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Cost { fuel, memory_bytes: store.data().memory.used, time_us }
}

/// Gives a store the fuel and the time of one call.
fn arm(store: &mut Store<Guest>, limits: &GuestLimits) -> wasmtime::Result<()> {
    store.set_fuel(limits.fuel_max)?;
    store.data_mut().time = TimeLimit::default();
    // The deadline is asked twice: half-way, and at the end (see `TimeLimit`).
    let half_ticks = (limits.time_limit_ms / TICK.as_millis() as u64).div_ceil(2).max(1);
    store.set_epoch_deadline(half_ticks);
    store.epoch_deadline_callback(move |mut guest| {
        let half = TICK * u32::try_from(half_ticks).unwrap_or(u32::MAX);
        if guest.data_mut().time.may_go_on(thread_cpu_time(), half) {
            Ok(UpdateDeadline::Continue(half_ticks))
        } else {
            Ok(UpdateDeadline::Interrupt)
        }
    });
    Ok(())
}

/// The CPU time that this thread has used.
pub(super) fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Whose fault it was, and in which words.
fn classify(error: &wasmtime::Error, guest: &Guest, limits: &GuestLimits) -> ModuleError {
    if let Some(asked) = guest.memory.refused {
        let whose = limits.whose.memory.clone();
        return ModuleError::Memory { asked_bytes: asked, limit_bytes: limits.memory_bytes_max, whose };
    }
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return ModuleError::Host { reason: first_line(error) };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => ModuleError::Fuel { limit: limits.fuel_max, whose: limits.whose.fuel.clone() },
        Some(Trap::Interrupt) => ModuleError::Time { limit_ms: limits.time_limit_ms, whose: limits.whose.time.clone() },
        Some(trap) => ModuleError::Trap { reason: trap.to_string() },
        None => ModuleError::Trap { reason: first_line(error) },
    }
}

/// The root cause, in one line: the chain above it names only wasm frames.
fn first_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown").chars().take(400).collect()
}
