//! `hookbox dead-letters`: messages that modules failed on, and those that the broker gave up. One's own, or all of them
//! for the operator.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    each::each,
    rest::{Connection, Flags, Host, Refusal, path, with_query},
    table::{Table, cut, print_fields, print_json, say, text, time},
};

/// The longest reason in a table, characters.
const REASON_WIDTH: usize = 120;
const FLAGS: Flags = &[("module", "--module")];

/// See, replay and drop messages that modules failed on.
#[derive(Debug, Args)]
pub(super) struct DeadLetters {
    #[command(flatten)]
    connection: Connection,
    /// Everybody's, and those that are nobody's; for the operator. The account's own when absent.
    #[arg(long, global = true)]
    all: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest first.
    List {
        /// Those that this module failed on.
        #[arg(long)]
        module: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One, with its message.
    Show {
        /// Which.
        id: String,
    },
    /// Hand messages in again: to the module that failed on them. What works is gone then, the rest is kept.
    Replay(Chosen),
    /// Drop messages. They are lost.
    Drop(Chosen),
}

/// Which letters.
#[derive(Debug, Args)]
struct Chosen {
    /// These.
    #[arg(required_unless_present = "module", conflicts_with = "module")]
    ids: Vec<String>,
    /// All that this module failed on; needs --yes.
    #[arg(long, requires = "yes")]
    module: Option<String>,
    /// Yes, all of the module's.
    #[arg(long)]
    yes: bool,
}

impl DeadLetters {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(FLAGS, async |host| self.done(host).await).await
    }

    async fn done(&self, host: &Host) -> Result<(), Refusal> {
        if self.all && host.named_account().is_some() {
            let message = "--all is for everybody's, --account for one account's: use one of them";
            return Err(Refusal::Unable(message.to_owned()));
        }
        match &self.what {
            What::List { module, limit } => self.list(host, module.as_deref(), *limit).await,
            What::Show { id } => {
                print(host, &host.get(&self.path(host, &[id]).await?).await?);
                Ok(())
            }
            What::Replay(Chosen { module: Some(module), .. }) if self.all => replay_all(host, module).await,
            What::Drop(Chosen { module: Some(module), .. }) if self.all => drop_all(host, module).await,
            What::Replay(chosen) => self.replay(host, &self.ids(host, chosen).await?).await,
            What::Drop(chosen) => self.drop(host, &self.ids(host, chosen).await?).await,
        }
    }

    /// A path below the letters that are meant.
    async fn path(&self, host: &Host, rest: &[&str]) -> Result<String, Refusal> {
        let parts = [&["dead_letters"], rest].concat();
        match self.all {
            true => Ok(path(&parts)),
            false => host.in_account(&parts).await,
        }
    }

    async fn list(&self, host: &Host, module: Option<&str>, limit: u32) -> Result<(), Refusal> {
        let query: Vec<_> = module.map(|module| ("module", module.to_owned())).into_iter().collect();
        let letters = host.list(&self.path(host, &[]).await?, &query, usize::try_from(limit).ok()).await?;
        if host.json {
            print_json(&letters.into());
            return Ok(());
        }
        let mut table = Table::new(&["id", "time", "module", "account", "exchange", "routing key", "reason"]);
        for letter in letters {
            table.row([
                text(&letter["id"]),
                time(&letter["timestamp"]),
                text(&letter["module"]),
                text(&letter["account_id"]),
                text(&letter["message"]["exchange"]),
                text(&letter["message"]["routing_key"]),
                cut(&text(&letter["reason"]), REASON_WIDTH),
            ]);
        }
        table.print("there are no dead letters");
        Ok(())
    }

    /// Those that were named, or all of the account's that the module failed on.
    async fn ids(&self, host: &Host, chosen: &Chosen) -> Result<Vec<String>, Refusal> {
        let Some(module) = &chosen.module else { return Ok(chosen.ids.clone()) };
        let query = [("module", module.clone())];
        let letters = host.list(&self.path(host, &[]).await?, &query, None).await?;
        if letters.is_empty() && !host.json {
            say(&format!("the account has no dead letters of module {module}"));
        }
        Ok(letters.iter().map(|letter| text(&letter["id"])).collect())
    }

    async fn replay(&self, host: &Host, ids: &[String]) -> Result<(), Refusal> {
        let call = async |id: &str| {
            let mut done = host.post(&self.path(host, &[id, "replay"]).await?, json!({})).await?;
            done["id"] = json!(id);
            Ok(done)
        };
        let said =
            |done: &Value| format!("replayed: {} events, {} firings", text(&done["events"]), text(&done["firings"]));
        each(host, ids, call, said).await
    }

    async fn drop(&self, host: &Host, ids: &[String]) -> Result<(), Refusal> {
        let call = async |id: &str| host.delete(&self.path(host, &[id]).await?).await;
        each(host, ids, call, |_| "dropped".to_owned()).await
    }
}

/// Everybody's of a module, as many a call as the host takes on.
async fn replay_all(host: &Host, module: &str) -> Result<(), Refusal> {
    let (mut replayed, mut failed, mut start_key): (u64, Vec<Value>, Option<String>) = (0, Vec::new(), None);
    loop {
        let mut query = vec![("module", module.to_owned())];
        query.extend(start_key.take().map(|key| ("start_key", key)));
        let path = with_query(&path(&["dead_letters", "replay"]), &query);
        let (done, next) = host.post_page(&path, json!({})).await?;
        replayed += done["replayed"].as_u64().unwrap_or_default();
        failed.extend(done["failed"].as_array().into_iter().flatten().cloned());
        start_key = next;
        if start_key.is_none() {
            break;
        }
    }
    let left = failed.len();
    if host.json {
        print_json(&json!({"replayed": replayed, "failed": failed}));
    } else {
        say(&format!("replayed: {replayed}"));
        for letter in &failed {
            say(&format!("{} failed again: {}", text(&letter["id"]), text(&letter["reason"])));
        }
    }
    match left {
        0 => Ok(()),
        left => Err(Refusal::NotAll(format!("{left} of module {module} failed again, and are kept"))),
    }
}

/// Everybody's of a module, as many a call as the host takes on.
async fn drop_all(host: &Host, module: &str) -> Result<(), Refusal> {
    let path = with_query(&path(&["dead_letters"]), &[("module", module.to_owned())]);
    let mut dropped = 0;
    loop {
        let done = host.delete(&path).await?;
        let now = done["deleted"].as_u64().unwrap_or_default();
        dropped += now;
        if now == 0 || done["left"].as_u64().is_none_or(|left| left == 0) {
            break;
        }
    }
    match host.json {
        true => print_json(&json!({"deleted": dropped})),
        false => say(&format!("dropped: {dropped}")),
    }
    Ok(())
}

fn print(host: &Host, letter: &Value) {
    if host.json {
        return print_json(letter);
    }
    let message = &letter["message"];
    print_fields(&[
        ("id", text(&letter["id"])),
        ("time", time(&letter["timestamp"])),
        ("module", text(&letter["module"])),
        ("module version", text(&letter["module_version"])),
        ("reason", text(&letter["reason"])),
        ("account", text(&letter["account_id"])),
        ("source", text(&message["source"])),
        ("exchange", text(&message["exchange"])),
        ("routing key", text(&message["routing_key"])),
        ("message id", text(&message["message_id"])),
        ("received", time(&message["received"])),
    ]);
    say("");
    print_json(&message["body"]);
}
