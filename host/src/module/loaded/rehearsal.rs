//! Calls that are made for a module's author, not for a message of the platform: in surroundings of the author's making,
//! and in an instance that was used before, which shows whether the module keeps something from one call to the next.

use std::sync::Arc;

use super::{
    Handled, Module,
    handing::{as_handed_in, seed},
};
use crate::{
    message::Message,
    module::{
        ModuleError,
        guest::Surroundings,
        sandbox::{Called, Instance},
        workers::pace::Pace,
    },
};

/// An instance that is called again and again, by its author's wish.
pub struct UsedInstance<'a> {
    module: &'a Module,
    instance: Instance,
}

impl Module {
    /// The same module with other settings and accounts around it, and no faults on its record.
    pub fn in_surroundings(&self, surroundings: Surroundings) -> Self {
        Self {
            id: self.id.clone(),
            metadata: self.metadata.clone(),
            bindings: self.bindings.clone(),
            digest: self.digest.clone(),
            origin: self.origin.clone(),
            owner: self.owner.clone(),
            offered: self.offered,
            limits: self.limits.clone(),
            selectors: Arc::clone(&self.selectors),
            prepared: self.prepared.clone(),
            surroundings,
            bounds: self.bounds.clone(),
            operators: Arc::clone(&self.operators),
            quarantine: self.quarantine.anew(),
            pace: Pace::default(),
            reuse: self.reuse.anew(),
        }
    }

    /// An instance to be used more than once, beginning with this message.
    pub fn instance_for(&self, message: &Message) -> Result<UsedInstance<'_>, Called<Handled>> {
        let surroundings = self.surroundings.clone();
        let instance =
            self.prepared.instantiate(surroundings, &self.bounds_now(), message.received_ms, seed(message))?;
        Ok(UsedInstance { module: self, instance })
    }
}

impl UsedInstance<'_> {
    /// Hands the message to this instance, under the limits of one call, with the clocks and random numbers that it would
    /// have in an instance of its own. After a call that failed it must not be called again.
    pub fn handle(&mut self, message: &Message) -> Called<Handled> {
        if let Err(error) = self.instance.renew(message.received_ms, seed(message)) {
            let reason = format!("{error:#}");
            return Called {
                result: Err(ModuleError::Host { reason }),
                log: Default::default(),
                cost: Default::default(),
            };
        }
        let raw = as_handed_in(message);
        let called = self.instance.call(|module, store| module.call_handle_event(store, &raw));
        self.module.judged(called, message)
    }
}
