//! Tenants' modules, and the limits of accounts, as the store has them: loaded at the start, and followed from then on.
//!
//! What changed is read from the store by its change counter, as hooks are: when a caller has changed something (before it
//! is answered), when a notice says so, and every `modules.watch_ms`. A version that cannot be loaded here is named among
//! what is set aside, and what was active before goes on.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, Notify};

use super::{
    Kind, Module, ModuleError, Modules, Transform, limits, transform::TransformName,
    transform_table::RegisteredTransform,
};
use crate::{
    error_chain::chain,
    message::ModuleId,
    store::{
        SharedStore, StoreResult,
        registered_modules::{ModuleChange, ModuleVersion, RegisteredModule},
    },
};

/// Rows read at once.
const PAGE_ROWS: u32 = 100;
/// Modules that are loaded at once.
const AT_ONCE: usize = 4;

/// Keeps the registry in step with the store.
pub struct StoredModules {
    store: SharedStore,
    modules: Arc<Modules>,
    progress: Mutex<Progress>,
    /// How many have asked for a look so far: those who wait for the same one share it.
    asked: AtomicU64,
    /// Rung when somebody knows of a change.
    pub wake: Arc<Notify>,
    watch: Duration,
}

/// How far the changes have been read.
#[derive(Default)]
struct Progress {
    cursor: i64,
    limits_cursor: i64,
    /// Whoever asked up to here has been served.
    served: u64,
}

impl StoredModules {
    /// Follows nothing yet.
    pub fn new(store: SharedStore, modules: Arc<Modules>, watch_ms: u64) -> Self {
        Self {
            store,
            modules,
            progress: Mutex::default(),
            asked: AtomicU64::new(0),
            wake: Arc::new(Notify::new()),
            watch: Duration::from_millis(watch_ms),
        }
    }

