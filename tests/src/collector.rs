//! A collector of traces: takes OTLP over HTTP as any collector does, and keeps the spans.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;

use crate::{
    eventually::eventually,
    receiver::{Answer, Receiver},
};

/// A collector on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Collector {
    receiver: Receiver,
}

/// A span that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What it is of: `message`, `module`, `match`, `attempt`.
    pub name: String,
    /// Its trace, 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// The span above it; empty for none.
    pub parent_id: String,
    /// When it began and ended, ns since 1970.
    pub from_to: (u64, u64),
    /// Whether it says that something went wrong.
    pub has_failed: bool,
    /// What it says.
    pub attributes: HashMap<String, String>,
}

impl Collector {
    /// One that takes all.
    pub async fn start() -> Collector {
        Collector { receiver: Receiver::start().await }
    }

    /// One that takes a connection and never answers.
    pub async fn hanging() -> Collector {
        Collector { receiver: Receiver::start().await.answering_with(Answer::hang()) }
    }

    /// For `telemetry.otlp_url`.
    pub fn url(&self) -> String {
        self.receiver.url("/v1/traces")
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Seen> {
        let requests = self.receiver.requests();
        let decoded = requests.iter().map(|request| {
            assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
            ExportTraceServiceRequest::decode(&request.body[..]).unwrap_or_else(|error| panic!("no OTLP: {error}"))
        });
        let scopes = decoded.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(seen).collect()
    }

    /// Waits until so many spans of this name have come, and gives all that have.
    pub async fn expect(&self, name: &str, count: usize) -> Vec<Seen> {
        eventually(&format!("{count} spans {name}"), async || {
            let spans = self.spans();
            let found = spans.iter().filter(|span| span.name == name).count();
            if found >= count { Ok(spans) } else { Err(spans) }
        })
        .await
    }

    /// Watches for a while: nothing may come.
    pub async fn expect_silence(&self, watch: Duration) {
        self.receiver.expect_silence(watch).await;
    }
}

fn seen(span: Span) -> Seen {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    Seen {
        name: span.name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        from_to: (span.start_time_unix_nano, span.end_time_unix_nano),
        has_failed: span.status.is_some_and(|status| status.code == 2),
        attributes: span
            .attributes
            .into_iter()
            .filter_map(|attribute| Some((attribute.key, text(attribute.value?.value?))))
            .collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
