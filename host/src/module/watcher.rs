//! Components of a folder (`modules.dir`): loaded at the start, and again when their files change.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Modules, Origin};

/// Looks at the folder now and then.
pub struct Watcher {
    dir: PathBuf,
    every: Duration,
    seen: HashMap<PathBuf, Stamp>,
}

/// By what a changed file is known. Editors and `cp` change at least one of them.
type Stamp = (Option<SystemTime>, u64);

impl Watcher {
    /// Watches `dir`, looking every `watch_ms`.
    pub fn new(dir: PathBuf, watch_ms: u64) -> Self {
        Self { dir, every: Duration::from_millis(watch_ms), seen: HashMap::new() }
    }

    /// Looks for ever.
    pub async fn run(&mut self, modules: &Arc<Modules>) -> Result<(), Infallible> {
        loop {
            self.look(modules).await;
            tokio::time::sleep(self.every).await;
        }
    }

    /// Loads what is new or changed, unloads what is gone. A folder or a file that cannot be read is named among what
    /// is refused, and tried again; what was loaded from it stays.
    pub async fn look(&mut self, modules: &Arc<Modules>) {
        let dir = self.dir.display().to_string();
        let found = match components(&self.dir) {
            Ok(found) => found,
            Err(error) => {
                let remedy = "make the folder, let this user read it, or name another";
                return modules.refuse(&dir, format!("modules.dir cannot be read ({error}); {remedy}"));
            }
        };
        modules.no_longer_refused(&dir);
        self.unload_what_is_gone(&found, modules);
        for (path, stamp) in &found {
            if self.seen.get(path) == Some(stamp) {
                continue;
            }
            let name = path.display().to_string();
            match tokio::fs::read(path).await {
                Ok(component) => {
                    modules.load_bytes(&name, component, Origin::Folder(path.clone())).await;
                    // Noted whether it could be loaded or not: a broken file is tried again when it changes.
                    self.seen.insert(path.clone(), *stamp);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    modules.refuse(&name, format!("the file cannot be read ({error}); let this user read it"));
                }
            }
        }
    }

    fn unload_what_is_gone(&mut self, found: &BTreeMap<PathBuf, Stamp>, modules: &Modules) {
        let gone: Vec<_> = self.seen.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        for path in &gone {
            tracing::info!(path = %path.display(), "module file is gone; its module is unloaded");
            modules.unload_file(path);
            self.seen.remove(path);
        }
        if !gone.is_empty() {
            // One of these may have been refused because its id was taken.
            let refused = modules.refused();
            self.seen.retain(|path, _| !refused.contains_key(&path.display().to_string()));
        }
    }
}

/// In the order of their names, so that the same files give the same modules on every start.
fn components(dir: &Path) -> std::io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Ok(meta) = std::fs::metadata(&path)
        {
            found.insert(path, (meta.modified().ok(), meta.len()));
        }
    }
    Ok(found)
}
