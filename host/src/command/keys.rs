//! `hookbox keys`: an account's API keys. A key is printed once, when it is made; the host keeps its hash alone.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    rest::{Connection, Flags, Host, Refusal},
    table::{Table, print_fields, print_json, say, text, time},
};

const FLAGS: Flags = &[("name", "NAME")];

/// See, make and revoke an account's API keys.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All keys of the account, the oldest first.
    List,
    /// Make a key. It is printed, once.
    Create {
        /// For people, e.g. what it is used by.
        name: Option<String>,
    },
    /// What is known of a key.
    Show {
        /// Its id.
        id: String,
    },
    /// Have a key open nothing any more.
    Revoke {
        /// Its id.
        id: String,
    },
}

impl Keys {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(FLAGS, async |host| self.what.done(host).await).await
    }
}

impl What {
    async fn done(&self, host: &Host) -> Result<(), Refusal> {
        match self {
            Self::List => list(host).await,
            Self::Create { name } => create(host, name.as_deref()).await,
            Self::Show { id } => {
                print(host, &host.get(&host.in_account(&["keys", id]).await?).await?);
                Ok(())
            }
            Self::Revoke { id } => {
                let gone = host.delete(&host.in_account(&["keys", id]).await?).await?;
                match host.json {
                    true => print_json(&gone),
                    false => say(&format!("key {} ({}) is revoked", text(&gone["id"]), text(&gone["name"]))),
                }
                Ok(())
            }
        }
    }
}

async fn list(host: &Host) -> Result<(), Refusal> {
    let keys = host.get(&host.in_account(&["keys"]).await?).await?;
    if host.json {
        print_json(&keys);
        return Ok(());
    }
    let mut table = Table::new(&["id", "name", "created", "last used"]);
    for key in keys.as_array().into_iter().flatten() {
        table.row([text(&key["id"]), text(&key["name"]), time(&key["created"]), time(&key["last_used"])]);
    }
    table.print("the account has no keys");
    Ok(())
}

async fn create(host: &Host, name: Option<&str>) -> Result<(), Refusal> {
    let body = name.map_or_else(|| json!({}), |name| json!({"name": name}));
    let made = host.put(&host.in_account(&["keys"]).await?, body).await?;
    print(host, &made);
    if !host.json {
        say(&format!("key {}", text(&made["api_key"])));
        say("It is shown only now: keep it.");
    }
    Ok(())
}

fn print(host: &Host, key: &Value) {
    match host.json {
        true => print_json(key),
        false => print_fields(&[
            ("id", text(&key["id"])),
            ("name", text(&key["name"])),
            ("created", time(&key["created"])),
            ("last used", time(&key["last_used"])),
        ]),
    }
}
