//! From the bytes of a component to compiled code, by way of a cache on disk.
//!
//! Compiled code is run as it is, so a file of the cache is used only with a MAC that this host made over the
//! component's digest, the engine's compatibility and the code itself; any other file is compiled anew over. Files are
//! read whole and checked before they are used, never mapped: what was checked is what runs.
//!
//! The operator's components are compiled in this process, tenants' in a helper process under limits of its own
//! ([`super::compile_helper`]). Both give the same code, so the cache does not tell them apart.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::{digest, hmac};
use wasmtime::{Engine, component::Component};

use super::{ModuleError, check::recognition::recognise, compile_helper::CompileHelper, engine};

/// Bytes of the MAC in front of the code.
const MAC_BYTES: usize = 32;

/// Compiles components, and remembers what it compiled.
pub struct Compiler {
    cache: Arc<Cache>,
    component_bytes_max: usize,
    helper: CompileHelper,
}

impl Compiler {
    /// A compiler with its cache in `cache_dir`, made when missing, authenticated under `key`.
    pub fn new(
        cache_dir: &Path,
        key: &[u8; 32],
        component_bytes_max: usize,
        helper: CompileHelper,
    ) -> Result<Self, std::io::Error> {
        fs::create_dir_all(cache_dir)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Ok(Self { cache: Arc::new(Cache { dir: cache_dir.to_owned(), key }), component_bytes_max, helper })
    }

    /// The operator's component, compiled for the engine: from the cache when it is there and ours, else here.
    pub fn load(&self, engine: &Engine, component: &[u8]) -> Result<Component, ModuleError> {
        recognise(component, self.component_bytes_max).map_err(|(_, error)| error)?;
        let place = self.cache.place(engine, component);
        if let Some(compiled) = self.cache.remembered(engine, &place) {
            return Ok(compiled);
        }
        let code = engine.precompile_component(component).map_err(|error| ModuleError::NotAComponent {
            reason: format!("{error:#}").lines().next().unwrap_or("it does not compile").to_owned(),
        })?;
        self.cache.made(engine, &place, &code)
    }

    /// A tenant's component, compiled for the engine: from the cache when it is there and ours, else by the helper.
    pub async fn load_apart(&self, engine: &Engine, component: Arc<[u8]>) -> Result<Component, ModuleError> {
        recognise(&component, self.component_bytes_max).map_err(|(_, error)| error)?;
        let (cache, own_engine, bytes) = (Arc::clone(&self.cache), engine.clone(), Arc::clone(&component));
        let (place, there) = apart(move || {
            let place = cache.place(&own_engine, &bytes);
            let there = cache.remembered(&own_engine, &place);
            (place, there)
        })
        .await?;
        if let Some(compiled) = there {
            return Ok(compiled);
        }
        let code = self.helper.compile(component).await?;
        let (cache, engine) = (Arc::clone(&self.cache), engine.clone());
        apart(move || cache.made(&engine, &place, &code)).await?
    }

    /// Where else untrusted input is worked on in a process apart.
    pub fn helper(&self) -> &CompileHelper {
        &self.helper
    }
}

/// Off tokio's threads: the code of an interpreter is tens of megabytes, to be read, checked and loaded.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ModuleError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| ModuleError::Host { reason: format!("loading compiled code panicked: {panic}") })
}

/// Compiled code on disk.
struct Cache {
    dir: PathBuf,
    key: hmac::Key,
}

/// Where the code of one component is kept, and what its MAC covers besides the code.
struct Place {
    path: PathBuf,
    digest: digest::Digest,
    compatibility: String,
}

impl Cache {
    fn place(&self, engine: &Engine, component: &[u8]) -> Place {
        let digest = digest::digest(&digest::SHA256, component);
        let compatibility = engine::compatibility(engine);
        let path = self.dir.join(format!("{}-{compatibility}.cwasm", hex::encode(digest.as_ref())));
        Place { path, digest, compatibility }
    }

    fn remembered(&self, engine: &Engine, place: &Place) -> Option<Component> {
        let code = self.cached(&place.path, place.digest.as_ref(), &place.compatibility)?;
        // SAFETY: the MAC shows that this host made the code, of this component and for this engine, and the bytes that
        // were checked are the bytes that are handed over.
        unsafe { Component::deserialize(engine, &code) }.ok()
    }

    fn made(&self, engine: &Engine, place: &Place, code: &[u8]) -> Result<Component, ModuleError> {
        let Place { path, digest, compatibility } = place;
        if let Err(error) = self.keep(path, digest.as_ref(), compatibility, code) {
            tracing::warn!(path = %path.display(), %error, "compiled code cannot be cached; the next start compiles anew");
        }
        // SAFETY: `code` has just been made by this program, here or in the compile helper, which lets nobody but the
        // host read or write its pipes.
        unsafe { Component::deserialize(engine, code) }.map_err(|error| ModuleError::NotAComponent {
            // The engine's pools have bounds of their own: memories and tables that begin larger than they may become,
            // more instances than there are places for.
            reason: format!("it asks for more than an instance may have: {error:#}").replace('\n', " "),
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
