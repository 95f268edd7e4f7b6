//! What a module says before it dies. A panic ends in a trap, and a trap carries no text; so the panic's message and
//! place are written to the module's log first.

use std::panic::PanicHookInfo;

use crate::log;

/// Sends the text of a panic to the module's log from here on.
///
/// Every exported call begins with this, and with a fresh instance for each call that means every message. It stays
/// cheap: the hook is a function without captures, so boxing it allocates nothing, and what remains is one store under
/// a lock that nobody else takes.
pub(crate) fn install() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(speak));
}

/// One line at level `error`.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "native tests keep their own hook"))]
fn speak(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no message");
    match panic.location() {
        Some(place) => log::error(&format!("panicked at {place}: {text}")),
        None => log::error(&format!("panicked: {text}")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hook_is_a_function_without_captures_so_that_boxing_it_allocates_nothing() {
        assert_eq!(size_of_val(&super::speak), 0);
    }
}
