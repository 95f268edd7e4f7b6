//! `hookbox module check`: what a host would say of a component before it takes it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::stage::{OnStage, Sandbox, Stage, component_at};
use crate::{
    command::table::{print_json, say},
    module::ModuleError,
};

/// Which component.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A module's folder, or a component (*.wasm).
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
        let (component, _) = component_at(&self.path)?;
        let stage = self.sandbox.set_up()?;
        match checked(&stage, &component) {
            Ok(on_stage) => {
                match self.json {
                    true => print_json(&as_json(&on_stage)),
                    false => print(&on_stage),
                }
                Ok(true)
            }
            Err(error) => {
                match self.json {
                    true => print_json(&json!({"refused": error.to_string(), "kind": error.kind()})),
                    false => say(&format!("refused: {error}")),
                }
                Ok(false)
            }
        }
    }
}

/// The check itself: everything that a host looks at before it uses a component.
fn checked(stage: &Stage, component: &[u8]) -> Result<OnStage, ModuleError> {
    stage.load(component)
}

fn as_json(on_stage: &OnStage) -> Value {
    let module = &on_stage.module;
    json!({
        "id": module.metadata.id, "name": module.metadata.name, "version": module.metadata.version,
        "digest": module.digest, "bytes": on_stage.bytes, "load_ms": on_stage.load_ms, "bindings": module.bindings,
    })
}

fn print(on_stage: &OnStage) {
    let module = &on_stage.module;
    let metadata = &module.metadata;
    say(&format!("{} {} ({})", metadata.id, metadata.version, metadata.name));
    say(&format!("digest {}", module.digest));
    say(&format!("{} bytes, loaded in {} ms", on_stage.bytes, on_stage.load_ms));
    for binding in &module.bindings {
        let (keys, names) = (binding.routing_keys.join(", "), binding.names.join(", "));
        say(&format!("asks for {} {keys}: {} {names}", binding.exchange, binding.category));
    }
    say("a host takes it");
}
