//! Hookbox: messages from a broker or over HTTP, through sandboxed components, to signed HTTP requests.
//!
//! The modules are listed as data flows; imports point upwards. Read [`pipeline`] first.

pub mod settings;
pub mod clock;
pub mod message;
pub mod account;
pub mod hook;
pub mod firing;
pub mod attempt;
pub mod store;
