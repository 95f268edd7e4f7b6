//! What is counted for every message, its handles made once: looking a series up by its labels costs more than counting.
//!
//! All series with a fixed set of labels are there from the start, at zero, so that a rate over them is right from the first
//! message on.

use std::sync::{
    Arc, LazyLock, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use metrics::{Counter, Histogram, SharedString, counter, gauge, histogram};

use crate::{
    attempt::{Attempt, Fault, Outcome, Phases},
    ingress::Settlement,
    message::{ModuleId, Source, UnixMs},
};

/// The label of tenants' modules. Their ids name accounts, and there is no end of them.
pub const TENANTS: &str = "(tenants)";
/// The label of the operator's modules over `telemetry.module_labels_max`.
pub const OTHERS: &str = "(others)";

/// Series without labels, or with few.
pub struct Meters {
    amqp: OfSource,
    http: OfSource,
    /// Firings that were matched.
    pub firings: Counter,
    /// Firings by how they ended.
    pub ended: Ended,
    attempts: Attempts,
    attempt: Histogram,
    phases: [Histogram; 3],
    lag: Histogram,
    connections_new: Counter,
    connections_reused: Counter,
    /// Groups that were committed.
    pub store_commit: Histogram,
    /// Claims of stored firings.
    pub store_claim: Histogram,
    /// Pings.
    pub store_ping: Histogram,
}

/// Messages of one source.
struct OfSource {
    taken_in: Counter,
    ack: Counter,
    discard: Counter,
    requeue: Counter,
}

impl OfSource {
    fn new(source: Source) -> Self {
        let source = source.as_str();
        let settled =
            |word: &'static str| counter!("hookbox_messages_settled_total", "source" => source, "settlement" => word);
        Self {
            taken_in: counter!("hookbox_messages_total", "source" => source),
            ack: settled("ack"),
            discard: settled("discard"),
            requeue: settled("requeue"),
        }
    }
}

/// Attempts by what came of them.
struct Attempts {
    delivered: Counter,
    dropped: Counter,
    /// There was an answer, and it was no success.
    other_status: Counter,
    /// In the order of [`Fault::ALL`].
    failed: [Counter; Fault::ALL.len()],
}

impl Attempts {
    fn new() -> Self {
        let of = |result: &'static str, fault: &'static str| counter!("hookbox_attempts_total", "result" => result, "fault" => fault);
        Self {
            delivered: of("delivered", ""),
            dropped: of("dropped", ""),
            other_status: of("failed", "status"),
            failed: Fault::ALL.map(|fault| of("failed", fault.as_str())),
        }
    }

    fn of(&self, outcome: &Outcome) -> &Counter {
        match outcome {
            Outcome::Dropped => &self.dropped,
            outcome if outcome.is_success() => &self.delivered,
            Outcome::Answered { .. } => &self.other_status,
            Outcome::Failed { fault, .. } => &self.failed[*fault as usize],
        }
    }
}

/// How firings end.
pub struct Ended {
    /// The receiver took it.
    pub delivered: Counter,
    /// Its transform dropped it.
    pub dropped: Counter,
    /// It was given up, or its hook was switched off, and it is listed as undelivered.
    pub undelivered: Counter,
}

/// The meters of this process.
pub fn meters() -> &'static Meters {
    static METERS: OnceLock<Meters> = OnceLock::new();
    METERS.get_or_init(|| {
        super::counters();
        let ended = |outcome: &'static str| counter!("hookbox_firings_ended_total", "outcome" => outcome);
        let phase = |phase: &'static str| histogram!("hookbox_attempt_phase_seconds", "phase" => phase);
        let connections = |kind: &'static str| counter!("hookbox_connections_total", "kind" => kind);
        let store = |operation: &'static str| histogram!("hookbox_store_seconds", "operation" => operation);
        Meters {
            amqp: OfSource::new(Source::Amqp),
            http: OfSource::new(Source::Http),
            firings: counter!("hookbox_firings_total"),
            ended: Ended {
                delivered: ended("delivered"),
                dropped: ended("dropped"),
                undelivered: ended("undelivered"),
            },
            attempts: Attempts::new(),
            attempt: histogram!("hookbox_attempt_seconds"),
            phases: [phase("connect"), phase("first_byte"), phase("body")],
            lag: histogram!("hookbox_first_attempt_lag_seconds"),
            connections_new: connections("new"),
            connections_reused: connections("reused"),
            store_commit: store("commit"),
            store_claim: store("claim"),
            store_ping: store("ping"),
        }
    })
}

impl Meters {
    fn of_source(&self, source: Source) -> &OfSource {
        match source {
            Source::Amqp => &self.amqp,
            Source::Http => &self.http,
        }
    }

    /// So many messages were taken in.
    pub fn taken_in(&self, source: Source, messages: usize) {
        self.of_source(source).taken_in.increment(messages as u64);
    }

    /// A message was settled.
    pub fn settled(&self, source: Source, settlement: &Settlement) {
        let of_source = self.of_source(source);
        let settled = match settlement {
            Settlement::Ack { .. } => &of_source.ack,
            Settlement::Discard(_) => &of_source.discard,
            Settlement::Requeue(_) => &of_source.requeue,
        };
        settled.increment(1);
    }

