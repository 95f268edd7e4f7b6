//! What calls cost, added up per charged account, module and day, and written in groups: never a commit a call.
//!
//! A process that is killed loses what it added since it last wrote (`modules.cost_write_ms`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::counter;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::sandbox::Cost;
use crate::{
    clock::Clock,
    error_chain::chain,
    message::{AccountId, ModuleId},
    settings::ModuleSettings,
    store::{
        SharedStore, StoreResult,
        module_costs::{CostLine, CostSums, day_of},
    },
};

/// The lines that are not written yet.
pub struct Ledger {
    open: Mutex<HashMap<CostLine, CostSums>>,
    lines_max: usize,
    write_every: Duration,
    keep_days: u32,
    clock: Clock,
}

impl Ledger {
    /// An empty one.
    pub fn new(settings: &ModuleSettings, clock: Clock) -> Self {
        Self {
            open: Mutex::default(),
            lines_max: usize::try_from(settings.cost_lines_max).unwrap_or(usize::MAX),
            write_every: Duration::from_millis(settings.cost_write_ms),
            keep_days: u32::try_from(settings.cost_keep_days).unwrap_or(u32::MAX),
            clock,
        }
    }

    /// Adds one call.
    pub fn note(&self, account: Option<&AccountId>, module: &ModuleId, cost: &Cost, has_failed: bool) {
        let line = CostLine { day: day_of(self.clock.now_ms()), account: account.cloned(), module: module.clone() };
        let sums = CostSums {
            calls: 1,
            fuel: cost.fuel,
            time_us: cost.time_us,
            faults: u64::from(has_failed),
            memory_bytes_max: cost.memory_bytes as u64,
        };
        self.add(line, &sums);
    }

    /// Writes now and then until `stop`, then what is left, and ends. An error of the store does not end it: what could
    /// not be written is written with the next.
    pub async fn run(self: Arc<Self>, store: SharedStore, stop: CancellationToken) -> StoreResult<()> {
        let mut ticks = interval(self.write_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pruned = None;
        while !stop.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => {}
            }
            self.write(&store).await;
            let today = day_of(self.clock.now_ms());
            if pruned.replace(today) != Some(today)
                && let Err(error) = store.prune_module_costs(today.saturating_sub(self.keep_days)).await
            {
                tracing::warn!(error = chain(&error), "what modules cost long ago could not be removed");
            }
        }
        // What came while the last round was under way.
        self.write(&store).await;
        Ok(())
    }

    /// Writes what there is.
    pub async fn write(&self, store: &SharedStore) {
        let taken: Vec<_> = std::mem::take(&mut *self.lines()).into_iter().collect();
        if let Err(error) = store.add_module_costs(&taken).await {
            tracing::warn!(error = chain(&error), lines = taken.len(), "what modules cost is written later");
            for (line, sums) in taken {
                self.add(line, &sums);
            }
        }
    }

    fn add(&self, line: CostLine, sums: &CostSums) {
        let mut open = self.lines();
        let has_room = open.len() < self.lines_max;
        match open.get_mut(&line) {
            Some(there) => there.add(sums),
            None if has_room => drop(open.insert(line, *sums)),
            // The store has been away for so long that there is no telling any more.
            None => counter!("hookbox_module_costs_lost_total").increment(sums.calls),
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<CostLine, CostSums>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn ledger(lines_max: u64) -> Ledger {
        Ledger::new(
            &ModuleSettings { cost_lines_max: lines_max, ..Settings::default().modules },
            Clock::manual(86_400_000),
        )
    }

    fn cost(fuel: u64, memory_bytes: usize) -> Cost {
        Cost { fuel, memory_bytes, time_us: 5 }
    }

    #[test]
    fn calls_are_added_up_by_account_module_and_day() {
        let ledger = ledger(10);
        let (acme, crm): (AccountId, ModuleId) = ("acme".into(), "acme/crm".into());
        ledger.note(Some(&acme), &crm, &cost(10, 900), false);
        ledger.note(Some(&acme), &crm, &cost(20, 800), true);
        ledger.note(None, &crm, &cost(1, 1), false);
        ledger.clock.advance(86_400_000);
        ledger.note(Some(&acme), &crm, &cost(1, 1), false);
        let lines = ledger.lines();
        assert_eq!(lines.len(), 3);
        let first = CostLine { day: 1, account: Some(acme), module: crm };
        let sums = CostSums { calls: 2, fuel: 30, time_us: 10, faults: 1, memory_bytes_max: 900 };
        assert_eq!(lines.get(&first), Some(&sums));
    }

    #[test]
    fn what_is_open_is_bounded() {
        let ledger = ledger(2);
        for module in ["a", "b", "c", "a"] {
            ledger.note(None, &module.into(), &cost(1, 1), false);
        }
        let lines = ledger.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.values().map(|sums| sums.calls).sum::<u64>(), 3, "what has a line is still added up");
    }
}
