//! What the compiler does not see: documents that name files which are gone, source files that nothing reaches, names
//! that say nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where source files must be reached from a target.
const SOURCES: [&str; 4] = ["host", "sdk", "guest-modules", "tests"];

/// Files that a document may name though they are not here: they are made by whoever uses Hookbox.
const MADE_BY_USERS: [&str; 1] = ["hookbox.toml"];

/// Endings that make a quoted word the name of a file.
const ENDINGS: [&str; 7] = [".rs", ".toml", ".wit", ".md", ".json", ".sh", ".sql"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// Every file below, without what is built and what starts with a dot.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || name.starts_with("target") || name == "node_modules" {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn documents_name_only_paths_that_exist() {
    let root = root();
    let all = files(&root);
    let mut stale = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap_or_default();
        for word in quoted(&text).filter(|word| is_path(&root, word)) {
            let word = word.trim_end_matches('/');
            let is_there = root.join(word).exists() || all.iter().any(|file| file.ends_with(word));
            if !is_there && !MADE_BY_USERS.contains(&word) {
                stale.push(format!("{document}: {word}"));
            }
        }
    }
    assert!(stale.is_empty(), "paths that do not exist:\n{}", stale.join("\n"));
}

/// What stands between single backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// A file's name, or a path that starts in one of the folders here. What begins with a slash is a call of REST.
fn is_path(root: &Path, word: &str) -> bool {
    let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
    let first = word.split('/').next().unwrap_or_default();
    let starts_here = word.contains('/') && !first.is_empty() && root.join(first).is_dir();
    plain && !word.starts_with(['.', '/']) && (starts_here || ENDINGS.iter().any(|ending| word.ends_with(ending)))
}

#[test]
fn every_source_file_is_reached_by_a_target() {
    let root = root();
    let mut waiting = target_roots(&root);
    let mut reached = BTreeSet::new();
    while let Some((file, is_root)) = waiting.pop() {
        let Ok(file) = file.canonicalize() else { continue };
        if reached.insert(file.clone()) {
            waiting.extend(modules_of(&file, is_root).into_iter().map(|module| (module, false)));
        }
    }
    let all = SOURCES.iter().flat_map(|folder| files(&root.join(folder)));
    let dead: Vec<_> = all
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs") && !reached.contains(file))
        // What `hookbox module new` copies for authors belongs to no target here.
        .filter(|file| !file.components().any(|part| part.as_os_str() == "template"))
        .map(|file| file.strip_prefix(&root).unwrap_or(&file).display().to_string())
        .collect();
    assert!(dead.is_empty(), "no `mod` and no target reaches:\n{}", dead.join("\n"));
}

/// The first files of libraries, programs, tests, examples and build scripts.
fn target_roots(root: &Path) -> Vec<(PathBuf, bool)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let metadata = Command::new(cargo).args(arguments).current_dir(root).output().expect("cargo to run");
    assert!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata to answer JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let targets = packages.flat_map(|package| package["targets"].as_array().expect("targets"));
    targets.map(|target| (PathBuf::from(target["src_path"].as_str().expect("a path")), true)).collect()
}

/// The files that `mod name;` in this one may mean.
fn modules_of(file: &Path, is_root: bool) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let beside = file.parent().expect("a file is in a folder");
    let stem = file.file_stem().unwrap_or_default();
    let within = if is_root || stem == "mod" { beside.to_owned() } else { beside.join(stem) };
    let mut modules = Vec::new();
    let mut named = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            named = path.split('"').next();
        } else if let Some(module) = module_name(line) {
            match named.take() {
                Some(path) => modules.push(beside.join(path)),
                None => modules.extend([within.join(format!("{module}.rs")), within.join(module).join("mod.rs")]),
            }
        }
    }
    modules
}

/// The name in `mod name;`, with any visibility.
fn module_name(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("mod ")?;
    let visibility = before.trim();
    let name = rest.strip_suffix(';')?;
    (visibility.is_empty() || visibility.starts_with("pub")).then_some(name)
}

#[test]
fn names_say_what_a_thing_is() {
    let root = root();
    let empty = ["util", "utils", "helper", "helpers", "common", "misc"];
    let named: Vec<_> = files(&root)
        .into_iter()
        .filter_map(|file| file.strip_prefix(&root).ok().map(Path::to_owned))
        .filter(|file| {
            let mut names = file.iter().map(|part| part.to_string_lossy().to_lowercase());
            names.any(|name| empty.contains(&name.split('.').next().unwrap_or_default()))
        })
        .collect();
    assert!(named.is_empty(), "a name that says nothing: {named:?}");
}
