//! `hookbox module bench`: what a call costs, in an instance of its own and, where hosts may do so, in one that is used again
//! and again.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::{Value, json};

use super::{
    folder::{ModuleFolder, World},
    on_stage::{Calls, OnStage},
    sample::{self, Sample},
    stage::{Sandbox, Stage, component_at},
};
use crate::{
    command::table::{Table, print_json, say},
    module::{page_faults, sandbox::Cost},
};

/// Calls of one round; the two ways alternate in rounds, so that what else the machine does meets both.
const CALLS: u32 = 200;

/// Which folder.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The folder: its samples are the messages, or the firings.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Rounds of 200 fresh and, of a module, 200 reused calls a sample; the median counts.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    #[command(flatten)]
    sandbox: Sandbox,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What one sample costs a call.
struct Measured {
    fresh: Figures,
    /// None where hosts use no instance twice.
    reused: Option<Figures>,
    cost: Cost,
}

/// The medians of the rounds, a call.
#[derive(Clone, Copy)]
struct Figures {
    us: f64,
    page_faults: f64,
}

impl Bench {
    /// `false` when a sample fails, which is not measured.
    pub(super) fn run(self) -> Result<bool, String> {
        let (component, folder) = component_at(&self.dir)?;
        let folder = folder.ok_or_else(|| format!("{}: name the component's folder", self.dir.display()))?;
        let stage = self.sandbox.set_up()?;
        match folder.world {
            World::Module => self.measure_all(&folder, &stage, component.len(), || stage.load(&component)),
            World::Transform => self.measure_all(&folder, &stage, component.len(), || stage.load_transform(&component)),
        }
    }

    fn measure_all<C: OnStage>(
        &self,
        folder: &ModuleFolder,
        stage: &Stage,
        component_bytes: usize,
        load: impl FnOnce() -> Result<C, String>,
    ) -> Result<bool, String> {
        let samples = sample::in_folder::<C>(&folder.samples(), stage)?;
        let on_stage = load()?;
        let _running = stage.running();
        let mut table =
            Table::new(&["sample", "fresh us", "reused us", "fresh faults", "reused faults", "fuel", "KiB"]);
        let (mut answers, mut all_measured) = (Vec::new(), true);
        for (_, sample) in &samples {
            match measure(&on_stage, sample, self.rounds) {
                Some(measured) => {
                    table.row(measured.in_cells(&sample.name));
                    answers.push(measured.as_json(&sample.name));
                }
                None => {
                    all_measured = false;
                    table.row([sample.name.clone(), "it fails; see `hookbox module run`".into()]);
                }
            }
        }
        match self.json {
            true => print_json(&json!({"component_bytes": component_bytes, "samples": answers})),
            false => {
                say(&format!("component of {component_bytes} bytes, {} rounds of {CALLS} calls", self.rounds));
                table.print("no samples");
            }
        }
        Ok(all_measured)
    }
}

impl Measured {
    fn in_cells(&self, sample: &str) -> [String; 7] {
        let Self { fresh, reused, cost } = self;
        let of_reused = |figure: fn(&Figures) -> String| reused.as_ref().map_or_else(|| "-".into(), figure);
        [
            sample.to_owned(),
            format!("{:.1}", fresh.us),
            of_reused(|reused| format!("{:.1}", reused.us)),
            format!("{:.2}", fresh.page_faults),
            of_reused(|reused| format!("{:.2}", reused.page_faults)),
            cost.fuel.to_string(),
            (cost.memory_bytes / 1024).to_string(),
        ]
    }

    fn as_json(&self, sample: &str) -> Value {
        let Self { fresh, reused, cost } = self;
        json!({
            "sample": sample,
            "fresh_us": fresh.us,
            "reused_us": reused.map(|reused| reused.us),
            "fresh_page_faults": fresh.page_faults,
            "reused_page_faults": reused.map(|reused| reused.page_faults),
            "fuel": cost.fuel,
            "memory_bytes": cost.memory_bytes,
        })
    }
}

/// `None` when a call fails.
fn measure<C: OnStage>(on_stage: &C, sample: &Sample<C::Handed>, rounds: u32) -> Option<Measured> {
    on_stage.measured(sample, |fresh, mut reused| {
        let cost = fresh()?;
        let (mut fresh_rounds, mut reused_rounds) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            fresh_rounds.push(round(fresh)?);
            if let Some(reused) = &mut reused {
                reused_rounds.push(round(reused)?);
            }
        }
        Some(Measured { fresh: medians(fresh_rounds), reused: reused.map(|_| medians(reused_rounds)), cost })
    })
}

/// What the calls of one round cost, each; `None` when one fails.
fn round(call: &mut Calls<'_>) -> Option<Figures> {
    let (faults, began) = (page_faults::so_far().unwrap_or(0), Instant::now());
    for _ in 0..CALLS {
        call()?;
    }
    let us = began.elapsed().as_secs_f64() * 1e6;
    let faults = page_faults::so_far().unwrap_or(0).saturating_sub(faults);
    Some(Figures { us: us / f64::from(CALLS), page_faults: faults as f64 / f64::from(CALLS) })
}

fn medians(rounds: Vec<Figures>) -> Figures {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let (us, page_faults) = rounds.into_iter().map(|round| (round.us, round.page_faults)).unzip();
    Figures { us: middle(us), page_faults: middle(page_faults) }
}
