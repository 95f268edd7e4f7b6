//! What follows of a call whatever it gave: its cost is added up, what it said is logged and kept, a fault is counted, and
//! too many are quarantine.

use std::sync::{Arc, OnceLock};

use super::{
    ModuleError,
    faults::{FailedOn, FaultQueue},
    guest_log::Level,
    ledger::Ledger,
    log_book::LogBooks,
    quarantine::{Charge, Quarantine},
    sandbox::Called,
};
use crate::{
    clock::{Clock, gregorian_s},
    live::{self, Live},
    message::{AccountId, ModuleId},
    settings::ModuleSettings,
    store::module_faults::Component,
    telemetry::meters,
};

/// Charges calls to those who were called. Cheap to clone, because workers do it too.
#[derive(Clone)]
pub struct Charging {
    /// What time it is.
    pub clock: Clock,
    /// What calls cost.
    pub ledger: Arc<Ledger>,
    /// What they said.
    pub logs: Arc<LogBooks>,
    /// What they did wrong, until it is written.
    pub faults: Arc<FaultQueue>,
    /// Who looks on is told of quarantines, once it is known where.
    pub live: Arc<OnceLock<Live>>,
}

/// Who was called.
pub struct Charged<'a> {
    /// The module or the transform.
    pub id: &'a ModuleId,
    /// Its semantic version.
    pub version: &'a str,
    /// SHA-256 of its component, in hex.
    pub digest: &'a str,
    /// What it was called with.
    pub on: FailedOn<'a>,
    /// Whom the call is charged to; `None`: the operator.
    pub account: Option<&'a AccountId>,
    /// Where its faults are counted.
    pub quarantine: &'a Quarantine,
}

impl Charging {
    /// With nothing charged yet.
    pub fn new(settings: &ModuleSettings, clock: Clock) -> Self {
        let ledger = Arc::new(Ledger::new(settings, clock.clone()));
        let faults = Arc::new(FaultQueue::new(settings.faulty_versions_max));
        Self { ledger, logs: Arc::new(LogBooks::new(settings)), faults, live: Arc::default(), clock }
    }

    /// Charges one call.
    pub fn charge<T>(&self, to: &Charged<'_>, called: &Called<T>) {
        let id = to.id;
        let has_failed = called.result.as_ref().is_err_and(|error| !matches!(error, ModuleError::Host { .. }));
        self.ledger.note(to.account, id, &called.cost, has_failed);
        let meters = meters::of_module(id);
        meters.call.record(called.cost.time_us as f64 / 1e6);
        meters.fuel.increment(called.cost.fuel);
        let said = &called.log;
        let within = match said.lines.is_empty() {
            true => 0,
            false => self.logs.write(id, to.version, said, self.clock.now_ms()),
        };
        if within < said.lines.len() {
            meters.log_dropped_lines.increment((said.lines.len() - within) as u64);
        }
        for line in &said.lines[..within] {
            match line.level {
                Level::Debug => tracing::debug!(target: "hookbox::module_log", module = %id, "{}", line.text),
                Level::Info => tracing::info!(target: "hookbox::module_log", module = %id, "{}", line.text),
                Level::Warn | Level::Error => {
                    tracing::warn!(target: "hookbox::module_log", module = %id, "{}", line.text);
                }
            }
        }
        if said.dropped_bytes > 0 {
            meters.log_dropped_bytes.increment(said.dropped_bytes);
        }
        if let Err(error) = &called.result {
            meters.fault(error.kind());
            if error.is_charged() {
                self.charge_fault(to, error);
            }
        }
    }

    /// Counts a fault here, where it may be one too many at once, and hands it over to be counted for all nodes.
    fn charge_fault(&self, to: &Charged<'_>, error: &ModuleError) {
        let (module, version, now_ms) = (to.id, to.version, self.clock.now_ms());
        let too_many = match to.quarantine.charge(error, now_ms) {
            // Nothing more needs to be written of it.
            Charge::Late => return,
            Charge::Counted => None,
            Charge::TooMany(reason) => {
                tracing::error!(%module, version, %error, "in quarantine: it is not called any more until another \
                    version takes its place, or somebody lifts it");
                self.tell(module, version, &reason);
                Some(reason)
            }
        };
        let of = Component { module: module.clone(), digest: to.digest.to_owned() };
        self.faults.note(of, version, (error, to.on), too_many, now_ms);
    }

    /// Tells those who look on of a quarantine.
    pub fn tell(&self, module: &ModuleId, version: &str, reason: &str) {
        if let Some(live) = self.live.get() {
            let now_s = gregorian_s(self.clock.now_ms());
            live.tell(|| live::module_quarantined(module.as_str(), version, reason, now_s));
        }
    }
}
