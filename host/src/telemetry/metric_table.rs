//! Every metric of `/metrics`: its name, kind, labels and what it says. What is recorded anywhere stands here; a test holds
//! this list, `docs/metrics.md` and a host's `/metrics` against each other.
//!
//! Names and units are by Prometheus' conventions: `hookbox_`, base units, `_total` for what only counts up. Labels have few
//! values, whatever tenants do: never an account, a hook, a URI.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts up since the start of the process.
    Counter,
    /// How it stands.
    Gauge,
    /// How often something was how big.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence without a full stop.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

/// All of them, as a message meets them.
pub const METRICS: &[Metric] = &[
    // Taken in.
    counter("hookbox_messages_total", &["source"], "Messages taken in, by where they came from"),
    counter("hookbox_messages_settled_total", &["source", "settlement"], "Messages settled, by what became of them"),
    gauge("hookbox_messages_under_way", &[], "Messages taken in and not settled yet"),
    counter("hookbox_newcomers_not_waited_for_total", &[], "Messages of unknown accounts that went on without them"),
    gauge("hookbox_amqp_state", &["state"], "1 for how it stands with the broker, 0 for the other states"),
    gauge("hookbox_amqp_refused_bindings", &[], "Exchanges and keys that the broker would not bind"),
    gauge("hookbox_amqp_blocked", &[], "1 while the broker takes nothing from us (memory or disk alarm)"),
    counter("hookbox_amqp_connections_total", &[], "Connections to the broker that were made"),
    // Modules.
    counter("hookbox_events_total", &["module"], "Events that modules made of messages"),
    histogram("hookbox_module_call_seconds", &["module"], "Time of a module's or transform's call in the sandbox"),
    counter("hookbox_module_fuel_total", &["module"], "Fuel that calls burnt"),
    counter("hookbox_module_faults_total", &["module", "kind"], "Calls that failed, by what went wrong"),
    counter(
        "hookbox_module_faults_lost_total",
        &[],
        "Faults not counted for all nodes, because too many versions had some",
    ),
    counter(
        "hookbox_module_costs_lost_total",
        &[],
        "Calls whose cost is in no account's sum, because too many lines were open",
    ),
    counter("hookbox_module_log_dropped_lines_total", &["module"], "Lines of modules over modules.log_lines_per_s"),
    counter("hookbox_module_log_dropped_bytes_total", &["module"], "Bytes of modules over modules.log_bytes_max"),
    counter("hookbox_calls_stored_total", &["module"], "Calls of busy modules that were stored to be made later"),
    counter("hookbox_stored_calls_made_total", &["module"], "Stored calls that were made"),
    counter("hookbox_dead_letters_total", &["module"], "Messages kept because a module failed on them"),
    gauge("hookbox_workers", &["state"], "Threads that run modules, by whether they do"),
    gauge("hookbox_calls_waiting", &[], "Calls that stand in line for a worker"),
    gauge(
        "hookbox_sandbox_instances",
        &["engine"],
        "Component instances in the pool of an engine, at work or kept for reuse",
    ),
    gauge("hookbox_sandbox_resident_bytes", &["engine"], "Bytes that free places of an engine's pool keep in memory"),
    // Firings.
    counter("hookbox_firings_total", &[], "Firings: an event times a hook that wants it"),
    counter("hookbox_firings_ended_total", &["outcome"], "Firings that ended, by how"),
    gauge("hookbox_firings_waiting", &[], "Firings in the store that wait or are under a lease; the same on all nodes"),
    gauge("hookbox_firings_leased", &[], "Stored firings that this process has under way"),
    counter("hookbox_firings_claimed_total", &[], "Stored firings taken up to be tried"),
    counter("hookbox_firings_put_back_total", &[], "Stored firings taken up and put back for want of a place"),
    counter("hookbox_firings_parked_total", &[], "Firings stored while their first try was still open"),
    counter(
        "hookbox_firings_over_limit_total",
        &["limit"],
        "Firings stored because no place was free, by whose were taken",
    ),
    counter("hookbox_firings_over_quota_total", &[], "Firings given up because their account has too many waiting"),
    counter("hookbox_leases_renewed_total", &[], "Leases of stored firings that were renewed"),
    gauge("hookbox_requests_under_way", &["origin"], "Requests that are open, by where their firing came from"),
    // Attempts.
    counter("hookbox_attempts_total", &["result", "fault"], "Attempts, by what came of them"),
    histogram("hookbox_attempt_seconds", &[], "Time of an attempt, from its beginning to the last byte that was read"),
    histogram("hookbox_attempt_phase_seconds", &["phase"], "What an attempt's time was spent on"),
    histogram(
        "hookbox_first_attempt_lag_seconds",
        &[],
        "From taking a message in to the first attempt of a firing of it",
    ),
    counter(
        "hookbox_connections_total",
        &["kind"],
        "Attempts that were answered, by whether a new connection was made",
    ),
    gauge("hookbox_hooks", &["standing"], "Hooks, by how they stand"),
    counter("hookbox_disabler_actions_total", &["action"], "What the disabler did to hooks that fail"),
    // Store and process.
    histogram("hookbox_store_seconds", &["operation"], "Time of a call of the store"),
    gauge("hookbox_store_rows_waiting", &[], "Attempts and changes that wait to be written"),
    counter("hookbox_part_restarts_total", &["part"], "Restarts of a part that failed"),
    counter("hookbox_spans_exported_total", &[], "Spans that the collector took"),
    counter("hookbox_spans_dropped_total", &["reason"], "Spans that were lost"),
    gauge("hookbox_build_info", &["version"], "1; the version is in the label"),
];

/// Bounds of what takes time, s.
pub const TIME_BUCKETS: &[f64] =
    &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds of what may wait for long, s.
pub const LAG_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// Tells the recorder what each says.
pub(super) fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}
