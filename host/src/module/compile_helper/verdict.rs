//! What the end of a compile helper says of the component.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::{CompileLimits, program};
use crate::module::ModuleError;

/// How a helper ended. Signals by their numbers on Linux, the same on every machine that we run on.
pub(super) enum Ended {
    /// It was still at it after `modules.compile_wall_s`.
    OutOfTime,
    /// It gave more code than is taken.
    TooMuchCode,
    /// By itself, or by a signal that was not ours.
    ByItself {
        status: ExitStatus,
        /// What it wrote to its standard output.
        code: Vec<u8>,
        /// What it wrote to its standard error.
        said: String,
    },
}

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Rust's own, for a panic.
const PANICKED: i32 = 101;

impl Ended {
    /// The code, or whose fault it was.
    pub(super) fn verdict(self, limits: &CompileLimits) -> Result<Vec<u8>, ModuleError> {
        let too_costly = |setting, limit, unit| Err(ModuleError::TooCostly { setting, limit, unit });
        let (status, code, said) = match self {
            Self::OutOfTime => return too_costly("modules.compile_wall_s", limits.wall_s, "s"),
            Self::TooMuchCode => {
                return too_costly("modules.compiled_bytes_max", limits.compiled_bytes_max, "bytes of code");
            }
            Self::ByItself { status, code, said } => (status, code, said),
        };
        let reason = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says no more").to_owned();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(code),
            (Some(program::CANNOT_USE), _) => Err(ModuleError::NotAComponent { reason }),
            (Some(PANICKED), _) => {
                Err(ModuleError::NotAComponent { reason: format!("the compiler gave up on it: {reason}") })
            }
            (_, Some(SIGXCPU)) => too_costly("modules.compile_cpu_s", limits.cpu_s, "s of CPU"),
            // Rust ends the process when it gets no memory, and when its stack is full; the system kills one that it
            // has no memory for.
            (_, Some(SIGABRT | SIGKILL)) => {
                too_costly("modules.compile_memory_bytes_max", limits.memory_bytes_max, "bytes of memory")
            }
            _ => Err(ModuleError::Host { reason: format!("the compile helper ended with {status}: {reason}") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CompileLimits =
        CompileLimits { memory_bytes_max: 1000, cpu_s: 3, wall_s: 12, compiled_bytes_max: 500 };

    /// `raw` as wait(2) has it: the signal, or the exit code in the second byte.
    fn ended(raw: i32, said: &str) -> Result<Vec<u8>, ModuleError> {
        let status = ExitStatus::from_raw(raw);
        Ended::ByItself { status, code: b"code".to_vec(), said: said.into() }.verdict(&LIMITS)
    }

    fn words(result: Result<Vec<u8>, ModuleError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn each_limit_is_named() {
        let cases = [
            (Ended::OutOfTime.verdict(&LIMITS), "more than 12 s (modules.compile_wall_s)"),
            (Ended::TooMuchCode.verdict(&LIMITS), "more than 500 bytes of code (modules.compiled_bytes_max)"),
            (ended(SIGXCPU, ""), "more than 3 s of CPU (modules.compile_cpu_s)"),
            (
                ended(SIGABRT, "memory allocation of 9 bytes failed"),
                "1000 bytes of memory (modules.compile_memory_bytes_max)",
            ),
            (ended(SIGKILL, ""), "1000 bytes of memory (modules.compile_memory_bytes_max)"),
        ];
        for (result, named) in cases {
            assert_eq!(result.as_ref().unwrap_err().kind(), "too-costly");
            let words = words(result);
            assert!(words.contains(named), "{words}");
        }
    }

    #[test]
    fn the_compilers_words_are_the_reason() {
        let refused = ended(program::CANNOT_USE << 8, "\nunknown opcode\nmore");
        assert_eq!(refused, Err(ModuleError::NotAComponent { reason: "unknown opcode".into() }));
        assert!(words(ended(PANICKED << 8, "thread 'main' panicked")).contains("gave up on it: thread 'main'"));
        assert_eq!(ended(0, "").unwrap(), b"code");
    }

    #[test]
    fn what_the_helper_could_not_do_is_our_fault() {
        assert!(matches!(ended(i32::from(program::NO_JAIL) << 8, "no limits"), Err(ModuleError::Host { .. })));
    }
}
