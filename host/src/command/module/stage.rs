//! The real sandbox, set up for an author: the host's own engines, limits and checks, with accounts and settings of the
//! author's making around the component.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    firings::HeldTransform,
    folder::{ModuleFolder, World},
    kept::Kept,
    note,
};
use crate::{
    account::AccountTree,
    clock::Clock,
    message::UnixMs,
    module::{
        Kind, Module, ModuleError, Origin,
        check::{Checker, world},
        compile_helper::CompileHelper,
        compiler::Compiler,
        engine::{Engines, Running},
        guest::{GuestLimits, Surroundings},
        guest_log::{Level, LogLines},
        loaded::Loader,
        page_faults,
        reuse::IdleInstances,
        sandbox::{Called, Cost},
        transform::TransformName,
    },
    settings::Settings,
};

/// When a module is loaded: the clock of an author's sandbox stands still, so that what is printed is the same tomorrow.
pub(super) const LOADED_AT_MS: UnixMs = 1_714_100_800_000; // 2024-04-26 03:06:40 UTC

/// Which sandbox.
#[derive(Clone, Debug, Args)]
pub(super) struct Sandbox {
    /// Settings of a host, over the defaults: its limits are the ones that count.
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    kept: Kept,
}

/// A sandbox that is set up.
pub(super) struct Stage {
    /// By which limits.
    pub(super) settings: Settings,
    loader: Arc<Loader>,
}

/// What came of one call.
pub(super) struct Played {
    /// As samples have it: of a module a list of events, `"not_mine"`, `{"malformed": …}`; of a transform what is to be
    /// sent, or `"dropped"`; of either `{"failed": …}` or `{"fault": …}`.
    pub(super) answer: Value,
    /// Whether it failed: trapped, ran out of something, gave what cannot be used, or said so itself.
    pub(super) is_failure: bool,
    /// What it said.
    pub(super) log: LogLines,
    /// What it used.
    pub(super) cost: Cost,
    /// From before the instance is made to after its answer is checked.
    pub(super) time_us: f64,
    /// Page faults of the call.
    pub(super) page_faults: Option<u64>,
}

impl Sandbox {
    /// Sets it up.
    pub(super) fn set_up(&self) -> Result<Stage, String> {
        let settings = Settings::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        let engines =
            Engines::new(&settings.modules).map_err(|error| format!("the sandbox cannot be set up: {error:#}"))?;
        let (folder, key) = self.kept.compiled()?;
        let most = usize::try_from(settings.modules.component_bytes_max).unwrap_or(usize::MAX);
        let helper = CompileHelper::new(None, &settings.modules);
        let compiler =
            Compiler::new(&folder, &key, most, helper).map_err(|error| format!("{}: {error}", folder.display()))?;
        let firing = Arc::new(settings.firing.clone());
        let loader = Arc::new(Loader {
            engines,
            compiler,
            modules: settings.modules.clone(),
            firing,
            operators: Arc::default(),
            idle: Arc::new(IdleInstances::new(&settings.modules)),
            account_limits: Arc::default(),
        });
        Ok(Stage { settings, loader })
    }
}

impl Stage {
    /// Compiles and checks a module.
    pub(super) fn load(&self, component: &[u8]) -> Result<Module, String> {
        let origin = Origin::Folder(PathBuf::new());
        let module = self.loader.load(component, origin, surroundings_of(BTreeMap::new()), LOADED_AT_MS);
        module.map_err(|error| refused(&error))
    }

    /// Compiles and checks a transform.
    pub(super) fn load_transform(&self, component: &[u8]) -> Result<HeldTransform, String> {
        let registered = TransformName { owner: "author".into(), name: "transform".into(), version: "0.0.0".into() };
        let transform = self.loader.load_transform(component, registered, Arc::default());
        Ok(HeldTransform {
            transform: transform.map_err(|error| refused(&error))?,
            firing: Arc::clone(&self.loader.firing),
            payload_bytes_max: self.output_bytes_max(),
        })
    }

    /// What a host has an upload go through.
    pub(super) fn checker(&self) -> Checker {
        Checker::new(Arc::clone(&self.loader), Clock::default())
    }

    /// The bounds of a call.
    pub(super) fn limits(&self) -> GuestLimits {
        GuestLimits::new(&self.settings.modules)
    }

    /// `modules.output_bytes_max`.
    pub(super) fn output_bytes_max(&self) -> usize {
        usize::try_from(self.settings.modules.output_bytes_max).unwrap_or(usize::MAX)
    }

    /// To be held while calls are made: their time passes only then.
    pub(super) fn running(&self) -> Running<'_> {
        self.loader.engines.running()
    }
}

fn refused(error: &ModuleError) -> String {
    format!("the host would refuse it: {error}")
}

/// Settings, and no accounts.
pub(super) fn surroundings_of(settings: BTreeMap<String, String>) -> Surroundings {
    Surroundings { accounts: Arc::new(AccountTree::default()), within: None, settings: Arc::new(settings) }
}

/// The component that the calls of `hookbox module` are to work with: a file, or the one that was built in a folder.
pub(super) fn component_at(path: &Path) -> Result<(Vec<u8>, Option<ModuleFolder>), String> {
    if path.is_dir() {
        let folder = ModuleFolder::read(path)?;
        let file = folder.component();
        let component =
            read(&file).map_err(|reason| format!("{reason}; run `hookbox module build {}` first", path.display()))?;
        if let Some(changed) = folder.changed_since_built() {
            note(&format!("{} is newer than {}: build it again to see the change", changed.display(), file.display()));
        }
        return Ok((component, Some(folder)));
    }
    Ok((read(path)?, None))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// What a component is for: as its folder says, else as its exports do.
pub(super) fn world_of(component: &[u8], folder: Option<&ModuleFolder>) -> World {
    match folder {
        Some(folder) => folder.world,
        // What is wrong with it otherwise is said when it is loaded.
        None => match world::fit(component) {
            Ok((Kind::Transform, _)) => World::Transform,
            _ => World::Module,
        },
    }
}

/// Makes one call and measures it.
pub(super) fn play<T>(
    call: impl FnOnce() -> Called<T>,
    answer: impl FnOnce(Result<T, ModuleError>) -> Value,
) -> Played {
    let (faults, began) = (page_faults::so_far(), Instant::now());
    let called = call();
    let time_us = began.elapsed().as_secs_f64() * 1e6;
    let page_faults = page_faults::so_far().zip(faults).map(|(after, before)| after.saturating_sub(before));
    let is_failure = called.result.is_err();
    Played { answer: answer(called.result), is_failure, log: called.log, cost: called.cost, time_us, page_faults }
}

/// A call that failed, as samples have it.
pub(super) fn fault(error: &ModuleError) -> Value {
    match error {
        ModuleError::Failed { reason } => json!({"failed": reason}),
        error => json!({"fault": error.to_string()}),
    }
}

/// The lines of a log, as `level text`.
pub(super) fn log_lines(log: &LogLines) -> Vec<String> {
    let level = |level| match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    log.lines.iter().map(|line| format!("{} {}", level(line.level), line.text)).collect()
}
