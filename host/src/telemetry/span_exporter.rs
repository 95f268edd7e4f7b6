//! Sends ended spans to `telemetry.otlp_url`: OTLP over HTTP, in groups, beside everything else.
//!
//! A collector that is away or slow costs its spans and nothing more: they are dropped and counted, and said once in the log
//! until it is back. At a stop what has ended by then is sent, for `telemetry.otlp_flush_ms` at most.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use metrics::counter;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::settings::TelemetrySettings;

/// Sends spans, as one of the supervised parts.
pub struct SpanExporter {
    exporter: opentelemetry_otlp::SpanExporter,
    /// Outlives the part, which holds it while it runs.
    ended: Mutex<mpsc::Receiver<SpanData>>,
    batch_max: usize,
    wait: Duration,
    timeout: Duration,
    flush: Duration,
    is_away: AtomicBool,
}

impl SpanExporter {
    /// To this collector; `node` names this process among others. An error is a URL or a machine that the client cannot be
    /// made for.
    pub fn new(
        settings: &TelemetrySettings,
        url: &str,
        ended: mpsc::Receiver<SpanData>,
        node: &str,
    ) -> Result<Self, String> {
        // Fails only when one was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_millis(settings.otlp_timeout_ms);
        let client = reqwest::Client::builder().timeout(timeout).no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| error.to_string())?;
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url)
            .with_timeout(timeout)
            .build()
            .map_err(|error| error.to_string())?;
        let named = [
            KeyValue::new("service.name", "hookbox"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_owned()),
        ];
        exporter.set_resource(&Resource::builder_empty().with_attributes(named).build());
        Ok(Self {
            exporter,
            ended: Mutex::new(ended),
            batch_max: usize::try_from(settings.otlp_batch_max).unwrap_or(1).max(1),
            wait: Duration::from_millis(settings.otlp_wait_ms),
            timeout,
            flush: Duration::from_millis(settings.otlp_flush_ms),
            is_away: AtomicBool::new(false),
        })
    }

    /// Sends until `stop`, then what has ended by then.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut ended = self.ended.lock().await;
        let mut batch = Vec::with_capacity(self.batch_max);
        // Until when the last spans are sent.
        let until = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Instant::now() + self.flush,
                received = ended.recv_many(&mut batch, self.batch_max) => {
                    // Nobody is left who begins spans.
                    if received == 0 {
                        return Ok(());
                    }
                }
            }
            let closes = Instant::now() + self.wait;
            while batch.len() < self.batch_max && !stop.is_cancelled() {
                let room = self.batch_max - batch.len();
                let more = tokio::select! {
                    more = timeout_at(closes, ended.recv_many(&mut batch, room)) => more,
                    () = stop.cancelled() => break,
                };
                if !matches!(more, Ok(1..)) {
                    break;
                }
            }
            let spans = batch.len();
            tokio::select! {
                () = self.send(std::mem::take(&mut batch), self.timeout) => {}
                // Whatever hangs here is not waited for any longer than the last spans are.
                () = async { stop.cancelled().await; tokio::time::sleep(self.flush).await } => {
                    not_taken(spans);
                    break Instant::now();
                }
            }
        };
        loop {
            while batch.len() < self.batch_max
                && let Ok(span) = ended.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return Ok(());
            }
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                not_taken(batch.drain(..).len());
            } else {
                self.send(std::mem::take(&mut batch), rest).await;
            }
        }
    }

    async fn send(&self, batch: Vec<SpanData>, within: Duration) {
        let spans = batch.len();
        let problem = match timeout(within, self.exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} ms", within.as_millis())),
        };
        let was_away = self.is_away.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            None => {
                counter!("hookbox_spans_exported_total").increment(spans as u64);
                if was_away {
                    tracing::info!("the collector of telemetry.otlp_url takes spans again");
                }
            }
            Some(reason) => {
                not_taken(spans);
                if !was_away {
                    tracing::warn!(%reason, "the collector of telemetry.otlp_url takes no spans; they are dropped until it does");
                }
            }
        }
    }
}

/// Counts spans that are lost.
fn not_taken(spans: usize) {
    counter!("hookbox_spans_dropped_total", "reason" => "not_taken").increment(spans as u64);
}
