//! Firing at one hook: a test, and what it was never delivered.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    super::{
        rest::{Host, Refusal},
        table::{self, Table, print_fields, print_json, say},
    },
    fields::object_of_file,
    of_hook,
};

/// As much of a receiver's answer is shown, characters.
const ANSWER_WIDTH: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The hook's id.
    #[arg(value_name = "HOOK_ID")]
    hook: String,
    /// The event, for a hook of all events; the first that has a sample when absent.
    #[arg(long)]
    event: Option<String>,
    /// Which of the event's samples; the first when absent.
    #[arg(long, value_name = "NAME", conflicts_with = "payload")]
    sample: Option<String>,
    /// A JSON object to fire in the place of a sample; `-` for standard input. At most the host's
    /// firing.test_payload_bytes_max (65536) bytes.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Resend {
    /// The hook's id; it must be enabled.
    #[arg(value_name = "HOOK_ID")]
    hook: String,
    /// A firing's webhook-id, as `hooks undelivered` lists it. Once a firing, at most the host's api.resend_ids_max (1000);
    /// without any, all are sent.
    #[arg(long = "id", value_name = "WEBHOOK_ID")]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Undelivered {
    /// The hook's id.
    #[arg(value_name = "HOOK_ID")]
    hook: String,
    /// This many at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

impl Test {
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let mut body = Map::new();
        for (field, text) in [("event", &self.event), ("sample", &self.sample)] {
            body.extend(text.as_ref().map(|text| (field.to_owned(), json!(text))));
        }
        if let Some(file) = &self.payload {
            body.insert("payload".to_owned(), Value::Object(object_of_file(file)?));
        }
        let attempt = host.post(&of_hook(host, &self.hook, &["test"]).await?, Value::Object(body)).await?;
        if host.json {
            print_json(&attempt);
        }
        if attempt.get("result").is_none() {
            let id = table::text(&attempt["webhook_id"]);
            return Err(Refusal::NotAll(format!(
                "the receiver has not answered yet; the attempt will be listed as {id}"
            )));
        }
        if !host.json {
            let answer = attempt["resp_body"].as_str().unwrap_or_default();
            print_fields(&[
                ("result", table::text(&attempt["result"])),
                ("status", table::text(&attempt["resp_status_code"])),
                ("took", format!("{} ms", attempt["duration_ms"])),
                ("uri", table::text(&attempt["uri"])),
                ("event", table::text(&attempt["hook_event"])),
                ("reason", table::text(&attempt["reason"])),
                ("error", table::text(&attempt["client_error"])),
                ("answer", table::text(&json!(table::cut(answer, ANSWER_WIDTH)))),
                ("webhook-id", table::text(&attempt["event_id"])),
                ("attempt", table::text(&attempt["id"])),
            ]);
        }
        match attempt["result"] == "success" {
            true => Ok(()),
            false => Err(Refusal::NotAll(format!("the receiver did not take it: {}", table::text(&attempt["reason"])))),
        }
    }
}

impl Resend {
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let body = if self.ids.is_empty() { json!({}) } else { json!({"ids": self.ids}) };
        let answer = host.post(&of_hook(host, &self.hook, &["resend"]).await?, body).await?;
        match host.json {
            true => print_json(&answer),
            false => say(&format!("{} are sent again now", answer["resent"])),
        }
        let missing: Vec<_> = answer["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => {
                let missing = missing.join(", ");
                Err(Refusal::NotAll(format!(
                    "not among the hook's undelivered: {missing}; `hooks undelivered` lists them"
                )))
            }
        }
    }
}

impl Undelivered {
    pub(super) async fn run(&self, host: &Host) -> Result<(), Refusal> {
        let firings = host.list(&of_hook(host, &self.hook, &["undelivered"]).await?, &[], self.limit).await?;
        if host.json {
            print_json(&Value::Array(firings));
            return Ok(());
        }
        let mut table = Table::new(&["webhook-id", "event", "tries", "made", "given up", "reason"]);
        for firing in &firings {
            table.row([
                table::text(&firing["id"]),
                table::text(&firing["hook_event"]),
                table::text(&firing["tries"]),
                table::time(&firing["created"]),
                table::time(&firing["ended"]),
                table::text(&firing["reason"]),
            ]);
        }
        table.print("everything was delivered, or is still tried");
        Ok(())
    }
}
