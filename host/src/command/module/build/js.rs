//! JavaScript: an engine and the author's code, started once and frozen into a component.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{Built, called, installed};
use crate::command::module::{
    folder::{JsEngine, ModuleFolder},
    kept::Kept,
};

const QUICKJS: &str = "componentize-qjs";
const QUICKJS_VERSION: &str = "0.4.5";
const SPIDERMONKEY: &str = "componentize-js";
const SPIDERMONKEY_PACKAGE: &str = "@bytecodealliance/componentize-js";
const SPIDERMONKEY_VERSION: &str = "0.23.0";

const NO_NODE: &str = "install Node.js 18 or later, with npm";

/// Builds the folder's entry file.
pub(super) fn build(folder: &ModuleFolder, kept: &Kept) -> Result<Built, String> {
    match folder.engine {
        JsEngine::QuickJs => with_quickjs(folder, kept),
        JsEngine::SpiderMonkey => with_spidermonkey(folder, kept),
    }
}

fn with_quickjs(folder: &ModuleFolder, kept: &Kept) -> Result<Built, String> {
    let mut tool = tool(kept, QUICKJS, QUICKJS, QUICKJS_VERSION)?;
    tool.arg("--wit").arg(&folder.wit).arg("--js").arg(&folder.entry);
    // Without --sync the component would be of the contract's asynchronous kind, which hosts do not take.
    tool.args(["--world", folder.world.wit_name(), "--sync", "--module-root"]).arg(root(folder));
    let stub = folder.stub_wasi.unwrap_or(false);
    if stub {
        tool.arg("--stub-wasi");
    }
    called(tool.arg("--output").arg(folder.component()).current_dir(&folder.path), NO_NODE)?;
    Ok(Built {
        note: if stub { "QuickJS inside, WASI stubbed" } else { "QuickJS inside, its WASI answers with nothing" },
    })
}

fn with_spidermonkey(folder: &ModuleFolder, kept: &Kept) -> Result<Built, String> {
    let mut tool = tool(kept, SPIDERMONKEY, SPIDERMONKEY_PACKAGE, SPIDERMONKEY_VERSION)?;
    tool.arg(&folder.entry).arg("--wit").arg(&folder.wit).args(["--world-name", folder.world.wit_name()]);
    tool.arg("--out").arg(folder.component());
    // No host offers HTTP to modules.
    tool.args(["--disable", "http", "fetch-event"]);
    let stub = folder.stub_wasi.unwrap_or(false);
    if stub {
        tool.args(["stdio", "random", "clocks"]);
    }
    called(tool.current_dir(&folder.path), NO_NODE)?;
    let (stubbed, open) = ("SpiderMonkey inside, WASI stubbed", "SpiderMonkey inside, its WASI answers with nothing");
    Ok(Built { note: if stub { stubbed } else { open } })
}

/// The program of a package, installed when it is missing.
fn tool(kept: &Kept, program: &str, package: &str, version: &str) -> Result<Command, String> {
    let folder = installed(kept, &format!("{program}-{version}"), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"]).arg(folder);
        called(npm.arg(format!("{package}@{version}")), NO_NODE).map(drop)
    })?;
    Ok(Command::new(folder.join("node_modules/.bin").join(program)))
}

/// The folder that imports are looked up in: the nearest one above all that sources are taken from.
fn root(folder: &ModuleFolder) -> PathBuf {
    let mut root: &Path = &folder.path;
    while !folder.sources.iter().all(|source| source.starts_with(root)) {
        let Some(above) = root.parent() else { break };
        root = above;
    }
    root.to_owned()
}
