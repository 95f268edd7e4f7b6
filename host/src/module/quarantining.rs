//! Counts the faults of modules and transforms for all nodes, and puts those into quarantine that have too many: the
//! disabler of modules.
//!
//! A node that has counted enough by itself stops calling at once ([`super::quarantine`]). Here what every node has seen is
//! added up in the store, so that a fault here and a fault there are two, and a restart forgets nothing. A version is judged as
//! each group of its faults is recorded, and all are every quarter of the window. At `modules.fault_count` within
//! `modules.fault_window_ms` the quarantine is written together with the notices that tell of it; of several nodes that see the
//! threshold reached, one does it, and the others obey within `modules.watch_ms`: of a tenant's by [`super::stored`], of the
//! operator's by a look here.
//!
//! *Not* guaranteed: a killed process loses the faults of its last `modules.fault_write_ms`. A version of a transform that is
//! not the active one, and that hooks name by its number, has no record to carry a quarantine: each node stops calling it
//! when it sees that all have counted too many, and after a restart at its next fault.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Kind, Modules,
    faults::Waiting,
    quarantine::{is_too_many, reason},
};
use crate::{
    clock::Clock,
    error_chain::chain,
    message::{AccountId, ModuleId},
    notice::{self, Change, Notice, Sender},
    settings::ModuleSettings,
    store::{
        SharedStore, StoreResult,
        module_faults::{Component, Faults},
        registered_modules::Quarantine,
    },
};

/// Puts modules into quarantine.
pub struct Quarantining {
    store: SharedStore,
    modules: Arc<Modules>,
    rule: Rule,
    clock: Clock,
    told: Told,
    /// Held by whoever compares what this node and the store have of quarantines.
    in_step: Mutex<()>,
}

/// Whom it is told.
pub struct Told {
    /// Whose the operator's modules are.
    pub master: AccountId,
    /// What notices name as their sender.
    pub node: String,
    /// Rung when a notice was written that is to be published.
    pub to_tell: Arc<tokio::sync::Notify>,
}

/// The settings that say when.
#[derive(Clone, Copy, Debug)]
struct Rule {
    fault_count: u64,
    window_ms: u64,
    write_pause: Duration,
    watch: Duration,
}

impl Quarantining {
    /// One that works on what the modules' calls leave.
    pub fn new(store: SharedStore, modules: Arc<Modules>, settings: &ModuleSettings, clock: Clock, told: Told) -> Self {
        let rule = Rule {
            fault_count: settings.fault_count,
            window_ms: settings.fault_window_ms,
            write_pause: Duration::from_millis(settings.fault_write_ms),
            watch: Duration::from_millis(settings.watch_ms),
        };
        Self { store, modules, rule, clock, told, in_step: Mutex::default() }
    }

