//! Hookbox: messages from a broker or over HTTP, through sandboxed components, to signed HTTP requests.
//!
//! The modules are listed as data flows; imports point upwards. Read [`pipeline`] first.

pub mod command;
pub mod settings;
pub mod host;
pub mod pipeline;
pub mod message;
pub mod broker;
pub mod live;
pub mod ingress;
pub mod module;
pub mod account;
pub mod hook;
pub mod firing;
pub mod attempt;
pub mod notice;
pub mod store;
pub mod changes;
pub mod audit;
pub mod kazoo;
pub mod console;
pub mod api;
pub mod supervisor;
pub mod clock;
pub mod error_chain;
pub mod telemetry;
