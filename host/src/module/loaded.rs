//! One module: a component that was compiled, checked and asked for its metadata, and the calls into it.

mod rehearsal;

use std::{path::PathBuf, sync::Arc};

use ring::digest;
use serde_json::Value;
use tokio::runtime::Handle;
use wasmtime::{Engine, component::Component};

pub use rehearsal::UsedInstance;

use super::{
    ModuleError,
    bindings::hookbox::webhook::types as wit,
    compiler::Compiler,
    description::{Binding, Metadata, checked_bindings},
    engine::Engines,
    guest::{GuestLimits, Surroundings},
    guest_log::{Level, LogLines},
    quarantine::Quarantine,
    sandbox::{Called, Prepared},
};
use crate::{
    hook::Hook,
    message::{AccountId, Event, Message, ModuleId, Object, UnixMs},
    settings::{FiringSettings, ModuleSettings},
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
}

/// One version of one module, ready to be called.
pub struct Module {
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
    selectors: Arc<[String]>,
    prepared: Prepared,
    surroundings: Surroundings,
    bounds: Bounds,
    pub(super) quarantine: Quarantine,
}

/// The bounds of a module's calls.
#[derive(Clone, Debug)]
struct Bounds {
    guest: GuestLimits,
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
}

impl Loader {
    /// Compiles a component, checks it against the world and asks for its metadata and bindings. A tenant's is compiled in
    /// a process apart. Takes as long as the compiler does; to be called on a thread of tokio's that may block.
    pub fn load(
        &self,
        component: &[u8],
        origin: Origin,
        owner: Option<AccountId>,
        surroundings: Surroundings,
        now_ms: UnixMs,
    ) -> Result<Module, ModuleError> {
        let engine = self.engines.for_component(component);
        let compiled = self.compiled(engine, component, owner.is_some())?;
        let prepared = Prepared::new(engine, &compiled)?;
        let limits = Bounds::new(&self.modules, &self.firing).guest;
        let _running = self.engines.running();
        let metadata = self.metadata(&prepared, &surroundings, &limits, now_ms)?;
        let bindings = self.bindings(&prepared, &surroundings, &limits, now_ms)?;
        let digest = hex::encode(digest::digest(&digest::SHA256, component).as_ref());
        Ok(self.module(prepared, metadata, bindings, digest, origin, owner, surroundings, limits))
    }

    /// The component, compiled; a tenant's in a process apart. Blocks as long as that takes.
    pub(super) fn compiled(&self, engine: &Engine, component: &[u8], apart: bool) -> Result<Component, ModuleError> {
        if apart {
            // This thread is one that may wait, here for a process.
            Handle::current().block_on(self.compiler.load_apart(engine, component.into()))
        } else {
            self.compiler.load(engine, component)
        }
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

    /// A module of what is known of it.
    #[expect(clippy::too_many_arguments, reason = "each is a field of the module")]
    pub(super) fn module(
        &self,
        prepared: Prepared,
        metadata: Metadata,
        bindings: Vec<Binding>,
        digest: String,
        origin: Origin,
        owner: Option<AccountId>,
        surroundings: Surroundings,
        limits: GuestLimits,
    ) -> Module {
        Module {
            selectors: metadata.selectors.clone().into(),
            metadata,
            bindings,
            digest,
            origin,
            owner,
            prepared,
            surroundings,
            bounds: Bounds { guest: limits, ..Bounds::new(&self.modules, &self.firing) },
            quarantine: Quarantine::new(&self.modules),
        }
    }
}

impl Bounds {
    fn new(settings: &ModuleSettings, firing: &Arc<FiringSettings>) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            guest: GuestLimits::new(settings),
            events_max: size(settings.events_max),
            output_bytes_max: size(settings.output_bytes_max),
            firing: Arc::clone(firing),
        }
    }
}

impl Module {
    /// Its id.
    pub fn id(&self) -> &ModuleId {
        &self.metadata.id
    }

    /// Why it is in quarantine, when it is.
    pub fn quarantine(&self) -> Option<Arc<String>> {
        self.quarantine.reason()
    }

    /// Hands the message to a fresh instance. Blocks; for the workers' threads only.
    pub fn handle(&self, message: &Message) -> Called<Handled> {
        let raw = as_handed_in(message);
        let mut surroundings = self.surroundings.clone();
        // A tenant's post sees its own subtree, whoever's module it goes through.
        if message.within.is_some() {
            surroundings.within.clone_from(&message.within);
        }
        let called = self.prepared.call(
            surroundings,
            &self.bounds.guest,
            message.received_ms,
            seed(message),
            |module, store| module.call_handle_event(store, &raw),
        );
        self.judged(called, message)
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
        let inline = raw.inline_hook.as_deref().map(|text| self.inline_hook(text, &account)).transpose()?;
        let event = Event {
            module: self.metadata.id.clone(),
            hook_event: raw.hook_event,
            account,
            payload,
            facets: raw.facets,
            selectors: Arc::clone(&self.selectors),
            internal_leg: raw.internal_leg,
            within: within.cloned(),
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

/// The message as the contract has it.
fn as_handed_in(message: &Message) -> wit::Message {
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
fn seed(message: &Message) -> u64 {
    let text = message.message_id.as_deref().unwrap_or(&message.routing_key);
    text.bytes().fold(message.received_ms ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
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
