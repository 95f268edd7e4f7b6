//! The state of one instance: what it may reach, what it has used, what it has said.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::{
    account_limits::Whose,
    guest_log::{GuestLog, LogPipe},
};
use crate::{
    account::AccountTree,
    message::{AccountId, UnixMs},
    settings::ModuleSettings,
};

/// What a module's calls are given, the same for every call of one module.
#[derive(Clone)]
pub struct Surroundings {
    /// The tree that the `accounts` import answers from.
    pub accounts: Arc<AccountTree>,
    /// The subtree that it answers for; `None`: all of it.
    pub within: Option<AccountId>,
    /// The pairs that the `settings` import answers with.
    pub settings: Arc<BTreeMap<String, String>>,
}

/// The state of one instance.
pub struct Guest {
    pub(super) surroundings: Surroundings,
    pub(super) log: GuestLog,
    pub(super) memory: MemoryLimit,
    pub(super) time: TimeLimit,
    pub(super) now_ms: UnixMs,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    /// A guest whose clocks stand at `now_ms` and whose random numbers follow from `seed`.
    pub fn new(surroundings: Surroundings, limits: &GuestLimits, now_ms: UnixMs, seed: u64) -> Self {
        let log = GuestLog::new(limits.log_bytes_max);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles_max);
        Self {
            surroundings,
            wasi: wasi(&log, limits, now_ms, seed),
            log,
            memory: MemoryLimit { bytes_max: limits.memory_bytes_max, ..MemoryLimit::default() },
            time: TimeLimit::default(),
            now_ms,
            table,
        }
    }

    /// Makes clocks, random numbers and log what they would be in a guest of its own. Memory stays counted.
    pub(super) fn renew(&mut self, limits: &GuestLimits, now_ms: UnixMs, seed: u64) {
        self.log.renew(limits.log_bytes_max);
        self.now_ms = now_ms;
        self.wasi = wasi(&self.log, limits, now_ms, seed);
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// WASI as a guest sees it: nothing but the log, clocks that stand at `now_ms`, and random numbers that follow from `seed`.
fn wasi(log: &GuestLog, limits: &GuestLimits, now_ms: UnixMs, seed: u64) -> WasiCtx {
    WasiCtx::builder()
        .stdout(LogPipe::stdout(log))
        .stderr(LogPipe::stderr(log))
        .wall_clock(StoppedClock(now_ms))
        .monotonic_clock(StoppedClock(now_ms))
        .secure_random(SmallRng::seed_from_u64(seed))
        .insecure_random(SmallRng::seed_from_u64(!seed))
        .insecure_random_seed(u128::from(seed))
        .max_random_size(limits.random_bytes_max)
        .build()
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The bounds of one call, and of calls at once and after each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestLimits {
    /// Summed over all memories and tables.
    pub memory_bytes_max: usize,
    /// About one unit an instruction.
    pub fuel_max: u64,
    /// How long it may run.
    pub time_limit_ms: u64,
    /// What it may log.
    pub log_bytes_max: usize,
    /// Calls of the module that may run at once.
    pub instances: usize,
    /// Calls that one instance may serve; 1: a fresh one for every call.
    pub reuse: u64,
    /// Bytes that a guest may hand to the host in one call of an import, and as its result.
    pub hostcall_bytes_max: usize,
    /// Handles (streams, pollables, …) that one instance may hold, the host's and the component's own counted apart.
    pub handles_max: usize,
    /// Random bytes that a guest may ask for at once.
    pub random_bytes_max: u64,
    /// Whose the bounds are that a call may break.
    pub whose: WhoseLimits,
}

/// Whose bounds of a call they are: for the words when one is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhoseLimits {
    /// `time_limit_ms`.
    pub time: Whose,
    /// `fuel_max`.
    pub fuel: Whose,
    /// `memory_bytes_max`.
    pub memory: Whose,
}

impl GuestLimits {
    /// Those of the operator's settings.
    pub fn new(settings: &ModuleSettings) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            memory_bytes_max: size(settings.memory_bytes_max),
            fuel_max: settings.fuel_max,
            time_limit_ms: settings.time_limit_ms,
            log_bytes_max: size(settings.log_bytes_max),
            instances: size(settings.instances_per_module_max),
            reuse: 1,
            hostcall_bytes_max: size(settings.hostcall_bytes_max),
            handles_max: size(settings.handles_max),
            random_bytes_max: settings.random_bytes_max,
            whose: WhoseLimits::default(),
        }
    }
}

/// Counts memory over all memories and tables of an instance: a limit a memory is none when a component may have four.
#[derive(Debug, Default)]
pub struct MemoryLimit {
    bytes_max: usize,
    /// Bytes in use.
    pub used: usize,
    /// What it was refused, when it was refused something.
    pub refused: Option<usize>,
}

impl MemoryLimit {
    fn grow(&mut self, by: usize) -> bool {
        match self.used.checked_add(by).filter(|sum| *sum <= self.bytes_max) {
            Some(sum) => self.used = sum,
            None => self.refused = Some(self.used.saturating_add(by)),
        }
        self.refused.is_none()
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

/// How far a call has got with its time.
///
/// Half-way through, the thread's CPU time is noted; at the end it is compared. A guest that was kept from running by a
/// busy machine, rather than running for ever, is given the same time again.
#[derive(Debug, Default)]
pub struct TimeLimit {
    cpu_at_half: Option<Duration>,
    extensions: u32,
}

impl TimeLimit {
    /// How often a guest that did not get the CPU is given more time. Bounds what a starved machine can do to a call.
    const EXTENSIONS_MAX: u32 = 20;

    /// Asked each time that half of the limit has passed; whether the guest may go on for another half.
    pub fn may_go_on(&mut self, cpu: Duration, half: Duration) -> bool {
        match self.cpu_at_half.replace(cpu) {
            None => true,
            Some(before) => {
                self.extensions += 1;
                let worked = cpu.saturating_sub(before);
                worked < half.mul_f32(0.8) && self.extensions <= Self::EXTENSIONS_MAX
            }
        }
    }
}

/// A clock that stands at the time of the message, so that a replay gives the same bytes, and so that no guest can
/// measure time.
#[derive(Clone, Copy)]
struct StoppedClock(UnixMs);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_memories_and_tables() {
        let mut limit = MemoryLimit { bytes_max: 1000, ..MemoryLimit::default() };
        assert!(limit.memory_growing(0, 600, None).is_ok_and(|allowed| allowed));
        assert!(limit.table_growing(0, 40, None).is_ok_and(|allowed| allowed));
        assert_eq!(limit.used, 920);
        assert!(limit.memory_growing(0, 81, None).is_ok_and(|allowed| !allowed));
        assert_eq!(limit.refused, Some(1001));
    }

    #[test]
    fn a_starved_guest_gets_more_time_and_a_busy_one_does_not() {
        let half = Duration::from_millis(25);
        let mut starved = TimeLimit::default();
        assert!(starved.may_go_on(Duration::from_millis(5), half));
        assert!(starved.may_go_on(Duration::from_millis(9), half), "it had 4 of 25 ms");
        let mut busy = TimeLimit::default();
        assert!(busy.may_go_on(Duration::from_millis(25), half));
        assert!(!busy.may_go_on(Duration::from_millis(49), half), "it had 24 of 25 ms");
    }

    #[test]
    fn extensions_end() {
        let mut limit = TimeLimit::default();
        let granted = (0..1000).take_while(|_| limit.may_go_on(Duration::ZERO, Duration::from_millis(25))).count();
        assert_eq!(granted, 21);
    }
}
