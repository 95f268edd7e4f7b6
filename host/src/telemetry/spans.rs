//! The spans of a trace: message → module → match → attempt. Made by the pipeline and the firer, handed over to
//! [`super::span_exporter`].
//!
//! A message whose trace is not recorded costs one comparison a stage: its [`Span`] is empty, and so are those below it.
//! Spans that are ended go into a bounded queue without waiting; what finds it full is dropped and counted. Their texts are
//! bounded too: message ids, routing keys and reasons come from tenants.

use std::{borrow::Cow, sync::Arc};

use metrics::counter;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::{sync::mpsc, time::Instant};

use super::trace_context::TraceContext;
use crate::{clock::Clock, settings::TelemetrySettings};

/// Begins spans; cheap to clone. Without `telemetry.otlp_url` it begins none.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<Recording>>);

#[derive(Debug)]
struct Recording {
    queue: mpsc::Sender<SpanData>,
    scope: InstrumentationScope,
    /// A new trace is recorded when the upper half of its id is below.
    below: u64,
    /// `telemetry.otlp_text_bytes_max`.
    text_bytes_max: usize,
    clock: Clock,
}

/// A span that has begun, or none. Ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    data: SpanData,
    began: Instant,
    recording: Arc<Recording>,
}

impl Spans {
    /// Spans for the exporter at the other end of the queue; none are begun, and there is no queue, when traces go nowhere.
    pub fn new(settings: &TelemetrySettings, clock: &Clock) -> (Self, Option<mpsc::Receiver<SpanData>>) {
        if settings.otlp_url.is_none() {
            return (Self::default(), None);
        }
        let (queue, ended) = mpsc::channel(usize::try_from(settings.otlp_queue_max).unwrap_or(1).max(1));
        let scope = InstrumentationScope::builder("hookbox").with_version(env!("CARGO_PKG_VERSION")).build();
        // Rounded down, so 0 records none; of 1 every id is below.
        let below =
            if settings.trace_ratio >= 1.0 { u64::MAX } else { (settings.trace_ratio * u64::MAX as f64) as u64 };
        let text_bytes_max = usize::try_from(settings.otlp_text_bytes_max).unwrap_or(usize::MAX);
        let recording = Recording { queue, scope, below, text_bytes_max, clock: clock.clone() };
        (Self(Some(Arc::new(recording))), Some(ended))
    }

    /// The span of a message: in its publisher's trace, recorded when that one is; else in a trace of its own, recorded
    /// as often as `telemetry.trace_ratio` says.
    pub fn of_message(&self, parent: Option<TraceContext>) -> Span {
        let Some(recording) = &self.0 else { return Span(None) };
        let trace_id = match parent {
            Some(parent) if !parent.is_sampled => return Span(None),
            Some(parent) => parent.trace_id,
            None => {
                let drawn: u128 = rand::random();
                if (drawn >> 64) as u64 >= recording.below && recording.below != u64::MAX {
                    return Span(None);
                }
                drawn.max(1)
            }
        };
        Span::begin(recording, "message", SpanKind::Consumer, trace_id, parent.map(|parent| (parent.span_id, true)))
    }

    /// A span below another one of this host; none when that one is not recorded.
    pub fn below(&self, parent: Option<TraceContext>, name: &'static str, kind: SpanKind) -> Span {
        match (&self.0, parent) {
            (Some(recording), Some(parent)) if parent.is_sampled => {
                Span::begin(recording, name, kind, parent.trace_id, Some((parent.span_id, false)))
            }
            _ => Span(None),
        }
    }
}

