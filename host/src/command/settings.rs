//! `hookbox settings`: when hooks that keep failing are disabled, for an account or for the whole system; and the limits of
//! an account's modules.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    rest::{Connection, Host, Refusal, path},
    table::{Table, print_json, text},
};

/// See and change when failing hooks are disabled, and with --modules the limits of an account's modules.
///
/// The settings are KAZOO's: attempt_failure_count (failures that disable a hook), attempt_failure_expiry_ms (the time
/// within which they count) and, for the system only, disable_disabler (true: no hook is ever disabled for failing).
/// KAZOO's `set_failure_expiry` is `settings set attempt_failure_expiry_ms 60000` here, and its `set_disable_threshold` is
/// `settings set attempt_failure_count 6`: with --system for everybody, else for the account.
///
/// Limits of modules are named as the settings in [modules] (time_limit_ms, fuel_max, memory_bytes_max, modules_per_account_max,
/// …), bind the account and all below it, and are set by an account above: `settings set --modules --account acme fuel_max
/// 5000000`. The account itself sees them.
#[derive(Debug, Args)]
pub(super) struct Settings {
    #[command(flatten)]
    connection: Connection,
    /// The system's settings, not an account's. For the operator.
    #[arg(long, global = true)]
    system: bool,
    /// The limits of the account's modules, not its settings of hooks. Changed by an account above it.
    #[arg(long, global = true, conflicts_with = "system")]
    modules: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What is set here, and what counts.
    Get {
        /// One setting; all when absent.
        key: Option<String>,
    },
    /// Set one; it counts within a second.
    Set {
        /// Which, e.g. attempt_failure_count.
        key: String,
        /// To what.
        value: String,
    },
    /// Unset one: what the reseller, the system or the settings file says counts again.
    Unset {
        /// Which.
        key: String,
    },
}

impl Settings {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(&[], async |host| self.done(host).await).await
    }

    async fn done(&self, host: &Host) -> Result<(), Refusal> {
        let path = match (self.system, host.named_account()) {
            (true, None) => path(&["system_configs", "webhooks"]),
            (false, _) => {
                let section = if self.modules { "webhook_modules" } else { "webhooks" };
                host.in_account(&["configs", section]).await?
            }
            (true, Some(_)) => {
                let message = "--system is for everybody, --account for one account: use one of them";
                return Err(Refusal::Unable(message.to_owned()));
            }
        };
        match &self.what {
            What::Get { key } => print(host, &host.get(&path).await?, key.as_deref()),
            What::Set { key, value } => {
                // The host says what is wrong with a text where a number is to stand.
                let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
                let body = Map::from_iter([(key.clone(), value)]);
                print(host, &host.patch(&path, Value::Object(body)).await?, Some(key))
            }
            What::Unset { key } => {
                let body = Map::from_iter([(key.clone(), Value::Null)]);
                print(host, &host.patch(&path, Value::Object(body)).await?, Some(key))
            }
        }
    }
}

fn print(host: &Host, settings: &Value, key: Option<&str>) -> Result<(), Refusal> {
    let Some(effective) = settings["_read_only"]["effective"].as_object() else {
        return Err(Refusal::Unable("the host does not say which settings count".to_owned()));
    };
    if let Some(key) = key.filter(|key| !effective.contains_key(*key)) {
        let known: Vec<_> = effective.keys().map(String::as_str).collect();
        return Err(Refusal::Unable(format!("there is no setting {key}; use one of {}", known.join(", "))));
    }
    if host.json {
        print_json(settings);
        return Ok(());
    }
    let rows = effective.iter().filter(|(name, _)| key.is_none_or(|key| key == *name));
    // Limits say for which account they are set.
    if let Some(set_for) = settings["_read_only"]["set_for"].as_object() {
        let mut table = Table::new(&["limit", "set here", "counts", "set for"]);
        for (name, counts) in rows {
            let whose = set_for.get(name).map_or_else(|| "the operator's".to_owned(), text);
            table.row([name.clone(), text(&settings[name]), text(counts), whose]);
        }
        table.print("");
        return Ok(());
    }
    let mut table = Table::new(&["setting", "set here", "counts"]);
    for (name, counts) in rows {
        table.row([name.clone(), text(&settings[name]), text(counts)]);
    }
    table.print("");
    Ok(())
}
