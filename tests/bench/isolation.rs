//! What a fresh instance for every call costs, against one that is used again: the built-in module `channel_create` on a
//! message of about 600 bytes, in the engine and under the limits that the host has. Prints
//! `isolation: fresh … us reused … us page_faults_per_call …`.
//!
//! The two alternate in rounds and each round counts by its median, so that what else the machine does meets both.
#![allow(clippy::print_stdout, clippy::panic)]

use std::{collections::BTreeMap, fs, sync::Arc, time::Instant};

use hookbox::{
    account::AccountTree,
    module::{
        bindings::hookbox::webhook::types as wit,
        built_in::BUILT_IN,
        compile_helper::CompileHelper,
        compiler::Compiler,
        engine::Engines,
        guest::{GuestLimits, Surroundings},
        sandbox::Prepared,
    },
    settings::Settings,
};
use hookbox_tests::rig::median;
use hookbox_tests::samples::{ACCOUNT, channel_created};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 21;
const CALLS: usize = 2000;
const MODULE: &str = "channel_create";

fn main() {
    let settings = Settings::default().modules;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engines = Engines::new(&settings).expect("engines");
    let compiler =
        Compiler::new(folder.path(), &[7; 32], usize::MAX, CompileHelper::new(None, &settings)).expect("a cache");
    let (_, component) = BUILT_IN.iter().find(|(name, _)| *name == MODULE).expect("it is built in");
    let engine = engines.for_component(component);
    let prepared: Prepared =
        Prepared::new(engine, &compiler.load(engine, component).expect("it compiles")).expect("it fits");
    let limits = GuestLimits::new(&settings);
    let surroundings =
        Surroundings { accounts: Arc::new(AccountTree::default()), within: None, settings: Arc::new(BTreeMap::new()) };
    let message = message();
    println!("message of {} bytes, {ROUNDS} rounds of {CALLS} calls", message.body.len());
    let _running = engines.running();

    let fresh = || {
        let called = prepared
            .call(surroundings.clone(), &limits, 1, 1, |module, store| module.call_handle_event(store, &message));
        assert_eq!(called.result.expect("no trap").expect("events").len(), 1);
    };
    let Ok(mut instance) = prepared.instantiate(surroundings.clone(), &limits, 1, 1) else { panic!("no instance") };
    let mut reused = || {
        instance.rearm().expect("fuel");
        let called = instance.call(|module, store| module.call_handle_event(store, &message));
        assert_eq!(called.result.expect("no trap").expect("events").len(), 1);
    };

    let (mut fresh_us, mut reused_us, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = page_faults();
        fresh_us.push(us_per_call(&fresh));
        faults.push((page_faults() - before) as f64 / CALLS as f64);
        reused_us.push(us_per_call(&mut reused));
    }
    let (fresh, reused, faults) = (median(&fresh_us), median(&reused_us), median(&faults));
    println!(
        "isolation: fresh {fresh:.1} us reused {reused:.1} us page_faults_per_call {faults:.2} (fresh - reused {:.1} us)",
        fresh - reused
    );
}

fn us_per_call(mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    began.elapsed().as_secs_f64() * 1e6 / CALLS as f64
}

/// Minor faults of this thread so far.
fn page_faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").expect("Linux");
    let numbers = stat.rsplit(')').next().expect("numbers after the name");
    numbers.split_whitespace().nth(7).and_then(|number| number.parse().ok()).expect("minor faults")
}

fn message() -> wit::Message {
    let message = channel_created(ACCOUNT);
    wit::Message {
        source: "amqp".into(),
        exchange: message.exchange.clone(),
        routing_key: message.routing_key.clone(),
        category: "call_event".into(),
        name: "CHANNEL_CREATE".into(),
        account_id: Some(ACCOUNT.into()),
        received_ms: 1,
        body: String::from_utf8(message.body).expect("JSON"),
    }
}
