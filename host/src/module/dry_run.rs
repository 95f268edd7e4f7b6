//! A message through a module, or a firing through a transform, to see what would come of it: in the same sandbox, on the
//! same workers, under the same limits. Nothing is fired, kept or charged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Handled, Module, ModuleError, Modules, Transform, bindings::hookbox::webhook::types as wit, sandbox::Called,
    transform::TransformInput, workers::lines::Asked,
};
use crate::message::Message;

/// What a dry run showed.
#[derive(Debug)]
pub struct Rehearsed<T> {
    /// What the component made, said and used.
    pub called: Called<T>,
    /// How long the call took, without waiting for a worker.
    pub took: Duration,
}

impl Modules {
    /// Hands the message to the module; an error is ours, or that too many calls wait.
    pub async fn dry_run(
        &self,
        module: &Arc<Module>,
        message: &Arc<Message>,
    ) -> Result<Rehearsed<Handled>, ModuleError> {
        // It takes its owner's share of the workers.
        let asked = self.asked(module, message);
        let (called, handed) = (Arc::clone(module), Arc::clone(message));
        self.rehearse(asked, move || called.handle(&handed)).await
    }

    /// Hands the firing to the transform, and what it gave to `check`; an error is ours, or that too many calls wait.
    pub async fn dry_run_transform<T: Send + 'static>(
        &self,
        transform: &Arc<Transform>,
        input: TransformInput,
        check: impl FnOnce(wit::Firing) -> Result<T, String> + Send + 'static,
    ) -> Result<Rehearsed<Option<T>>, ModuleError> {
        let (called, account) = (Arc::clone(transform), input.account.clone());
        let asked = Asked {
            module: &transform.id,
            account: Some(&account),
            mean: transform.pace.mean(),
            patience: None,
            leaves: false,
            at_once_max: transform.instances_max(&input),
            account_at_once_max: self.at_once_of(Some(&account)),
        };
        self.rehearse(asked, move || called.call(&input).checked(check)).await
    }

    async fn rehearse<T: Send + 'static>(
        &self,
        asked: Asked<'_>,
        call: impl FnOnce() -> Called<T> + Send + 'static,
    ) -> Result<Rehearsed<T>, ModuleError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            let began = Instant::now();
            let called = call();
            drop(answer.send(Rehearsed { called, took: began.elapsed() }));
        });
        // Whoever asks may wait.
        let asked = Asked { patience: None, ..asked };
        if let Err(no_place) = self.workers.submit(&asked, job) {
            return Err(ModuleError::NotCalled { reason: format!("{no_place}; try again") });
        }
        answered.await.map_err(|_| ModuleError::Host { reason: "the call panicked in the host".into() })
    }
}
