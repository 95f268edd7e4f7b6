//! The module's own log, which its owner reads.
//!
//! Lines are bounded by the host; what is too much is dropped and counted, and never harms the call.

pub use crate::bindings::hookbox::webhook::log::Level;

/// What an author wants to know while writing the module.
pub fn debug(text: &str) {
    line(Level::Debug, text);
}

/// What happened.
pub fn info(text: &str) {
    line(Level::Info, text);
}

/// Something that was worked around and should be looked at.
pub fn warn(text: &str) {
    line(Level::Warn, text);
}

/// Something that went wrong.
pub fn error(text: &str) {
    line(Level::Error, text);
}

#[cfg(target_family = "wasm")]
fn line(level: Level, text: &str) {
    crate::bindings::hookbox::webhook::log::log(level, text);
}

#[cfg(not(target_family = "wasm"))]
fn line(level: Level, text: &str) {
    crate::rehearsal::stage::log(level, text);
}