    /// An attempt has ended. `taken_in_ms` is when its message was, when it is the first of its firing.
    pub fn attempt(&self, attempt: &Attempt, taken_in_ms: Option<UnixMs>) {
        self.attempts.of(&attempt.outcome).increment(1);
        self.attempt.record(attempt.duration_ms as f64 / 1e3);
        let Phases { connect_us, first_byte_us, body_us } = attempt.phases;
        for (histogram, took_us) in self.phases.iter().zip([connect_us, first_byte_us, body_us]) {
            if let Some(took_us) = took_us {
                histogram.record(took_us as f64 / 1e6);
            }
        }
        if let (Outcome::Answered { .. }, Some(_)) = (&attempt.outcome, first_byte_us) {
            let kind = if connect_us.is_some() { &self.connections_new } else { &self.connections_reused };
            kind.increment(1);
        }
        if let Some(taken_in_ms) = taken_in_ms {
            self.lag.record(attempt.at_ms.saturating_sub(taken_in_ms) as f64 / 1e3);
        }
    }
}

/// The series of one module.
pub struct ModuleMeters {
    /// The value of its label.
    pub label: SharedString,
    /// Events that it made.
    pub events: Counter,
    /// Time of its calls.
    pub call: Histogram,
    /// What they burnt.
    pub fuel: Counter,
    /// Lines that were too many.
    pub log_dropped_lines: Counter,
    /// Bytes that were too many.
    pub log_dropped_bytes: Counter,
    /// Calls that were stored.
    pub calls_stored: Counter,
    /// Stored calls that were made.
    pub stored_calls_made: Counter,
    /// Messages that were kept for it.
    pub dead_letters: Counter,
}

static MODULES: LazyLock<DashMap<ModuleId, Arc<ModuleMeters>>> = LazyLock::new(DashMap::new);
static OF_TENANTS: LazyLock<Arc<ModuleMeters>> = LazyLock::new(|| ModuleMeters::new(TENANTS.into()));
static OF_OTHERS: LazyLock<Arc<ModuleMeters>> = LazyLock::new(|| ModuleMeters::new(OTHERS.into()));
static MODULES_MAX: AtomicUsize = AtomicUsize::new(100);

/// `telemetry.module_labels_max`: so many of the operator's modules have series of their own.
pub(super) fn set_modules_max(most: u64) {
    MODULES_MAX.store(usize::try_from(most).unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// The meters of a module or a transform.
pub fn of_module(id: &ModuleId) -> Arc<ModuleMeters> {
    if id.is_of_tenant() {
        return Arc::clone(&OF_TENANTS);
    }
    if let Some(known) = MODULES.get(id) {
        return Arc::clone(&known);
    }
    // Two that come at once may both find room, so there may be a few more.
    if MODULES.len() >= MODULES_MAX.load(Ordering::Relaxed) {
        return Arc::clone(&OF_OTHERS);
    }
    Arc::clone(&MODULES.entry(id.clone()).or_insert_with(|| ModuleMeters::new(id.to_string().into())))
}

impl ModuleMeters {
    fn new(label: SharedString) -> Arc<Self> {
        super::counters();
        let of = |name: &'static str| counter!(name, "module" => label.clone());
        Arc::new(Self {
            events: of("hookbox_events_total"),
            call: histogram!("hookbox_module_call_seconds", "module" => label.clone()),
            fuel: of("hookbox_module_fuel_total"),
            log_dropped_lines: of("hookbox_module_log_dropped_lines_total"),
            log_dropped_bytes: of("hookbox_module_log_dropped_bytes_total"),
            calls_stored: of("hookbox_calls_stored_total"),
            stored_calls_made: of("hookbox_stored_calls_made_total"),
            dead_letters: of("hookbox_dead_letters_total"),
            label,
        })
    }

    /// One of its calls failed so.
    pub fn fault(&self, kind: &'static str) {
        counter!("hookbox_module_faults_total", "module" => self.label.clone(), "kind" => kind).increment(1);
    }
}

/// Makes the series that are not made with [`Meters`], at zero.
pub(super) fn begin_at_zero() {
    for name in [
        "hookbox_newcomers_not_waited_for_total",
        "hookbox_amqp_connections_total",
        "hookbox_module_faults_lost_total",
        "hookbox_module_costs_lost_total",
        "hookbox_firings_claimed_total",
        "hookbox_firings_put_back_total",
        "hookbox_firings_parked_total",
        "hookbox_firings_over_quota_total",
        "hookbox_leases_renewed_total",
        "hookbox_spans_exported_total",
    ] {
        counter!(name).increment(0);
    }
    for (name, label, values) in [
        ("hookbox_firings_over_limit_total", "limit", &["hook", "account", "host"][..]),
        ("hookbox_disabler_actions_total", "action", &["warned", "disabled"]),
        ("hookbox_spans_dropped_total", "reason", &["queue_full", "not_taken"]),
    ] {
        for value in values {
            counter!(name, label => *value).increment(0);
        }
    }
    gauge!("hookbox_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_place() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, place, "{}", fault.as_str());
        }
    }

    #[test]
    fn modules_have_few_labels_whatever_tenants_do() {
        let label = |id: &str| of_module(&id.into()).label.to_string();
        assert_eq!(label("bounded_labels_1"), "bounded_labels_1");
        for n in 0..1000 {
            assert_eq!(label(&format!("acc0unt/module_{n}")), TENANTS);
        }
        let labels = (0..1000).map(|n| label(&format!("bounded_labels_{n}"))).collect::<std::collections::HashSet<_>>();
        assert!(labels.len() <= 101 && labels.contains(OTHERS), "{}", labels.len());
        assert_eq!(label("bounded_labels_1"), "bounded_labels_1", "who has a label keeps it");
    }
}
