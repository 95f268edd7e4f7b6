//! What a component imports and exports, held against the worlds of Hookbox: which of the two it is for, whether all that it
//! imports is offered, and what that lets it do, in words.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Serialize;
use wit_parser::{
    Resolve, SourceMap, WorldId, WorldItem,
    decoding::{DecodedWasm, decode},
};

use super::{Kind, Step};
use crate::module::ModuleError;

/// One interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// As the component names it, e.g. `wasi:filesystem/types@0.2.6`.
    pub name: String,
    /// What it amounts to here.
    pub means: &'static str,
}

/// Which world the component is for, and what it imports; else at which step it is refused.
pub fn fit(component: &[u8]) -> Result<(Kind, Vec<Import>), (Step, ModuleError)> {
    let worlds = WORLDS.as_ref().map_err(|reason| (Step::World, ModuleError::Host { reason: reason.clone() }))?;
    let (resolve, world) = match decode(component) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => {
            let reason = "it holds interfaces and no code (a WIT package); build the component".into();
            return Err((Step::World, ModuleError::NotAComponent { reason }));
        }
        Err(error) => {
            let reason = format!("hookbox:webhook: its imports and exports cannot be read: {}", in_one_line(&error));
            return Err((Step::World, ModuleError::World { reason }));
        }
    };
    let imports = imports(&resolve, world, worlds).map_err(|error| (Step::Imports, error))?;
    let kind = kind(&resolve, world).map_err(|error| (Step::World, error))?;
    worlds.targets(kind, component).map_err(|error| (Step::World, error))?;
    Ok((kind, imports))
}

/// Refuses by name what is not offered.
fn imports(resolve: &Resolve, world: WorldId, worlds: &Worlds) -> Result<Vec<Import>, ModuleError> {
    let mut imports = Vec::new();
    let mut refused = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let name = resolve.name_world_key(key);
        let canonical = match item {
            WorldItem::Interface { id, .. } => resolve.canonicalized_id_of(*id),
            // A type that the world uses.
            WorldItem::Type { .. } => continue,
            WorldItem::Function(_) => None,
        };
        match canonical.and_then(|canonical| worlds.offered.get(&canonical)) {
            Some(means) => imports.push(Import { name, means }),
            None => refused.push(name),
        }
    }
    match refused.is_empty() {
        true => Ok(imports),
        false => {
            refused.truncate(NAMED_MAX);
            let offer = "log, settings, accounts, and of WASI 0.2 cli, io, clocks, random, filesystem and sockets";
            Err(ModuleError::Import { reason: format!("{}; what is offered is {offer}", refused.join(", ")) })
        }
    }
}

/// How many names a refusal lists.
const NAMED_MAX: usize = 8;

/// By what it exports. What lacks an export is told which.
fn kind(resolve: &Resolve, world: WorldId) -> Result<Kind, ModuleError> {
    let exports: Vec<_> = resolve.worlds[world].exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let has = |name: &&str| exports.iter().any(|export| export == name);
    let lacking: Vec<_> = MODULE_EXPORTS.into_iter().filter(|name| !has(name)).collect();
    if lacking.is_empty() {
        return Ok(Kind::Module);
    }
    if lacking.len() < MODULE_EXPORTS.len() {
        let reason = format!("{}: it lacks the export {}", Kind::Module.world(), lacking.join(", "));
        return Err(ModuleError::World { reason });
    }
    if has(&"transform") {
        return Ok(Kind::Transform);
    }
    let there = match exports.is_empty() {
        true => "nothing".to_owned(),
        false => exports.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", "),
    };
    let needed = "a module exports metadata, bindings and handle-event, a transform exports transform";
    Err(ModuleError::World { reason: format!("{}: {needed}; it exports {there}", Kind::Module.world()) })
}

const MODULE_EXPORTS: [&str; 3] = ["metadata", "bindings", "handle-event"];

/// Our worlds with the part of WASI that is linked.
struct Worlds {
    resolve: Resolve,
    module: WorldId,
    transform: WorldId,
    /// What each interface means, by its name without what a compatible version may differ in.
    offered: BTreeMap<String, &'static str>,
}

static WORLDS: LazyLock<Result<Worlds, String>> =
    LazyLock::new(|| Worlds::read().map_err(|error| format!("the worlds cannot be read: {error:#}")));

