//! `hookbox module`: what an account's modules and transforms say and cost.

mod cost;
mod logs;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::rest::{Connection, Flags};

const FLAGS: Flags = &[("from", "--from"), ("to", "--to"), ("level", "--level"), ("after", "--after")];

/// See what an account's modules and transforms say and cost.
#[derive(Debug, Args)]
pub(super) struct Module {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The last lines that a module or a transform logged, the oldest first. A node has those of its own calls.
    Logs(logs::Logs),
    /// What the account is charged for calls of a module or a transform, by day, the latest first.
    Cost(cost::Cost),
}

impl Module {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection
            .run(FLAGS, async |host| match &self.what {
                What::Logs(logs) => logs.print(host).await,
                What::Cost(cost) => cost.print(host).await,
            })
            .await
    }
}
