//! Which modules are active, and which messages each is to be handed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    Module, ModuleError, Origin, TransformTable, charging::Charging, description::Binding, guest::Surroundings,
    ledger::Ledger, loaded::Loader, log_book::LogBooks, workers::Workers,
};
use crate::{
    account::AccountTree,
    clock::Clock,
    message::{Message, ModuleId},
    settings::KazooSettings,
};

include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// The active modules, and the workers that call them.
pub struct Modules {
    active: ArcSwap<Vec<Arc<Module>>>,
    /// What could not be loaded, by name, with the reason: for `/readyz` and `doctor`.
    refused: ArcSwap<BTreeMap<String, String>>,
    bindings: watch::Sender<Arc<BTreeSet<BindingKey>>>,
    pub(super) loader: Arc<Loader>,
    pub(super) workers: Workers,
    pub(super) accounts: Arc<AccountTree>,
    settings: Arc<BTreeMap<String, String>>,
    clock: Clock,
    pub(super) charging: Charging,
    /// The transforms of tenants.
    pub transforms: TransformTable,
}

/// One thing to bind: what the broker needs to know of a [`Binding`], routing key by routing key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingKey {
    /// The exchange.
    pub exchange: String,
    /// Its kind, as AMQP spells it.
    pub kind: String,
    /// Whether it is declared durable.
    pub durable: bool,
    /// The key to bind with.
    pub routing_key: String,
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
            refused: ArcSwap::default(),
            bindings: watch::Sender::default(),
            loader,
            workers,
            accounts,
            settings: Arc::new(settings),
            charging,
            clock,
            transforms: TransformTable::default(),
        }
    }

    /// Loads the built-in modules. One that cannot be loaded is left out and named in [`Self::refused`].
    pub async fn load_built_in(&self) {
        for (name, component) in BUILT_IN {
            self.load(name, component, Origin::BuiltIn).await;
        }
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
            move || loader.load(&component, origin, None, surroundings, now_ms)
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
        self.active.rcu(|active| active.iter().filter(|module| !gone(module)).cloned().collect::<Vec<_>>());
        self.no_longer_refused(&path.display().to_string());
        self.publish_bindings();
    }

    /// The active modules.
    pub fn active(&self) -> Arc<Vec<Arc<Module>>> {
        self.active.load_full()
    }

    /// The active module of this id.
    pub fn get(&self, id: &ModuleId) -> Option<Arc<Module>> {
        self.active.load().iter().find(|module| module.id() == id).cloned()
    }

    /// What calls cost.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.charging.ledger
    }

    /// What modules and transforms logged last.
    pub fn logs(&self) -> &LogBooks {
        &self.charging.logs
    }

    /// What could not be loaded, and why.
    pub fn refused(&self) -> Arc<BTreeMap<String, String>> {
        self.refused.load_full()
    }

    /// What the active modules ask to be bound; changes are told.
    pub fn bindings(&self) -> watch::Receiver<Arc<BTreeSet<BindingKey>>> {
        self.bindings.subscribe()
    }

    /// The modules that are to be handed this message. A tenant's module gets only what belongs to its subtree.
    pub fn wanting(&self, message: &Message) -> Vec<Arc<Module>> {
        let active = self.active.load();
        let wants = |module: &&Arc<Module>| {
            module.bindings.iter().any(|binding| binding.wants(&message.category, &message.name))
                && module.owner.as_ref().is_none_or(|owner| {
                    message.account.as_ref().is_some_and(|account| self.accounts.is_within(account, owner))
                })
        };
        active.iter().filter(wants).cloned().collect()
    }

    /// A file may replace what it held before, but no built-in and no other file's module: which of two is active would
    /// hang on the order in which they were found.
    fn may_take_the_name(&self, module: Module) -> Result<Module, ModuleError> {
        let Some(there) = self.get(module.id()).filter(|there| there.origin != module.origin) else {
            return Ok(module);
        };
        let (id, refuse) = (module.id(), |reason| Err(ModuleError::Description { what: "metadata", reason }));
        match &there.origin {
            Origin::BuiltIn => refuse(format!("id {id} is the name of a built-in module; choose another")),
            Origin::Folder(path) => {
                refuse(format!("id {id} is the name of the module in {}; take one of them away", path.display()))
            }
        }
    }

    /// In the place of the one with the same id, and of the one that the same file held before.
    fn activate(&self, module: Arc<Module>) {
        let same_file = |other: &Module| matches!(other.origin, Origin::Folder(_)) && other.origin == module.origin;
        self.active.rcu(|active| {
            let others = active.iter().filter(|other| other.id() != module.id() && !same_file(other)).cloned();
            others.chain([Arc::clone(&module)]).collect::<Vec<_>>()
        });
        self.publish_bindings();
    }

    fn publish_bindings(&self) {
        let active = self.active.load();
        let all = active.iter().flat_map(|module| &module.bindings).flat_map(Binding::keys).collect();
        self.bindings.send_if_modified(|there| {
            let changed = **there != all;
            if changed {
                *there = Arc::new(all);
            }
            changed
        });
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
}

impl Binding {
    fn keys(&self) -> impl Iterator<Item = BindingKey> + '_ {
        let kind = match self.kind {
            super::description::ExchangeKind::Topic => "topic",
            super::description::ExchangeKind::Direct => "direct",
            super::description::ExchangeKind::Fanout => "fanout",
            super::description::ExchangeKind::Headers => "headers",
        };
        self.routing_keys.iter().map(move |routing_key| BindingKey {
            exchange: self.exchange.clone(),
            kind: kind.to_owned(),
            durable: self.durable,
            routing_key: routing_key.clone(),
        })
    }
}

/// What the operator's settings give to the built-in modules, as the `settings` import answers it.
pub fn settings_for_modules(kazoo: &KazooSettings, object_types: &[String]) -> BTreeMap<String, String> {
    let list = |items: &[String]| serde_json::Value::from(items.to_vec()).to_string();
    let field = match kazoo.inbound_user_field {
        crate::settings::InboundUserField::Request => "Request",
        crate::settings::InboundUserField::To => "To",
    };
    BTreeMap::from([
        ("reserved_ccv_keys".to_owned(), list(&kazoo.reserved_ccv_keys)),
        ("inbound_user_field".to_owned(), field.to_owned()),
        ("assume_inbound_e164".to_owned(), kazoo.assume_inbound_e164.to_string()),
        ("object_types".to_owned(), list(object_types)),
    ])
}
