//! What is done with a component before it may be used: every check that can be made without using it, cheapest first,
//! then a trial in the sandbox.
//!
//! The bytes are somebody's who may mean harm. So what costs nothing comes first ([`recognition`]), then one pass that
//! holds every count to its bound ([`bounds`]), then the contract ([`world`]), then compiling in a process apart
//! ([`super::compile_helper`]), and only then is its code run, under a call's limits ([`trial`]). All of it off tokio's
//! threads, and `modules.compiles_max` at a time. What was found is a [`Report`], for people.

pub mod bounds;
pub mod recognition;
pub mod report;
pub mod samples;
mod trial;
pub mod world;

use std::{sync::Arc, time::Instant};

use ring::digest;
use tokio::sync::Semaphore;

pub use self::report::{Report, Step};
use self::{
    bounds::{Shape, Unfit, measure},
    report::Passed,
    trial::{Candidate, Tried},
    world::Import,
};
pub use super::Kind;
use super::{
    ModuleError,
    bindings::hookbox::webhook::types as wit,
    description::{Binding, Metadata},
    guest::{GuestLimits, Surroundings},
    loaded::Loader,
};
use crate::{
    clock::Clock,
    message::{Message, Object},
};

/// Names and debug information from this size on are worth a warning, bytes.
const DEBUG_BYTES_WORTH_A_WORD: u64 = 64 * 1024;

/// Everything known of a component before it may be used.
#[derive(Debug)]
pub struct Checked {
    /// Which world it is for.
    pub kind: Kind,
    /// What it says of itself; none for a transform.
    pub metadata: Option<Metadata>,
    /// What it binds; none for a transform.
    pub bindings: Vec<Binding>,
    /// What was found, for people.
    pub report: Report,
}

/// Gives the messages that a module with these bindings is to be tried with.
pub type ChooseMessages = Box<dyn FnOnce(&[Binding]) -> Vec<Arc<Message>> + Send>;

/// Gives the firings that a transform is to be tried with.
pub type ChooseFirings = Box<dyn FnOnce() -> Vec<TrialFiring> + Send>;

/// A firing that a transform is tried with.
pub struct TrialFiring {
    /// What it is, for people.
    pub name: String,
    /// What the transform is handed.
    pub firing: wit::Firing,
    /// What of its answer would be sent: the payload; or why nothing may, in words.
    pub check: Box<dyn FnOnce(wit::Firing) -> Result<Object, String> + Send>,
}

/// Under what a component is checked.
pub struct Subject {
    /// What its calls are given. Its owner is the account that they are confined to.
    pub surroundings: Surroundings,
    /// The bounds of a call.
    pub limits: GuestLimits,
    /// What a module is to be tried with.
    pub messages: ChooseMessages,
    /// What a transform is to be tried with.
    pub firings: ChooseFirings,
}

/// Checks components.
pub struct Checker {
    loader: Arc<Loader>,
    clock: Clock,
    /// For the steps that keep a thread busy.
    places: Semaphore,
}

impl Checker {
    /// A checker that compiles with the loader's compiler, and keeps the code in its cache.
    pub fn new(loader: Arc<Loader>, clock: Clock) -> Self {
        let places = Semaphore::new(usize::try_from(loader.modules.compiles_max).unwrap_or(1));
        Self { loader, clock, places }
    }

    /// Checks a component. What is wrong with it is a [`ModuleError::Refused`] that names the step; a
    /// [`ModuleError::Host`] is our fault, and says nothing of the component.
    pub async fn check(&self, component: Arc<[u8]>, subject: Subject) -> Result<Checked, ModuleError> {
        let mut steps = Vec::new();
        let read = self.apart({
            let (loader, component) = (Arc::clone(&self.loader), Arc::clone(&component));
            move || read(&component, &loader)
        });
        let Read { kind, imports, shape, took } = read.await?;
        steps.extend(took);

        let engine = self.loader.engines.for_component(&component).clone();
        let began = Instant::now();
        let compiled = self.loader.compiler.load_apart(&engine, Arc::clone(&component)).await;
        let compiled = compiled.map_err(|error| refused(Step::Compile, error))?;
        steps.push(passed(Step::Compile, began));

        let digest = hex::encode(digest::digest(&digest::SHA256, &component).as_ref());
        let tried = self.apart({
            let (loader, now_ms) = (Arc::clone(&self.loader), self.clock.now_ms());
            move || {
                let candidate = Candidate { kind, engine: &engine, compiled: &compiled, subject };
                trial::run(&loader, candidate, now_ms)
            }
        });
        let Tried { metadata, bindings, trials, mut warnings, took } = tried.await?;
        steps.extend(took);
        if shape.debug_bytes >= DEBUG_BYTES_WORTH_A_WORD {
            let kilobytes = shape.debug_bytes / 1000;
            warnings
                .push(format!("names and debug information take {kilobytes} kB; strip them, nobody reads them here"));
        }
        let bytes = component.len() as u64;
        let report = Report { kind, digest, bytes, steps, imports, shape, trials, warnings };
        Ok(Checked { kind, metadata, bindings, report })
    }

    /// Has a thread do what keeps one busy, when it is its turn.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ModuleError> + Send + 'static,
    ) -> Result<T, ModuleError> {
        let host = |reason: String| ModuleError::Host { reason };
        let _place = self.places.acquire().await.map_err(|error| host(error.to_string()))?;
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|panic| Err(host(format!("a check panicked: {panic}"))))
    }
}

/// What the bytes alone tell.
struct Read {
    kind: Kind,
    imports: Vec<Import>,
    shape: Shape,
    took: Vec<Passed>,
}

fn read(component: &[u8], loader: &Loader) -> Result<Read, ModuleError> {
    let began = Instant::now();
    let bytes_max = usize::try_from(loader.modules.component_bytes_max).unwrap_or(usize::MAX);
    recognition::recognise(component, bytes_max).map_err(|(step, error)| refused(step, error))?;
    let mut took = vec![passed(Step::Size, began), passed(Step::Component, began), passed(Step::CompiledCode, began)];
    let began = Instant::now();
    let shape = measure(component, &loader.modules).map_err(|unfit| match unfit {
        Unfit::Invalid(reason) => refused(Step::Component, ModuleError::NotAComponent { reason }),
        Unfit::Excess(reason) => refused(Step::Bounds, ModuleError::NotAComponent { reason }),
    })?;
    took.push(passed(Step::Bounds, began));
    let began = Instant::now();
    let (kind, imports) = world::fit(component).map_err(|(step, error)| refused(step, error))?;
    took.extend([passed(Step::Imports, began), passed(Step::World, began)]);
    Ok(Read { kind, imports, shape, took })
}

/// What is our fault stays so.
fn refused(step: Step, error: ModuleError) -> ModuleError {
    match error {
        ModuleError::Host { .. } => error,
        error => ModuleError::Refused { step, error: Box::new(error) },
    }
}

fn passed(step: Step, began: Instant) -> Passed {
    Passed { step, took_ms: (began.elapsed().as_secs_f64() * 1e6).round() / 1e3 }
}
