//! Builds the bad modules for WebAssembly and tells the harness where they are, so that `cargo test` needs no step
//! before it.
#![allow(clippy::panic, reason = "a build that cannot go on fails")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

const TARGET: &str = "wasm32-wasip2";

/// The programs under `bad-modules/modules/`.
const MODULES: [&str; 25] = [
    "trap",
    "spin",
    "hog",
    "flood",
    "huge-output",
    "bad-output",
    "echo",
    "metadata-loop",
    "wrong-world",
    "unknown-import",
    "clock",
    "sleeper",
    "impostor",
    "as-told",
    "recursion",
    "many-events",
    "bindings-panic",
    "wrong-types",
    "crm",
    "crm-next",
    "crm-broken",
    "thief",
    "busy",
    "counter",
    "counter-next",
];

fn main() {
    for path in ["build.rs", "bad-modules", "../wit/v1", "../Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names it"));
    let folder = target_folder(&out).join("guests");
    build(&folder);

    let mut source = String::new();
    for module in MODULES {
        // Cargo writes `-` in a library's name as `_`.
        let name = module.replace('-', "_");
        let path = folder.join(TARGET).join("guest/examples").join(format!("{name}.wasm"));
        let (about, constant) = (first_line(module), name.to_uppercase());
        writeln!(source, "/// {about}\npub const {constant}: &str = {:?};", path.display().to_string())
            .expect("memory");
    }
    fs::write(out.join("bad_modules.rs"), source).expect("OUT_DIR can be written to");
}

/// Small memory from the start, as the built-in modules have it; the same flags, so that both share what they stand on.
const FLAGS: &str = "-C link-arg=-zstack-size=65536 -C link-arg=--initial-memory=262144";

/// A target folder of its own, because this build runs while the outer one holds the lock on its own.
fn build(folder: &Path) {
    let cargo = env::var_os("CARGO").expect("cargo names itself");
    let built = Command::new(cargo)
        .args(["build", "--package", "hookbox-bad-modules", "--examples", "--features", "modules"])
        .args(["--target", TARGET, "--profile", "guest", "--locked"])
        .env("CARGO_TARGET_DIR", folder)
        // The outer build's flags and wrappers are for another target.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .env("RUSTFLAGS", FLAGS)
        .status();
    if built.is_ok_and(|status| status.success()) {
        return;
    }
    let problem = if has_target() { "the modules in tests/bad-modules cannot be built" } else { MISSING };
    eprintln!("{problem}");
    exit(1);
}

const MISSING: &str = "this Rust has no target wasm32-wasip2, which modules are built for; run .ci/wasm-target";

fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    asked.is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).exists())
}

/// `<target>/<profile>/build/<package>/out` is cargo's layout. Its mark in the folder is no help: it makes none in a
/// folder that somebody else made before it.
fn target_folder(out: &Path) -> &Path {
    out.ancestors().nth(4).expect("OUT_DIR is four folders below the target folder")
}

/// What the module says of itself.
fn first_line(module: &str) -> String {
    let path = format!("bad-modules/modules/{module}.rs");
    let text = fs::read_to_string(&path).expect("every module named above has a file");
    text.lines().next().unwrap_or_default().trim_start_matches("//!").trim().to_owned()
}
