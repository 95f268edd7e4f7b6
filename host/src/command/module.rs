//! `hookbox module …`: the author's loop, from an empty folder to a component that a host takes, and what becomes of it
//! there. One file a call.

mod folder;
mod templates;
mod standalone;
mod kept;
mod new;
mod build;
mod stage;
mod sample;
mod on_stage;
mod messages;
mod firings;
mod matching;
mod difference;
mod run;
mod test;
mod bench;
mod report;
mod check;
mod push;
mod registered;
mod quarantine;
mod logs;
mod cost;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::{
    push::Push,
    registered::{Activate, Delete, List, One},
};
use super::{
    could_not_begin,
    rest::{Connection, Flags, Host, Refusal},
};

const FLAGS: Flags = &[
    ("version", "--version"),
    ("module_name", "--name"),
    ("from", "--from"),
    ("to", "--to"),
    ("level", "--level"),
    ("after", "--after"),
];

/// Write, build, try and measure modules and transforms, and see what hosts have of them.
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
    /// Hand messages to a module, or firings to a transform, in the real sandbox, and see what comes of each.
    Run(run::Run),
    /// Run the folder's samples: in fresh instances, and a module's in used ones too.
    Test(test::Test),
    /// Measure what a call costs, in a fresh instance and in a used one.
    Bench(bench::Bench),
    /// Upload a component: the host checks it, and keeps it as a version. Nothing is active before --activate says so.
    Push(Remote<Push>),
    /// List the account's modules and transforms, and those that are offered to it.
    List(Remote<List>),
    /// Show a module or transform, and its versions.
    Show(Remote<One>),
    /// Make a version the active one.
    Activate(Remote<Activate>),
    /// Make the version active again that was active before.
    Rollback(Remote<One>),
    /// Delete a version, or a module with all its versions.
    Delete(Remote<Delete>),
    /// Show whether a module or transform is in quarantine, why, and how near to it.
    Quarantine(Remote<One>),
    /// Lift the quarantine of a module or transform, and forget its faults.
    Lift(Remote<One>),
    /// The last lines that a module or a transform logged, the oldest first. A node has those of its own calls.
    Logs(Remote<logs::Logs>),
    /// What the account is charged for calls of a module or a transform, by day, the latest first.
    Cost(Remote<cost::Cost>),
}

/// A call that a host is asked for.
#[derive(Debug, Args)]
struct Remote<T: Args> {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    call: T,
}

impl<T: Args> Remote<T> {
    async fn run(&self, call: impl AsyncFnOnce(&T, &Host) -> Result<(), Refusal>) -> ExitCode {
        self.connection.run(FLAGS, async |host: &Host| call(&self.call, host).await).await
    }
}

impl Module {
    /// Does what was asked. Exit code 1: what was tried has failed, or the host said no; 2: it could not begin.
    pub(super) async fn run(self) -> ExitCode {
        match self.call {
            Call::New(new) => apart(move || new.run()).await,
            Call::Build(build) => apart(move || build.run()).await,
            Call::Check(check) => apart(move || check.run()).await,
            Call::Run(run) => apart(move || run.run()).await,
            Call::Test(test) => apart(move || test.run()).await,
            Call::Bench(bench) => apart(move || bench.run()).await,
            Call::Push(remote) => remote.run(Push::run).await,
            Call::List(remote) => remote.run(List::run).await,
            Call::Show(remote) => remote.run(One::show).await,
            Call::Activate(remote) => remote.run(Activate::run).await,
            Call::Rollback(remote) => remote.run(One::roll_back).await,
            Call::Delete(remote) => remote.run(Delete::run).await,
            Call::Quarantine(remote) => remote.run(One::show_quarantine).await,
            Call::Lift(remote) => remote.run(One::lift_quarantine).await,
            Call::Logs(remote) => remote.run(logs::Logs::print).await,
            Call::Cost(remote) => remote.run(cost::Cost::print).await,
        }
    }
}

/// Compilers and guests block, so they are kept off tokio's own threads.
async fn apart(work: impl FnOnce() -> Result<bool, String> + Send + 'static) -> ExitCode {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(reason)) => could_not_begin(&reason),
        Err(panic) => could_not_begin(&panic),
    }
}

/// Says on stderr what an author should know meanwhile, so that what is printed for programs stays JSON.
#[expect(clippy::print_stderr, reason = "stdout is for what was asked for")]
fn note(text: &str) {
    eprintln!("{text}");
}
