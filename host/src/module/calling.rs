//! Calling an active module: onto the workers, back through a channel, and what the call is charged with.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::oneshot;

use super::{Handled, Module, ModuleError, Modules, guest_log::Level, sandbox::Called};
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
        self.account_for(module, called)
    }

    fn account_for(&self, module: &Module, called: Called<Handled>) -> Result<Handled, ModuleError> {
        let id = module.id();
        for line in &called.log.lines {
            match line.level {
                Level::Debug => tracing::debug!(target: "hookbox::module_log", module = %id, "{}", line.text),
                Level::Info => tracing::info!(target: "hookbox::module_log", module = %id, "{}", line.text),
                Level::Warn | Level::Error => {
                    tracing::warn!(target: "hookbox::module_log", module = %id, "{}", line.text);
                }
            }
        }
        if called.log.dropped_bytes > 0 {
            counter!("hookbox_module_log_dropped_bytes_total", "module" => id.to_string())
                .increment(called.log.dropped_bytes);
        }
        if let Err(error) = &called.result {
            counter!("hookbox_module_faults_total", "module" => id.to_string(), "kind" => error.kind()).increment(1);
            if error.is_charged() && module.charge(error, self.clock.now_ms()) {
                tracing::error!(module = %id, version = module.metadata.version, %error,
                    "module put in quarantine; its messages are kept as dead letters until another version is loaded");
            }
        }
        called.result
    }
}
