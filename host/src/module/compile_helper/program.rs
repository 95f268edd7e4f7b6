//! The helper's side: limits first, then what there is to work on from standard input, what came of it to standard output.

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use super::jail;
use crate::module::{check::samples::Samples, engine};

/// Its exit code for what it was given and cannot use; standard error has the reason.
pub const CANNOT_USE: i32 = 1;
/// Its exit code when it could not limit itself, or lost its pipes: our fault, not that of what it was given.
pub const NO_JAIL: u8 = 3;

/// Work on what came from a tenant, for the host that started this.
#[derive(Debug, Args)]
pub struct HelperCall {
    /// What to do.
    task: Task,
    /// Memory of this process, bytes.
    #[arg(long)]
    memory_bytes_max: u64,
    /// CPU time of this process, s.
    #[arg(long)]
    cpu_s: u64,
}

/// What it does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Task {
    /// Component to compiled code.
    Compile,
    /// Samples and their schema to warnings, both JSON.
    HoldSamples,
}

impl HelperCall {
    /// Does it. To be called before the process has any other thread: system calls are filtered for the thread that asks.
    pub fn run(&self) -> ExitCode {
        // Made before the limits: it looks at the machine, and at nothing that was given.
        let engine = match engine::compiling_engine() {
            Ok(engine) => engine,
            Err(error) => return say(NO_JAIL, &format!("{error:#}")),
        };
        if let Err(error) = jail::enter(self.memory_bytes_max, self.cpu_s) {
            return say(NO_JAIL, &format!("cannot limit itself: {error}"));
        }
        let mut given = Vec::new();
        if let Err(error) = std::io::stdin().lock().read_to_end(&mut given) {
            return say(NO_JAIL, &format!("cannot read: {error}"));
        }
        let made = match self.task {
            // The causes in one line, after each other.
            Task::Compile => {
                engine.precompile_component(&given).map_err(|error| format!("{error:#}").replace('\n', " "))
            }
            Task::HoldSamples => hold(&given).map_err(|error| error.to_string()),
        };
        let made = match made {
            Ok(made) => made,
            Err(reason) => return say(1, &reason),
        };
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(&made).and_then(|()| stdout.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => say(NO_JAIL, &format!("cannot write: {error}")),
        }
    }
}

fn hold(given: &[u8]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&serde_json::from_slice::<Samples>(given)?.warnings())
}

fn say(exit_code: u8, reason: &str) -> ExitCode {
    // Nobody may be listening any more.
    let _ = writeln!(std::io::stderr().lock(), "{reason}");
    ExitCode::from(exit_code)
}