impl Span {
    fn begin(
        recording: &Arc<Recording>,
        name: &'static str,
        span_kind: SpanKind,
        trace_id: u128,
        parent: Option<(u64, bool)>,
    ) -> Self {
        let (parent_id, parent_span_is_remote) = parent.unwrap_or_default();
        let start_time = recording.clock.now();
        let span_id = rand::random::<u64>().max(1);
        let data = SpanData {
            span_context: SpanContext::new(
                TraceId::from(trace_id),
                SpanId::from(span_id),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::from(parent_id),
            parent_span_is_remote,
            span_kind,
            name: Cow::Borrowed(name),
            start_time,
            end_time: start_time,
            attributes: Vec::with_capacity(8),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: recording.scope.clone(),
        };
        Self(Some(Box::new(Open { data, began: Instant::now(), recording: Arc::clone(recording) })))
    }

    /// Where it stands in its trace, to be the parent of others; none when it is not recorded.
    pub fn context(&self) -> Option<TraceContext> {
        let context = &self.0.as_ref()?.data.span_context;
        let (trace_id, span_id) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        Some(TraceContext {
            trace_id: u128::from_be_bytes(trace_id),
            span_id: u64::from_be_bytes(span_id),
            is_sampled: true,
        })
    }

    /// Says something of it. `value` is asked only when the span is recorded.
    pub fn set<V: Into<Value>>(&mut self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(open) = &mut self.0 {
            let value = match value().into() {
                Value::String(text) => open.recording.cut(text.into()).into(),
                value => value,
            };
            open.data.attributes.push(KeyValue::new(name, value));
        }
    }

    /// It went wrong, for this reason.
    pub fn fail(&mut self, reason: impl FnOnce() -> String) {
        if let Some(open) = &mut self.0 {
            open.data.status = Status::error(open.recording.cut(reason()));
        }
    }
}

impl Recording {
    /// The beginning of a text that is longer than a span's may be.
    fn cut(&self, mut text: String) -> String {
        text.truncate(text.floor_char_boundary(self.text_bytes_max));
        text
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { mut data, began, recording } = *open;
        data.end_time = data.start_time + began.elapsed();
        if recording.queue.try_send(data).is_err() {
            counter!("hookbox_spans_dropped_total", "reason" => "queue_full").increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn spans(trace_ratio: f64, otlp_queue_max: u64) -> (Spans, mpsc::Receiver<SpanData>) {
        let otlp_url = Some("http://127.0.0.1:4318/v1/traces".into());
        let settings = TelemetrySettings { otlp_url, trace_ratio, otlp_queue_max, ..Settings::default().telemetry };
        let (spans, ended) = Spans::new(&settings, &Clock::default());
        (spans, ended.unwrap())
    }

    #[test]
    fn a_span_stands_below_its_parent() {
        let (spans, mut ended) = spans(0.0, 10);
        let message = spans.of_message(PARENT.parse().ok());
        let mut module = spans.below(message.context(), "module", SpanKind::Internal);
        module.set("hookbox.module", || "crm");
        let expected = (message.context().unwrap(), module.context().unwrap());
        drop(module);
        drop(message);
        let (module, message) = (ended.try_recv().unwrap(), ended.try_recv().unwrap());
        assert_eq!(message.parent_span_id, SpanId::from(0x00f0_67aa_0ba9_02b7));
        assert!(message.parent_span_is_remote && !module.parent_span_is_remote);
        assert_eq!(module.parent_span_id, message.span_context.span_id());
        assert_eq!(module.span_context.trace_id(), TraceId::from(expected.0.trace_id));
        assert_eq!(expected.0.trace_id, PARENT.parse::<TraceContext>().unwrap().trace_id);
        assert_eq!(module.attributes, [KeyValue::new("hookbox.module", "crm")]);
    }

    #[test]
    fn a_text_of_a_tenants_is_cut() {
        let (spans, mut ended) = spans(1.0, 1);
        let most = usize::try_from(Settings::default().telemetry.otlp_text_bytes_max).unwrap();
        let long = "é".repeat(most);
        let mut message = spans.of_message(None);
        message.set("hookbox.message_id", || long.clone());
        message.fail(|| long.clone());
        drop(message);
        let message = ended.try_recv().unwrap();
        assert_eq!(message.attributes, [KeyValue::new("hookbox.message_id", "é".repeat(most / 2))]);
        assert_eq!(message.status, Status::error("é".repeat(most / 2)));
    }

    #[test]
    fn what_a_parent_does_not_record_is_not_recorded_here() {
        let (spans, mut ended) = spans(1.0, 10);
        let message = spans.of_message(PARENT.replace("-01", "-00").parse().ok());
        assert_eq!(message.context(), None);
        assert_eq!(spans.below(message.context(), "module", SpanKind::Internal).context(), None);
        drop(message);
        assert!(ended.try_recv().is_err());
    }

    #[test]
    fn traces_of_our_own_are_recorded_as_often_as_the_ratio_says() {
        let share = |ratio| {
            let (spans, _ended) = spans(ratio, 1);
            (0..10_000).filter(|_| spans.of_message(None).context().is_some()).count()
        };
        assert_eq!((share(0.0), share(1.0)), (0, 10_000));
        let half = share(0.5);
        assert!((4500..5500).contains(&half), "{half}");
    }

    #[test]
    fn a_full_queue_stops_nobody() {
        let (spans, mut ended) = spans(1.0, 2);
        for _ in 0..5 {
            drop(spans.of_message(None));
        }
        assert_eq!((ended.try_recv().is_ok(), ended.try_recv().is_ok(), ended.try_recv().is_ok()), (true, true, false));
    }
}
