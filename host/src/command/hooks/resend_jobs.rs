//! Bulk resends: begun, followed until they end, listed and stopped. They run in the host; to stop following one does not
//! stop it.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::super::{
    moment,
    rest::{Host, Refusal},
    table::{self, Table, print_fields, print_json, say},
};

/// Between two looks at a job that runs.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

const START_EXAMPLE: &str = "\
Example:
  hookbox hooks resend-jobs start --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z --outcome undelivered";

#[derive(Debug, Subcommand)]
pub(super) enum ResendJobs {
    /// List an account's bulk resends, newest first.
    List,
    /// Show how far a bulk resend has come.
    Show(One),
    /// Stop a bulk resend. What it has sent again so far stays sent.
    Stop(One),
    /// Send again what was fired in a time, and tell how far it has come until it is done.
    #[command(after_help = START_EXAMPLE)]
    Start(Start),
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The bulk resend's id.
    #[arg(value_name = "JOB_ID")]
    job: String,
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// One hook only, which must be enabled; without it, all of the account.
    #[arg(long, value_name = "HOOK_ID")]
    hook: Option<String>,
    /// From when on: when an undelivered firing was given up, or a delivered one was tried. RFC 3339, or seconds since
    /// year 0; without it, from the beginning.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    from: Option<u64>,
    /// Until when; without it, now.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    to: Option<u64>,
    /// Of what: what never arrived, what did, or both.
    #[arg(long, value_parser = ["undelivered", "delivered", "all"], default_value = "undelivered")]
    outcome: String,
    /// Do not wait until it is done.
    #[arg(long)]
    no_wait: bool,
}

impl ResendJobs {
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        match self {
            Self::List => list(host).await,
            Self::Show(One { job }) => {
                shown(host, &host.get(&of_job(host, job).await?).await?);
                Ok(())
            }
            Self::Stop(One { job }) => {
                shown(host, &host.delete(&of_job(host, job).await?).await?);
                Ok(())
            }
            Self::Start(start) => start.run(host).await,
        }
    }
}

impl Start {
    async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let mut body = Map::new();
        body.insert("outcome".to_owned(), json!(self.outcome));
        for (field, value) in [
            ("hook_id", self.hook.as_ref().map(|hook| json!(hook))),
            ("created_from", self.from.map(|s| json!(s))),
            ("created_to", self.to.map(|s| json!(s))),
        ] {
            body.extend(value.map(|value| (field.to_owned(), value)));
        }
        let begun = host.put(&host.in_account(&["webhooks", "resend_jobs"]).await?, Value::Object(body)).await?;
        if self.no_wait {
            shown(host, &begun);
            return Ok(());
        }
        let id = begun["id"].as_str().unwrap_or_default();
        if !host.json {
            say(&format!("begun as {id}; `hookbox hooks resend-jobs stop {id}` stops it"));
        }
        let ended = ended(host, id).await?;
        if host.json {
            print_json(&ended);
        }
        match ended["state"].as_str() {
            Some("done") => Ok(()),
            state => {
                let (state, reason) = (state.unwrap_or("gone"), table::text(&ended["reason"]));
                Err(Refusal::NotAll(format!("the bulk resend did not come to its end: {state} ({reason})")))
            }
        }
    }
}

/// The job once it runs no more; people are told whenever it has come on.
async fn ended(host: &Host, id: &str) -> Result<Value, Refusal> {
    let path = of_job(host, id).await?;
    let mut told = String::new();
    loop {
        let job = host.get(&path).await?;
        let now = format!("{}: {} sent again, {} skipped", table::text(&job["state"]), job["resent"], job["skipped"]);
        if !host.json && now != told {
            say(&now);
            told = now;
        }
        if job["state"] != "running" {
            return Ok(job);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn of_job(host: &Host, job: &str) -> Result<String, Refusal> {
    host.in_account(&["webhooks", "resend_jobs", job]).await
}

async fn list(host: &Host) -> Result<(), Refusal> {
    let jobs = host.get(&host.in_account(&["webhooks", "resend_jobs"]).await?).await?;
    if host.json {
        print_json(&jobs);
        return Ok(());
    }
    let mut table = Table::new(&["id", "begun", "state", "outcome", "from", "to", "sent again", "skipped"]);
    for job in jobs.as_array().into_iter().flatten() {
        table.row([
            table::text(&job["id"]),
            table::time(&job["created"]),
            table::text(&job["state"]),
            table::text(&job["outcome"]),
            table::time(&job["created_from"]),
            table::time(&job["created_to"]),
            table::text(&job["resent"]),
            table::text(&job["skipped"]),
        ]);
    }
    table.print("there are no bulk resends");
    Ok(())
}

fn shown(host: &Host, job: &Value) {
    if host.json {
        return print_json(job);
    }
    print_fields(&[
        ("id", table::text(&job["id"])),
        ("state", table::text(&job["state"])),
        ("outcome", table::text(&job["outcome"])),
        ("hook", table::text(&job["hook_id"])),
        ("from", table::time(&job["created_from"])),
        ("to", table::time(&job["created_to"])),
        ("going through", table::text(&job["progress"])),
        ("sent again", table::text(&job["resent"])),
        ("skipped", table::text(&job["skipped"])),
        ("reason", table::text(&job["reason"])),
        ("begun", table::time(&job["created"])),
        ("came on", table::time(&job["updated"])),
    ]);
}
