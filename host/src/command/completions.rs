//! `hookbox completions SHELL`: what a shell needs to complete the program's calls and flags.

use std::{io::Write, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookbox completions bash > ~/.local/share/bash-completion/completions/hookbox")]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub(super) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Command::command(), "hookbox", &mut script);
        match std::io::stdout().write_all(&script) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }
}
