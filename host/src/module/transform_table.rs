//! Which transforms there are, by account and name, and which of them a hook gets.
//!
//! A hook names a transform; it is looked for with the hook's account, then with the accounts above it, the nearest
//! first. An ancestor's counts only when it is offered. The first that is found decides, also when it has no such version.

use std::{collections::BTreeMap, sync::Arc};

use dashmap::DashMap;
use thiserror::Error;

use super::{Transform, guest::GuestLimits};
use crate::{
    account::AccountTree,
    hook::{ACTIVE_VERSION, TransformUse},
    message::{AccountId, ModuleId},
};

/// All transforms.
#[derive(Default)]
pub struct TransformTable {
    by_account: DashMap<AccountId, BTreeMap<String, Arc<RegisteredTransform>>>,
}

/// What an account registered under one name.
#[derive(Default)]
pub struct RegisteredTransform {
    /// The versions, in the order in which they were registered.
    pub versions: Vec<Arc<Transform>>,
    /// The digest of the active one.
    pub active: Option<String>,
    /// Whether hooks of the accounts below may use it.
    pub offered: bool,
    /// Key/value pairs for the `settings` import; a hook's own count more.
    pub settings: Arc<BTreeMap<String, String>>,
    /// The bounds of a call, as the owner has them, under the operator's; the operator's when none are set.
    pub limits: Option<GuestLimits>,
}

/// What a hook gets.
#[derive(Clone)]
pub struct FoundTransform {
    /// The version.
    pub transform: Arc<Transform>,
    /// The pairs that its owner set.
    pub settings: Arc<BTreeMap<String, String>>,
    /// The bounds that its owner set.
    pub limits: Option<GuestLimits>,
}

/// Why a hook's transform is not there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoTransform {
    /// Nothing of that name that the hook may use.
    #[error("there is no transform {name} of the account, and none that an account above it offers")]
    NoSuchName {
        /// The name.
        name: String,
    },
    /// The hook follows the active version.
    #[error("no version of {id} is active; activate one")]
    NoneActive {
        /// The transform.
        id: ModuleId,
    },
    /// The hook wants one version.
    #[error("{id} has no version {version}; there are {}", there.join(", "))]
    NoSuchVersion {
        /// The transform.
        id: ModuleId,
        /// What the hook asks for.
        version: String,
        /// The semantic versions that there are.
        there: Vec<String>,
    },
}

/// A transform that an account's hooks may use, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableTransform {
    /// How a hook names it.
    pub name: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Semantic versions and digests.
    pub versions: Vec<(String, String)>,
    /// Whether one of them is active.
    pub is_active: bool,
}

impl TransformTable {
    /// Puts in what an account registered under a name, in the place of what was there.
    pub fn put(&self, owner: AccountId, name: &str, registered: RegisteredTransform) {
        self.by_account.entry(owner).or_default().insert(name.to_owned(), Arc::new(registered));
    }

    /// Takes out what an account registered under a name.
    pub fn remove(&self, owner: &AccountId, name: &str) {
        if let Some(mut names) = self.by_account.get_mut(owner) {
            names.remove(name);
        }
        self.by_account.remove_if(owner, |_, names| names.is_empty());
    }

    /// What a hook of the account gets.
    pub fn find(
        &self,
        accounts: &AccountTree,
        account: &AccountId,
        wanted: &TransformUse,
    ) -> Result<FoundTransform, NoTransform> {
        let own = self.registered(account, &wanted.module);
        let found = own.map(|registered| (account.clone(), registered)).or_else(|| {
            let above = accounts.ancestors(account)?;
            above.iter().rev().find_map(|owner| {
                let offered = self.registered(owner, &wanted.module).filter(|registered| registered.offered)?;
                Some((owner.clone(), offered))
            })
        });
        let (owner, registered) = found.ok_or_else(|| NoTransform::NoSuchName { name: wanted.module.clone() })?;
        let transform = registered.version(&wanted.version).ok_or_else(|| {
            let id = ModuleId::from(format!("{owner}/{}", wanted.module));
            match wanted.follows_active() {
                true => NoTransform::NoneActive { id },
                false => NoTransform::NoSuchVersion {
                    id,
                    version: wanted.version.clone(),
                    there: registered.versions.iter().map(|transform| transform.version.clone()).collect(),
                },
            }
        })?;
        Ok(FoundTransform { transform, settings: Arc::clone(&registered.settings), limits: registered.limits.clone() })
    }

    /// All that hooks of the account may use, by name.
    pub fn usable(&self, accounts: &AccountTree, account: &AccountId) -> Vec<UsableTransform> {
        let above = accounts.ancestors(account);
        let line = above.iter().flat_map(|above| above.iter()).chain([account]);
        let mut usable = BTreeMap::new();
        // From the root down, so that the nearest comes last and stays.
        for owner in line {
            let Some(names) = self.by_account.get(owner) else { continue };
            for (name, registered) in names.iter().filter(|(_, there)| owner == account || there.offered) {
                let versions = registered.versions.iter();
                let entry = UsableTransform {
                    name: name.clone(),
                    owner: owner.clone(),
                    versions: versions.map(|version| (version.version.clone(), version.digest.clone())).collect(),
                    is_active: registered.version(ACTIVE_VERSION).is_some(),
                };
                usable.insert(name.clone(), entry);
            }
        }
        usable.into_values().collect()
    }

    /// Whether there is a transform of this qualified id.
    pub fn contains(&self, id: &ModuleId) -> bool {
        let Some((owner, name)) = id.as_str().split_once('/') else { return false };
        self.registered(&owner.into(), name).is_some()
    }

    /// What an account registered under a name.
    pub fn registered(&self, owner: &AccountId, name: &str) -> Option<Arc<RegisteredTransform>> {
        self.by_account.get(owner)?.get(name).cloned()
    }
}

impl RegisteredTransform {
    /// The version of this digest or of this semantic version (the latest, when it was registered twice), or the active one.
    pub fn version(&self, wanted: &str) -> Option<Arc<Transform>> {
        let digest = if wanted == ACTIVE_VERSION { self.active.as_deref()? } else { wanted };
        let mut latest_first = self.versions.iter().rev();
        let is_wanted = |transform: &&Arc<Transform>| {
            transform.digest == digest || (wanted != ACTIVE_VERSION && transform.version == wanted)
        };
        latest_first.find(is_wanted).cloned()
    }
}
