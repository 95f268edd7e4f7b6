//! Somebody who writes modules: `hookbox module …` at a command line, with the languages' real tools.

use std::{fs, path::PathBuf, time::Instant};

use crate::real_program::{Place, Said, hookbox};

/// A component of Python costs a slow machine more than the defaults allow, and these tests are not about that: settings, as
/// variables of authors' commands and as keys of hosts that are brought such components.
pub const PATIENT_COMPILER: [(&str, &str, &str); 3] = [
    ("modules.compile_cpu_s", "HOOKBOX_MODULES__COMPILE_CPU_S", "600"),
    ("modules.compile_wall_s", "HOOKBOX_MODULES__COMPILE_WALL_S", "900"),
    ("modules.upload_timeout_ms", "HOOKBOX_MODULES__UPLOAD_TIMEOUT_MS", "900000"),
];

/// An author, in a place of their own.
#[derive(Default)]
pub struct Author {
    /// Where they work.
    pub place: Place,
}

impl Author {
    /// One in an empty place.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `hookbox module …` comes to. Tools, compiled code and what cargo builds are kept from test to test, and from
    /// run to run, in the target folder.
    pub async fn calls(&self, arguments: &[&str]) -> Said {
        self.calls_with(arguments, &[]).await
    }

    /// [`Author::calls`] with these variables in the environment.
    pub async fn calls_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let (kept, cargo) = (kept().display().to_string(), kept().join("cargo").display().to_string());
        let mut usual = vec![("HOOKBOX_CLI_CACHE", kept.as_str()), ("CARGO_TARGET_DIR", cargo.as_str())];
        usual.extend(PATIENT_COMPILER.map(|(_, variable, value)| (variable, value)));
        let began = Instant::now();
        let said =
            self.place.call_with(&[&["module"], arguments].concat(), &[usual.as_slice(), environment].concat()).await;
        eprintln!("{:6.1} s  hookbox module {}", began.elapsed().as_secs_f64(), arguments.join(" "));
        said
    }

    /// A call that must succeed; what it prints.
    pub async fn succeeds(&self, arguments: &[&str]) -> String {
        let said = self.calls(arguments).await;
        assert_eq!(said.code, 0, "hookbox module {arguments:?}: {said:?}");
        said.stdout
    }

    /// Makes a module or a transform in the folder `name`, by these further arguments of `hookbox module new`.
    pub async fn makes(&self, name: &str, language: &str, more: &[&str]) {
        self.succeeds(&[&["new", name, "--lang", language], more].concat()).await;
        if language == "rust" {
            // The versions that are built here anyway; cargo takes out what the folder does not need.
            let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
            let lock = fs::read(lock).unwrap_or_else(|error| panic!("{lock}: {error}"));
            self.place.write(&format!("{name}/Cargo.lock"), lock);
        }
    }

    /// The component that was built in a folder here.
    pub fn component(&self, name: &str) -> Vec<u8> {
        let path = self.place.path(&format!("{name}/build/{name}.wasm"));
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// In the target folder.
fn kept() -> PathBuf {
    let program = hookbox();
    let target = program.ancestors().nth(2).unwrap_or(&program);
    target.join("kits")
}
