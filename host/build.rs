//! Builds the built-in modules from source, so that `cargo build` alone gives a whole program: a nested cargo, for the
//! guests' target, into a folder of its own (the outer one is locked meanwhile). Writes `built_in.rs`, which embeds them.
#![expect(clippy::expect_used, clippy::panic, reason = "a build script says what is wrong by failing")]

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-wasip2";

/// Crates under `guest-modules/`; the order is that of listings.
const BUILT_IN: [&str; 9] = [
    "channel-answer",
    "channel-bridge",
    "channel-create",
    "channel-destroy",
    "mms",
    "notifications",
    "object",
    "parking",
    "sms",
];
const SKEL: &str = "skel";

fn main() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the workspace is above");
    // The kits under `sdk` are embedded for `hookbox module new`.
    for input in ["guest-modules", "sdk/rust", "sdk/js", "sdk/python", "wit", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=console");
    println!("cargo::rerun-if-changed=build.rs");

    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    // <target>/<profile>/build/<package>/out
    let target_dir = out.ancestors().nth(4).expect("cargo's layout").join("guests");
    build_guests(&root.join("guest-modules"), &target_dir);

    let component = |name: &str| {
        let file = format!("{}.wasm", name.replace('-', "_"));
        target_dir.join(TARGET).join("guest").join(file)
    };
    let mut code =
        String::from("/// The built-in modules: name and component.\npub static BUILT_IN: &[(&str, &[u8])] = &[\n");
    for name in BUILT_IN {
        let _ = writeln!(code, "    ({:?}, include_bytes!({:?})),", name.replace('-', "_"), component(name));
    }
    let _ = writeln!(code, "];\n/// The template.\npub static SKEL: &[u8] = include_bytes!({:?});", component(SKEL));
    code.push_str("/// Messages that the built-in modules are tested on: module, name, JSON text.\npub static SAMPLES: &[(&str, &str, &str)] = &[\n");
    for name in BUILT_IN.iter().chain([&SKEL]) {
        for (sample, file) in samples(&root.join("guest-modules").join(name).join("samples")) {
            let _ = writeln!(code, "    ({:?}, {sample:?}, include_str!({file:?})),", name.replace('-', "_"));
        }
    }
    code.push_str("];\n");
    fs::write(out.join("built_in.rs"), code).expect("OUT_DIR can be written");
}

/// The samples in a folder: names and files, in order.
fn samples(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.path().file_stem()?.to_string_lossy().into_owned(), entry.path())))
        .collect();
    files.sort();
    files
}

fn build_guests(dir: &Path, target_dir: &Path) {
    let mut cargo = Command::new(env::var("CARGO").expect("cargo sets it"));
    cargo
        .current_dir(dir)
        .args(["build", "--locked", "--target", TARGET, "--profile", "guest", "--target-dir"])
        .arg(target_dir);
    for name in BUILT_IN.iter().chain([&SKEL]) {
        cargo.args(["--package", &format!("hookbox-{name}")]);
    }
    // The outer build's flags are for the host's target; the guests' are in `guest-modules/.cargo/config.toml`.
    for variable in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "RUSTC_WORKSPACE_WRAPPER"]
    {
        cargo.env_remove(variable);
    }
    let status = cargo.status().expect("cargo can be started");
    if !status.success() {
        panic!("the guest modules do not build; if the target {TARGET} is missing, run .ci/wasm-target");
    }
}
