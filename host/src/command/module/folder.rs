//! The folder that a module is written in, and its `hookbox-module.toml`: all that the calls of `hookbox module` know of
//! it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The file that makes a folder a module's.
const MANIFEST: &str = "hookbox-module.toml";

/// What a module is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    /// Rust, built by cargo.
    Rust,
    /// JavaScript, built with an engine inside.
    Js,
    /// Python, built with CPython inside.
    Python,
}

/// What the component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum World {
    /// Makes events of messages.
    #[default]
    Module,
    /// Changes or drops what a hook is about to send.
    Transform,
}

impl World {
    /// Its name in `wit/v1`.
    pub(super) fn wit_name(self) -> &'static str {
        match self {
            Self::Module => "webhook-module",
            Self::Transform => "webhook-transform",
        }
    }

    /// Its name for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Transform => "transform",
        }
    }
}

/// What runs JavaScript inside the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum JsEngine {
    /// 1.6 MB, starts in a tenth of a millisecond.
    #[default]
    QuickJs,
    /// 12 MB, faster at long computations, slower to start.
    SpiderMonkey,
}

/// `hookbox-module.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    language: Language,
    #[serde(default)]
    world: World,
    entry: Option<PathBuf>,
    #[serde(default)]
    engine: JsEngine,
    #[serde(default)]
    stub_wasi: Option<bool>,
    profile: Option<String>,
    #[serde(default)]
    sources: Vec<PathBuf>,
    wit: Option<PathBuf>,
}

/// A folder with its manifest read. Paths are as seen from where the program was called.
#[derive(Debug)]
pub(super) struct ModuleFolder {
    /// The folder.
    pub(super) path: PathBuf,
    /// The module's name, which is its file's.
    pub(super) name: String,
    /// What it is written in.
    pub(super) language: Language,
    /// What it is for.
    pub(super) world: World,
    /// The file that is built: JavaScript and Python.
    pub(super) entry: PathBuf,
    /// JavaScript only.
    pub(super) engine: JsEngine,
    /// Whether the toolchain is to leave WASI out; `None`: as is best for the language.
    pub(super) stub_wasi: Option<bool>,
    /// Cargo's profile.
    pub(super) profile: String,
    /// More folders that sources are taken from.
    pub(super) sources: Vec<PathBuf>,
    /// The contract that the toolchain reads.
    pub(super) wit: PathBuf,
}

impl ModuleFolder {
    /// Reads the folder's manifest. An error says what is wrong and what to do.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = path.join(MANIFEST);
        let text = fs::read_to_string(&file).map_err(|error| {
            format!(
                "{}: {error}; a module's folder is made by `hookbox module new NAME --lang rust|js|python`",
                file.display()
            )
        })?;
        let wrong = |reason: &dyn fmt::Display| format!("{}: {reason}", file.display());
        let manifest: Manifest = toml::from_str(&text).map_err(|error| wrong(&error))?;
        check_name(&manifest.name).map_err(|reason| wrong(&reason))?;
        let entry = manifest.entry.unwrap_or_else(|| match manifest.language {
            Language::Rust => "src/lib.rs".into(),
            Language::Js => "module.js".into(),
            Language::Python => "module.py".into(),
        });
        Ok(Self {
            path: path.to_owned(),
            name: manifest.name,
            language: manifest.language,
            world: manifest.world,
            entry: path.join(entry),
            engine: manifest.engine,
            stub_wasi: manifest.stub_wasi,
            profile: manifest.profile.unwrap_or_else(|| "release".into()),
            sources: manifest.sources.iter().map(|folder| path.join(folder)).collect(),
            wit: path.join(manifest.wit.unwrap_or_else(|| "wit/v1".into())),
        })
    }

    /// Where what is built is put, and nothing else.
    pub(super) fn build_dir(&self) -> PathBuf {
        self.path.join("build")
    }

    /// The component that `hookbox module build` makes.
    pub(super) fn component(&self) -> PathBuf {
        self.build_dir().join(format!("{}.wasm", self.name))
    }

    /// A source that was changed after the component was built.
    pub(super) fn changed_since_built(&self) -> Option<PathBuf> {
        let built = modified(&self.component())?;
        let mut waiting = vec![self.path.clone()];
        waiting.extend(self.sources.iter().cloned());
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                let is_source = path.extension().is_some_and(|ending| SOURCES.iter().any(|source| ending == *source));
                if path.is_dir() {
                    let is_made = name.starts_with('.') || NOT_WRITTEN.contains(&name.as_ref());
                    waiting.extend((!is_made).then_some(path));
                } else if is_source && modified(&path).is_some_and(|changed| changed > built) {
                    return Some(path);
                }
            }
        }
        None
    }

    /// Its messages, or firings, and what is expected of them.
    pub(super) fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }
}

/// Endings of files that a component is made of.
const SOURCES: [&str; 7] = ["rs", "js", "mjs", "ts", "py", "toml", "wit"];
/// Folders that are made by tools, and the samples, which are no part of a component.
const NOT_WRITTEN: [&str; 5] = ["build", "target", "node_modules", "__pycache__", "samples"];

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Whether a module may be called this.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let sound = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && name != "all";
    match sound {
        true => Ok(()),
        false => Err(format!("a module cannot be called {name:?}; use 1 to 64 of a-z, 0-9 and _, and not `all`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(manifest: &str) -> Result<ModuleFolder, String> {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        fs::write(folder.path().join(MANIFEST), manifest).unwrap_or_else(|error| panic!("{error}"));
        ModuleFolder::read(folder.path())
    }

    #[test]
    fn a_short_manifest_is_enough() {
        let folder = read("name = \"doorbell\"\nlanguage = \"js\"").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((folder.world, folder.engine), (World::Module, JsEngine::QuickJs));
        assert!(folder.entry.ends_with("module.js") && folder.wit.ends_with("wit/v1"));
        assert!(folder.component().ends_with("build/doorbell.wasm"));
    }

    #[test]
    fn what_is_wrong_with_a_manifest_is_named() {
        for (manifest, named) in [
            ("name = \"Door\"\nlanguage = \"js\"", "cannot be called"),
            ("name = \"../door\"\nlanguage = \"js\"", "cannot be called"),
            ("name = \"door\"\nlanguage = \"cobol\"", "cobol"),
            ("name = \"door\"\nlanguage = \"js\"\nengin = \"quickjs\"", "engin"),
        ] {
            let error = read(manifest).err().unwrap_or_default();
            assert!(error.contains(named) && error.contains(MANIFEST), "{error}");
        }
    }
}
