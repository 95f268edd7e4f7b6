//! `hookbox module test`: a folder's samples, each in an instance of its own and, a module's, in one that was used before.
//!
//! A host makes a fresh instance for every message unless a module's owner has it otherwise, so a module that keeps
//! something from one call to the next seems to work, until it does not. Here every sample is also handed to an instance
//! that has had a few of the other samples, drawn at random: when the answer differs, the module has hidden state. A
//! transform's instances are never used again by a host, so its samples are handed to fresh ones alone.

use std::path::PathBuf;

use clap::Args;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::{
    difference::difference,
    folder::{ModuleFolder, World},
    on_stage::OnStage,
    sample::{self, Sample},
    stage::{Played, Sandbox, Stage, component_at, log_lines},
};
use crate::command::table::{print_json, say};

/// How often an instance is used before, at most.
const CALLS_BEFORE_MAX: usize = 4;

/// Which folder.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookbox module test doorbell --accept")]
pub(super) struct Test {
    /// The folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write down what the component answers as what is expected of it.
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
    /// The answer in a few words.
    words: String,
    played: Played,
    /// Each with its kind: `answer`, `not asked for` or `hidden state`.
    problems: Vec<(&'static str, String)>,
}

impl Test {
    /// Whether all samples gave what is expected.
    pub(super) fn run(self) -> Result<bool, String> {
        let (component, folder) = component_at(&self.dir)?;
        let folder = folder.ok_or_else(|| format!("{}: name the component's folder", self.dir.display()))?;
        let stage = self.sandbox.set_up()?;
        match folder.world {
            World::Module => self.judge_all(&folder, &stage, || stage.load(&component)),
            World::Transform => self.judge_all(&folder, &stage, || stage.load_transform(&component)),
        }
    }

    fn judge_all<C: OnStage>(
        &self,
        folder: &ModuleFolder,
        stage: &Stage,
        load: impl FnOnce() -> Result<C, String>,
    ) -> Result<bool, String> {
        let samples = sample::in_folder::<C>(&folder.samples(), stage)?;
        if samples.is_empty() {
            return Err(format!("{} holds no sample (*.json)", folder.samples().display()));
        }
        let on_stage = load()?;
        let seed = self.seed.unwrap_or_else(rand::random);
        let mut random = SmallRng::seed_from_u64(seed);
        let _running = stage.running();
        let mut verdicts = Vec::new();
        for (path, sample) in &samples {
            let mut verdict = judge(&on_stage, sample, self.accept);
            if self.accept && sample.expected.as_ref() != Some(&verdict.played.answer) {
                sample::accept::<C>(path, &verdict.played.answer, &sample.handed)?;
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
            if folder.world == World::Transform {
                say("each in an instance of its own, as hosts do it; none was used again");
            }
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
fn judge<C: OnStage>(on_stage: &C, sample: &Sample<C::Handed>, accept: bool) -> Verdict {
    let played = on_stage.play_fresh(sample);
    let mut problems = Vec::new();
    problems.extend(on_stage.why_not_handed_over(&sample.handed).map(|reason| ("not asked for", reason)));
    match &sample.expected {
        _ if accept => {}
        None => {
            let keys = C::EXPECTED.join(" nor ");
            problems.push(("answer", format!("the sample does not say {keys}; --accept writes what it answers")));
        }
        // Compared as texts, so that the order of keys counts: forms are sent in it.
        Some(expected) => {
            let (expected, given) = (format!("{expected:#}"), format!("{:#}", played.answer));
            if expected != given {
                problems.push(("answer", difference(&expected, &given)));
            }
        }
    }
    Verdict { name: sample.name.clone(), words: C::in_words(&played.answer, &sample.handed), played, problems }
}

/// In an instance that has had other samples, drawn at random, the same one among them perhaps.
fn hidden_state<C: OnStage>(
    on_stage: &C,
    sample: &Sample<C::Handed>,
    all: &[(PathBuf, Sample<C::Handed>)],
    fresh: &Played,
    random: &mut SmallRng,
) -> Option<(&'static str, String)> {
    let calls = random.random_range(1..=CALLS_BEFORE_MAX);
    let before: Vec<_> = (0..calls).map(|_| &all[random.random_range(0..all.len())].1).collect();
    let (used, had) = on_stage.play_used(sample, &before)?;
    let (fresh, used) = (format!("{:#}", fresh.answer), format!("{:#}", used.answer));
    (fresh != used).then(|| {
        let what = "after these in the same instance the answer is another one (random numbers count as state too)";
        (HIDDEN_STATE, format!("{what}: {}\n{}", had.join(", "), difference(&fresh, &used)))
    })
}

impl Verdict {
    fn print(&self, accept: bool) {
        let Played { cost, time_us, log, .. } = &self.played;
        let word = match (self.problems.is_empty(), accept) {
            (true, false) => "ok    ",
            (true, true) => "taken ",
            (false, _) => "FAILED",
        };
        say(&format!("{word} {}: {}, {time_us:.0} µs, {} fuel", self.name, self.words, cost.fuel));
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
