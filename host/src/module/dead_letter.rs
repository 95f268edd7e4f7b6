//! What is kept when a module fails on a message, and when a message is given up altogether.

use crate::{
    message::{Message, ModuleId, UnixMs},
    module::{Module, ModuleError},
    store::{DeadLetter, stored_calls::StoredCall},
};

/// The dead letter of a message that a module failed on.
pub fn of_module(module: &Module, message: &Message, error: &ModuleError, now_ms: UnixMs) -> DeadLetter {
    DeadLetter {
        id: 0,
        at_ms: now_ms,
        module: Some(module.id().clone()),
        module_version: module.metadata.version.clone(),
        reason: error.to_string(),
        owner: message.within.as_ref().or(module.owner.as_ref()).cloned(),
        message: message.clone(),
    }
}

/// The dead letter of a stored call that cannot be made. `version` is the module's now, empty when it is gone.
pub fn of_call(call: &StoredCall, version: &str, error: &ModuleError, now_ms: UnixMs) -> DeadLetter {
    DeadLetter {
        id: 0,
        at_ms: now_ms,
        module: Some(call.module.clone()),
        module_version: version.to_owned(),
        reason: error.to_string(),
        owner: call.account.clone(),
        message: call.message.clone(),
    }
}

/// The dead letter of a message that the broker gave up delivering.
pub fn of_broker(message: &Message, now_ms: UnixMs) -> DeadLetter {
    DeadLetter {
        id: 0,
        at_ms: now_ms,
        module: None::<ModuleId>,
        module_version: String::new(),
        reason: "the broker delivered it as often as it may (amqp.delivery_limit); Hookbox died or failed each time"
            .into(),
        owner: message.within.clone(),
        message: message.clone(),
    }
}
