//! Looks now and then at what only stands somehow, whoever reads `/metrics`: a store is asked as often as
//! `telemetry.sample_ms` says, however many scrape. Also has the histograms put in order, which else would keep every figure
//! until somebody reads them.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use metrics::gauge;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::meters::meters;
use crate::{error_chain::chain, firing::Firer, ingress::amqp::BrokerState, pipeline::Pipeline, store::SharedStore};

/// What is looked at.
pub struct Gauges {
    /// Whose messages are under way, and whose modules are called.
    pub pipeline: Arc<Pipeline>,
    /// What it has under way.
    pub firer: Arc<Firer>,
    /// What waits there.
    pub store: SharedStore,
    /// How it stands with the broker.
    pub broker: watch::Receiver<BrokerState>,
    /// Why the broker takes nothing from us.
    pub alarm: watch::Receiver<Option<String>>,
}

impl Gauges {
    /// Looks for ever.
    pub async fn run(&self, sample_ms: u64) -> Result<(), Infallible> {
        let mut samples = interval(Duration::from_millis(sample_ms));
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            samples.tick().await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let Some(counters) = super::counters() else { return };
        self.look_at_the_broker();
        self.look_at_modules();
        gauge!("hookbox_messages_under_way").set(self.pipeline.in_flight.load(Ordering::Relaxed) as f64);
        gauge!("hookbox_firings_leased").set(self.firer.leases.len() as f64);
        gauge!("hookbox_store_rows_waiting").set(self.firer.log.queued() as f64);
        self.look_at_the_store().await;
        counters.run_upkeep();
    }

    fn look_at_the_broker(&self) {
        let (now, refused) = match &*self.broker.borrow() {
            BrokerState::Off => ("off", 0),
            BrokerState::Away(_) => ("away", 0),
            BrokerState::Consuming { refused } => ("consuming", refused.len()),
        };
        for state in ["off", "away", "consuming"] {
            gauge!("hookbox_amqp_state", "state" => state).set(f64::from(u8::from(state == now)));
        }
        gauge!("hookbox_amqp_refused_bindings").set(refused as f64);
        gauge!("hookbox_amqp_blocked").set(f64::from(u8::from(self.alarm.borrow().is_some())));
    }

    fn look_at_modules(&self) {
        let modules = &self.pipeline.modules;
        let workers = modules.workers_now();
        gauge!("hookbox_workers", "state" => "busy").set(workers.busy as f64);
        gauge!("hookbox_workers", "state" => "idle").set(workers.idle as f64);
        gauge!("hookbox_calls_waiting").set(workers.calls_waiting as f64);
        for (engine, pool) in modules.pools() {
            gauge!("hookbox_sandbox_instances", "engine" => engine).set(pool.component_instances() as f64);
            let resident = pool.unused_memory_bytes_resident() + pool.unused_table_bytes_resident();
            gauge!("hookbox_sandbox_resident_bytes", "engine" => engine).set(resident as f64);
        }
    }

    async fn look_at_the_store(&self) {
        let began = Instant::now();
        let pinged = self.store.ping().await;
        meters().store_ping.record(began.elapsed());
        let waiting = match pinged {
            Ok(()) => self.store.waiting_by_account(1).await,
            Err(error) => Err(error),
        };
        match waiting {
            Ok(accounts) => {
                let waiting: u64 = accounts.into_iter().map(|(_, waiting)| waiting).sum();
                gauge!("hookbox_firings_waiting").set(waiting as f64);
            }
            // Whoever needs the store says so louder.
            Err(error) => tracing::debug!(error = chain(&error), "waiting firings cannot be counted for /metrics"),
        }
        let hooks = self.pipeline.hooks.counts();
        let failing = self.firer.disabler.failing().min(hooks.enabled);
        for (standing, count) in
            [("healthy", hooks.enabled - failing), ("failing", failing), ("disabled", hooks.disabled)]
        {
            gauge!("hookbox_hooks", "standing" => standing).set(count as f64);
        }
    }
}
