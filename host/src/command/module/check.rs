//! `hookbox module check`: what a host would say of a component before it takes it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use clap::Args;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{
    firings::HeldTransform,
    folder::{ModuleFolder, World},
    on_stage::OnStage,
    report,
    sample::{self, Sample},
    stage::{Sandbox, Stage, component_at, surroundings_of},
};
use crate::{
    command::table::{print_json, say},
    firing::given,
    module::{
        Module,
        check::{Checked, Subject},
    },
};

/// Which component.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A folder that was built, or a component (*.wasm).
    #[arg(default_value = ".", value_name = "DIR|FILE.wasm")]
    path: PathBuf,
    #[command(flatten)]
    sandbox: Sandbox,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Whether a host would take it.
    pub(super) fn run(self) -> Result<bool, String> {
        let (component, folder) = component_at(&self.path)?;
        let stage = self.sandbox.set_up()?;
        let samples = samples_of::<Module>(folder.as_ref(), World::Module, &stage)?;
        let firings = samples_of::<HeldTransform>(folder.as_ref(), World::Transform, &stage)?;
        let (firing, payload_bytes_max) = (stage.settings.firing.clone(), stage.output_bytes_max());
        let subject = Subject {
            surroundings: surroundings_of(BTreeMap::new()),
            limits: stage.limits(),
            messages: Box::new(|_| samples.into_iter().map(|sample| Arc::new(sample.handed)).collect()),
            firings: Box::new(move || {
                let of = |sample: Sample<_>| given::on_trial(sample.name, sample.handed, &firing, payload_bytes_max);
                firings.into_iter().map(of).collect()
            }),
        };
        // This thread is one that may wait.
        match Handle::current().block_on(stage.checker().check(component.into(), subject)) {
            Ok(checked) => {
                match self.json {
                    true => print_json(&as_json(&checked)?),
                    false => print(&checked)?,
                }
                Ok(true)
            }
            Err(error) => {
                match self.json {
                    true => print_json(&json!({"refused": error.to_string(), "kind": error.kind()})),
                    false => say(&error.to_string()),
                }
                Ok(false)
            }
        }
    }
}

/// Its samples stand for the messages that a host would have a module handed, and for a transform's firings.
fn samples_of<C: OnStage>(
    folder: Option<&ModuleFolder>,
    world: World,
    stage: &Stage,
) -> Result<Vec<Sample<C::Handed>>, String> {
    match folder.filter(|folder| folder.world == world).map(ModuleFolder::samples).filter(|samples| samples.is_dir()) {
        Some(samples) => {
            let samples = sample::in_folder::<C>(&samples, stage)?;
            Ok(samples.into_iter().map(|(_, sample)| sample).collect())
        }
        None => Ok(Vec::new()),
    }
}

fn as_json(checked: &Checked) -> Result<Value, String> {
    let report = serde_json::to_value(&checked.report).map_err(|error| error.to_string())?;
    let metadata = checked.metadata.as_ref();
    Ok(json!({
        "id": metadata.map(|metadata| metadata.id.to_string()),
        "name": metadata.map(|metadata| &metadata.name),
        "version": metadata.map(|metadata| &metadata.version),
        "bindings": checked.bindings,
        "report": report,
    }))
}

fn print(checked: &Checked) -> Result<(), String> {
    if let Some(metadata) = &checked.metadata {
        say(&format!("{} {} ({})", metadata.id, metadata.version, metadata.name));
    }
    let as_value = |found: Result<Value, serde_json::Error>| found.map_err(|error| error.to_string());
    let bindings = as_value(serde_json::to_value(&checked.bindings))?;
    report::print(&as_value(serde_json::to_value(&checked.report))?, &bindings);
    say("a host takes it");
    Ok(())
}
