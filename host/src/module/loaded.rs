//! One module: a component that was compiled, checked and asked for its metadata, and the calls into it.

mod handing;
mod rehearsal;

use std::{borrow::Cow, collections::BTreeSet, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use ring::digest;
use serde_json::Value;
use tokio::runtime::Handle;

pub use rehearsal::UsedInstance;

use super::{
    AccountLimits, ModuleError,
    bindings::hookbox::webhook::types as wit,
    compiler::Compiler,
    description::{Binding, Metadata, checked_bindings},
    engine::Engines,
    guest::{GuestLimits, Surroundings},
    guest_log::{Level, LogLines},
    limits,
    quarantine::Quarantine,
    reuse::{IdleInstances, Reuse},
    sandbox::{Called, Prepared},
    workers::pace::Pace,
    world::World,
};
use crate::{
    hook::{EVENT_ALL, Hook},
    message::{AccountId, Event, Message, ModuleId, Object, UnixMs},
    settings::{FiringSettings, ModuleSettings},
    store::registered_modules::{ModuleVersion, RegisteredModule},
};

/// Metadata and bindings may take so many times the time of a message: they are asked for once.
const LOAD_TIME_FACTOR: u64 = 10;

/// Where a module came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built from source and embedded in the program.
    BuiltIn,
    /// A file of `modules.dir`.
    Folder(PathBuf),
    /// The store: a tenant's.
    Stored,
}

/// One version of one module, ready to be called.
pub struct Module {
    /// What it goes by everywhere: the name in its metadata, with the owner's account before it when it is a tenant's.
    id: ModuleId,
    /// What it says about itself.
    pub metadata: Metadata,
    /// What it binds and wants.
    pub bindings: Vec<Binding>,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Where it came from.
    pub origin: Origin,
    /// The tenant whose it is, outside whose subtree it sees and makes nothing; `None` for the operator's.
    pub owner: Option<AccountId>,
    /// Whether the hooks of the accounts below the owner may have its events too.
    pub offered: bool,
    /// Limits of its own, checked by [`super::limits`].
    pub limits: Object,
    selectors: Arc<[String]>,
    prepared: Prepared,
    surroundings: Surroundings,
    bounds: Bounds,
    operators: OperatorIds,
    pub(super) quarantine: Quarantine,
    /// How long its calls have taken of late.
    pub(super) pace: Pace,
    reuse: Reuse,
}

/// The ids of the operator's modules, as they are now: events of their names are theirs alone to make.
pub type OperatorIds = Arc<ArcSwap<BTreeSet<ModuleId>>>;

/// The bounds of a module's calls.
#[derive(Clone, Debug)]
struct Bounds {
    /// The component's own, under the operator's.
    guest: GuestLimits,
    /// What the owner's accounts have besides.
    of_accounts: Arc<AccountLimits>,
    events_max: usize,
    output_bytes_max: usize,
    firing: Arc<FiringSettings>,
}

/// An event, and the hook that travelled with it when there was one: then it fires at that hook alone.
pub type Made = (Event, Option<Arc<Hook>>);

/// What a module made of a message.
#[derive(Debug, PartialEq)]
pub enum Handled {
    /// What it made; may be nothing.
    Events(Vec<Made>),
    /// The message is of no interest to it.
    NotMine,
    /// It says that the message can never work.
    Malformed(String),
}

/// With what modules are loaded.
pub struct Loader {
    /// The two engines.
    pub engines: Engines,
    /// Compiles, or takes from the cache.
    pub compiler: Compiler,
    /// Bounds.
    pub modules: ModuleSettings,
    /// Bounds of inline hooks.
    pub firing: Arc<FiringSettings>,
    /// Kept by the registry.
    pub operators: OperatorIds,
    /// Where instances wait that are used more than once.
    pub idle: Arc<IdleInstances>,
    /// What is set for accounts; nothing until the store was read.
    pub account_limits: Arc<AccountLimits>,
}

