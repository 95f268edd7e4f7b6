//! Which modules are active, and which messages each is to be handed.
//!
//! The operator's modules come with the program and from `modules.dir`; tenants' come from the store ([`super::stored`]).
//! What is active is arranged anew on each change, from both: the operator's always are, a tenant's is unless the rules
//! for tenants ([`super::tenant_rules`]) say no; then it is set aside with the reason, and comes back when the reason goes.
//! Whoever hands a message on takes the list as it is at that moment, so a message sees one version of a module, and a call
//! ends on the version that it began with.

mod quarantines;
mod to_bind;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use wasmtime::PoolingAllocatorMetrics;

pub use self::to_bind::BindingKey;
use super::{
    AccountLimits, Limit, Module, ModuleError, Origin, TransformTable,
    account_limits::Ceiling,
    built_in::{BUILT_IN, SKEL},
    charging::Charging,
    description::Binding,
    faults::FaultQueue,
    guest::{GuestLimits, Surroundings},
    ledger::Ledger,
    loaded::{Loader, OperatorIds},
    log_book::LogBooks,
    tenant_rules::{Allowed, Standing},
    workers::{Workers, WorkersNow},
};
use crate::{
    account::AccountTree,
    clock::Clock,
    live::Live,
    message::{AccountId, Message, ModuleId},
    store::module_faults::Component,
};

/// The active modules, and the workers that call them.
pub struct Modules {
    active: ArcSwap<Vec<Arc<Module>>>,
    /// What is loaded, active or not; held by whoever changes it.
    loaded: Mutex<Loaded>,
    /// Tenants' modules that are not active although their owners want it, with the reason.
    set_aside: ArcSwap<BTreeMap<ModuleId, String>>,
    operators: OperatorIds,
    /// What tenants may bind; known when the built-in modules are.
    allowed: ArcSwap<Allowed>,
    tenant_bindings: Vec<String>,
    /// What could not be loaded, by name, with the reason: for `/readyz` and `doctor`.
    refused: ArcSwap<BTreeMap<String, String>>,
    bindings: watch::Sender<Arc<BTreeSet<BindingKey>>>,
    /// What the broker has been asked to bind.
    bound: watch::Sender<Arc<BTreeSet<BindingKey>>>,
    pub(super) loader: Arc<Loader>,
    pub(super) workers: Workers,
    pub(super) accounts: Arc<AccountTree>,
    settings: Arc<BTreeMap<String, String>>,
    clock: Clock,
    pub(super) charging: Charging,
    /// Which of the operator's components the store has in quarantine, and why.
    quarantined: ArcSwap<HashMap<Component, Arc<String>>>,
    /// The transforms of tenants.
    pub transforms: TransformTable,
}

/// All modules that are loaded.
#[derive(Default)]
struct Loaded {
    operators: Vec<Arc<Module>>,
    tenants: BTreeMap<ModuleId, Arc<Module>>,
    /// Tenants' that cannot be loaded, and why.
    not_loaded: BTreeMap<ModuleId, String>,
}

impl Modules {
    /// A registry without modules.
    pub fn new(
        loader: Arc<Loader>,
        workers: Workers,
        accounts: Arc<AccountTree>,
        settings: BTreeMap<String, String>,
        clock: Clock,
    ) -> Self {
        let charging = Charging::new(&loader.modules, clock.clone());
        Self {
            active: ArcSwap::default(),
            loaded: Mutex::default(),
            set_aside: ArcSwap::default(),
            operators: Arc::clone(&loader.operators),
            allowed: ArcSwap::from_pointee(Allowed::AsBuiltIn(BTreeSet::new())),
            tenant_bindings: loader.modules.tenant_bindings.clone(),
            refused: ArcSwap::default(),
            bindings: watch::Sender::default(),
            bound: watch::Sender::default(),
            loader,
            workers,
            accounts,
            settings: Arc::new(settings),
            charging,
            quarantined: ArcSwap::default(),
            clock,
            transforms: TransformTable::default(),
        }
    }

    /// What the workers do at this moment.
    pub fn workers_now(&self) -> WorkersNow {
        self.workers.now()
    }

    /// How full the pools of instances are, by engine.
    pub fn pools(&self) -> impl Iterator<Item = (&'static str, PoolingAllocatorMetrics)> {
        self.loader.engines.pools()
    }

    /// Loads the built-in modules. One that cannot be loaded is left out and named in [`Self::refused`].
    pub async fn load_built_in(&self) {
        for (name, component) in BUILT_IN {
            self.load(name, component, Origin::BuiltIn).await;
        }
        let built_in = self.active.load().iter().flat_map(|module| &module.bindings).flat_map(Binding::keys).collect();
        self.allowed.store(Arc::new(Allowed::new(&self.tenant_bindings, built_in)));
        self.change(|_| ());
    }

    /// Loads skel's component, which `serve` never does: the demo shows the template at work.
    pub async fn load_skel(&self) {
        self.load("skel", SKEL, Origin::BuiltIn).await;
    }

