//! One version of one transform: a component that was compiled and checked against its world, and the calls into it.
//!
//! What a transform gives is not believed here: [`crate::firing::transform`] has the rules.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    AccountLimits, ModuleError,
    bindings::{hookbox::webhook::types as wit, transform::WebhookTransform},
    guest::{GuestLimits, Surroundings},
    loaded::{Loader, bounded, digest_of, with_last_words},
    quarantine::Quarantine,
    reuse::{Circumstances, Reuse},
    sandbox::{Called, Prepared},
    workers::pace::Pace,
};
use crate::{
    account::AccountTree,
    message::{AccountId, ModuleId, UnixMs},
};

/// One version of one transform, ready to be called.
pub struct Transform {
    /// `account/name`: what stands in attempts, logs, counters and the workers' lines.
    pub id: ModuleId,
    /// The account that registered it.
    pub owner: AccountId,
    /// Its name within that account.
    pub name: String,
    /// Its semantic version, as its owner gave it.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// What it has done wrong of late.
    pub quarantine: Quarantine,
    /// How long its calls have taken of late.
    pub(super) pace: Pace,
    prepared: Prepared<WebhookTransform>,
    accounts: Arc<AccountTree>,
    limits: GuestLimits,
    of_accounts: Arc<AccountLimits>,
    reuse: Reuse,
}

/// What a component is registered as.
#[derive(Clone, Debug)]
pub struct TransformName {
    /// By whom.
    pub owner: AccountId,
    /// Under which name, `[a-z0-9_]{1,64}`.
    pub name: String,
    /// As which semantic version.
    pub version: String,
}

/// What a transform is called with, besides its component.
#[derive(Clone, Debug)]
pub struct TransformInput {
    /// What it may change.
    pub firing: wit::Firing,
    /// The hook's account: the `accounts` import answers for its subtree.
    pub account: AccountId,
    /// What the `settings` import answers with.
    pub settings: Arc<BTreeMap<String, String>>,
    /// The bounds of the call; the operator's when none are given.
    pub limits: Option<GuestLimits>,
    /// Where its clocks stand: when the message was taken in, so that every try sees the same.
    pub now_ms: UnixMs,
}

impl Loader {
    /// Compiles a component and checks it against the world of transforms. Takes as long as the compiler does; not to be
    /// called on a thread of tokio.
    pub fn load_transform(
        &self,
        component: &[u8],
        registered: TransformName,
        accounts: Arc<AccountTree>,
    ) -> Result<Transform, ModuleError> {
        let prepared = self.prepare(component, true)?;
        let digest = digest_of(component);
        Ok(self.transform(prepared, registered, digest, accounts, GuestLimits::new(&self.modules)))
    }

    /// A transform that is being checked: under these limits, never registered.
    pub(super) fn transform_on_trial(
        &self,
        prepared: Prepared<WebhookTransform>,
        surroundings: &Surroundings,
        limits: GuestLimits,
    ) -> Transform {
        let owner = surroundings.within.clone().unwrap_or_else(|| "author".into());
        let registered = TransformName { owner, name: "on_trial".into(), version: "0.0.0".into() };
        self.transform(prepared, registered, String::new(), Arc::clone(&surroundings.accounts), limits)
    }

    fn transform(
        &self,
        prepared: Prepared<WebhookTransform>,
        registered: TransformName,
        digest: String,
        accounts: Arc<AccountTree>,
        limits: GuestLimits,
    ) -> Transform {
        let TransformName { owner, name, version } = registered;
        Transform {
            id: format!("{owner}/{name}").into(),
            owner,
            name,
            version,
            digest,
            quarantine: Quarantine::new(&self.modules),
            pace: Pace::default(),
            prepared,
            accounts,
            limits,
            of_accounts: Arc::clone(&self.account_limits),
            reuse: self.idle.for_version(),
        }
    }
}

impl Transform {
    /// Calls of it that may run at once, under these limits.
    pub fn instances_max(&self, input: &TransformInput) -> usize {
        self.bounds_now(input).instances
    }

    /// The bounds of a call, as they are now: its owner's, whoever's hook it is for.
    fn bounds_now(&self, input: &TransformInput) -> GuestLimits {
        let limits = input.limits.as_ref().unwrap_or(&self.limits);
        self.of_accounts.bound(limits, &self.owner, &self.accounts)
    }

    /// Hands the firing to an instance, fresh or used before as the transform's owner has it; `None`: it is dropped. Blocks;
    /// for the workers' threads only.
    pub fn call(&self, input: &TransformInput) -> Called<Option<wit::Firing>> {
        self.call_among(&self.accounts, input)
    }

    /// As [`Self::call`], in another tree of accounts.
    pub fn call_among(&self, accounts: &Arc<AccountTree>, input: &TransformInput) -> Called<Option<wit::Firing>> {
        let bounds = self.bounds_now(input);
        let circumstances = Circumstances {
            account: Some(&input.account),
            surroundings: Surroundings {
                accounts: Arc::clone(accounts),
                within: Some(input.account.clone()),
                settings: Arc::clone(&input.settings),
            },
            limits: &bounds,
            now_ms: input.now_ms,
            seed: seed(&input.firing.webhook_id),
        };
        let (called, instance) = self
            .reuse
            .call(&self.prepared, circumstances, |transform, store| transform.call_transform(store, &input.firing));
        let Called { result, log, cost } = called;
        // Also one that refused a firing in words of its own is not used again.
        if let (Some(instance), Ok(Ok(_))) = (instance, &result) {
            self.reuse.keep(&input.account, instance);
        }
        let result = match result {
            Ok(Ok(firing)) => Ok(firing),
            Ok(Err(reason)) => Err(ModuleError::Failed { reason: bounded(&reason) }),
            Err(error) => Err(with_last_words(error, &log)),
        };
        Called { result, log, cost }
    }
}

/// The same firing gives the same random numbers on every try: FNV-1a of its id.
fn seed(webhook_id: &str) -> u64 {
    webhook_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
