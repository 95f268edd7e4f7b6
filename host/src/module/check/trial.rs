//! The steps that run a component's own code: instantiating it, asking what it is, handing it messages or firings.

mod watched;

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use wasmtime::{Engine, component::Component};

use self::watched::Watched;
use super::{
    Kind, Step, Subject, passed, refused,
    report::{Passed, Tally, Trials},
    samples::Samples,
};
use crate::{
    message::UnixMs,
    module::{
        ModuleError,
        bindings::transform::WebhookTransform,
        description::{Binding, Metadata},
        loaded::Loader,
        sandbox::{self, Prepared},
    },
    settings::ModuleSettings,
};

/// What the trial gave.
pub(super) struct Tried {
    pub(super) metadata: Option<Metadata>,
    pub(super) bindings: Vec<Binding>,
    pub(super) trials: Option<Trials>,
    pub(super) warnings: Vec<String>,
    pub(super) took: Vec<Passed>,
}

/// What is tried.
pub(super) struct Candidate<'a> {
    pub(super) kind: Kind,
    pub(super) engine: &'a Engine,
    pub(super) compiled: &'a Component,
    pub(super) subject: Subject,
}

/// Runs it. Keeps its thread busy for `modules.check_time_ms_max` and one call at most.
pub(super) fn run(loader: &Loader, candidate: Candidate<'_>, now_ms: UnixMs) -> Result<Tried, ModuleError> {
    let trial =
        Trial { loader, now_ms, deadline: Instant::now() + Duration::from_millis(loader.modules.check_time_ms_max) };
    let _running = loader.engines.running();
    match candidate.kind {
        Kind::Module => trial.module(candidate),
        Kind::Transform => trial.transform(candidate),
    }
}

struct Trial<'a> {
    loader: &'a Loader,
    now_ms: UnixMs,
    deadline: Instant,
}

impl Trial<'_> {
    fn module(&self, Candidate { engine, compiled, subject, .. }: Candidate<'_>) -> Result<Tried, ModuleError> {
        let (loader, now_ms) = (self.loader, self.now_ms);
        let mut took = vec![self.instantiated(engine, compiled, &subject)?];
        let mut step = |step, began| took.push(passed(step, began));
        let Subject { surroundings, limits, messages, .. } = subject;
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

        let began = Instant::now();
        let module = loader.on_trial(prepared, metadata.clone(), bindings.clone(), surroundings, limits);
        let made = Tally::Module { messages: 0, events: 0, not_mine: 0, malformed: 0 };
        let mut watched = Watched::new(made, &loader.modules);
        let messages = messages(&bindings);
        let told = self.each(messages, "messages", |message| watched.hand_message(&module, &message));
        warnings.extend(told);
        let trials = watched.finish(&mut warnings);
        if trials.is_some() {
            step(Step::Messages, began);
        }
        Ok(Tried { metadata: Some(metadata), bindings, trials, warnings, took })
    }

    fn transform(&self, Candidate { engine, compiled, subject, .. }: Candidate<'_>) -> Result<Tried, ModuleError> {
        let mut took = vec![self.instantiated(engine, compiled, &subject)?];
        let Subject { surroundings, limits, firings, .. } = subject;
        // Its exports are looked up once more, as they are when it is loaded.
        let prepared =
            Prepared::<WebhookTransform>::new(engine, compiled).map_err(|error| refused(Step::World, error))?;
        let began = Instant::now();
        let transform = self.loader.transform_on_trial(prepared, &surroundings, limits);
        let made = Tally::Transform { firings: 0, to_send: 0, dropped: 0 };
        let mut watched = Watched::new(made, &self.loader.modules);
        let mut warnings = Vec::new();
        warnings.extend(self.each(firings(), "firings", |firing| {
            watched.hand_firing(&transform, &surroundings, firing, self.now_ms);
        }));
        let trials = watched.finish(&mut warnings);
        if trials.is_some() {
            took.push(passed(Step::Messages, began));
        }
        Ok(Tried { metadata: None, bindings: Vec::new(), trials, warnings, took })
    }

    fn instantiated(&self, engine: &Engine, compiled: &Component, subject: &Subject) -> Result<Passed, ModuleError> {
        let began = Instant::now();
        let at_load = Loader::at_load(&subject.limits);
        sandbox::try_out(engine, compiled, subject.surroundings.clone(), &at_load, self.now_ms)
            .map_err(|error| refused(Step::Instantiate, error))?;
        Ok(passed(Step::Instantiate, began))
    }

    /// Hands over one after the other until time is up; what to say when it was.
    fn each<T>(&self, all: Vec<T>, what: &str, mut hand: impl FnMut(T)) -> Option<String> {
        let count = all.len();
        for (tried, one) in all.into_iter().enumerate() {
            if Instant::now() >= self.deadline {
                let ModuleSettings { check_time_ms_max: limit, .. } = &self.loader.modules;
                let up = format!("{limit} ms (modules.check_time_ms_max) were up");
                return Some(format!("{tried} of {count} {what} were tried; {up}"));
            }
            hand(one);
        }
        None
    }
}