impl Loader {
    /// Loads a module of the operator's: compiles it, checks it against the world and asks for its metadata and bindings.
    /// Takes as long as the compiler does; to be called on a thread of tokio's that may block.
    pub fn load(
        &self,
        component: &[u8],
        origin: Origin,
        surroundings: Surroundings,
        now_ms: UnixMs,
    ) -> Result<Module, ModuleError> {
        let prepared = self.prepare(component, false)?;
        let limits = GuestLimits::new(&self.modules);
        let _running = self.engines.running();
        let metadata = self.metadata(&prepared, &surroundings, &limits, now_ms)?;
        let bindings = self.bindings(&prepared, &surroundings, &limits, now_ms)?;
        let id = metadata.id.clone();
        let mut module = self.module(id, metadata, bindings, prepared, surroundings);
        module.digest = digest_of(component);
        if matches!(origin, Origin::Folder(_)) {
            module.bounds.guest.reuse = self.modules.dir_reuse.min(self.modules.reuse_max);
        }
        module.origin = origin;
        Ok(module)
    }

    /// Loads a version of a tenant's module. What the check has found out about it is not asked again. As slow as
    /// [`Self::load`].
    pub fn load_stored(
        &self,
        component: &[u8],
        record: &RegisteredModule,
        version: &ModuleVersion,
        surroundings: Surroundings,
    ) -> Result<Module, ModuleError> {
        let Some(metadata) = version.metadata.clone() else {
            return Err(ModuleError::World { reason: "it is a transform".into() });
        };
        let prepared = self.prepare(component, true)?;
        let loaded = self.module(record.id(), metadata, version.bindings.clone(), prepared, surroundings);
        Ok(loaded.of_tenant(record, version.digest.clone(), &self.modules))
    }

    /// The same version of a tenant's module, when what the tenant says about it has changed.
    pub fn reload(&self, loaded: &Module, record: &RegisteredModule, surroundings: Surroundings) -> Module {
        let (metadata, bindings) = (loaded.metadata.clone(), loaded.bindings.clone());
        let again = self.module(record.id(), metadata, bindings, loaded.prepared.clone(), surroundings);
        again.of_tenant(record, loaded.digest.clone(), &self.modules)
    }

    /// Compiles a component and checks it against its world; `apart`: in a process of its own. Blocks as long as that
    /// takes.
    pub(super) fn prepare<W: World>(&self, component: &[u8], apart: bool) -> Result<Prepared<W>, ModuleError> {
        let engine = self.engines.for_component(component);
        let compiled = if apart {
            // This thread is one that may wait, here for a process.
            Handle::current().block_on(self.compiler.load_apart(engine, component.into()))?
        } else {
            self.compiler.load(engine, component)?
        };
        Prepared::new(engine, &compiled)
    }

    /// The bounds of what is asked once, by those of a call.
    pub(super) fn at_load(limits: &GuestLimits) -> GuestLimits {
        GuestLimits {
            time_limit_ms: limits.time_limit_ms * LOAD_TIME_FACTOR,
            fuel_max: limits.fuel_max.saturating_mul(LOAD_TIME_FACTOR),
            ..limits.clone()
        }
    }

    /// Asks a component what it is.
    pub(super) fn metadata(
        &self,
        prepared: &Prepared,
        surroundings: &Surroundings,
        limits: &GuestLimits,
        now_ms: UnixMs,
    ) -> Result<Metadata, ModuleError> {
        let limits = Self::at_load(limits);
        let called =
            prepared.call(surroundings.clone(), &limits, now_ms, 0, |module, store| module.call_metadata(store));
        called.result.and_then(Metadata::checked)
    }

    /// Asks a component what to bind.
    pub(super) fn bindings(
        &self,
        prepared: &Prepared,
        surroundings: &Surroundings,
        limits: &GuestLimits,
        now_ms: UnixMs,
    ) -> Result<Vec<Binding>, ModuleError> {
        let limits = Self::at_load(limits);
        let called =
            prepared.call(surroundings.clone(), &limits, now_ms, 0, |module, store| module.call_bindings(store));
        let routing_keys_max = usize::try_from(self.modules.bindings_max).unwrap_or(usize::MAX);
        called.result.and_then(|raw| checked_bindings(raw, routing_keys_max))
    }

    /// A module that is being checked: confined to the account of its surroundings, under these limits, never active.
    pub(super) fn on_trial(
        &self,
        prepared: Prepared,
        metadata: Metadata,
        bindings: Vec<Binding>,
        surroundings: Surroundings,
        limits: GuestLimits,
    ) -> Module {
        let owner = surroundings.within.clone();
        let id = match &owner {
            Some(owner) => ModuleId::of_tenant(owner, metadata.id.as_str()),
            None => metadata.id.clone(),
        };
        let module = self.module(id, metadata, bindings, prepared, surroundings);
        Module { owner, bounds: Bounds { guest: limits, ..self.bounds() }, ..module }
    }

