//! Quarantines as they stand on this node, of whatever version is loaded: those of the operator's components as the store
//! has them, and those that are put and lifted here.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use super::Modules;
use crate::{
    message::ModuleId,
    module::{Module, quarantine::Quarantine},
    store::module_faults::Component,
};

impl Modules {
    /// Obeys the store: these components of the operator's modules are in quarantine, and no others, except those that it has
    /// not heard of yet.
    pub fn obey_quarantines(&self, quarantined: HashMap<Component, Arc<String>>) {
        // Under the lock, so that what is loaded meanwhile finds the new ones.
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.quarantined.store(Arc::new(quarantined));
        for module in &loaded.operators {
            self.obey_quarantine(module);
        }
    }

    /// Has a module stand as the store says, when that is known.
    pub(super) fn obey_quarantine(&self, module: &Module) {
        let of = Component { module: module.id().clone(), digest: module.digest.clone() };
        match self.quarantined.load().get(&of) {
            Some(reason) => drop(module.quarantine.put(Arc::clone(reason))),
            None if module.quarantine.obey_lifted() => {
                tracing::info!(module = %of.module, version = module.metadata.version, "no longer in quarantine");
            }
            None => {}
        }
    }

    /// Puts a version in quarantine, where it is loaded here. `true` when it was not in quarantine yet.
    pub fn put_in_quarantine(&self, of: &Component, reason: &Arc<String>) -> bool {
        let mut is_new = false;
        self.each_version(&of.module, |digest, quarantine| {
            is_new |= *digest == of.digest && quarantine.put(Arc::clone(reason));
        });
        is_new
    }

    /// Lifts whatever quarantine the versions of a module or transform are in here, and forgets what this node has counted.
    pub fn lift_quarantine(&self, id: &ModuleId) {
        self.each_version(id, |_, quarantine| quarantine.lift());
    }

    /// The versions of this name that are loaded: of a module the one, of a transform all.
    fn each_version(&self, id: &ModuleId, mut act: impl FnMut(&String, &Quarantine)) {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let operators = loaded.operators.iter().filter(|module| module.id() == id);
        for module in operators.chain(loaded.tenants.get(id)) {
            act(&module.digest, &module.quarantine);
        }
        drop(loaded);
        let Some((account, name)) = id.tenant_and_name() else { return };
        for transform in self.transforms.registered(&account, name).iter().flat_map(|there| &there.versions) {
            act(&transform.digest, &transform.quarantine);
        }
    }
}
