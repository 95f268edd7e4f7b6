//! Components of a folder (`modules.dir`): loaded at the start, and again when their files change.

use std::{
    collections::HashMap,
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
    pub async fn run(&mut self, modules: &Arc<Modules>) -> std::io::Result<()> {
        loop {
            self.look(modules).await?;
            tokio::time::sleep(self.every).await;
        }
    }

    /// Loads what is new or changed, unloads what is gone.
    pub async fn look(&mut self, modules: &Arc<Modules>) -> std::io::Result<()> {
        let found = components(&self.dir)?;
        for (path, stamp) in &found {
            if self.seen.get(path) == Some(stamp) {
                continue;
            }
            let component = tokio::fs::read(path).await?;
            let name = path.display().to_string();
            modules.load_bytes(&name, component, Origin::Folder(path.clone())).await;
            // Noted whether it could be loaded or not: a broken file is tried again when it changes.
            self.seen.insert(path.clone(), *stamp);
        }
        let gone: Vec<_> = self.seen.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        for path in gone {
            tracing::info!(path = %path.display(), "module file is gone; its module is unloaded");
            modules.unload_file(&path);
            self.seen.remove(&path);
        }
        Ok(())
    }
}

fn components(dir: &Path) -> std::io::Result<HashMap<PathBuf, Stamp>> {
    let mut found = HashMap::new();
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
