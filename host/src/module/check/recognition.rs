//! What the bytes are, by their beginning: the first three steps of the check, which cost nothing.

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::Engine;

use super::Step;
use crate::module::ModuleError;

/// Whether the bytes are a component of a size that is taken; else at which step they are refused.
pub fn recognise(bytes: &[u8], bytes_max: usize) -> Result<(), (Step, ModuleError)> {
    let refuse = |step, reason: String| Err((step, ModuleError::NotAComponent { reason }));
    if bytes.len() > bytes_max {
        let size = bytes.len();
        let reason = format!("it has {size} bytes; at most {bytes_max} are taken (modules.component_bytes_max)");
        return refuse(Step::Size, reason);
    }
    if Engine::detect_precompiled(bytes).is_some() {
        let reason = "it is compiled code; give the component that it was compiled from";
        return refuse(Step::CompiledCode, reason.into());
    }
    if !bytes.starts_with(b"\0asm") {
        let what = what_else(bytes);
        return refuse(Step::Component, format!("it is not WebAssembly: it does not begin with `\\0asm`{what}"));
    }
    // The first payload decides; the rest is read by the bounds.
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
        Some(Err(error)) => refuse(Step::Component, format!("it is broken: {error}")),
        _ => {
            refuse(Step::Component, "it is a core module; build a component (for Rust: --target wasm32-wasip2)".into())
        }
    }
}

/// What people send by mistake.
fn what_else(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "; it is empty",
        [b'P', b'K', ..] => "; it is a zip archive: unpack it and send the .wasm file",
        [0x1f, 0x8b, ..] => "; it is compressed with gzip: send it as it is",
        [0x7f, b'E', b'L', b'F', ..] => "; it is a program for a machine, not for WebAssembly",
        _ if std::str::from_utf8(bytes).is_ok() => "; it is text: compile it first",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> (Step, String) {
        let (step, error) = recognise(bytes, 64).unwrap_err();
        (step, error.to_string())
    }

    #[test]
    fn what_is_no_component_is_called_what_it_is() {
        let cases: [(&[u8], Step, &str); 8] = [
            (&[0; 65], Step::Size, "it has 65 bytes; at most 64 are taken (modules.component_bytes_max)"),
            (b"", Step::Component, "it is empty"),
            (b"export function handleEvent() {}", Step::Component, "it is text"),
            (b"PK\x05\x06", Step::Component, "it is a zip archive"),
            (b"\x1f\x8b\x08\x00\xff", Step::Component, "compressed with gzip"),
            (b"\0asm\x01\0\0\0", Step::Component, "it is a core module"),
            (b"\0asm\x0d\0", Step::Component, "it is broken"),
            (b"\x7fELF\xff", Step::Component, "a program for a machine"),
        ];
        for (bytes, step, words) in cases {
            let refused = refused(bytes);
            assert!(refused.0 == step && refused.1.contains(words), "{words}: {refused:?}");
        }
    }

    #[test]
    fn an_empty_component_is_one() {
        assert_eq!(recognise(b"\0asm\x0d\0\x01\0", 64), Ok(()));
    }
}
