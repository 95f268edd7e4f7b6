//! `module logs`: what is kept, and with `--follow` what comes.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::command::{
    rest::{Host, Refusal},
    table::{say, text, time},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The module or the transform.
    name: String,
    /// Lines of this level and above; all by default.
    #[arg(long, ignore_case = true, value_parser = ["debug", "info", "warn", "error"])]
    level: Option<String>,
    /// Prints what comes, too, until Ctrl-C.
    #[arg(long)]
    follow: bool,
}

impl Logs {
    /// Asks for them, and prints them: for people a line each, with `--json` an object a line.
    pub(super) async fn print(&self, host: &Host) -> Result<(), Refusal> {
        let looking = async {
            let mut last = 0;
            loop {
                for line in self.after(host, last).await? {
                    last = line["id"].as_u64().unwrap_or(last);
                    match host.json {
                        true => say(&line.to_string()),
                        false => say(&in_words(&line)),
                    }
                }
                if !self.follow {
                    return Ok(());
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            ended = looking => ended,
            // When it cannot be listened for, it ends the program as ever.
            Ok(()) = tokio::signal::ctrl_c() => Ok(()),
        }
    }

    async fn after(&self, host: &Host, last: u64) -> Result<Vec<Value>, Refusal> {
        let path = host.in_account(&["webhook_modules", &self.name, "logs"]).await?;
        let mut query = vec![("after", last.to_string())];
        query.extend(self.level.clone().map(|level| ("level", level.to_ascii_lowercase())));
        let mut lines = host.list(&path, &query, None).await?;
        lines.sort_by_key(|line| line["id"].as_u64());
        Ok(lines)
    }
}

fn in_words(line: &Value) -> String {
    let level = text(&line["level"]).to_ascii_uppercase();
    format!("{} {level:5} {} {}", time(&line["timestamp"]), text(&line["version"]), text(&line["text"]))
}
