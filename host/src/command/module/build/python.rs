//! Python: CPython and the author's code, started once and frozen into a component.

use std::{ffi::OsStr, fs, path::Path, process::Command};

use super::{Built, called, installed};
use crate::command::module::{
    folder::{ModuleFolder, World},
    kept::Kept,
};

const PACKAGE: &str = "componentize-py";
const VERSION: &str = "0.25.1";
const NO_PYTHON: &str = "install Python 3.10 or later, with its venv module";

/// The file that joins the author's to the exports, made anew by each build.
const ENTRY: &str = "hookbox_entry";

/// Builds the folder's entry file.
pub(super) fn build(folder: &ModuleFolder, kept: &Kept) -> Result<Built, String> {
    let tools = installed(kept, &format!("{PACKAGE}-{VERSION}"), |tools| {
        called(Command::new("python3").args(["-m", "venv"]).arg(tools), NO_PYTHON)?;
        let mut pip = Command::new(tools.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        called(pip.arg(format!("{PACKAGE}=={VERSION}")), NO_PYTHON).map(drop)
    })?;
    let entry = write_entry(folder)?;
    let mut tool = Command::new(tools.join("bin").join(PACKAGE));
    tool.arg("--quiet").arg("--wit-path").arg(&folder.wit).args(["--world", folder.world.wit_name(), "componentize"]);
    let stub = folder.stub_wasi.unwrap_or(false);
    if stub {
        tool.arg("--stub-wasi");
    }
    let author = folder.entry.parent().unwrap_or(&folder.path);
    for path in [entry.as_path(), author].into_iter().chain(folder.sources.iter().map(AsRef::as_ref)) {
        tool.arg("--python-path").arg(path);
    }
    called(tool.arg("--output").arg(folder.component()).arg(ENTRY).current_dir(&folder.path), NO_PYTHON)?;
    Ok(Built {
        note: if stub { "CPython inside, WASI stubbed" } else { "CPython inside, its WASI answers with nothing" },
    })
}

fn write_entry(folder: &ModuleFolder) -> Result<std::path::PathBuf, String> {
    let author = folder.entry.file_stem().and_then(OsStr::to_str).filter(|name| is_identifier(name));
    let author =
        author.ok_or_else(|| format!("{}: Python cannot import a file of this name", folder.entry.display()))?;
    let world = match folder.world {
        World::Module => "module_world",
        World::Transform => "transform_world",
    };
    let text = format!("import {author}\nfrom hookbox.{world} import exported\n\nWitWorld = exported({author})\n");
    let entries = folder.build_dir().join("entry");
    let file = entries.join(format!("{ENTRY}.py"));
    let written = fs::create_dir_all(&entries).and_then(|()| fs::write(&file, text));
    written.map_err(|error| format!("{}: {error}", Path::new(&file).display()))?;
    Ok(entries)
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
}
