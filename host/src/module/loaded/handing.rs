//! Handing a message to a module: as the contract has it, in an instance that is fresh or was used before, and charged to
//! somebody.

use super::{Handled, Module, wit};
use crate::{
    message::{AccountId, Message},
    module::{guest::Surroundings, reuse::Circumstances, sandbox::Called},
};

impl Module {
    /// Whom a call with this message is charged to: who posted it, or else the module's owner; `None`: the operator.
    pub fn charged_to<'a>(&'a self, message: &'a Message) -> Option<&'a AccountId> {
        message.within.as_ref().or(self.owner.as_ref())
    }

    /// Calls of it that may run at once.
    pub fn instances_max(&self) -> usize {
        self.bounds_now().instances
    }

    /// Hands the message to a fresh instance. Blocks; for threads that may.
    pub fn handle(&self, message: &Message) -> Called<Handled> {
        let raw = as_handed_in(message);
        let called = self.prepared.call(
            self.surroundings_for(message),
            &self.bounds_now(),
            message.received_ms,
            seed(message),
            |module, store| module.call_handle_event(store, &raw),
        );
        self.judged(called, message)
    }

    /// Hands the message to an instance, fresh or used before as the module's owner has it. Blocks; for the workers'
    /// threads only.
    pub fn serve(&self, message: &Message) -> Called<Handled> {
        let raw = as_handed_in(message);
        let bounds = self.bounds_now();
        let circumstances = Circumstances {
            account: message.account.as_ref(),
            surroundings: self.surroundings_for(message),
            limits: &bounds,
            now_ms: message.received_ms,
            seed: seed(message),
        };
        let (called, instance) =
            self.reuse.call(&self.prepared, circumstances, |module, store| module.call_handle_event(store, &raw));
        let judged = self.judged(called, message);
        if let (Some(instance), Some(account), Ok(_)) = (instance, &message.account, &judged.result) {
            self.reuse.keep(account, instance);
        }
        judged
    }

    fn surroundings_for(&self, message: &Message) -> Surroundings {
        let mut surroundings = self.surroundings.clone();
        // A tenant's post sees its own subtree, whoever's module it goes through.
        if message.within.is_some() {
            surroundings.within.clone_from(&message.within);
        }
        surroundings
    }
}

/// The message as the contract has it.
pub(super) fn as_handed_in(message: &Message) -> wit::Message {
    wit::Message {
        source: message.source.as_str().to_owned(),
        exchange: message.exchange.clone(),
        routing_key: message.routing_key.clone(),
        category: message.category.clone(),
        name: message.name.clone(),
        account_id: message.account.as_ref().map(AccountId::to_string),
        received_ms: message.received_ms,
        body: message.body.clone(),
    }
}

/// The same message gives the same random numbers.
pub(super) fn seed(message: &Message) -> u64 {
    let text = message.message_id.as_deref().unwrap_or(&message.routing_key);
    text.bytes().fold(message.received_ms ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
