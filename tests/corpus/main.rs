//! The corpus of components that mean harm: each is refused at the step that must find it, or charged with what it did; and
//! the host that checked them has its memory back, went on with its work meanwhile, and left no process behind.
//!
//! A test program of its own, so that memory and processor time are its own too.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails; these sum up")]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hookbox::module::{ModuleError, Step, check::Checked};
use hookbox_tests::{
    bad_modules::{self as bad, BAD_OUTPUT, CLOCK, ECHO, FLOOD, HOG, HUGE_OUTPUT, MANY_EVENTS, RECURSION, SLEEPER},
    bad_modules::{BINDINGS_PANIC, METADATA_LOOP, SPIN, TRAP, UNKNOWN_IMPORT, WRONG_TYPES, WRONG_WORLD},
    bombs::{self, AtStart},
    eventually::eventually,
    samples::{self, ACCOUNT},
    test_host::{SIBLING, TestHost},
    upload_desk::{UploadDesk, taken_in},
};

/// Tight, so that what runs into a limit does so soon.
const LIMITS: [(&str, u64); 7] = [
    ("modules.component_bytes_max", 4 * MEBIBYTE),
    ("modules.compile_memory_bytes_max", 256 * MEBIBYTE),
    ("modules.compile_cpu_s", 2),
    ("modules.compile_wall_s", 30),
    ("modules.memory_bytes_max", 32 * MEBIBYTE),
    ("modules.check_time_ms_max", 2000),
    // So much that time ends first.
    ("modules.fuel_max", 100_000_000_000),
];
const MEBIBYTE: u64 = 1024 * 1024;

