//! What the host tells of itself: logs to stderr, metrics to `/metrics`, traces to a collector.
//!
//! [`metric_table`] lists all metrics; [`meters`] has those of the path of a message, [`gauges`] looks now and then at what
//! only stands somehow. [`spans`] makes the spans of traces, [`span_exporter`] sends them, [`trace_context`] is what travels.
//!
//! Guaranteed: telemetry never slows or stops the host. What it cannot get rid of is dropped and counted.

pub mod gauges;
pub mod meters;
pub mod metric_table;
pub mod span_exporter;
pub mod spans;
pub mod trace_context;

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use self::metric_table::{Kind, LAG_BUCKETS, METRICS, TIME_BUCKETS};
use crate::settings::{LogFormat, TelemetrySettings};

/// Starts logging. A second call in one process (tests) changes nothing. An error is a `telemetry.log` that cannot be
/// read.
pub fn start_logs(settings: &TelemetrySettings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| {
        format!(
            "telemetry.log is {:?}: {error}; use error, warn, info, debug, trace or tracing's directives",
            settings.log
        )
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match settings.log_format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// `telemetry.metrics` of the first host of this process that started.
static IS_COUNTING: AtomicBool = AtomicBool::new(true);

/// Makes everything count from now on, or nothing.
pub fn start_metrics(settings: &TelemetrySettings) {
    IS_COUNTING.store(settings.metrics, Ordering::Relaxed);
    meters::set_modules_max(settings.module_labels_max);
    if counters().is_some() {
        meters::meters();
    }
}

/// The metrics of this process, made on first use; none when `telemetry.metrics` is off.
pub fn counters() -> Option<&'static PrometheusHandle> {
    static COUNTERS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let counters = COUNTERS.get_or_init(|| {
        if !IS_COUNTING.load(Ordering::Relaxed) {
            return None;
        }
        let recorder = with_buckets(PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("counters are recorded elsewhere in this process; /metrics stays empty");
        }
        metric_table::describe();
        meters::begin_at_zero();
        Some(handle)
    });
    counters.as_ref()
}

/// The text of `/metrics`.
pub fn metrics_text() -> String {
    counters().map_or_else(|| "# nothing is counted: telemetry.metrics is false\n".to_owned(), PrometheusHandle::render)
}

fn with_buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    METRICS.iter().filter(|metric| metric.kind == Kind::Histogram).fold(builder, |builder, metric| {
        let buckets = if metric.name.contains("_lag_") { LAG_BUCKETS } else { TIME_BUCKETS };
        let name = Matcher::Full(metric.name.to_owned());
        // Fails only on an empty list.
        builder.set_buckets_for_metric(name, buckets).unwrap_or_default()
    })
}
