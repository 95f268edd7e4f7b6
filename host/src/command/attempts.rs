//! `hookbox attempts`: what was sent and what came back; the newest as they are made; and sending again.

mod tail;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    each::each,
    moment,
    rest::{Connection, Flags, Host, Refusal},
    table::{Table, cut, print_fields, print_json, say, text, time},
};

/// The longest reason in a table, characters.
const REASON_WIDTH: usize = 60;
const COLUMNS: [&str; 9] = ["time", "id", "hook", "event", "try", "result", "status", "ms", "reason"];
const FLAGS: Flags = &[("created_from", "--from"), ("created_to", "--to")];

/// See attempts, watch them come, and send again.
#[derive(Debug, Args)]
pub(super) struct Attempts {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest first.
    List {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        range: Range,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One, with what was sent and what was answered.
    Show {
        /// Which.
        id: String,
    },
    /// Print attempts as they are recorded, each once, until Ctrl-C.
    Tail {
        #[command(flatten)]
        chosen: Chosen,
        /// End after so many.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Send the events of attempts again, whether they were delivered or not. Everything of a time, or what never arrived,
    /// is sent again with `hooks resend-jobs` and `hooks resend`.
    Resend {
        /// Which.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Which attempts.
#[derive(Debug, Args)]
struct Chosen {
    /// Those of this hook.
    #[arg(long, value_name = "HOOK_ID")]
    hook: Option<String>,
    /// Those that ended so.
    #[arg(long)]
    result: Option<Outcome>,
}

/// Of what time.
#[derive(Debug, Args)]
struct Range {
    /// From when on, e.g. 2026-01-31T12:00:00Z; as long ago as the host lists when absent.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    from: Option<u64>,
    /// Until when; now when absent.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    to: Option<u64>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// The receiver took it.
    Success,
    /// It did not.
    Failure,
}

impl Attempts {
    /// Does it.
    pub(super) async fn run(self) -> ExitCode {
        self.connection.run(FLAGS, async |host| self.what.done(host).await).await
    }
}

impl What {
    async fn done(&self, host: &Host) -> Result<(), Refusal> {
        match self {
            Self::List { chosen, range, limit } => list(host, chosen, range, *limit).await,
            Self::Show { id } => {
                print(host, &host.get(&host.in_account(&["webhooks", "attempts", id]).await?).await?);
                Ok(())
            }
            Self::Tail { chosen, count } => tail::tail(host, chosen, *count).await,
            Self::Resend { ids } => resend(host, ids).await,
        }
    }
}

impl Chosen {
    async fn path(&self, host: &Host) -> Result<String, Refusal> {
        match &self.hook {
            Some(hook) => host.in_account(&["webhooks", hook, "attempts"]).await,
            None => host.in_account(&["webhooks", "attempts"]).await,
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let result = self.result.map(|result| match result {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        });
        result.map(|result| ("filter_result", result.to_owned())).into_iter().collect()
    }
}

async fn list(host: &Host, chosen: &Chosen, range: &Range, limit: u32) -> Result<(), Refusal> {
    if range.from.zip(range.to).is_some_and(|(from, to)| from > to) {
        return Err(Refusal::Unable("--from is later than --to".to_owned()));
    }
    let mut query = chosen.query();
    query.extend(range.from.map(|s| ("created_from", s.to_string())));
    query.extend(range.to.map(|s| ("created_to", s.to_string())));
    let attempts = host.list(&chosen.path(host).await?, &query, usize::try_from(limit).ok()).await?;
    if host.json {
        print_json(&attempts.into());
        return Ok(());
    }
    let mut table = Table::new(&COLUMNS);
    attempts.iter().for_each(|attempt| table.row(row(attempt)));
    table.print("there are no such attempts");
    Ok(())
}

/// An attempt under [`COLUMNS`].
fn row(attempt: &Value) -> [String; 9] {
    let reason = match attempt["client_error"].is_string() {
        true => &attempt["client_error"],
        false => &attempt["reason"],
    };
    [
        time(&attempt["timestamp"]),
        text(&attempt["id"]),
        text(&attempt["hook_id"]),
        text(&attempt["hook_event"]),
        text(&attempt["try"]),
        result(attempt),
        text(&attempt["resp_status_code"]),
        text(&attempt["duration_ms"]),
        cut(&text(reason), REASON_WIDTH),
    ]
}

/// What came of it, in a word.
fn result(attempt: &Value) -> String {
    if attempt["dropped"] == true { "dropped".to_owned() } else { text(&attempt["result"]) }
}

fn print(host: &Host, attempt: &Value) {
    if host.json {
        return print_json(attempt);
    }
    let mut fields = vec![
        ("id", text(&attempt["id"])),
        ("time", time(&attempt["timestamp"])),
        ("hook", text(&attempt["hook_id"])),
        ("event", text(&attempt["hook_event"])),
        ("webhook-id", text(&attempt["event_id"])),
        ("module", text(&attempt["module"])),
        ("try", text(&attempt["try"])),
        ("request", format!("{} {}", text(&attempt["method"]), text(&attempt["uri"]))),
        ("result", result(attempt)),
        ("reason", text(&attempt["reason"])),
        ("error", text(&attempt["client_error"])),
        ("status", text(&attempt["resp_status_code"])),
        ("took ms", text(&attempt["duration_ms"])),
        ("next try", time(&attempt["next_try"])),
    ];
    let transform = &attempt["transform"];
    if transform.is_object() {
        fields.push(("transform", format!("{} {}", text(&transform["module"]), text(&transform["version"]))));
        fields.push(("fuel", text(&transform["fuel"])));
    }
    print_fields(&fields);
    for (what, headers, body) in [("sent", "req_headers", "req_body"), ("answered", "resp_headers", "resp_body")] {
        let headers: Vec<_> = attempt[headers].as_object().into_iter().flatten().collect();
        if headers.is_empty() && attempt[body].is_null() {
            continue;
        }
        say("");
        say(&format!("{what}:"));
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        print_fields(&headers);
        print_fields(&[("body", text(&attempt[body]))]);
    }
    if attempt["resp_body_cut"] == true {
        say("(the answer went on; the rest is not kept)");
    }
}

async fn resend(host: &Host, ids: &[String]) -> Result<(), Refusal> {
    let call = async |id: &str| {
        let path = host.in_account(&["webhooks", "attempts", id, "resend"]).await?;
        host.post(&path, json!({})).await
    };
    let said = |sent: &Value| format!("{} is sent again to {}", text(&sent["webhook_id"]), text(&sent["hook_id"]));
    each(host, ids, call, said).await
}