    /// Loads a component and makes it active, in place of one with the same id. `false`, and the reason kept, when it
    /// cannot be used.
    pub async fn load(&self, name: &str, component: &'static [u8], origin: Origin) -> bool {
        self.load_bytes(name, component.to_vec(), origin).await
    }

    /// As [`Self::load`].
    pub async fn load_bytes(&self, name: &str, component: Vec<u8>, origin: Origin) -> bool {
        let (loader, surroundings, now_ms) = (Arc::clone(&self.loader), self.surroundings(), self.clock.now_ms());
        let loaded = tokio::task::spawn_blocking({
            let origin = origin.clone();
            move || loader.load(&component, origin, surroundings, now_ms)
        })
        .await
        .unwrap_or_else(|panic| Err(ModuleError::Host { reason: format!("loading panicked: {panic}") }));
        let loaded = loaded.and_then(|module| self.may_take_the_name(module));
        match loaded {
            Ok(module) => {
                tracing::info!(module = %module.id(), version = module.metadata.version, "module loaded");
                self.activate(Arc::new(module));
                self.no_longer_refused(name);
                true
            }
            Err(error) => {
                self.refuse(name, error.to_string());
                false
            }
        }
    }

    /// Notes why something cannot be loaded; says so once.
    pub fn refuse(&self, name: &str, reason: String) {
        if self.refused.load().get(name) != Some(&reason) {
            tracing::error!(module = name, error = reason, "module refused; the host goes on without it");
            self.change_refused(|refused| drop(refused.insert(name.to_owned(), reason.clone())));
        }
    }

    /// Takes back what [`Self::refuse`] noted.
    pub fn no_longer_refused(&self, name: &str) {
        if self.refused.load().contains_key(name) {
            self.change_refused(|refused| drop(refused.remove(name)));
        }
    }

    /// Takes out what was loaded from this file.
    pub fn unload_file(&self, path: &Path) {
        let gone = |module: &Arc<Module>| matches!(&module.origin, Origin::Folder(from) if from == path);
        self.change(|loaded| loaded.operators.retain(|module| !gone(module)));
        self.no_longer_refused(&path.display().to_string());
    }

    /// Takes in a tenant's module, in the place of the version that was there.
    pub fn put_stored(&self, module: Module) {
        self.change(|loaded| {
            loaded.not_loaded.remove(module.id());
            loaded.tenants.insert(module.id().clone(), Arc::new(module));
        });
    }

    /// Takes out a tenant's module.
    pub fn remove_stored(&self, id: &ModuleId) {
        self.change(|loaded| {
            loaded.not_loaded.remove(id);
            loaded.tenants.remove(id);
        });
    }

    /// Notes why the version that a tenant wants cannot be loaded here; one that was loaded before goes on.
    pub fn stored_not_loaded(&self, id: &ModuleId, reason: String) {
        tracing::warn!(module = %id, %reason, "a tenant's module cannot be loaded");
        self.change(|loaded| drop(loaded.not_loaded.insert(id.clone(), reason)));
    }

