//! Calling a transform: found for the hook, onto the workers in a line of its own, back within the request's time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{
    ModuleError, Modules, Transform,
    bindings::hookbox::webhook::types as wit,
    charging::Charged,
    faults::FailedOn,
    sandbox::Cost,
    transform::{TransformInput, TransformName},
    transform_table::{FoundTransform, NoTransform, UsableTransform},
    workers::lines::Asked,
};
use crate::{hook::TransformUse, message::AccountId};

/// What a transform made of a firing, after the host's check of it; `None`: dropped. And what the call cost.
pub type Transformed<T> = (Result<Option<T>, ModuleError>, Cost);

impl Modules {
    /// Compiles a component that an account registered as a transform, and checks it against the world.
    pub async fn load_transform(
        &self,
        component: Vec<u8>,
        registered: TransformName,
    ) -> Result<Arc<Transform>, ModuleError> {
        let (loader, accounts) = (Arc::clone(&self.loader), Arc::clone(&self.accounts));
        tokio::task::spawn_blocking(move || loader.load_transform(&component, registered, accounts).map(Arc::new))
            .await
            .unwrap_or_else(|panic| Err(ModuleError::Host { reason: format!("loading panicked: {panic}") }))
    }

    /// What a hook of the account gets.
    pub fn find_transform(&self, account: &AccountId, wanted: &TransformUse) -> Result<FoundTransform, NoTransform> {
        self.transforms.find(&self.accounts, account, wanted)
    }

    /// What hooks of the account may use.
    pub fn usable_transforms(&self, account: &AccountId) -> Vec<UsableTransform> {
        self.transforms.usable(&self.accounts, account)
    }

    /// `modules.output_bytes_max`.
    pub fn output_bytes_max(&self) -> usize {
        usize::try_from(self.loader.modules.output_bytes_max).unwrap_or(usize::MAX)
    }

    /// Hands a firing to a transform, and what it gave to `check`, on a worker. Waits no longer than `patience`. What the
    /// transform does wrong, and what `check` refuses with words of its own, is charged to it.
    pub async fn transform<T: Send + 'static>(
        &self,
        transform: &Arc<Transform>,
        input: TransformInput,
        patience: Duration,
        check: impl FnOnce(wit::Firing) -> Result<T, String> + Send + 'static,
    ) -> Transformed<T> {
        let not_called = |reason: String| (Err(ModuleError::NotCalled { reason }), Cost::default());
        if let Some(reason) = transform.quarantine.reason() {
            return not_called(format!("it is in quarantine: {reason}"));
        }
        let (answer, answered) = oneshot::channel();
        let (account, mean) = (input.account.clone(), transform.pace.mean());
        let asked = Asked {
            module: &transform.id,
            account: Some(&account),
            mean,
            patience: Some(patience),
            // Whoever waits gives up by themselves.
            leaves: false,
            at_once_max: transform.instances_max(&input),
            account_at_once_max: self.at_once_of(Some(&account)),
        };
        let job = {
            let (transform, charging) = (Arc::clone(transform), self.charging.clone());
            move || {
                // Whoever waited has given up: it would be work for nobody.
                if answer.is_closed() {
                    return;
                }
                let called = transform.call(&input).checked(check);
                transform.pace.note(called.cost.time_us);
                // Here, and not where it is waited for: nobody waits for a call that outlives the request's time.
                let Transform { id, version, digest, quarantine, .. } = &*transform;
                let (account, on) = (Some(&input.account), FailedOn::Firing(&input.firing.webhook_id));
                charging.charge(&Charged { id, version, digest, on, account, quarantine }, &called);
                drop(answer.send((called.result, called.cost)));
            }
        };
        if let Err(no_place) = self.workers.submit(&asked, Box::new(job)) {
            return not_called(no_place.to_string());
        }
        match timeout(patience, answered).await {
            Ok(Ok(transformed)) => transformed,
            Ok(Err(_)) => (Err(ModuleError::Host { reason: "the call panicked in the host".into() }), Cost::default()),
            Err(_) => {
                not_called(format!("it had not answered when the request's {} ms were over", patience.as_millis()))
            }
        }
    }
}
