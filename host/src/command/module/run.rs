//! `hookbox module run`: messages into a component in the real sandbox, and what comes of each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    matching::is_asked_for,
    sample::{self, Sample},
    stage::{OnStage, Played, Sandbox, log_lines, module_at, play_fresh},
};
use crate::command::table::{print_json, say};

/// Which component, and which messages.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookbox module run doorbell doorbell/samples/rung.json")]
pub(super) struct Run {
    /// A module's folder or a component (*.wasm) first, this folder when left out; then files of messages: samples, messages
    /// as `hookbox publish` takes them (and `account_id`), arrays of them, or one a line.
    #[arg(required = true, value_name = "[DIR|FILE.wasm] MESSAGE.json")]
    paths: Vec<PathBuf>,
    /// A setting that the module finds when it asks; over those of samples.
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = key_value)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    sandbox: Sandbox,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Run {
    /// Whether every call ended without a fault.
    pub(super) fn run(self) -> Result<bool, String> {
        let (component, messages) = module_and_rest(&self.paths);
        if messages.is_empty() {
            return Err("name a file of messages too, e.g. samples/*.json".into());
        }
        let (component, _) = module_at(component)?;
        let stage = self.sandbox.set_up()?;
        let given: BTreeMap<_, _> = self.settings.into_iter().collect();
        let mut samples = Vec::new();
        for path in messages {
            samples.extend(sample::in_file(path, &stage, &given)?);
        }
        let on_stage = match stage.load(&component) {
            Ok(on_stage) => on_stage,
            Err(error) => return Err(format!("the host would refuse it: {error}")),
        };
        let _running = stage.running();
        let (mut all_sound, mut answers) = (true, Vec::new());
        for sample in &samples {
            let module = on_stage.module.in_surroundings(sample.surroundings.clone());
            let played = play_fresh(&module, &sample.message);
            all_sound &= !played.is_failure;
            match self.json {
                true => answers.push(as_json(sample, &on_stage, &played)),
                false => print(sample, &on_stage, &played),
            }
        }
        if self.json {
            print_json(&answers.into());
        }
        Ok(all_sound)
    }
}

/// The first path when it is a folder or a component, else the folder here; and what comes after it.
pub(super) fn module_and_rest(paths: &[PathBuf]) -> (&Path, &[PathBuf]) {
    match paths.split_first() {
        Some((first, rest)) if first.is_dir() || first.extension().is_some_and(|ending| ending == "wasm") => {
            (first, rest)
        }
        _ => (Path::new("."), paths),
    }
}

fn as_json(sample: &Sample, on_stage: &OnStage, played: &Played) -> Value {
    json!({
        "message": sample.name,
        "handed_over": is_asked_for(&on_stage.module.bindings, &sample.message),
        "answer": played.answer,
        "log": log_lines(&played.log),
        "log_dropped_bytes": played.log.dropped_bytes,
        "fuel": played.cost.fuel,
        "time_us": played.time_us.round(),
        "memory_bytes": played.cost.memory_bytes,
        "page_faults": played.page_faults,
    })
}

fn print(sample: &Sample, on_stage: &OnStage, played: &Played) {
    let Played { answer, log, cost, time_us, .. } = played;
    say(&format!(
        "{}: {}, {:.0} µs, {} fuel, {} KiB",
        sample.name,
        in_words(answer),
        time_us,
        cost.fuel,
        cost.memory_bytes / 1024
    ));
    if !is_asked_for(&on_stage.module.bindings, &sample.message) {
        say("  note: no binding asks for it, so a host would not hand it over");
    }
    for line in log_lines(log) {
        say(&format!("  log {line}"));
    }
    if log.dropped_bytes > 0 {
        say(&format!("  log: {} bytes more than modules.log_bytes_max were dropped", log.dropped_bytes));
    }
    for event in answer.as_array().into_iter().flatten() {
        for line in format!("{event:#}").lines() {
            say(&format!("  {line}"));
        }
    }
}

/// What came of a call, in a few words.
pub(super) fn in_words(answer: &Value) -> String {
    match answer {
        Value::Array(events) if events.len() == 1 => "1 event".into(),
        Value::Array(events) => format!("{} events", events.len()),
        Value::Object(error) => {
            error.iter().map(|(kind, why)| format!("{kind}: {}", why.as_str().unwrap_or_default())).collect()
        }
        other => other.as_str().unwrap_or_default().replace('_', " "),
    }
}
