//! Calls of a module that is over its share of the workers: stored before the message is settled, made later, with that
//! module alone, by whichever node claims them.
//!
//! What the module makes then goes the way of all events, and has the webhook ids that it would have had at first. The
//! call is removed when each firing has ended or is stored; so it is made at least once, whatever dies when.

use std::sync::Arc;

use super::Pipeline;
use crate::{
    firing::webhook_id::MessageDigest,
    message::{LeaseToken, Message},
    module::{Handled, Module, ModuleError, dead_letter},
    store::{
        StoreResult,
        stored_calls::{CallChange, StoredCall},
    },
    telemetry::meters,
};

/// How long a call is put back for that could not be made now, ms.
const PUT_BACK_MS: u64 = 100;

impl Pipeline {
    /// Stores the call, for this reason. One that is over the bounds becomes a dead letter.
    pub(super) async fn keep_call(
        &self,
        module: &Module,
        message: &Message,
        digest: &MessageDigest,
        over_share: &ModuleError,
    ) -> StoreResult<()> {
        let account = module.charged_to(message).cloned();
        let call = StoredCall {
            id: digest.call_id(module.id(), account.as_ref()),
            module: module.id().clone(),
            account,
            message: message.clone(),
            created_ms: self.clock.now_ms(),
            lease: None,
        };
        if self.calls.change(CallChange::Keep(Box::new(call))).await? {
            meters::of_module(module.id()).calls_stored.increment(1);
            tracing::debug!(module = %module.id(), reason = %over_share, "call stored, to be made later");
            return Ok(());
        }
        let reason = format!(
            "{over_share}, and as many of its calls are stored as may (modules.stored_calls_per_account_max, \
             modules.stored_call_bytes_per_account_max)"
        );
        let error = ModuleError::NotCalled { reason };
        let letter = dead_letter::of_module(module, message, &error, self.clock.now_ms());
        self.dead_letters.keep(letter).await?;
        meters::of_module(module.id()).dead_letters.increment(1);
        tracing::warn!(module = %module.id(), %error, "the message is kept as a dead letter");
        Ok(())
    }

    /// Makes a stored call that this process has claimed. An error is ours: the call comes back when its lease ends.
    pub async fn make_stored_call(&self, call: StoredCall) -> StoreResult<()> {
        let Some(lease) = call.lease.clone() else { return Ok(()) };
        let message = Arc::new(call.message.clone());
        let wanting = self.modules.wanting(&message);
        let Some(module) = wanting.iter().find(|module| *module.id() == call.module) else {
            return self.give_up_unwanted(&call, lease).await;
        };
        let (handled, trace) = self.call(module, &message).await;
        match handled {
            Ok(Handled::Events(made)) => {
                self.fire_all(&message, &MessageDigest::new(&message), made, trace).await?;
                self.made(&call, lease).await
            }
            Ok(Handled::NotMine) => self.made(&call, lease).await,
            Ok(Handled::Malformed(reason)) => {
                tracing::warn!(module = %call.module, %reason, "the message of a stored call can never work");
                self.made(&call, lease).await
            }
            Err(error @ (ModuleError::OverShare { .. } | ModuleError::Host { .. })) => {
                tracing::debug!(module = %call.module, %error, "a stored call is put back");
                self.put_back(&call, lease, self.clock.now_ms() + PUT_BACK_MS).await
            }
            Err(error) => self.give_up(&call, lease, &module.metadata.version, &error).await,
        }
    }

    /// The module is gone, or does not ask for such messages any more.
    async fn give_up_unwanted(&self, call: &StoredCall, lease: LeaseToken) -> StoreResult<()> {
        let active = self.modules.get(&call.module);
        let reason = match (&active, self.modules.set_aside().get(&call.module)) {
            (Some(_), _) => "it does not ask for such messages any more".to_owned(),
            (None, Some(reason)) => format!("it is set aside: {reason}"),
            (None, None) => "it is not active any more".to_owned(),
        };
        let version = active.as_ref().map_or("", |module| &module.metadata.version);
        self.give_up(call, lease, version, &ModuleError::NotCalled { reason }).await
    }

    async fn give_up(
        &self,
        call: &StoredCall,
        lease: LeaseToken,
        version: &str,
        error: &ModuleError,
    ) -> StoreResult<()> {
        let letter = dead_letter::of_call(call, version, error, self.clock.now_ms());
        let change = CallChange::GivenUp { id: call.id.clone(), lease, letter: Box::new(letter) };
        if self.calls.change(change).await? {
            let module = &call.module;
            meters::of_module(module).dead_letters.increment(1);
            tracing::warn!(%module, version, %error, "a stored call cannot be made; its message is kept as a dead letter");
        }
        Ok(())
    }

    async fn made(&self, call: &StoredCall, lease: LeaseToken) -> StoreResult<()> {
        self.calls.change(CallChange::Made { id: call.id.clone(), lease }).await?;
        meters::of_module(&call.module).stored_calls_made.increment(1);
        Ok(())
    }

    /// Others may claim it from then on.
    pub(super) async fn put_back(&self, call: &StoredCall, lease: LeaseToken, free_ms: u64) -> StoreResult<()> {
        self.calls.change(CallChange::PutBack { id: call.id.clone(), lease, free_ms }).await?;
        Ok(())
    }
}
