//! `hookbox failures`: how an account's hooks stand with their failures, and forgetting these. KAZOO's `failure_status`,
//! `flush_account_failures` and `flush_hook_failures`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    rest::{Connection, Host, Refusal},
    table::{Table, URI_WIDTH, cut, print_json, say, text},
};

/// See and forget the failures that count against hooks.
#[derive(Debug, Args)]
pub(super) struct Failures {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The hooks that failed within the window, and how near they are to being disabled. KAZOO's failure_status.
    Status {
        /// This hook, also when it has not failed.
        #[arg(long, value_name = "HOOK_ID")]
        hook: Option<String>,
    },
    /// Forget failures; hooks that are disabled stay so. KAZOO's flush_hook_failures and flush_account_failures.
    Flush {
        /// Those of this hook.
        #[arg(long, value_name = "HOOK_ID")]
        hook: Option<String>,
        /// Those of all hooks of the account.
        #[arg(long, conflicts_with = "hook")]
        yes: bool,
    },
}

impl Failures {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(&[], async |host| self.what.done(host).await).await
    }
}

impl What {
    async fn done(&self, host: &Host) -> Result<(), Refusal> {
        match self {
            Self::Status { hook } => status(host, hook.as_deref()).await,
            Self::Flush { hook: None, yes: false } => {
                let message = "name a hook with --hook, or add --yes to forget the failures of all of the account's";
                Err(Refusal::Unable(message.to_owned()))
            }
            Self::Flush { hook, .. } => flush(host, hook.as_deref()).await,
        }
    }
}

async fn of(host: &Host, hook: Option<&str>) -> Result<String, Refusal> {
    match hook {
        Some(hook) => host.in_account(&["webhooks", hook, "failures"]).await,
        None => host.in_account(&["webhooks", "failures"]).await,
    }
}

async fn status(host: &Host, hook: Option<&str>) -> Result<(), Refusal> {
    let path = of(host, hook).await?;
    let hooks = match hook {
        Some(_) => vec![host.get(&path).await?],
        None => host.list(&path, &[], None).await?,
    };
    if host.json {
        print_json(&hooks.into());
        return Ok(());
    }
    let mut table = Table::new(&["hook", "name", "failures", "window ms", "standing", "uri"]);
    for hook in hooks {
        let standing = match hook["enabled"] == false {
            true => "disabled".to_owned(),
            false => text(&hook["standing"]),
        };
        table.row([
            text(&hook["id"]),
            text(&hook["name"]),
            format!("{} of {}", text(&hook["count"]), text(&hook["threshold"])),
            text(&hook["window_ms"]),
            standing,
            cut(&text(&hook["uri"]), URI_WIDTH),
        ]);
    }
    table.print("no hook of the account has failed of late");
    Ok(())
}

async fn flush(host: &Host, hook: Option<&str>) -> Result<(), Refusal> {
    let flushed = host.delete(&of(host, hook).await?).await?;
    match host.json {
        true => print_json(&flushed),
        false => say(&format!("hooks whose failures are forgotten: {}", text(&flushed["hooks"]))),
    }
    Ok(())
}
