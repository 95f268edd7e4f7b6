//! Calling an active module: onto the workers, back through a channel, and what the call is charged with.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Handled, Module, ModuleError, Modules, charging::Charged, faults::FailedOn, workers::lines::Asked};
use crate::message::{AccountId, Message};

impl Modules {
    /// Hands the message to the module, on a worker. What it does wrong is charged to it. Waits for a worker no longer than
    /// `modules.wait_ms_max` or so: then the module is over its share, and the call is to be made later.
    pub async fn call(&self, module: &Arc<Module>, message: &Arc<Message>) -> Result<Handled, ModuleError> {
        if let Some(reason) = module.quarantine() {
            return Err(ModuleError::NotCalled { reason: format!("it is in quarantine: {reason}") });
        }
        let (answer, answered) = oneshot::channel();
        let job = {
            let (module, message) = (Arc::clone(module), Arc::clone(message));
            Box::new(move || {
                let called = catch_unwind(AssertUnwindSafe(|| module.serve(&message)));
                if let Ok(called) = &called {
                    module.pace.note(called.cost.time_us);
                }
                drop(answer.send(called));
            })
        };
        let asked = self.asked(module, message);
        if let Err(no_place) = self.workers.submit(&asked, job) {
            return Err(ModuleError::OverShare { reason: no_place.to_string() });
        }
        let called = match answered.await {
            Ok(Ok(called)) => called,
            Ok(Err(_)) => return Err(ModuleError::Host { reason: "the call panicked in the host".into() }),
            // It was taken out of the line.
            Err(_) => {
                let waited_ms = self.loader.modules.wait_ms_max;
                let reason = format!("the calls before this one took more than {waited_ms} ms (modules.wait_ms_max)");
                return Err(ModuleError::OverShare { reason });
            }
        };
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

    /// How many calls of the module that are charged to this account could be made within half of the time that a call may
    /// wait: what is stored must not take the place of what comes in.
    pub fn room_for(&self, module: &Module, account: Option<&AccountId>) -> usize {
        let patience = self.patience();
        let asked = Asked {
            module: module.id(),
            account,
            mean: module.pace.mean(),
            patience: Some(patience),
            leaves: true,
            at_once_max: module.instances_max(),
            account_at_once_max: self.at_once_of(account),
        };
        self.workers.room(&asked, patience / 2)
    }

    /// The place that a call with this message asks for.
    pub(super) fn asked<'a>(&self, module: &'a Module, message: &'a Message) -> Asked<'a> {
        let account = module.charged_to(message);
        Asked {
            module: module.id(),
            account,
            mean: module.pace.mean(),
            patience: Some(self.patience()),
            leaves: true,
            at_once_max: module.instances_max(),
            account_at_once_max: self.at_once_of(account),
        }
    }

    /// Calls that are charged to an account and may run at once, as far as accounts above it have said.
    pub(super) fn at_once_of(&self, account: Option<&AccountId>) -> usize {
        let limits = &self.loader.account_limits;
        account.map_or(usize::MAX, |account| limits.instances_at_once(account, &self.accounts))
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.loader.modules.wait_ms_max)
    }
}
