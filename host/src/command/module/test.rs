//! `hookbox module test`: a folder's samples, each in an instance of its own and in one that was used before.
//!
//! A host makes a fresh instance for every message unless a module's owner has it otherwise, so a module that keeps
//! something from one call to the next seems to work, until it does not. Here every sample is also handed to an instance
//! that has had a few of the other samples, drawn at random: when the answer differs, the module has hidden state.

use std::path::PathBuf;

use clap::Args;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::{
    difference::difference,
    matching::is_asked_for,
    run::in_words,
    sample::{self, Sample},
    stage::{OnStage, Played, Sandbox, log_lines, module_at, play, play_fresh},
};
use crate::{
    command::table::{print_json, say},
    message::Message,
};

/// How often an instance is used before, at most.
const CALLS_BEFORE_MAX: usize = 4;

/// Which folder.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookbox module test doorbell --accept")]
pub(super) struct Test {
    /// The module's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write down what the module answers as what is expected of it.
    #[arg(long)]
    accept: bool,
    /// With which number instances are chosen at random; printed when hidden state shows [default: another each time].
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    sandbox: Sandbox,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What became of one sample.
struct Verdict {
    name: String,
    played: Played,
    /// Each with its kind: `answer`, `not asked for` or `hidden state`.
    problems: Vec<(&'static str, String)>,
}

impl Test {
    /// Whether all samples gave what is expected.
    pub(super) fn run(self) -> Result<bool, String> {
        let (component, folder) = module_at(&self.dir)?;
        let folder = folder.ok_or_else(|| format!("{}: name the module's folder", self.dir.display()))?;
        let stage = self.sandbox.set_up()?;
        let samples = sample::in_folder(&folder.samples(), &stage)?;
        if samples.is_empty() {
            return Err(format!("{} holds no sample (*.json)", folder.samples().display()));
        }
        let on_stage = match stage.load(&component) {
            Ok(on_stage) => on_stage,
            Err(error) => return Err(format!("the host would refuse it: {error}")),
        };
        let seed = self.seed.unwrap_or_else(rand::random);
        let mut random = SmallRng::seed_from_u64(seed);
        let _running = stage.running();
        let mut verdicts = Vec::new();
        for (path, sample) in &samples {
            let mut verdict = judge(&on_stage, sample, self.accept);
            if self.accept && sample.expected.as_ref() != Some(&verdict.played.answer) {
                sample::accept(path, &verdict.played.answer)?;
            }
            verdict.problems.extend(hidden_state(&on_stage, sample, &samples, &verdict.played, &mut random));
            if !self.json {
                verdict.print(self.accept);
            }
            verdicts.push(verdict);
        }
        let failed = verdicts.iter().filter(|verdict| !verdict.problems.is_empty()).count();
        let has_hidden_state =
            verdicts.iter().flat_map(|verdict| &verdict.problems).any(|(kind, _)| *kind == HIDDEN_STATE);
        if self.json {
            let samples: Vec<Value> = verdicts.iter().map(Verdict::as_json).collect();
            print_json(&json!({"samples": samples, "failed": failed, "seed": seed}));
        } else {
            say(&format!("{} samples, {failed} failed", samples.len()));
            if has_hidden_state {
                say(&format!("to see the same again: --seed {seed}"));
            }
        }
        Ok(failed == 0)
    }
}

const HIDDEN_STATE: &str = "hidden state";

/// In an instance of its own.
fn judge(on_stage: &OnStage, sample: &Sample, accept: bool) -> Verdict {
    let module = on_stage.module.in_surroundings(sample.surroundings.clone());
    let played = play_fresh(&module, &sample.message);
    let mut problems = Vec::new();
    if !is_asked_for(&on_stage.module.bindings, &sample.message) {
        let Message { exchange, routing_key, category, name, .. } = &sample.message;
        let what = format!("no binding asks for {exchange} {routing_key} with category {category:?} and name {name:?}");
        problems.push(("not asked for", what));
    }
    match &sample.expected {
        _ if accept => {}
        None => problems.push(("answer", "the sample says neither events nor error; --accept writes them".into())),
        // Compared as texts, so that the order of keys counts: forms are sent in it.
        Some(expected) => {
            let (expected, given) = (format!("{expected:#}"), format!("{:#}", played.answer));
            if expected != given {
                problems.push(("answer", difference(&expected, &given)));
            }
        }
    }
    Verdict { name: sample.name.clone(), played, problems }
}

/// In an instance that has had other samples, drawn at random, the same one among them perhaps.
fn hidden_state(
    on_stage: &OnStage,
    sample: &Sample,
    all: &[(PathBuf, Sample)],
    fresh: &Played,
    random: &mut SmallRng,
) -> Option<(&'static str, String)> {
    let module = on_stage.module.in_surroundings(sample.surroundings.clone());
    let mut instance = module.instance_for(&sample.message).ok()?;
    let calls = random.random_range(1..=CALLS_BEFORE_MAX);
    let mut before = Vec::new();
    for _ in 0..calls {
        let (_, other) = &all[random.random_range(0..all.len())];
        // What failed ends its instance, here as in a host.
        if instance.handle(&other.message).result.is_err() {
            instance = module.instance_for(&sample.message).ok()?;
            before.clear();
            continue;
        }
        before.push(other.name.as_str());
    }
    if before.is_empty() {
        return None;
    }
    let used = play(|| instance.handle(&sample.message));
    let (fresh, used) = (format!("{:#}", fresh.answer), format!("{:#}", used.answer));
    (fresh != used).then(|| {
        let what = "after these in the same instance the answer is another one (random numbers count as state too)";
        (HIDDEN_STATE, format!("{what}: {}\n{}", before.join(", "), difference(&fresh, &used)))
    })
}

impl Verdict {
    fn print(&self, accept: bool) {
        let Played { answer, cost, time_us, log, .. } = &self.played;
        let word = match (self.problems.is_empty(), accept) {
            (true, false) => "ok    ",
            (true, true) => "taken ",
            (false, _) => "FAILED",
        };
        say(&format!("{word} {}: {}, {time_us:.0} µs, {} fuel", self.name, in_words(answer), cost.fuel));
        for (kind, text) in &self.problems {
            say(&format!("  {kind}: {}", text.trim_end().replace('\n', "\n    ")));
        }
        if !self.problems.is_empty() {
            log_lines(log).iter().for_each(|line| say(&format!("  log {line}")));
        }
    }

    fn as_json(&self) -> Value {
        let problems = self.problems.iter().map(|(kind, text)| json!({"kind": kind, "text": text}));
        json!({
            "sample": self.name, "answer": self.played.answer, "problems": problems.collect::<Vec<_>>(),
            "log": log_lines(&self.played.log), "fuel": self.played.cost.fuel, "time_us": self.played.time_us.round(),
        })
    }
}
