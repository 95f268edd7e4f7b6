//! `hookbox module bench`: what a call costs, in an instance of its own and in one that is used again and again.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::json;

use super::{
    page_faults, sample,
    sample::Sample,
    stage::{Sandbox, module_at},
};
use crate::{
    command::table::{Table, print_json, say},
    message::Message,
    module::{Module, sandbox::Cost},
};

/// Calls of one round; the two ways alternate in rounds, so that what else the machine does meets both.
const CALLS: u32 = 200;

/// Which folder.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The module's folder: its samples are the messages.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Rounds of 200 fresh and 200 reused calls a sample; the median counts.
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
    fresh_us: f64,
    reused_us: f64,
    fresh_faults: f64,
    reused_faults: f64,
    cost: Cost,
}

impl Bench {
    /// `false` when a sample fails, which is not measured.
    pub(super) fn run(self) -> Result<bool, String> {
        let (component, folder) = module_at(&self.dir)?;
        let folder = folder.ok_or_else(|| format!("{}: name the module's folder", self.dir.display()))?;
        let stage = self.sandbox.set_up()?;
        let samples = sample::in_folder::<Module>(&folder.samples(), &stage)?;
        let module = stage.load(&component)?;
        let _running = stage.running();
        let mut table =
            Table::new(&["sample", "fresh us", "reused us", "fresh faults", "reused faults", "fuel", "KiB"]);
        let (mut answers, mut all_measured) = (Vec::new(), true);
        for (_, sample) in &samples {
            let Some(measured) = measure(&module, sample, self.rounds) else {
                all_measured = false;
                table.row([sample.name.clone(), "it fails; see `hookbox module run`".into()]);
                continue;
            };
            let Measured { fresh_us, reused_us, fresh_faults, reused_faults, cost } = measured;
            table.row([
                sample.name.clone(),
                format!("{fresh_us:.1}"),
                format!("{reused_us:.1}"),
                format!("{fresh_faults:.2}"),
                format!("{reused_faults:.2}"),
                cost.fuel.to_string(),
                (cost.memory_bytes / 1024).to_string(),
            ]);
            answers.push(json!({
                "sample": sample.name, "fresh_us": fresh_us, "reused_us": reused_us, "fresh_page_faults": fresh_faults,
                "reused_page_faults": reused_faults, "fuel": cost.fuel, "memory_bytes": cost.memory_bytes,
            }));
        }
        match self.json {
            true => print_json(&json!({"component_bytes": component.len(), "samples": answers})),
            false => {
                say(&format!("component of {} bytes, {} rounds of {CALLS} calls", component.len(), self.rounds));
                table.print("no samples");
            }
        }
        Ok(all_measured)
    }
}

fn measure(module: &Module, sample: &Sample<Message>, rounds: u32) -> Option<Measured> {
    let module = module.in_surroundings(sample.surroundings.clone());
    let first = module.handle(&sample.handed);
    let cost = first.result.is_ok().then_some(first.cost)?;
    let mut instance = module.instance_for(&sample.handed).ok()?;
    let mut reused = || instance.handle(&sample.handed).result.is_ok();
    let (mut fresh_runs, mut reused_runs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        fresh_runs.push(round(|| module.handle(&sample.handed).result.is_ok())?);
        reused_runs.push(round(&mut reused)?);
    }
    let (fresh_us, fresh_faults) = medians(fresh_runs);
    let (reused_us, reused_faults) = medians(reused_runs);
    Some(Measured { fresh_us, reused_us, fresh_faults, reused_faults, cost })
}

/// Microseconds and page faults a call; `None` when one fails.
fn round(mut call: impl FnMut() -> bool) -> Option<(f64, f64)> {
    let (faults, began) = (page_faults::so_far().unwrap_or(0), Instant::now());
    for _ in 0..CALLS {
        call().then_some(())?;
    }
    let us = began.elapsed().as_secs_f64() * 1e6;
    let faults = page_faults::so_far().unwrap_or(0).saturating_sub(faults);
    Some((us / f64::from(CALLS), faults as f64 / f64::from(CALLS)))
}

fn medians(runs: Vec<(f64, f64)>) -> (f64, f64) {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let (times, faults) = runs.into_iter().unzip();
    (middle(times), middle(faults))
}
