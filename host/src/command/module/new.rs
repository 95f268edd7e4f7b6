//! `hookbox module new`: a folder that builds and passes its own test at once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    folder::{Language, World, check_name},
    templates,
};
use crate::command::table::{print_json, say};

/// What to make, and where.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookbox module new doorbell --lang js && hookbox module build doorbell")]
pub(super) struct New {
    /// The event's name as hooks use it, 1 to 64 of a-z, 0-9 and _; or the transform's.
    name: String,
    /// What to write it in.
    #[arg(long, value_enum)]
    lang: Language,
    /// Make a transform, which changes what a hook is about to send, instead of a module.
    #[arg(long)]
    transform: bool,
    /// The folder to make; it must not be there, or be empty [default: NAME].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl New {
    /// Writes the folder.
    pub(super) fn run(self) -> Result<bool, String> {
        check_name(&self.name)?;
        let folder = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        let world = if self.transform { World::Transform } else { World::Module };
        refuse_what_is_there(&folder)?;
        let files = templates::files(&self.name, self.lang, world)?;
        for (path, content) in &files {
            write(&folder.join(path), content)?;
        }
        if self.json {
            let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
            print_json(&json!({"folder": folder.display().to_string(), "files": paths}));
            return Ok(true);
        }
        let folder = folder.display();
        say(&format!("made {folder}; now:"));
        say(&format!("  hookbox module build {folder}"));
        say(&format!("  hookbox module test {folder}"));
        say(&format!("{folder}/README.md tells the rest"));
        Ok(true)
    }
}

fn refuse_what_is_there(folder: &Path) -> Result<(), String> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(format!("{} is not empty; name another folder with --dir", folder.display())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

fn write(file: &Path, content: &[u8]) -> Result<(), String> {
    let parent = file.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(file, content));
    written.map_err(|error| format!("{}: {error}", file.display()))
}