    /// One that is the operator's until somebody says otherwise.
    fn module(
        &self,
        id: ModuleId,
        metadata: Metadata,
        bindings: Vec<Binding>,
        prepared: Prepared,
        surroundings: Surroundings,
    ) -> Module {
        Module {
            id,
            selectors: metadata.selectors.clone().into(),
            metadata,
            bindings,
            digest: String::new(),
            origin: Origin::BuiltIn,
            owner: None,
            offered: false,
            limits: Object::new(),
            prepared,
            surroundings,
            bounds: self.bounds(),
            operators: Arc::clone(&self.operators),
            quarantine: Quarantine::new(&self.modules),
            pace: Pace::default(),
            reuse: self.idle.for_version(),
        }
    }

    fn bounds(&self) -> Bounds {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Bounds {
            guest: GuestLimits::new(&self.modules),
            of_accounts: Arc::clone(&self.account_limits),
            events_max: size(self.modules.events_max),
            output_bytes_max: size(self.modules.output_bytes_max),
            firing: Arc::clone(&self.firing),
        }
    }
}

/// SHA-256 of a component, in hex.
pub fn digest_of(component: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, component).as_ref())
}

impl Module {
    /// Its id.
    pub fn id(&self) -> &ModuleId {
        &self.id
    }

    /// The name of its events as a rule: its id without the account.
    pub fn name(&self) -> &str {
        self.metadata.id.as_str()
    }

    fn of_tenant(self, record: &RegisteredModule, digest: String, settings: &ModuleSettings) -> Self {
        let quarantine = record.quarantine.as_ref().map(|quarantine| Arc::new(quarantine.reason.clone()));
        Self {
            digest,
            origin: Origin::Stored,
            owner: Some(record.account.clone()),
            offered: record.offered,
            bounds: Bounds { guest: limits::of_calls(&record.limits, settings), ..self.bounds },
            limits: record.limits.clone(),
            quarantine: self.quarantine.with(quarantine),
            ..self
        }
    }