/// What must become of one.
enum Must {
    /// Refused at this step, with an error of this kind and these words.
    Refuse(Step, &'static str, &'static str),
    /// Taken, and told that it failed in this way on the message.
    Charge(&'static str),
    /// Taken.
    Take,
}

use Must::{Charge, Refuse, Take};

/// Every one, by name.
#[rustfmt::skip]
fn corpus() -> Vec<(&'static str, Vec<u8>, Must)> {
    let guest = |path| bad::bytes(path);
    let mebibytes = |count: u64| usize::try_from(count * MEBIBYTE).unwrap();
    vec![
        // What is no component.
        ("empty", Vec::new(), Refuse(Step::Component, "not-a-component", "it is empty")),
        ("text", b"export function handleEvent(message) {}".to_vec(), Refuse(Step::Component, "not-a-component", "it is text")),
        ("zip", bad::zip(), Refuse(Step::Component, "not-a-component", "a zip archive")),
        ("core module", bad::core_module(), Refuse(Step::Component, "not-a-component", "a core module")),
        ("random bytes", bad::random_bytes(), Refuse(Step::Component, "not-a-component", "it is not WebAssembly")),
        ("noise", bad::noise(), Refuse(Step::Component, "not-a-component", "")),
        ("truncated", bad::truncated(), Refuse(Step::Component, "not-a-component", "")),
        ("native code", bad::native_code(), Refuse(Step::Component, "not-a-component", "a program for a machine")),
        ("compiled code", bombs::compiled_code(), Refuse(Step::CompiledCode, "not-a-component", "it is compiled code")),
        ("too large", bombs::padded_to(mebibytes(5)), Refuse(Step::Size, "not-a-component", "modules.component_bytes_max")),

        // What is dear to compile, and seen before.
        ("50000 locals", bombs::locals(50_000), Refuse(Step::Bounds, "not-a-component", "50000 locals")),
        ("a function of 2 MiB", bombs::function_of(mebibytes(2)), Refuse(Step::Bounds, "not-a-component", "modules.function_bytes_max")),
        ("200000 functions", bombs::functions(200_000), Refuse(Step::Bounds, "not-a-component", "200140 functions")),
        ("locals times blocks", bombs::blocks(1, 30_000, 4000), Refuse(Step::Bounds, "not-a-component", "modules.function_weight_max")),
        ("a branch table of 500000", bombs::branch_table(500_000), Refuse(Step::Bounds, "not-a-component", "modules.branch_targets_max")),
        ("types 60 deep", bombs::deep_types(60), Refuse(Step::Bounds, "not-a-component", "modules.type_depth_max")),
        ("types 15000 deep", bombs::deep_types(15_000), Refuse(Step::Bounds, "not-a-component", "modules.type_depth_max")),
        ("declarations 500000 deep", bombs::nested_declarations(500_000), Refuse(Step::Component, "not-a-component", "nesting is too deep")),
        ("components 400 deep", bombs::nested_components(400), Refuse(Step::Bounds, "not-a-component", "modules.nesting_max")),
        ("500 modules", bombs::nested_modules(500), Refuse(Step::Bounds, "not-a-component", "modules.nested_max")),
        ("50 memories", bombs::memories(50, 1), Refuse(Step::Bounds, "not-a-component", "modules.memories_max")),
        ("500 tables", bombs::tables(500, 1), Refuse(Step::Bounds, "not-a-component", "modules.tables_max")),
        ("500000 types", bombs::types(500_000), Refuse(Step::Bounds, "not-a-component", "modules.types_max")),
        ("100000 imports", bombs::imports(100_000), Refuse(Step::Bounds, "not-a-component", "modules.ports_max")),

        // What is not seen before.
        ("compile bomb", bombs::blocks(40, 4000, 2400), Refuse(Step::Compile, "too-costly", "modules.compile_")),

        // What fits no world.
        ("wrong world", guest(WRONG_WORLD), Refuse(Step::World, "world", "it exports greet")),
        ("wrong types", guest(WRONG_TYPES), Refuse(Step::World, "world", "hookbox:webhook/webhook-module@1.0.0")),
        ("unknown import", guest(UNKNOWN_IMPORT), Refuse(Step::Imports, "import", "evil:host/files")),

        // What does harm when it is instantiated, or asked what it is.
        ("loops at start", bombs::at_start(AtStart::Loops), Refuse(Step::Instantiate, "time", "it ran past")),
        ("traps at start", bombs::at_start(AtStart::Traps), Refuse(Step::Instantiate, "trap", "unreachable")),
        ("recurses at start", bombs::at_start(AtStart::Recurses), Refuse(Step::Instantiate, "trap", "call stack exhausted")),
        ("takes memory at start", bombs::at_start(AtStart::TakesMemory), Refuse(Step::Instantiate, "memory", "modules.memory_bytes_max")),
        ("takes table at start", bombs::at_start(AtStart::TakesTable), Refuse(Step::Instantiate, "trap", "unreachable")),
        ("a memory of 4 GiB", bombs::memories(1, 65_536), Refuse(Step::Compile, "not-a-component", "more than an instance may have")),
        ("a table of 10 million", bombs::tables(1, 10_000_000), Refuse(Step::Compile, "not-a-component", "more than an instance may have")),
        ("loops in metadata", guest(METADATA_LOOP), Refuse(Step::Metadata, "time", "it ran past")),
        ("panics in bindings", guest(BINDINGS_PANIC), Refuse(Step::Bindings, "trap", "")),

        // What does harm when it is handed a message.
        ("loops", guest(SPIN), Charge("time")),
        ("eats memory", guest(HOG), Charge("memory")),
        ("traps", guest(TRAP), Charge("trap")),
        ("recurses", guest(RECURSION), Charge("trap")),
        ("floods its log", guest(FLOOD), Charge("time")),
        ("a huge output", guest(HUGE_OUTPUT), Charge("output")),
        ("a million events", guest(MANY_EVENTS), Charge("memory")),
        ("no JSON", guest(BAD_OUTPUT), Charge("output")),
        ("speaks for others", guest(ECHO), Charge("foreign-account")),

        // What may look bad, and is not.
        ("sleeps", guest(SLEEPER), Take),
        ("asks what time it is", guest(CLOCK), Take),
        ("debug information", bombs::debug_information(mebibytes(3)), Take),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_does_no_harm() {
    let host = TestHost::builder().module("echo", bad::bytes(ECHO)).without_broker().start().await;
    let desk = UploadDesk::with(&LIMITS);
    desk.check(bad::bytes(ECHO), &[samples::bad(ACCOUNT)]).await.unwrap();
    let memory_before = resident_bytes();
    let work = Work::begin(&host);
    let mut wrong = Vec::new();

    for (name, component, must) in corpus() {
        let size = component.len();
        let message = if name == "speaks for others" { samples::bad(SIBLING) } else { samples::bad(ACCOUNT) };
        let (began, cpu_before) = (Instant::now(), cpu_ms());
        let result = desk.check(component, &[message]).await;
        let (took, cpu) = (began.elapsed(), cpu_ms() - cpu_before);
        let judged = judge(result, &must);
        println!("{name:26} {size:>8} bytes {:>6} ms, {cpu:>5} ms of CPU: {judged:?}", took.as_millis());
        wrong.extend(judged.err().map(|told| format!("{name}: {told}")));
        let is_seen = matches!(must, Refuse(step, ..) if step <= Step::Bounds);
        wrong.extend((is_seen && cpu > 2000).then(|| format!("{name} was seen, but took {cpu} ms of CPU")));
    }

    let share = work.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("its other work went on at {share:.3} of its rate");
    assert!(share >= 0.9, "its other work went on at {share:.3} of its rate only");
    eventually("no helper to be left", async || match helpers() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    let grown = eventually("the memory to be back", async || match resident_bytes().saturating_sub(memory_before) {
        grown if grown <= 96 * MEBIBYTE => Ok(grown),
        grown => Err(grown),
    })
    .await;
    println!("memory: {} MiB before, {} MiB more after", memory_before / MEBIBYTE, grown / MEBIBYTE);
    host.finish().await;
}

/// What became of it, in one line; an error when that is not what must.
fn judge(result: Result<Checked, ModuleError>, must: &Must) -> Result<String, String> {
    let start = |text: String| text.chars().take(120).collect::<String>();
    match (result, must) {
        (Err(ModuleError::Refused { step, error }), Refuse(at, kind, words)) => {
            let (found, said) = (error.kind(), error.to_string());
            let told = format!("refused at {step}, {found}: {}", start(said.clone()));
            let is_right = step == *at && found == *kind && said.contains(words);
            if is_right { Ok(told) } else { Err(format!("{told}; not at {at}, {kind}: {words}")) }
        }
        (Ok(checked), Charge(kind)) => {
            let faults = checked.report.trials.map(|trials| trials.faults).unwrap_or_default();
            match faults.into_iter().next() {
                Some(fault) if fault.kind == *kind => Ok(format!("charged, {kind}: {}", start(fault.reason))),
                other => Err(format!("not charged with {kind}: {other:?}")),
            }
        }
        (Ok(checked), Take) => match checked.report.trials {
            Some(trials) if trials.failed == 0 => Ok(format!("taken {:?}", checked.report.warnings)),
            other => Err(format!("taken, and then: {other:?}")),
        },
        (Ok(checked), _) => Err(format!("taken: {:?}", checked.report)),
        (Err(error), _) => Err(error.to_string()),
    }
}

/// A host's own work, at a steady pace.
struct Work {
    ended: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    began: Instant,
    task: tokio::task::JoinHandle<()>,
}

impl Work {
    const EVERY: Duration = Duration::from_millis(5);

    fn begin(host: &TestHost) -> Self {
        let (ended, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let pipeline = Arc::clone(&host.running.pipeline);
        let task = tokio::spawn({
            let (ended, done) = (Arc::clone(&ended), Arc::clone(&done));
            async move {
                let mut pace = tokio::time::interval(Self::EVERY);
                // What comes late is not made up for.
                pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                while !ended.load(Ordering::Relaxed) {
                    pace.tick().await;
                    pipeline.handle(taken_in(&samples::bad(ACCOUNT))).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { ended, done, began: Instant::now(), task }
    }

    /// How much of it was done, of what there was to do.
    async fn end(self) -> f64 {
        self.ended.store(true, Ordering::Relaxed);
        let due = self.began.elapsed().as_secs_f64() / Self::EVERY.as_secs_f64();
        self.task.await.unwrap();
        self.done.load(Ordering::Relaxed) as f64 / due
    }
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// CPU time of this process so far, ms, as the kernel counts it in hundredths of a second.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

/// The command lines of helpers that this process has started.
fn helpers() -> Vec<String> {
    let own = format!("PPid:\t{}", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let children = processes.filter(|path| {
        fs::read_to_string(path.join("status")).is_ok_and(|status| status.lines().any(|line| line == own))
    });
    children.filter_map(|path| fs::read_to_string(path.join("cmdline")).ok()).collect()
}
