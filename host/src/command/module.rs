//! `hookbox module …`: the author's loop, from an empty folder to a component that a host takes. One file a call.

mod folder;
mod templates;
mod standalone;
mod kept;
mod new;
mod build;
mod stage;
mod sample;
mod matching;
mod difference;
mod page_faults;
mod run;
mod test;
mod bench;
mod check;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::could_not_begin;

/// Write, build, try and measure modules and transforms.
#[derive(Debug, Args)]
pub(super) struct Module {
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
    /// Make a folder that builds and passes its own test at once.
    New(new::New),
    /// Build the component, with the language's own tools.
    Build(build::Build),
    /// Check a component as a host does before it takes it.
    Check(check::Check),
    /// Hand messages to a component in the real sandbox, and see what comes of each.
    Run(run::Run),
    /// Run the folder's samples, in fresh instances and in used ones.
    Test(test::Test),
    /// Measure what a call costs, in a fresh instance and in a used one.
    Bench(bench::Bench),
}

impl Module {
    /// Does what was asked. Exit code 1: what was tried has failed; 2: it could not begin.
    pub(super) async fn run(self) -> ExitCode {
        // Compilers and guests block, so they are kept off tokio's own threads.
        let ended = tokio::task::spawn_blocking(move || match self.call {
            Call::New(new) => new.run(),
            Call::Build(build) => build.run(),
            Call::Check(check) => check.run(),
            Call::Run(run) => run.run(),
            Call::Test(test) => test.run(),
            Call::Bench(bench) => bench.run(),
        });
        match ended.await {
            Ok(Ok(true)) => ExitCode::SUCCESS,
            Ok(Ok(false)) => ExitCode::FAILURE,
            Ok(Err(reason)) => could_not_begin(&reason),
            Err(panic) => could_not_begin(&panic),
        }
    }
}

/// Says on stderr what an author should know meanwhile, so that what is printed for programs stays JSON.
#[expect(clippy::print_stderr, reason = "stdout is for what was asked for")]
fn note(text: &str) {
    eprintln!("{text}");
}
