//! From the bytes of a component to compiled code, by way of a cache on disk.
//!
//! Compiled code is run as it is, so a file of the cache is used only with a MAC that this host made over the
//! component's digest, the engine's compatibility and the code itself; any other file is compiled anew over. Files are
//! read whole and checked before they are used, never mapped: what was checked is what runs.
//!
//! Compiling happens in this process. What tenants upload is to be compiled in a helper process under limits of its own;
//! [`Compiler::compile`] is the one place where that begins.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use ring::{digest, hmac};
use wasmparser::{Encoding, Parser, Payload};
use wasmtime::{Engine, component::Component};

use super::{ModuleError, engine};

/// Bytes of the MAC in front of the code.
const MAC_BYTES: usize = 32;

/// Compiles components, and remembers what it compiled.
pub struct Compiler {
    cache_dir: PathBuf,
    key: hmac::Key,
    component_bytes_max: usize,
}

impl Compiler {
    /// A compiler with its cache in `cache_dir`, made when missing, authenticated under `key`.
    pub fn new(cache_dir: &Path, key: &[u8; 32], component_bytes_max: usize) -> Result<Self, std::io::Error> {
        fs::create_dir_all(cache_dir)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Ok(Self { cache_dir: cache_dir.to_owned(), key, component_bytes_max })
    }

    /// The component, compiled for the engine: from the cache when it is there and ours.
    pub fn load(&self, engine: &Engine, component: &[u8]) -> Result<Component, ModuleError> {
        self.check(component)?;
        let digest = digest::digest(&digest::SHA256, component);
        let compatibility = engine::compatibility(engine);
        let path = self.cache_dir.join(format!("{}-{compatibility}.cwasm", hex::encode(digest.as_ref())));
        if let Some(code) = self.cached(&path, digest.as_ref(), &compatibility) {
            // SAFETY: the MAC shows that this host made the code, of this component and for this engine, and the bytes
            // that were checked are the bytes that are handed over.
            if let Ok(compiled) = unsafe { Component::deserialize(engine, &code) } {
                return Ok(compiled);
            }
        }
        let code = Self::compile(engine, component)?;
        if let Err(error) = self.keep(&path, digest.as_ref(), &compatibility, &code) {
            tracing::warn!(path = %path.display(), %error, "compiled code cannot be cached; the next start compiles anew");
        }
        // SAFETY: `code` has just been made by this engine.
        unsafe { Component::deserialize(engine, &code) }
            .map_err(|error| ModuleError::Host { reason: format!("compiled code cannot be loaded: {error:#}") })
    }

    /// Cheap checks, before Cranelift sees it.
    fn check(&self, bytes: &[u8]) -> Result<(), ModuleError> {
        let refuse = |reason: String| Err(ModuleError::NotAComponent { reason });
        if bytes.len() > self.component_bytes_max {
            let (size, most) = (bytes.len(), self.component_bytes_max);
            return refuse(format!("it has {size} bytes; at most {most} are taken (modules.component_bytes_max)"));
        }
        if Engine::detect_precompiled(bytes).is_some() {
            return refuse("it is compiled code; give the component that it was compiled from".into());
        }
        if !bytes.starts_with(b"\0asm") {
            return refuse("it is not WebAssembly: it does not begin with `\\0asm`".into());
        }
        // The first payload decides; the rest is validated by the compiler.
        match Parser::new(0).parse_all(bytes).next() {
            Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
            Some(Err(error)) => refuse(format!("it is broken: {error}")),
            _ => refuse("it is a core module; build a component (for Rust: --target wasm32-wasip2)".into()),
        }
    }

    /// The seam for the helper process.
    fn compile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, ModuleError> {
        engine.precompile_component(component).map_err(|error| ModuleError::NotAComponent {
            reason: format!("{error:#}").lines().next().unwrap_or("it does not compile").to_owned(),
        })
    }

    fn cached(&self, path: &Path, digest: &[u8], compatibility: &str) -> Option<Vec<u8>> {
        let mut file = fs::read(path).ok()?;
        if file.len() < MAC_BYTES {
            return None;
        }
        let code = file.split_off(MAC_BYTES);
        let genuine = hmac::verify(&self.key, &signed(digest, compatibility, &code), &file).is_ok();
        if !genuine {
            tracing::warn!(path = %path.display(), "a file of the module cache was not made by this host; compiling anew");
        }
        genuine.then_some(code)
    }

    fn keep(&self, path: &Path, digest: &[u8], compatibility: &str, code: &[u8]) -> std::io::Result<()> {
        let mac = hmac::sign(&self.key, &signed(digest, compatibility, code));
        // Written beside and renamed, so that no reader sees half a file.
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::File::create(&beside)?;
        file.write_all(mac.as_ref())?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&beside, path)
    }
}

/// What the MAC covers. The parts before the code have fixed lengths.
fn signed(digest: &[u8], compatibility: &str, code: &[u8]) -> Vec<u8> {
    [digest, compatibility.as_bytes(), code].concat()
}
