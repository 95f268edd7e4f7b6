//! Rust: cargo, for `wasm32-wasip2`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Built, called};
use crate::command::module::folder::ModuleFolder;

const TARGET: &str = "wasm32-wasip2";
const NO_CARGO: &str = "install Rust with rustup";

/// Builds the folder's package.
pub(super) fn build(folder: &ModuleFolder) -> Result<Built, String> {
    need_target()?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(&folder.path)
        .args(["build", "--target", TARGET, "--profile", &folder.profile])
        .args(["--message-format", "json-render-diagnostics"])
        // What the compiler says is for the author's eyes at once.
        .stderr(Stdio::inherit());
    // Flags and wrappers of whoever calls are for another target; the folder's own are in its `.cargo/config.toml`.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(variable);
    }
    let output = called(&mut cargo, NO_CARGO)?;
    let component = component_named_in(&String::from_utf8_lossy(&output.stdout))
        .ok_or("cargo made no component; Cargo.toml needs [lib] crate-type = [\"cdylib\"]")?;
    let to = folder.component();
    fs::copy(&component, &to).map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(Built { note: "Rust, its WASI answers with nothing" })
}

/// The last library for dynamic linking that cargo tells of: the package's own, for it is built after what it needs.
fn component_named_in(messages: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_library = |artifact: &Value| {
        let kinds = artifact["target"]["crate_types"].as_array();
        artifact["reason"] == "compiler-artifact"
            && kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let files = artifacts.filter(is_library).flat_map(|mut artifact| match artifact["filenames"].take() {
        Value::Array(files) => files,
        _ => Vec::new(),
    });
    let mut files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    files.rfind(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

fn need_target() -> Result<(), String> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let asked = called(rustc.args(["--print", "target-libdir", "--target", TARGET]), NO_CARGO)?;
    match Path::new(String::from_utf8_lossy(&asked.stdout).trim()).exists() {
        true => Ok(()),
        false => Err(format!("this Rust cannot build for {TARGET}; run `rustup target add {TARGET}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::component_named_in;

    #[test]
    fn the_package_s_own_component_is_found_among_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"crate_types":["lib"]},"filenames":["a.rlib"]}
{"reason":"compiler-artifact","target":{"crate_types":["cdylib","rlib"]},"filenames":["b.wasm","b.rlib"]}
not JSON
{"reason":"build-finished","success":true}"#;
        assert_eq!(component_named_in(messages), Some("b.wasm".into()));
        assert_eq!(component_named_in("{}"), None);
    }
}
