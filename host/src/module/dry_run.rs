//! A message through a module to see what would come of it: in the same sandbox, on the same workers, under the same
//! limits. Nothing is fired, kept or charged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Handled, Module, ModuleError, Modules, sandbox::Called, workers::lines::Asked};
use crate::message::Message;

/// What a dry run showed.
#[derive(Debug)]
pub struct Rehearsed {
    /// What the module made, said and used.
    pub called: Called<Handled>,
    /// How long the call took, without waiting for a worker.
    pub took: Duration,
}

impl Modules {
    /// Hands the message to the module; an error is ours, or that too many calls wait.
    pub async fn dry_run(&self, module: &Arc<Module>, message: &Arc<Message>) -> Result<Rehearsed, ModuleError> {
        let (answer, answered) = oneshot::channel();
        let job = {
            let (module, message) = (Arc::clone(module), Arc::clone(message));
            Box::new(move || {
                let began = Instant::now();
                let called = module.handle(&message);
                drop(answer.send(Rehearsed { called, took: began.elapsed() }));
            })
        };
        // Whoever asks may wait; it is charged to the owner's share.
        let asked = Asked { patience: None, ..self.asked(module, message) };
        if let Err(no_place) = self.workers.submit(&asked, job) {
            return Err(ModuleError::NotCalled { reason: format!("{no_place}; try again") });
        }
        answered.await.map_err(|_| ModuleError::Host { reason: "the call panicked in the host".into() })
    }
}
