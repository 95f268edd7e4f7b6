//! Components that misbehave, and bytes that are no component. The constants are paths of files that `build.rs` has
//! built from `tests/bad-modules`. Those that load at all make events that are named as their file, with `_` for `-`. [`samples::bad`](crate::samples::bad) is a message for them.

use std::fs;

include!(concat!(env!("OUT_DIR"), "/bad_modules.rs"));

/// The content of one of the files here.
pub fn bytes(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|problem| panic!("cannot read {path}: {problem}"))
}

/// A sound component cut in the middle.
pub fn truncated() -> Vec<u8> {
    let mut component = bytes(ECHO);
    component.truncate(component.len() / 2);
    component
}

/// The first bytes of a component, then noise, the same on every call.
pub fn noise() -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".as_slice(), &random_bytes()].concat()
}

/// Noise alone, the same on every call.
pub fn random_bytes() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        // Xorshift: Marsaglia's constants for 32 bits.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    (0..4096).map(|_| next()).collect()
}

/// A core module that is no component: `(module)`.
pub fn core_module() -> Vec<u8> {
    b"\0asm\x01\0\0\0".to_vec()
}

/// An archive: an empty zip file.
pub fn zip() -> Vec<u8> {
    [b"PK\x05\x06".as_slice(), &[0; 18]].concat()
}

/// The head of a program compiled for this machine, as compiled components are kept in too.
pub fn native_code() -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 57]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_a_component() {
        let at_load = [METADATA_LOOP, WRONG_WORLD, UNKNOWN_IMPORT, IMPOSTOR, BINDINGS_PANIC, WRONG_TYPES];
        let in_calls = [
            TRAP,
            SPIN,
            HOG,
            FLOOD,
            HUGE_OUTPUT,
            BAD_OUTPUT,
            ECHO,
            CLOCK,
            SLEEPER,
            RECURSION,
            MANY_EVENTS,
            CRM,
            CRM_NEXT,
            CRM_BROKEN,
            THIEF,
            BUSY,
            COUNTER,
            COUNTER_NEXT,
        ];
        for path in at_load.into_iter().chain(in_calls) {
            assert!(bytes(path).starts_with(b"\0asm\x0d\0\x01\0"), "{path} is no component");
        }
        assert_ne!(truncated(), bytes(ECHO));
    }
}
