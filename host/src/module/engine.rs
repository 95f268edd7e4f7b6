//! The two engines, and the thread that makes their time pass.
//!
//! The settings are those that make a fresh instance cheap: pooled slots, copy-on-write images, and enough of each slot
//! kept resident that a small guest is reset by clearing memory, with no page fault and no system call. How much is
//! kept is a property of an engine, and clearing costs about 10 µs a MiB, so there are two: one for small guests, one
//! for those that carry an interpreter with them.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ring::digest;
use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, PoolingAllocatorMetrics,
};

use crate::settings::ModuleSettings;

/// Components above this size run in the engine for large guests: JavaScript and Python carry their interpreter, while
/// a Rust module with serde is a tenth of it.
const SMALL_COMPONENT_BYTES_MAX: usize = 1024 * 1024;

/// What a large guest's slot keeps resident, measured as best for QuickJS and CPython.
const LARGE_KEEP_RESIDENT_BYTES: usize = 2 * 1024 * 1024;

/// How many slots with memory over what is kept resident wait to be given back together. Small guests leave nothing to
/// give back; one that does ate memory, and fifteen of its like would hold half a gigabyte until the sixteenth comes.
const SMALL_DECOMMIT_BATCH: usize = 1;

/// As [`SMALL_DECOMMIT_BATCH`], for guests that leave something to give back on every call.
const LARGE_DECOMMIT_BATCH: usize = 16;

/// Every instance of every core module in a component takes one; a toolchain's adapters are several, and CPython, which is
/// linked of many parts, has 38.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// How often the epoch moves: the grain of a module's time limit.
pub const TICK: Duration = Duration::from_millis(1);

/// The two engines.
#[derive(Clone)]
pub struct Engines {
    small: Engine,
    large: Engine,
    activity: Arc<Activity>,
}

impl Engines {
    /// Makes both and starts the ticker thread, which ends with the last clone of the engines.
    pub fn new(settings: &ModuleSettings) -> wasmtime::Result<Self> {
        let keep = usize::try_from(settings.keep_resident_bytes).unwrap_or(usize::MAX);
        let small = Engine::new(&config(settings, keep, SMALL_DECOMMIT_BATCH))?;
        let large = Engine::new(&config(settings, keep.max(LARGE_KEEP_RESIDENT_BYTES), LARGE_DECOMMIT_BATCH))?;
        let activity = Arc::new(Activity::default());
        start_ticker(&small, &large, Arc::clone(&activity))?;
        Ok(Self { small, large, activity })
    }

    /// The engine for a component of this size.
    pub fn for_component(&self, component: &[u8]) -> &Engine {
        if component.len() <= SMALL_COMPONENT_BYTES_MAX { &self.small } else { &self.large }
    }

    /// How full the pools of their instances are.
    pub fn pools(&self) -> impl Iterator<Item = (&'static str, PoolingAllocatorMetrics)> {
        let engines = [("small", &self.small), ("large", &self.large)];
        engines.into_iter().filter_map(|(name, engine)| Some((name, engine.pooling_allocator_metrics()?)))
    }

    /// To be held while guests run: the ticker sleeps when nobody holds it.
    pub fn running(&self) -> Running<'_> {
        self.activity.begin();
        Running(&self.activity)
    }
}

/// What makes compiled code usable by an engine: the versions, the target and the settings that code is generated for.
pub fn compatibility(engine: &Engine) -> String {
    struct Sha(digest::Context);
    impl std::hash::Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(digest::Context::new(&digest::SHA256));
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut sha);
    hex::encode(&sha.0.finish().as_ref()[..16])
}

fn config(settings: &ModuleSettings, keep_resident_bytes: usize, decommit_batch: usize) -> Config {
    let instances = u32::try_from(settings.instances_max).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_memories(instances)
        // A count, no memory: each instance may be of a component with as many as there may be.
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(4))
        .max_component_instance_size(8 * 1024 * 1024)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .table_elements(30_000)
        .max_memory_size(usize::try_from(settings.memory_bytes_max).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(keep_resident_bytes)
        .table_keep_resident(64 * 1024)
        .max_unused_warm_slots(32)
        .decommit_batch_size(decommit_batch)
        // Pages that were swapped out may keep a former guest's bytes under PAGEMAP_SCAN; a small stack does as well.
        .pagemap_scan(Enabled::No);

    let mut config = code_config();
    config.max_wasm_stack(usize::try_from(settings.stack_bytes).unwrap_or(usize::MAX));
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What code is generated for. The same for the engines that run it and for the one that only compiles: code made under
/// other settings is refused.
fn code_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .memory_init_cow(true)
        .table_lazy_init(true)
        .native_unwind_info(false);
    config
}

/// An engine that only compiles, for the other two. It allocates nothing beforehand: their pools reserve terabytes of
/// address space, which the compile helper's limit would not let it have.
pub fn compiling_engine() -> wasmtime::Result<Engine> {
    Engine::new(code_config().allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

/// The features of WebAssembly that [`code_config`] and the way wasmtime is built leave on, as the check at upload is to
/// judge by.
pub fn features() -> WasmFeatures {
    let mut features = WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL;
    for off in [
        WasmFeatures::GC,
        WasmFeatures::GC_TYPES,
        WasmFeatures::EXCEPTIONS,
        WasmFeatures::THREADS,
        WasmFeatures::MEMORY64,
    ] {
        features.remove(off);
    }
    features
}

/// How many workers are inside a guest.
#[derive(Default)]
struct Activity {
    running: AtomicUsize,
    parked: Mutex<bool>,
    wake: Condvar,
}

impl Activity {
    fn begin(&self) {
        if self.running.fetch_add(1, Ordering::SeqCst) == 0 {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            if *parked {
                *parked = false;
                self.wake.notify_one();
            }
        }
    }
}

/// While this lives, epochs pass.
pub struct Running<'a>(&'a Activity);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One OS thread, not a timer of tokio: a guest that hogs a runtime's workers could stop its timers.
fn start_ticker(small: &Engine, large: &Engine, activity: Arc<Activity>) -> wasmtime::Result<()> {
    let (small, large) = (small.weak(), large.weak());
    let ticker = move || {
        loop {
            // A thread of its own is what may sleep.
            #[expect(clippy::disallowed_methods, reason = "the ticker is a thread that does nothing but sleep")]
            std::thread::sleep(TICK);
            let (Some(small), Some(large)) = (small.upgrade(), large.upgrade()) else { return };
            small.increment_epoch();
            large.increment_epoch();
            drop((small, large));
            let mut parked = activity.parked.lock().unwrap_or_else(PoisonError::into_inner);
            if activity.running.load(Ordering::SeqCst) == 0 {
                *parked = true;
                // Wakes once in a while by itself, to see whether the engines are gone.
                let _unused = activity.wake.wait_timeout(parked, Duration::from_secs(1));
            }
        }
    };
    std::thread::Builder::new().name("module-ticker".into()).spawn(ticker)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_engines_that_run_code_take_what_the_compiling_engine_makes() {
        let settings = Settings::from_parts(None, std::iter::empty()).unwrap();
        let engines = Engines::new(&settings.modules).unwrap();
        let compiling = compatibility(&compiling_engine().unwrap());
        assert_eq!(compatibility(&engines.small), compiling);
        assert_eq!(compatibility(&engines.large), compiling);
    }
}