    /// Records faults as they come, sweeps, and looks at what other nodes have done, until `stop`; then records what is left,
    /// and ends. An error of the store does not end it: what could not be done is done at the next turn.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> StoreResult<()> {
        let sweep_every = Duration::from_millis((self.rule.window_ms / 4).max(1));
        let (mut looks, mut sweeps) = (interval(self.rule.watch), interval(sweep_every));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let done = tokio::select! {
                () = self.modules.faults().noted.notified() => {
                    let recorded = self.record().await;
                    // Whatever comes meanwhile is the next group.
                    let _ = tokio::time::timeout(self.rule.write_pause, stop.cancelled()).await;
                    recorded
                }
                _ = looks.tick() => self.look().await,
                _ = sweeps.tick() => self.sweep().await,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(error = chain(&error), "faults of modules cannot be counted for all nodes; trying on");
            }
        }
        if let Err(error) = self.record().await {
            tracing::warn!(error = chain(&error), "the last faults of modules could not be written");
        }
        Ok(())
    }

    /// Reads which of the operator's modules are in quarantine, and obeys.
    pub async fn look(&self) -> StoreResult<()> {
        let _in_step = self.in_step.lock().await;
        let quarantined = self.store.quarantined_operators_modules().await?;
        let reasons = quarantined
            .into_iter()
            .map(|(module, quarantine)| (Component { module, digest: quarantine.digest }, Arc::new(quarantine.reason)));
        self.modules.obey_quarantines(reasons.collect());
        Ok(())
    }

    /// Writes the faults that wait, and judges whose they are.
    pub async fn record(&self) -> StoreResult<()> {
        let mut taken = self.modules.faults().take();
        let rows: Vec<_> = taken
            .iter()
            .filter(|(_, waiting)| waiting.count > 0)
            .map(|(of, waiting)| Faults { of: of.clone(), at_ms: waiting.at_ms, count: waiting.count })
            .collect();
        if !rows.is_empty()
            && let Err(error) = self.store.add_module_faults(&rows).await
        {
            self.put_back(taken);
            return Err(error);
        }
        // From here on they are counted, and only what has to be done about them may be left.
        taken.values_mut().for_each(|waiting| waiting.count = 0);
        let mut result = Ok(());
        for (of, waiting) in taken {
            if let Err(error) = self.judge(&of, Some(&waiting)).await {
                self.put_back(HashMap::from([(of, waiting)]));
                result = Err(error);
            }
        }
        result
    }

    fn put_back(&self, taken: HashMap<Component, Waiting>) {
        let faults = self.modules.faults();
        taken.into_iter().for_each(|(of, waiting)| faults.add(of, waiting));
        faults.noted.notify_one();
    }

    /// Judges all that failed of late, and forgets what counts no more.
    pub async fn sweep(&self) -> StoreResult<()> {
        for (of, _) in self.store.sweep_module_faults(self.after_ms(), self.rule.fault_count).await? {
            self.judge(&of, None).await?;
        }
        Ok(())
    }

    /// Puts a version into quarantine when all nodes together, or this one alone, have counted too many.
    async fn judge(&self, of: &Component, waiting: Option<&Waiting>) -> StoreResult<()> {
        let own_reason = waiting.and_then(|waiting| waiting.too_many.clone());
        let reason = match own_reason {
            Some(reason) => reason,
            None => {
                let count = self.store.module_fault_count(of, self.after_ms()).await?;
                if !is_too_many(count, self.rule.fault_count) {
                    return Ok(());
                }
                let last_error = waiting.map(|waiting| waiting.last_error.as_str());
                Arc::new(reason(count, self.rule.window_ms, last_error))
            }
        };
        let quarantine = Quarantine {
            reason: reason.to_string(),
            digest: of.digest.clone(),
            version: waiting.map_or_else(String::new, |waiting| waiting.version.clone()),
            since_ms: self.clock.now_ms(),
            last_message: waiting.map(|waiting| waiting.last_message.clone()),
        };
        let _in_step = self.in_step.lock().await;
        let by_us = match of.module.tenant_and_name() {
            Some((account, name)) => self.quarantine_tenants(&account, name, quarantine).await?,
            None => self.quarantine_operators(&of.module, quarantine).await?,
        };
        if by_us {
            self.told.to_tell.notify_one();
        }
        if self.modules.put_in_quarantine(of, &reason) {
            tracing::error!(module = %of.module, digest = of.digest, reason = %reason,
                "in quarantine, by what all nodes have counted: it is not called any more until another version takes its \
                 place, or somebody lifts it");
            self.modules.charging.tell(&of.module, waiting.map_or("", |waiting| waiting.version.as_str()), &reason);
        }
        Ok(())
    }

    async fn quarantine_tenants(&self, account: &AccountId, name: &str, found: Quarantine) -> StoreResult<bool> {
        let Some(record) = self.store.registered_module(account, name).await? else { return Ok(false) };
        let version = self.store.module_version(account, name, &found.digest).await?;
        let version = version.map_or(found.version, |version| version.version);
        let quarantine = Quarantine { version, ..found };
        let sender = Sender { node: &self.told.node, request_id: None, now_ms: quarantine.since_ms };
        let notices = [
            self.notice(account, &record.id(), record.kind, &quarantine),
            notice::of_module(&record, record.revision + 1, Change::Edited, &sender),
        ];
        self.store.set_quarantine(account, name, &quarantine, &notices).await
    }

    async fn quarantine_operators(&self, module: &ModuleId, found: Quarantine) -> StoreResult<bool> {
        let loaded = self.modules.get(module).filter(|loaded| loaded.digest == found.digest);
        let version = loaded.map_or(found.version, |loaded| loaded.metadata.version.clone());
        let quarantine = Quarantine { version, ..found };
        let notice = self.notice(&self.told.master, module, Kind::Module, &quarantine);
        self.store.quarantine_operators_module(module, &quarantine, &[notice]).await
    }

    fn notice(&self, account: &AccountId, module: &ModuleId, kind: Kind, quarantine: &Quarantine) -> Notice {
        notice::of_quarantine(account, module, kind, quarantine, &self.told.node)
    }

    /// The moment after which faults count.
    fn after_ms(&self) -> u64 {
        self.clock.now_ms().saturating_sub(self.rule.window_ms)
    }
}
