//! What a Hookbox module is written with.
//!
//! A module is a WebAssembly component that says which messages it wants and turns each into events:
//!
//! ```no_run
//! use hookbox_sdk::{Binding, Event, HandleError, Message, Metadata, Module};
//!
//! struct Doorbell;
//!
//! impl Module for Doorbell {
//!     fn metadata() -> Metadata {
//!         Metadata::new("doorbell", "Doorbell", env!("CARGO_PKG_VERSION")).description("Someone is at the door")
//!     }
//!
//!     fn bindings() -> Vec<Binding> {
//!         vec![Binding::topic("house").routing_key("door.#").category("door").name("rung")]
//!     }
//!
//!     fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
//!         let account = message.account_id.ok_or(HandleError::NotMine)?;
//!         Ok(vec![Event::new("doorbell", account, message.body)])
//!     }
//! }
//!
//! hookbox_sdk::module!(Doorbell);
//! ```
//!
//! Built with `cargo build --target wasm32-wasip2` (crate type `cdylib`) this is a component, ready to be pushed to a
//! host. A [`Transform`] is made the same way with [`transform!`].
//!
//! The parts, in the order in which an author meets them:
//!
//! - [`Module`] and [`Transform`]: the traits; [`module!`] and [`transform!`] export them;
//! - [`Message`] in, [`Event`] out, [`HandleError`] when there is none; [`Metadata`] and [`Binding`] once at load;
//! - [`JsonObject`] writes payloads, key by key;
//! - [`log`], [`settings`] and [`accounts`]: all that a module may ask of the host;
//! - [`rehearsal`]: runs a module or a transform in its own tests, natively, with settings and accounts of the test's making;
//! - [`kazoo`]: reads KAZOO's messages as KAZOO does.
//!
//! The contract itself, with units and bounds, is `wit/v1`; the comments on the types here come from it.

// The generated export macros name this crate by its outside name.
extern crate self as hookbox_sdk;

#[doc(hidden)]
pub mod bindings;

mod module;
mod transform;

mod binding;
mod event;
mod json_object;
mod metadata;

pub mod accounts;
pub mod log;
pub mod settings;

pub mod kazoo;

mod last_words;
#[cfg(not(target_family = "wasm"))]
pub mod rehearsal;

pub use bindings::hookbox::webhook::types::{
    Binding, Event, ExchangeKind, Firing, HandleError, Message, Metadata, Sample,
};
pub use json_object::{JsonObject, JsonValue};
pub use module::Module;
pub use transform::Transform;

#[doc(hidden)]
pub use {module::ExportedModule, transform::ExportedTransform};
