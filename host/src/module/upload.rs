//! What is found out about a component before it is kept: whether it can be used at all, and what it says about itself.

use std::sync::Arc;

use serde_json::{Value, json};
use wasmtime::component::Linker;

use super::{
    Kind, ModuleError, Modules,
    description::{Binding, Metadata},
    guest::{Guest, Surroundings},
    imports,
    loaded::Loader,
    sandbox::Prepared,
};
use crate::message::{AccountId, UnixMs};

/// Everything that is known of a component before it may be used.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Which world it is for.
    pub kind: Kind,
    /// What it says about itself; none for a transform.
    pub metadata: Option<Metadata>,
    /// What it wants; none for a transform.
    pub bindings: Vec<Binding>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What is shown to the tenant, and kept.
    pub report: Value,
}

/// A component that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where in the check: `size`, `component`, `imports`, `world`, `metadata`, `bindings`, or `host` when it is ours.
    pub step: &'static str,
    /// What is wrong.
    pub error: ModuleError,
}

impl Modules {
    /// Checks what a tenant has uploaded. Takes as long as the compiler does.
    pub async fn check_upload(&self, owner: &AccountId, component: Arc<[u8]>) -> Result<Checked, Refused> {
        let (loader, now_ms) = (Arc::clone(&self.loader), self.clock.now_ms());
        let surroundings = self.surroundings_of(owner, Default::default());
        let checking = move || check(&loader, &component, surroundings, now_ms);
        tokio::task::spawn_blocking(checking).await.unwrap_or_else(|panic| {
            let error = ModuleError::Host { reason: format!("the check panicked: {panic}") };
            Err(Refused { step: "host", error })
        })
    }
}

fn check(loader: &Loader, component: &[u8], surroundings: Surroundings, now_ms: UnixMs) -> Result<Checked, Refused> {
    let at = |step: &'static str| move |error: ModuleError| Refused { step: step_of(&error).unwrap_or(step), error };
    let engine = loader.engines.for_component(component);
    let compiled = loader.compiler.load(engine, component).map_err(at("component"))?;
    let of_component = compiled.component_type();
    let imports: Vec<String> = of_component.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = of_component.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let has = |name: &str| exports.iter().any(|export| export == name);
    let kind = if has("transform") && !has("handle-event") { Kind::Transform } else { Kind::Module };
    let (metadata, bindings) = match kind {
        Kind::Module => {
            let prepared = Prepared::new(engine, &compiled).map_err(at("world"))?;
            let (metadata, bindings) = loader.describe(&prepared, &surroundings, now_ms).map_err(at("metadata"))?;
            (Some(metadata), bindings)
        }
        Kind::Transform => {
            let mut linker = Linker::<Guest>::new(engine);
            let linked = imports::link(&mut linker).and_then(|()| linker.instantiate_pre(&compiled));
            let refuse = |error: wasmtime::Error| ModuleError::Import { reason: format!("{error:#}") };
            linked.map_err(refuse).map_err(at("imports"))?;
            (None, Vec::new())
        }
    };
    let report = json!({
        "kind": kind,
        "size_bytes": component.len(),
        "imports": imports,
        "id": metadata.as_ref().map(|metadata| &metadata.id),
        "bindings": bindings,
    });
    Ok(Checked { kind, metadata, bindings, imports, report })
}

/// The step that a fault belongs to, when the fault tells.
fn step_of(error: &ModuleError) -> Option<&'static str> {
    match error {
        ModuleError::NotAComponent { .. } => Some("component"),
        ModuleError::Import { .. } => Some("imports"),
        ModuleError::World { .. } => Some("world"),
        ModuleError::Description { what, .. } => Some(what),
        ModuleError::Host { .. } => Some("host"),
        _ => None,
    }
}