    /// The bounds of a call, as they are now: what is set for its owner's accounts counts from the next call on.
    pub fn bounds_now(&self) -> Cow<'_, GuestLimits> {
        match &self.owner {
            None => Cow::Borrowed(&self.bounds.guest),
            Some(owner) => {
                let Bounds { guest, of_accounts, .. } = &self.bounds;
                Cow::Owned(of_accounts.bound(guest, owner, &self.surroundings.accounts))
            }
        }
    }

    /// Whether this is what the record says, so that nothing has to be loaded.
    pub fn is_as(&self, record: &RegisteredModule) -> bool {
        record.active.as_ref() == Some(&self.digest)
            && self.offered == record.offered
            && self.limits == record.limits
            && *self.surroundings.settings == record.settings
            && self.quarantine().as_deref() == record.quarantine.as_ref().map(|quarantine| &quarantine.reason)
    }

    /// Why it is in quarantine, when it is.
    pub fn quarantine(&self) -> Option<Arc<String>> {
        self.quarantine.reason()
    }

    /// What the host makes of a component's answer.
    fn judged(&self, called: Called<Result<Vec<wit::Event>, wit::HandleError>>, message: &Message) -> Called<Handled> {
        let Called { result, log, cost } = called;
        let result = match result {
            Ok(Ok(events)) => match self.checked_events(events, message) {
                // Of what a tenant posts through an operator's module, the tenant is to blame: charged to the module,
                // a few posts would put it into quarantine for everybody.
                Err(error @ ModuleError::ForeignAccount { .. }) if self.owner.is_none() => {
                    Ok(Handled::Malformed(error.to_string()))
                }
                checked => checked.map(Handled::Events),
            },
            Ok(Err(wit::HandleError::NotMine)) => Ok(Handled::NotMine),
            Ok(Err(wit::HandleError::Malformed(reason))) => Ok(Handled::Malformed(bounded(&reason))),
            Ok(Err(wit::HandleError::Failed(reason))) => Err(ModuleError::Failed { reason: bounded(&reason) }),
            Err(error) => Err(with_last_words(error, &log)),
        };
        Called { result, log, cost }
    }

    /// What the host makes sure of, whatever the module gave.
    fn checked_events(&self, raw: Vec<wit::Event>, message: &Message) -> Result<Vec<Made>, ModuleError> {
        let refuse = |reason: String| Err(ModuleError::Output { reason });
        if raw.len() > self.bounds.events_max {
            return refuse(format!(
                "{} events; {} are allowed (modules.events_max)",
                raw.len(),
                self.bounds.events_max
            ));
        }
        let bytes: usize = raw.iter().map(|event| event.payload.len()).sum();
        if bytes > self.bounds.output_bytes_max {
            let most = self.bounds.output_bytes_max;
            return refuse(format!("{bytes} bytes of payload; {most} are allowed (modules.output_bytes_max)"));
        }
        raw.into_iter().map(|event| self.checked_event(event, message)).collect()
    }

    fn checked_event(&self, raw: wit::Event, message: &Message) -> Result<Made, ModuleError> {
        let payload: Object = serde_json::from_str(&raw.payload)
            .map_err(|error| ModuleError::Output { reason: format!("a payload is not a JSON object: {error}") })?;
        let account = AccountId::from(raw.account_id);
        // The narrower of the two: a tenant's module may be handed another tenant's post.
        let within = match (&self.owner, &message.within) {
            (Some(owner), Some(poster)) if self.surroundings.accounts.is_within(owner, poster) => Some(owner),
            (owner, poster) => poster.as_ref().or(owner.as_ref()),
        };
        let foreign = within.is_some_and(|root| !self.surroundings.accounts.is_within(&account, root));
        if foreign {
            return Err(ModuleError::ForeignAccount { account: account.to_string() });
        }
        // Who may have its events: without an offer, the owner alone.
        let hooks_of = self.owner.as_ref().filter(|_| !self.offered);
        if self.owner.is_some() && (raw.hook_event == EVENT_ALL || self.operators.load().contains(&*raw.hook_event)) {
            let reason = format!("{:?} is the operator's to make; name the event as the module", raw.hook_event);
            return Err(ModuleError::Output { reason });
        }
        if raw.inline_hook.is_some() && hooks_of.is_some_and(|owner| *owner != account) {
            return Err(ModuleError::ForeignAccount { account: account.to_string() });
        }
        let inline = raw.inline_hook.as_deref().map(|text| self.inline_hook(text, &account)).transpose()?;
        let event = Event {
            module: self.id.clone(),
            hook_event: raw.hook_event,
            account,
            payload,
            facets: raw.facets,
            selectors: Arc::clone(&self.selectors),
            internal_leg: raw.internal_leg,
            within: within.cloned(),
            hooks_of: hooks_of.cloned(),
            trace: None,
        };
        Ok((event, inline))
    }

    fn inline_hook(&self, text: &str, account: &AccountId) -> Result<Arc<Hook>, ModuleError> {
        let refuse = |reason: String| ModuleError::Output { reason: format!("an inline hook {reason}") };
        let document: Value = serde_json::from_str(text).map_err(|error| refuse(format!("is not JSON: {error}")))?;
        let Value::Object(document) = document else { return Err(refuse("is not a JSON object".into())) };
        let hook = Hook::inline(&document, &self.bounds.firing).map_err(|problems| refuse(problems.to_string()))?;
        // A hook is fired in its account's name, so it is held to the same rule as the event.
        if hook.account != *account {
            return Err(ModuleError::ForeignAccount { account: hook.account.to_string() });
        }
        Ok(Arc::new(hook))
    }
}

/// A trap with what the SDKs log before it (a panic's text, an exception's): it says more than "unreachable".
pub(super) fn with_last_words(error: ModuleError, log: &LogLines) -> ModuleError {
    let ModuleError::Trap { reason } = error else { return error };
    // Rust's hook ends with a note on backtraces.
    let mut lines = log.lines.iter().rev().filter(|line| !line.text.starts_with("note: "));
    // An engine inside the component may add words of its own, at lower levels.
    let last = lines.clone().find(|line| line.level == Level::Error).or_else(|| lines.next());
    ModuleError::Trap { reason: last.map_or(reason.clone(), |line| format!("{reason} ({})", bounded(&line.text))) }
}

/// A module's own words, short enough for a log line and a record.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
