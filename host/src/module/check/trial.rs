//! The steps that run a component's own code: instantiating it, asking what it is, handing it messages.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;
use wasmtime::{Engine, component::Component};

use super::{
    Kind, Step, Subject, passed, refused,
    report::{Fault, Passed, Spread, Trials},
    samples::Samples,
};
use crate::{
    message::{Object, UnixMs},
    module::{
        Handled, Module, ModuleError,
        bindings::transform::WebhookTransform,
        description::{Binding, Metadata},
        loaded::Loader,
        sandbox::{self, Called, Prepared},
    },
};

/// How many payloads, faults and lines are shown.
const SHOWN_MAX: usize = 5;
/// A payload above this size is not shown, bytes.
const SHOWN_PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// What the trial gave.
pub(super) struct Tried {
    pub(super) metadata: Option<Metadata>,
    pub(super) bindings: Vec<Binding>,
    pub(super) trials: Option<Trials>,
    pub(super) warnings: Vec<String>,
    pub(super) took: Vec<Passed>,
}

/// Runs it. Keeps its thread busy for `modules.check_time_ms_max` and one call at most.
pub(super) fn run(
    loader: &Loader,
    kind: Kind,
    engine: &Engine,
    compiled: &Component,
    subject: Subject,
    now_ms: UnixMs,
) -> Result<Tried, ModuleError> {
    let deadline = Instant::now() + Duration::from_millis(loader.modules.check_time_ms_max);
    let _running = loader.engines.running();
    let Subject { surroundings, limits, messages } = subject;
    let mut took = Vec::new();
    let mut step = |step, began| took.push(passed(step, began));

    let began = Instant::now();
    let at_load = Loader::at_load(&limits);
    if kind == Kind::Transform {
        // Its exports are looked up once more, as they are when it is loaded.
        Prepared::<WebhookTransform>::new(engine, compiled).map_err(|error| refused(Step::World, error))?;
    }
    sandbox::try_out(engine, compiled, surroundings.clone(), &at_load, now_ms)
        .map_err(|error| refused(Step::Instantiate, error))?;
    step(Step::Instantiate, began);
    if kind == Kind::Transform {
        return Ok(Tried { metadata: None, bindings: Vec::new(), trials: None, warnings: Vec::new(), took });
    }

    let prepared = Prepared::new(engine, compiled).map_err(|error| refused(Step::World, error))?;
    let began = Instant::now();
    let metadata = loader.metadata(&prepared, &surroundings, &limits, now_ms);
    let metadata = metadata.map_err(|error| refused(Step::Metadata, error))?;
    step(Step::Metadata, began);
    let began = Instant::now();
    let bindings = loader.bindings(&prepared, &surroundings, &limits, now_ms);
    let bindings = bindings.map_err(|error| refused(Step::Bindings, error))?;
    step(Step::Bindings, began);
    let began = Instant::now();
    let samples = Samples::of(&metadata);
    // This thread is one that may wait, here for a process.
    let held = Handle::current().block_on(loader.compiler.helper().hold(&samples));
    let mut warnings = held.map_err(|error| refused(Step::Samples, error))?;
    step(Step::Samples, began);

    let messages = messages(&bindings);
    let trials = if messages.is_empty() {
        None
    } else {
        let began = Instant::now();
        let module = loader.on_trial(prepared, metadata.clone(), bindings.clone(), surroundings, limits);
        let mut trials = Watched::default();
        for message in &messages {
            if Instant::now() >= deadline {
                let (tried, all) = (trials.told.messages, messages.len());
                let limit = loader.modules.check_time_ms_max;
                warnings.push(format!(
                    "{tried} of {all} messages were tried; {limit} ms (modules.check_time_ms_max) were up"
                ));
                break;
            }
            trials.call(&module, message);
        }
        step(Step::Messages, began);
        Some(trials.finish())
    };
    if let Some(trials) = trials.as_ref().filter(|trials| trials.failed > 0) {
        warnings.push(format!("it failed on {} of {} messages", trials.failed, trials.messages));
    }
    Ok(Tried { metadata: Some(metadata), bindings, trials, warnings, took })
}

/// The calls so far.
#[derive(Default)]
struct Watched {
    told: Trials,
    fuel: Vec<u64>,
    took_us: Vec<u64>,
    memory_bytes: Vec<u64>,
    page_faults: Vec<u64>,
}

impl Watched {
    fn call(&mut self, module: &Module, message: &crate::message::Message) {
        let faults_before = page_faults();
        let began = Instant::now();
        let Called { result, log, cost } = module.handle(message);
        self.took_us.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.page_faults.push(page_faults().saturating_sub(faults_before));
        self.fuel.push(cost.fuel);
        self.memory_bytes.push(cost.memory_bytes as u64);
        let told = &mut self.told;
        let room = SHOWN_MAX.saturating_sub(told.log.len());
        told.log.extend(log.lines.into_iter().take(room).map(|line| line.text));
        match result {
            Ok(Handled::Events(events)) => {
                told.events += events.len() as u64;
                let room = SHOWN_MAX.saturating_sub(told.payloads.len());
                told.payloads.extend(events.into_iter().take(room).map(|(event, _)| shown(event.payload)));
            }
            Ok(Handled::NotMine) => told.not_mine += 1,
            Ok(Handled::Malformed(_)) => told.malformed += 1,
            Err(error) => {
                told.failed += 1;
                if told.faults.len() < SHOWN_MAX {
                    let fault = Fault { message: told.messages, kind: error.kind(), reason: error.to_string() };
                    told.faults.push(fault);
                }
            }
        }
        told.messages += 1;
    }

    fn finish(self) -> Trials {
        Trials {
            fuel: Spread::of(self.fuel),
            took_us: Spread::of(self.took_us),
            memory_bytes: Spread::of(self.memory_bytes),
            page_faults: Spread::of(self.page_faults),
            ..self.told
        }
    }
}

fn shown(payload: Object) -> Value {
    let payload = Value::Object(payload);
    match payload.to_string().len() {
        bytes if bytes > SHOWN_PAYLOAD_BYTES_MAX => Value::String(format!("({bytes} bytes, not shown)")),
        _ => payload,
    }
}

/// Page faults of this thread so far, as the kernel counts them; 0 where it does not say.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The name, in parentheses, may hold anything; minor faults are the eighth field behind it, major ones the tenth.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    field(7) + field(9)
}
