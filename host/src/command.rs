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

use crate::module::compile_helper::{self, program::HelperCall};

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
        /// Prove over the store that nothing was lost: every firing was delivered, waits, or is listed as undelivered. Only
        /// reads; hosts may be at work.
        #[arg(long)]
        audit: bool,
    },
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
    /// Modules and transforms of your own: write, build, try, push, activate; see what they say and cost.
    Module(module::Module),
    /// Print what a shell needs to complete the program's calls and flags.
    Completions(completions::Completions),
    /// What a host starts to work on what a tenant uploads; not for people.
    #[command(name = compile_helper::CALL, hide = true)]
    CompileHelper(HelperCall),
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
    pub fn run(self) -> ExitCode {
        match self.call {
            // Limits its own process, before there are threads that would be without.
            Call::CompileHelper(helper) => helper.run(),
            call => match tokio::runtime::Runtime::new() {
                Ok(runtime) => {
                    let code = runtime.block_on(call.run());
                    // What a thread is still at (a component being compiled) is not waited for.
                    runtime.shutdown_background();
                    code
                }
                Err(error) => could_not_begin(&format!("its threads cannot be started: {error}")),
            },
        }
    }
}

impl Call {
    async fn run(self) -> ExitCode {
        match self {
            Self::Serve { config } => serve::run(config.as_deref()).await,
            Self::Demo { stay } => demo::run(stay).await,
            Self::Doctor { config, audit } => doctor::run(config.as_deref(), audit).await,
            Self::Publish(publish) => publish.run().await,
            Self::Import(Import::Kazoo { file, config }) => import_call::run(&file, config.as_deref()).await,
            Self::Hooks(hooks) => hooks.run().await,
            Self::Accounts(accounts) => accounts.run().await,
            Self::Keys(keys) => keys.run().await,
            Self::Attempts(attempts) => attempts.run().await,
            Self::Failures(failures) => failures.run().await,
            Self::Settings(settings) => settings.run().await,
            Self::DeadLetters(letters) => letters.run().await,
            Self::Module(module) => module.run().await,
            Self::Completions(completions) => completions.run(),
            Self::CompileHelper(helper) => helper.run(),
        }
    }
}

/// Says on stderr why a call could not begin.
#[expect(clippy::print_stderr, reason = "this is the one place that says why the program ends")]
fn could_not_begin(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("hookbox: {reason}");
    ExitCode::from(COULD_NOT_BEGIN)
}
