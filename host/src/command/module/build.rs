//! `hookbox module build`: calls the tools of the folder's language, and brings them where they are missing.

mod rust;
mod js;
mod python;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::Args;
use serde_json::json;

use super::{
    folder::{Language, ModuleFolder},
    kept::{Kept, lock},
    note,
};
use crate::command::table::{print_json, say};

/// Which folder.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The module's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    kept: Kept,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What a language's tools made.
struct Built {
    /// For people: what is in it besides the author's code.
    note: &'static str,
}

impl Build {
    /// Builds `build/NAME.wasm`.
    pub(super) fn run(self) -> Result<bool, String> {
        let mut folder = ModuleFolder::read(&self.dir)?;
        // The tools are called from within the folder.
        folder.path = folder.path.canonicalize().map_err(|error| format!("{}: {error}", folder.path.display()))?;
        let (entry, wit) = (folder.entry.clone(), folder.wit.clone());
        folder.entry = entry.canonicalize().map_err(|error| format!("{}: {error}", entry.display()))?;
        folder.wit = wit.canonicalize().map_err(|error| format!("{}: {error}", wit.display()))?;
        for source in &mut folder.sources {
            *source = source.canonicalize().map_err(|error| format!("{}: {error}", source.display()))?;
        }
        let build = folder.build_dir();
        fs::create_dir_all(&build).map_err(|error| format!("{}: {error}", build.display()))?;
        let built = match folder.language {
            Language::Rust => rust::build(&folder)?,
            Language::Js => js::build(&folder, &self.kept)?,
            Language::Python => python::build(&folder, &self.kept)?,
        };
        let component = folder.component();
        let size = fs::metadata(&component).map_err(|error| format!("{}: {error}", component.display()))?.len();
        let world = folder.world.wit_name();
        match self.json {
            true => print_json(&json!({
                "component": component.display().to_string(), "bytes": size, "world": world, "inside": built.note,
            })),
            false => say(&format!("{}: {size} bytes, world {world}; {}", component.display(), built.note)),
        }
        Ok(true)
    }
}

/// Makes sure that a tool is installed in its folder, whole: the mark is set last.
fn installed(kept: &Kept, name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder = kept.tool(name)?;
    let mark = folder.join("installed");
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    let _locked = lock(&folder)?;
    if !mark.exists() {
        note(&format!("installing {name} into {}", folder.display()));
        // What an installation that was broken off has left.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", folder.display()));
            }
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        install(&folder)?;
        fs::write(&mark, name).map_err(|error| format!("{}: {error}", mark.display()))?;
    }
    Ok(folder)
}

/// Calls a tool and keeps what it says for when it fails. `missing` tells what to do when the tool is not there.
fn called(command: &mut Command, missing: &str) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{program} is missing; {missing}"),
        _ => format!("{program} cannot be called: {error}"),
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said =
        [output.stdout.as_slice(), output.stderr.as_slice()].map(|said| String::from_utf8_lossy(said).into_owned());
    Err(format!("{program} failed ({}):\n{}", output.status, said.join("").trim_end()))
}