    /// Looks now and then, and when woken. What the store fails to tell is read at the next look.
    pub async fn run(&self) -> Result<(), Infallible> {
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::warn!(error = chain(&error), "changed modules cannot be read; trying on");
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.watch) => {}
            }
        }
    }

    /// Reads what changed since the last time, and obeys it.
    pub async fn catch_up(&self) -> StoreResult<()> {
        let own = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut progress = self.progress.lock().await;
        if progress.served >= own {
            return Ok(());
        }
        // Whoever has asked by now had written before, so this look shows them what they wrote.
        let served = self.asked.load(Ordering::SeqCst);
        // First, so that at the start no call is made under others.
        self.read_limits(&mut progress).await?;
        loop {
            let page = self.store.registered_modules_since(progress.cursor, PAGE_ROWS).await?;
            if page.changes.is_empty() {
                break;
            }
            // A module is in a page once, so the order does not matter.
            let obeyed = stream::iter(page.changes).map(|change| self.obey(change)).buffer_unordered(AT_ONCE);
            obeyed.try_collect::<()>().await?;
            progress.cursor = page.cursor;
        }
        progress.served = served;
        Ok(())
    }

    async fn read_limits(&self, progress: &mut Progress) -> StoreResult<()> {
        loop {
            let page = self.store.module_limits_since(progress.limits_cursor, PAGE_ROWS).await?;
            if page.changes.is_empty() {
                return Ok(());
            }
            self.modules.account_limits().put(&page.changes);
            progress.limits_cursor = page.cursor;
        }
    }

    /// Loads a version as its module's next one, without making it active: what cannot be loaded is said before anything
    /// is written.
    pub async fn try_out(
        &self,
        record: &RegisteredModule,
        version: &ModuleVersion,
    ) -> StoreResult<Result<Module, ModuleError>> {
        let Some(component) = self.store.component(&version.digest).await? else {
            let reason = format!("its component {} is not in the store", version.digest);
            return Ok(Err(ModuleError::Host { reason }));
        };
        let (record, version) = (record.clone(), version.clone());
        let surroundings = self.modules.surroundings_of(&record.account, record.settings.clone());
        let loader = Arc::clone(&self.modules.loader);
        let loading = move || loader.load_stored(&component, &record, &version, surroundings);
        let loaded = tokio::task::spawn_blocking(loading).await;
        Ok(loaded.unwrap_or_else(|panic| Err(ModuleError::Host { reason: format!("loading panicked: {panic}") })))
    }

    async fn obey(&self, change: ModuleChange) -> StoreResult<()> {
        match change {
            ModuleChange::Deleted(account, name) => {
                self.modules.remove_stored(&ModuleId::of_tenant(&account, &name));
                self.modules.transforms.remove(&account, &name);
            }
            ModuleChange::Saved(record) if record.kind == Kind::Transform => self.obey_transform(&record).await?,
            ModuleChange::Saved(record) => self.obey_module(&record).await?,
        }
        Ok(())
    }

    async fn obey_module(&self, record: &RegisteredModule) -> StoreResult<()> {
        let id = record.id();
        let Some(digest) = &record.active else {
            self.modules.remove_stored(&id);
            return Ok(());
        };
        let there = self.modules.stored(&id).filter(|there| there.digest == *digest);
        if let Some(there) = there {
            if !there.is_as(record) {
                let surroundings = self.modules.surroundings_of(&record.account, record.settings.clone());
                self.modules.put_stored(self.modules.loader.reload(&there, record, surroundings));
            }
            return Ok(());
        }
        // Deleted since: its own change comes later.
        let Some(version) = self.store.module_version(&record.account, &record.name, digest).await? else {
            return Ok(());
        };
        match self.try_out(record, &version).await? {
            Ok(module) => {
                tracing::info!(module = %id, version = version.version, "a tenant's module is active");
                self.modules.put_stored(module);
            }
            Err(error) => self.modules.stored_not_loaded(&id, error.to_string()),
        }
        Ok(())
    }

    /// Hooks may ask for any version of a transform, so all are loaded. One that cannot be is left out and named.
    async fn obey_transform(&self, record: &RegisteredModule) -> StoreResult<()> {
        let there = self.modules.transforms.registered(&record.account, &record.name);
        let mut versions = Vec::new();
        for version in self.store.module_versions(&record.account, &record.name).await? {
            let loaded = there.iter().flat_map(|there| &there.versions).find(|loaded| loaded.digest == version.digest);
            match loaded {
                Some(loaded) => versions.push(Arc::clone(loaded)),
                None => match self.loaded_transform(version).await? {
                    Ok(transform) => versions.push(transform),
                    Err(error) => self.modules.stored_not_loaded(&record.id(), error.to_string()),
                },
            }
        }
        let quarantine = record.quarantine.as_ref();
        for transform in &versions {
            match quarantine.filter(|quarantine| quarantine.digest == transform.digest) {
                Some(quarantine) => drop(transform.quarantine.put(Arc::new(quarantine.reason.clone()))),
                None => drop(transform.quarantine.obey_lifted()),
            }
        }
        // The store gives those uploaded last first.
        versions.reverse();
        let registered = RegisteredTransform {
            versions,
            active: record.active.clone(),
            offered: record.offered,
            settings: Arc::new(record.settings.clone()),
            limits: Some(limits::of_calls(&record.limits, &self.modules.loader.modules)),
        };
        self.modules.transforms.put(record.account.clone(), &record.name, registered);
        Ok(())
    }

    async fn loaded_transform(&self, version: ModuleVersion) -> StoreResult<Result<Arc<Transform>, ModuleError>> {
        let Some(component) = self.store.component(&version.digest).await? else {
            let reason = format!("its component {} is not in the store", version.digest);
            return Ok(Err(ModuleError::Host { reason }));
        };
        let ModuleVersion { account: owner, name, version, .. } = version;
        Ok(self.modules.load_transform(component, TransformName { owner, name, version }).await)
    }
}
