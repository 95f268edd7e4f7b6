//! `hookbox module …`: modules and transforms, from the author's side. What is registered with a host is in
//! [`registered`], pushing in [`push`].

mod push;
mod registered;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::{
    push::Push,
    registered::{Activate, Delete, List, One},
};
use super::rest::{Connection, Flags, Host, Refusal};

const FLAGS: Flags = &[("version", "--version"), ("module_name", "--name")];

/// What to do with modules.
#[derive(Debug, Args)]
pub(super) struct Module {
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
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
    /// Does it; exit code 1 when the host said no.
    pub(super) async fn run(self) -> ExitCode {
        match self.call {
            Call::Push(remote) => remote.run(Push::run).await,
            Call::List(remote) => remote.run(List::run).await,
            Call::Show(remote) => remote.run(One::show).await,
            Call::Activate(remote) => remote.run(Activate::run).await,
            Call::Rollback(remote) => remote.run(One::roll_back).await,
            Call::Delete(remote) => remote.run(Delete::run).await,
        }
    }
}