/// The contract, and WASI 0.2 as published, in the order of what builds on what.
const PACKAGES: [&[(&str, &str)]; 8] = [
    &[("io.wit", include_str!("../../../../wit/wasi-0.2/io.wit"))],
    &[("clocks.wit", include_str!("../../../../wit/wasi-0.2/clocks.wit"))],
    &[("random.wit", include_str!("../../../../wit/wasi-0.2/random.wit"))],
    &[("filesystem.wit", include_str!("../../../../wit/wasi-0.2/filesystem.wit"))],
    &[("sockets.wit", include_str!("../../../../wit/wasi-0.2/sockets.wit"))],
    &[("cli.wit", include_str!("../../../../wit/wasi-0.2/cli.wit"))],
    &[
        ("types.wit", include_str!("../../../../wit/v1/types.wit")),
        ("imports.wit", include_str!("../../../../wit/v1/imports.wit")),
        ("module.wit", include_str!("../../../../wit/v1/module.wit")),
        ("transform.wit", include_str!("../../../../wit/v1/transform.wit")),
    ],
    &[("offered.wit", OFFERED)],
];

/// What [`crate::module::imports`] links, around each world. A component may name more of the contract's types than its
/// world does: an author's kit has one set of them for both.
const OFFERED: &str = "
    package hookbox:offered;
    world webhook-module {
        include wasi:cli/imports@0.2.12;
        include hookbox:webhook/webhook-module@1.0.0;
        use hookbox:webhook/types@1.0.0.{json, account-id, exchange-kind, sample, header, firing};
    }
    world webhook-transform {
        include wasi:cli/imports@0.2.12;
        include hookbox:webhook/webhook-transform@1.0.0;
        use hookbox:webhook/types@1.0.0.{json, account-id, exchange-kind, sample, header};
        use hookbox:webhook/types@1.0.0.{metadata, binding, message, event, handle-error};
    }
";

impl Worlds {
    fn read() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut resolve = Resolve::default();
        let mut package = None;
        for files in PACKAGES {
            let mut sources = SourceMap::default();
            for (name, text) in files {
                sources.push_str(name, *text);
            }
            let group = sources.parse().map_err(|(_, error)| error.to_string())?;
            package = Some(resolve.push_group(group).map_err(|error| error.to_string())?);
        }
        let package = package.ok_or("there are none")?;
        let world = |name: &str| resolve.select_world(&[package], Some(name)).map_err(|error| error.to_string());
        let (module, transform) = (world("webhook-module")?, world("webhook-transform")?);
        let mut offered = BTreeMap::new();
        for item in resolve.worlds[module].imports.values() {
            if let WorldItem::Interface { id, .. } = item
                && let Some(canonical) = resolve.canonicalized_id_of(*id)
            {
                let means = meaning(&canonical);
                offered.insert(canonical, means);
            }
        }
        Ok(Self { resolve, module, transform, offered })
    }

    /// Whether the types agree, those of its imports and those of the exports that the world wants.
    fn targets(&self, kind: Kind, component: &[u8]) -> Result<(), ModuleError> {
        let world = match kind {
            Kind::Module => self.module,
            Kind::Transform => self.transform,
        };
        wit_component::targets(&self.resolve, world, component, true)
            .map_err(|error| ModuleError::World { reason: format!("{}: {}", kind.world(), in_one_line(&error)) })
    }
}

/// What an interface amounts to here, for the tenant to read.
fn meaning(canonical: &str) -> &'static str {
    let (package, interface) = canonical.split_once('/').unwrap_or((canonical, ""));
    let interface = interface.split('@').next().unwrap_or_default();
    match (package, interface) {
        ("hookbox:webhook", "log") => "writes lines to its own log, bounded a call",
        ("hookbox:webhook", "settings") => "reads the values that were set for it",
        ("hookbox:webhook", "accounts") => "asks for resellers, ancestors and numbers, of its owner's subtree only",
        ("hookbox:webhook", _) => "names types; there is nothing to call",
        ("wasi:cli", "stdout" | "stderr") => "what it writes goes to its own log",
        ("wasi:cli", "stdin") => "present, empty",
        ("wasi:cli", "environment") => "present, empty: no variables, no arguments",
        ("wasi:cli", "exit") => "ends the call, as a fault",
        ("wasi:cli", _) => "present, and says that there is no terminal",
        ("wasi:clocks", _) => "stands still at the time of the message",
        ("wasi:random", _) => "numbers that follow from the message, the same on every try",
        ("wasi:filesystem", _) => "present, empty: no file and no folder",
        ("wasi:sockets", _) => "present, refuses everything: no network",
        ("wasi:io", _) => "streams and errors of the others",
        _ => "present",
    }
}

/// An error and its causes, the innermost being what says what is wrong.
fn in_one_line(error: &impl std::fmt::Display) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_that_is_offered_has_a_meaning() {
        let worlds = WORLDS.as_ref().unwrap();
        let packages: Vec<_> = worlds.offered.keys().map(|name| name.split('/').next().unwrap()).collect();
        for package in ["hookbox:webhook", "wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random"] {
            assert!(packages.contains(&package), "{packages:?}");
        }
        assert!(worlds.offered.values().all(|means| *means != "present"), "{:?}", worlds.offered);
        assert_eq!(worlds.offered["wasi:filesystem/types@0.2"], "present, empty: no file and no folder");
    }
}
