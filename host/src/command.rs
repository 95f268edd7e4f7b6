//! The program's calls, one file each. What a call prints is printed here and below, nowhere else.
#![allow(clippy::print_stdout, reason = "commands talk to people")]

pub mod demo;
pub mod doctor;
pub mod import_call;
pub mod publish;
mod accounts;
mod attempts;
mod completions;
mod dead_letters;
mod each;
mod failures;
mod hooks;
mod keys;
mod module;
mod moment;
mod rest;
mod settings;
mod table;
pub mod serve;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Messages in, signed webhooks out.
#[derive(Debug, Parser)]
#[command(name = "hookbox", version, about)]
pub struct Command {
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
    /// Run the host until SIGTERM or SIGINT.
    Serve {
        /// Settings, over the defaults; `host/hookbox.example.toml` lists every key.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// See it work: no broker, no database server, a receiver of its own.
    Demo {
        /// Leave the host up until Ctrl-C.
        #[arg(long)]
        stay: bool,
    },
    /// Check settings, store, broker, clock and modules; say what is wrong and what to do.
    Doctor {
        /// Settings, over the defaults.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Bring modules and transforms of your own: push, list, activate, roll back.
    Module(module::Module),
    /// Post messages to a host, or to a broker.
    Publish(publish::Publish),
    /// Load documents of another system straight into the store.
    #[command(subcommand)]
    Import(Import),
    /// An account's hooks: list, make, change, test, send again.
    Hooks(hooks::Hooks),
    /// See and change the tree of accounts.
    Accounts(accounts::Accounts),
    /// See, make and revoke an account's API keys.
    Keys(keys::Keys),
    /// See attempts, watch them come, and send their events again.
    Attempts(attempts::Attempts),
    /// See and forget the failures that count against hooks.
    Failures(failures::Failures),
    /// See and change when failing hooks are disabled.
    Settings(settings::Settings),
    /// See, replay and drop messages that modules failed on.
    DeadLetters(dead_letters::DeadLetters),
    /// Print what a shell needs to complete the program's calls and flags.
    Completions(completions::Completions),
}

#[derive(Debug, Subcommand)]
enum Import {
    /// KAZOO's accounts, numbers, keys and hooks: a JSON array of documents, or CouchDB's `_all_docs` with documents.
    Kazoo {
        /// The documents.
        file: PathBuf,
        /// Settings, over the defaults.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// The program's exit codes: 0 done, 1 not all of it, 2 it could not begin.
pub const COULD_NOT_BEGIN: u8 = 2;

impl Command {
    /// Does what was asked.
    pub async fn run(self) -> ExitCode {
        match self.call {
            Call::Serve { config } => serve::run(config.as_deref()).await,
            Call::Demo { stay } => demo::run(stay).await,
            Call::Doctor { config } => doctor::run(config.as_deref()).await,
            Call::Module(module) => module.run().await,
            Call::Publish(publish) => publish.run().await,
            Call::Import(Import::Kazoo { file, config }) => import_call::run(&file, config.as_deref()).await,
            Call::Hooks(hooks) => hooks.run().await,
            Call::Accounts(accounts) => accounts.run().await,
            Call::Keys(keys) => keys.run().await,
            Call::Attempts(attempts) => attempts.run().await,
            Call::Failures(failures) => failures.run().await,
            Call::Settings(settings) => settings.run().await,
            Call::DeadLetters(letters) => letters.run().await,
            Call::Completions(completions) => completions.run(),
        }
    }
}

/// Says on stderr why a call could not begin.
#[expect(clippy::print_stderr, reason = "this is the one place that says why the program ends")]
fn could_not_begin(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("hookbox: {reason}");
    ExitCode::from(COULD_NOT_BEGIN)
}
