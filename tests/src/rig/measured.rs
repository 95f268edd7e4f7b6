//! The host as `make bench` has built it, in a folder of the measurement's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::Program;

/// The program. Cargo puts the one that measures into `deps/` beside it.
pub fn hookbox() -> PathBuf {
    let this = std::env::current_exe().expect("this program's path");
    let folder = this.ancestors().nth(2).expect("a target folder");
    folder.join("hookbox")
}

/// Loads KAZOO's documents into the store that `hookbox.toml` of the folder names.
pub fn import(folder: &Path, documents: &Value) {
    let file = folder.join("documents.json");
    fs::write(&file, documents.to_string()).expect("the folder can be written to");
    let imported = Command::new(hookbox())
        .args(["import", "kazoo"])
        .arg(&file)
        .arg("--config")
        .arg(folder.join("hookbox.toml"))
        .output()
        .expect("hookbox to start");
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(imported.status.success(), "hookbox import kazoo failed: {said}");
}

/// Starts the host of the folder, and waits until it takes messages.
pub async fn serve(folder: &Path) -> Program {
    let settings = folder.join("hookbox.toml").display().to_string();
    let mut program = Program::start(hookbox(), &["serve", "--config", &settings]);
    program.line_starting_with("ready").await;
    program
}

/// The middle one; 0 when there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The number that follows a name among a program's arguments, e.g. `--messages 20000`.
pub fn number_after(arguments: &[String], name: &str, default: u64) -> u64 {
    let place = arguments.iter().position(|argument| argument == name);
    let value = place.and_then(|place| arguments.get(place + 1));
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} {value}: not a number")))
}
