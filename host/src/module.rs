//! Stage 2, module: a sandboxed component turns a message into events.
//!
//! The cast: a [`Module`] is a component that was compiled, checked and asked for its metadata; the [`registry`] knows
//! which are active and which messages each is to be handed; the [`workers`] make the calls, on threads of their own;
//! [`sandbox`] is one call. What a module does wrong is a [`ModuleError`], charged to it: the message goes on to the
//! other modules, and is kept for this one ([`dead_letter`]).
//!
//! Not guaranteed: that a module is called once for a message. After a crash the message comes back, and is handed to
//! every module again.

pub mod kind;
pub mod bindings;
pub mod built_in;
pub mod engine;
pub mod compiler;
pub mod compile_helper;
pub mod check;
pub mod guest;
pub mod guest_log;
pub mod imports;
pub mod world;
pub mod page_faults;
pub mod sandbox;
pub mod reuse;
pub mod quarantine;
pub mod faults;
pub mod workers;
pub mod description;
pub mod loaded;
pub mod transform;
pub mod transform_table;
pub mod ledger;
pub mod log_book;
pub mod charging;
pub mod tenant_rules;
pub mod registry;
pub mod quarantining;
pub mod stored;
pub mod stored_calls;
pub mod limits;
pub mod account_limits;
pub mod recent_messages;
pub mod dry_run;
pub mod calling;
pub mod transforming;
pub mod watcher;
pub mod dead_letter;

use thiserror::Error;

pub use account_limits::{AccountLimits, Limit, Whose};
pub use check::Step;
pub use kind::Kind;
pub use loaded::{Handled, Made, Module, Origin, UsedInstance};
pub use registry::Modules;
pub use transform::Transform;
pub use transform_table::TransformTable;

/// What a module did wrong, or what is wrong with it. Charged to the module, except for [`ModuleError::Host`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ModuleError {
    // At load.
    /// The bytes are no component, or none that compiles.
    #[error("not a usable component: {reason}")]
    NotAComponent {
        /// What is wrong.
        reason: String,
    },
    /// It imports what is not offered.
    #[error("it imports what no world of Hookbox offers: {reason}")]
    Import {
        /// Which import.
        reason: String,
    },
    /// It lacks an export of the world, or has it with other types.
    #[error("it does not fit the world {reason}")]
    World {
        /// Which world, and which export.
        reason: String,
    },
    /// Its metadata or bindings are out of bounds.
    #[error("its {what} cannot be used: {reason}")]
    Description {
        /// `metadata` or `bindings`.
        what: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },

    /// Compiling it took more than may be spent on one component.
    #[error(
        "it is too costly to compile: it takes more than {limit} {unit} ({setting}); make it smaller, or split its largest functions"
    )]
    TooCostly {
        /// The setting.
        setting: &'static str,
        /// Its value.
        limit: u64,
        /// Of what, e.g. `s of CPU`.
        unit: &'static str,
    },
    /// It was uploaded, and the check refused it.
    #[error("refused at {step}: {error}")]
    Refused {
        /// The step of the check that it did not pass.
        step: Step,
        /// What is wrong.
        error: Box<ModuleError>,
    },

    // In a call.
    /// It trapped.
    #[error("it trapped: {reason}")]
    Trap {
        /// The trap, and the panic's text when it logged one.
        reason: String,
    },
    /// It ran past its time.
    #[error("it ran past {limit_ms} ms; raise {} or mend the module", whose.naming(Limit::TimeLimitMs))]
    Time {
        /// How long it may run.
        limit_ms: u64,
        /// By whose say.
        whose: Whose,
    },
    /// It burnt its fuel.
    #[error("it burnt its {limit} units of fuel; raise {} or mend the module", whose.naming(Limit::FuelMax))]
    Fuel {
        /// What it may burn.
        limit: u64,
        /// By whose say.
        whose: Whose,
    },
    /// It asked for too much memory, and then failed.
    #[error(
        "it asked for {asked_bytes} bytes of memory, {limit_bytes} are allowed; raise {} or mend the module",
        whose.naming(Limit::MemoryBytesMax)
    )]
    Memory {
        /// What it would have had, summed over its memories.
        asked_bytes: usize,
        /// What it may have.
        limit_bytes: usize,
        /// By whose say.
        whose: Whose,
    },
    /// What it gave cannot be used.
    #[error("its output cannot be used: {reason}")]
    Output {
        /// What is wrong.
        reason: String,
    },
    /// It made an event for an account that it may not speak for.
    #[error("it made an event for account {account}, outside the subtree that it may speak for")]
    ForeignAccount {
        /// The account that it named.
        account: String,
    },
    /// It said itself that it failed.
    #[error("it failed: {reason}")]
    Failed {
        /// Its own words.
        reason: String,
    },
    /// It is over its share of the workers: the call is stored and made later.
    #[error("it is over its share of the workers: {reason}")]
    OverShare {
        /// In words.
        reason: String,
    },
    /// It is in quarantine, or its call cannot be made: the message is kept for it.
    #[error("it was not called: {reason}")]
    NotCalled {
        /// Why.
        reason: String,
    },

    // Ours.
    /// The host could not make the call; not the module's fault.
    #[error("the host could not call it: {reason}")]
    Host {
        /// Why.
        reason: String,
    },
}

impl ModuleError {
    /// Whether it counts towards quarantine.
    pub fn is_charged(&self) -> bool {
        !matches!(self, Self::Host { .. } | Self::OverShare { .. } | Self::NotCalled { .. } | Self::Failed { .. })
    }

    /// One word for counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAComponent { .. } => "not-a-component",
            Self::Import { .. } => "import",
            Self::World { .. } => "world",
            Self::Description { .. } => "description",
            Self::TooCostly { .. } => "too-costly",
            Self::Refused { error, .. } => error.kind(),
            Self::Trap { .. } => "trap",
            Self::Time { .. } => "time",
            Self::Fuel { .. } => "fuel",
            Self::Memory { .. } => "memory",
            Self::Output { .. } => "output",
            Self::ForeignAccount { .. } => "foreign-account",
            Self::Failed { .. } => "failed",
            Self::OverShare { .. } => "over-share",
            Self::NotCalled { .. } => "not-called",
            Self::Host { .. } => "host",
        }
    }
}
