//! `hookbox module run`: messages into a module, or firings into a transform, in the real sandbox, and what comes of each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    folder::World,
    on_stage::OnStage,
    sample::{self, Sample},
    stage::{Played, Sandbox, Stage, component_at, log_lines, world_of},
};
use crate::command::table::{print_json, say};

/// Which component, and what it is handed.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookbox module run doorbell doorbell/samples/rung.json")]
pub(super) struct Run {
    /// A folder or a component (*.wasm) first, this folder when left out; then files: samples, messages as `hookbox publish`
    /// takes them (and `account_id`) or firings for a transform, arrays of them, or one a line.
    #[arg(required = true, value_name = "[DIR|FILE.wasm] FILE.json")]
    paths: Vec<PathBuf>,
    /// A setting that the component finds when it asks; over those of samples.
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
        let (path, files) = component_and_rest(&self.paths);
        if files.is_empty() {
            return Err("name a file of messages or firings too, e.g. samples/*.json".into());
        }
        let (component, folder) = component_at(path)?;
        let stage = self.sandbox.set_up()?;
        match world_of(&component, folder.as_ref()) {
            World::Module => self.play(files, &stage, || stage.load(&component)),
            World::Transform => self.play(files, &stage, || stage.load_transform(&component)),
        }
    }

    fn play<C: OnStage>(
        &self,
        files: &[PathBuf],
        stage: &Stage,
        load: impl FnOnce() -> Result<C, String>,
    ) -> Result<bool, String> {
        let given: BTreeMap<_, _> = self.settings.iter().cloned().collect();
        let mut samples = Vec::new();
        for path in files {
            samples.extend(sample::in_file::<C>(path, stage, &given)?);
        }
        let on_stage = load()?;
        let _running = stage.running();
        let (mut all_sound, mut answers) = (true, Vec::new());
        for sample in &samples {
            let played = on_stage.play_fresh(sample);
            all_sound &= !played.is_failure;
            match self.json {
                true => answers.push(as_json(&on_stage, sample, &played)),
                false => print(&on_stage, sample, &played),
            }
        }
        if self.json {
            print_json(&answers.into());
        }
        Ok(all_sound)
    }
}

/// The first path when it is a folder or a component, else the folder here; and what comes after it.
fn component_and_rest(paths: &[PathBuf]) -> (&Path, &[PathBuf]) {
    match paths.split_first() {
        Some((first, rest)) if first.is_dir() || first.extension().is_some_and(|ending| ending == "wasm") => {
            (first, rest)
        }
        _ => (Path::new("."), paths),
    }
}

fn as_json<C: OnStage>(on_stage: &C, sample: &Sample<C::Handed>, played: &Played) -> Value {
    json!({
        C::HANDED: sample.name,
        "handed_over": on_stage.why_not_handed_over(&sample.handed).is_none(),
        "answer": played.answer,
        "log": log_lines(&played.log),
        "log_dropped_bytes": played.log.dropped_bytes,
        "fuel": played.cost.fuel,
        "time_us": played.time_us.round(),
        "memory_bytes": played.cost.memory_bytes,
        "page_faults": played.page_faults,
    })
}

fn print<C: OnStage>(on_stage: &C, sample: &Sample<C::Handed>, played: &Played) {
    let Played { answer, log, cost, time_us, .. } = played;
    say(&format!(
        "{}: {}, {:.0} µs, {} fuel, {} KiB",
        sample.name,
        C::in_words(answer, &sample.handed),
        time_us,
        cost.fuel,
        cost.memory_bytes / 1024
    ));
    if on_stage.why_not_handed_over(&sample.handed).is_some() {
        say("  note: no binding asks for it, so a host would not hand it over");
    }
    for line in log_lines(log) {
        say(&format!("  log {line}"));
    }
    if log.dropped_bytes > 0 {
        say(&format!("  log: {} bytes more than modules.log_bytes_max were dropped", log.dropped_bytes));
    }
    for value in C::shown(answer, &sample.handed) {
        for line in format!("{value:#}").lines() {
            say(&format!("  {line}"));
        }
    }
}
