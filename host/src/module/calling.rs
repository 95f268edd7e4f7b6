//! Calling an active module: onto the workers, back through a channel, and what the call is charged with.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Handled, Module, ModuleError, Modules, charging::Charged, faults::FailedOn};
use crate::message::Message;

impl Modules {
    /// Hands the message to the module, on a worker. What it does wrong is charged to it.
    pub async fn call(&self, module: &Arc<Module>, message: &Arc<Message>) -> Result<Handled, ModuleError> {
        if let Some(reason) = module.quarantine() {
            return Err(ModuleError::NotCalled { reason: format!("it is in quarantine: {reason}") });
        }
        let (answer, answered) = oneshot::channel();
        let job = {
            let (module, message) = (Arc::clone(module), Arc::clone(message));
            Box::new(move || drop(answer.send(module.handle(&message))))
        };
        if self.workers.submit(module.id(), job).is_err() {
            return Err(ModuleError::NotCalled {
                reason: "as many of its calls wait as may (modules.queue_max)".into(),
            });
        }
        let called =
            answered.await.map_err(|_| ModuleError::Host { reason: "the call panicked in the host".into() })?;
        let charged = Charged {
            id: module.id(),
            version: &module.metadata.version,
            digest: &module.digest,
            on: FailedOn::Message(message),
            account: module.owner.as_ref(),
            quarantine: &module.quarantine,
        };
        self.charging.charge(&charged, &called);
        called.result
    }
}