    /// A tenant's module that is loaded, active or set aside.
    pub fn stored(&self, id: &ModuleId) -> Option<Arc<Module>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).tenants.get(id).cloned()
    }

    /// Why tenants' modules are not active that their owners have activated.
    pub fn set_aside(&self) -> Arc<BTreeMap<ModuleId, String>> {
        self.set_aside.load_full()
    }

    /// Why a tenant's module of this name with these bindings cannot become active, if it cannot. `id` is its own, whose
    /// active version does not stand in its way.
    pub fn refusal(&self, id: &ModuleId, name: &str, bindings: &[Binding]) -> Option<String> {
        let (operators, allowed) = (self.operators.load(), self.allowed.load());
        let mut standing = Standing { operators: &operators, allowed: &allowed, exchanges: BTreeMap::new() };
        for module in self.active.load().iter().filter(|module| module.id() != id) {
            standing.take(&module.bindings);
        }
        standing.refusal(name, bindings)
    }

    /// The active modules whose events the account's hooks may name: the operator's, its own, and those that the accounts
    /// above it offer. Without an account, the operator's.
    pub fn seen_by(&self, account: Option<&AccountId>) -> Vec<Arc<Module>> {
        let is_seen = |module: &&Arc<Module>| match (&module.owner, account) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(owner), Some(account)) => {
                owner == account || (module.offered && self.accounts.is_within(account, owner))
            }
        };
        self.active.load().iter().filter(is_seen).cloned().collect()
    }

    /// The active modules.
    pub fn active(&self) -> Arc<Vec<Arc<Module>>> {
        self.active.load_full()
    }

    /// The active module of this id.
    pub fn get(&self, id: &ModuleId) -> Option<Arc<Module>> {
        self.active.load().iter().find(|module| module.id() == id).cloned()
    }

    /// Tells of quarantines here from now on.
    pub fn tell(&self, live: &Live) {
        // Wired once.
        let _ = self.charging.live.set(live.clone());
    }

    /// What is set for accounts.
    pub fn account_limits(&self) -> &AccountLimits {
        &self.loader.account_limits
    }

    /// How much there may be for an account.
    pub fn ceiling(&self, limit: Limit, account: &AccountId) -> Ceiling {
        self.loader.account_limits.ceiling(limit, account, &self.accounts, &self.loader.modules)
    }

    /// How much may be set for an account, by an account above it.
    pub fn ceiling_above(&self, limit: Limit, account: &AccountId) -> Ceiling {
        self.loader.account_limits.ceiling_above(limit, account, &self.accounts, &self.loader.modules)
    }

    /// The bounds of a call of a component that the account may come to own.
    pub fn bounds_of(&self, account: &AccountId) -> GuestLimits {
        let of_operator = GuestLimits::new(&self.loader.modules);
        self.loader.account_limits.bound(&of_operator, account, &self.accounts)
    }

    /// What calls cost.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.charging.ledger
    }

    /// What modules and transforms logged last.
    pub fn logs(&self) -> &LogBooks {
        &self.charging.logs
    }

    /// What was done wrong, and waits to be written.
    pub fn faults(&self) -> &Arc<FaultQueue> {
        &self.charging.faults
    }

    /// What could not be loaded, and why.
    pub fn refused(&self) -> Arc<BTreeMap<String, String>> {
        self.refused.load_full()
    }

    /// The modules that are to be handed this message. A tenant's module gets only what belongs to its subtree.
    pub fn wanting(&self, message: &Message) -> Vec<Arc<Module>> {
        let active = self.active.load();
        let wants = |module: &&Arc<Module>| {
            let wants = |binding: &Binding| {
                binding.wants(&message.category, &message.name)
                    // What tenants may bind is the operator's to say, so what comes by other exchanges is not theirs.
                    && (module.owner.is_none() || binding.exchange == message.exchange)
            };
            module.bindings.iter().any(wants)
                && module.owner.as_ref().is_none_or(|owner| {
                    message.account.as_ref().is_some_and(|account| self.accounts.is_within(account, owner))
                })
        };
        active.iter().filter(wants).cloned().collect()
    }

    /// A file may replace what it held before, but no built-in and no other file's module: which of two is active would
    /// hang on the order in which they were found.
    fn may_take_the_name(&self, module: Module) -> Result<Module, ModuleError> {
        let there = self.get(module.id()).filter(|there| there.owner.is_none() && there.origin != module.origin);
        let Some(there) = there else {
            return Ok(module);
        };
        let (id, refuse) = (module.id(), |reason| Err(ModuleError::Description { what: "metadata", reason }));
        match &there.origin {
            Origin::BuiltIn | Origin::Stored => {
                refuse(format!("id {id} is the name of a built-in module; choose another"))
            }
            Origin::Folder(path) => {
                refuse(format!("id {id} is the name of the module in {}; take one of them away", path.display()))
            }
        }
    }

    /// In the place of the one with the same id, and of the one that the same file held before.
    fn activate(&self, module: Arc<Module>) {
        let same_file = |other: &Module| matches!(other.origin, Origin::Folder(_)) && other.origin == module.origin;
        self.change(|loaded| {
            loaded.operators.retain(|other| other.id() != module.id() && !same_file(other));
            self.obey_quarantine(&module);
            loaded.operators.push(Arc::clone(&module));
        });
    }

    /// Changes what is loaded, arranges anew what is active, and tells what is to be bound.
    fn change(&self, change: impl FnOnce(&mut Loaded)) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut loaded);
        let operators: BTreeSet<ModuleId> = loaded.operators.iter().map(|module| module.id().clone()).collect();
        let allowed = self.allowed.load();
        let mut standing = Standing { operators: &operators, allowed: &allowed, exchanges: BTreeMap::new() };
        let (mut active, mut set_aside) = (loaded.operators.clone(), loaded.not_loaded.clone());
        for module in &active {
            standing.take(&module.bindings);
        }
        // In the order of their ids, so that every node comes to the same.
        for (id, module) in &loaded.tenants {
            match standing.refusal(module.name(), &module.bindings) {
                None => {
                    standing.take(&module.bindings);
                    active.push(Arc::clone(module));
                }
                Some(reason) => drop(set_aside.insert(id.clone(), reason)),
            }
        }
        for (id, reason) in set_aside.iter().filter(|(id, _)| !self.set_aside.load().contains_key(*id)) {
            tracing::warn!(module = %id, %reason, "a tenant's module is set aside");
        }
        self.operators.store(Arc::new(operators));
        self.active.store(Arc::new(active));
        self.set_aside.store(Arc::new(set_aside));
        // Still under the lock, so that bindings are told in the order of the changes.
        self.publish_bindings();
    }

    fn change_refused(&self, change: impl Fn(&mut BTreeMap<String, String>)) {
        self.refused.rcu(|refused| {
            let mut refused = BTreeMap::clone(refused);
            change(&mut refused);
            refused
        });
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings { accounts: Arc::clone(&self.accounts), within: None, settings: Arc::clone(&self.settings) }
    }

    /// What a tenant's module is given: its own settings, and its own subtree.
    pub fn surroundings_of(&self, owner: &AccountId, settings: BTreeMap<String, String>) -> Surroundings {
        let (accounts, within) = (Arc::clone(&self.accounts), Some(owner.clone()));
        Surroundings { accounts, within, settings: Arc::new(settings) }
    }
}
