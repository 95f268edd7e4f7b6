//! One message is one trace, from what published it to its receivers, across retries and restarts; and telling of it stops
//! nobody.

use std::time::Duration;

use hookbox::{clock::Clock, telemetry::trace_context::TraceContext};
use hookbox_tests::{
    collector::{Collector, Seen},
    receiver::{Receiver, Request},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, MASTER_KEY, TENANT_KEY, TestHost, a_hook, http},
};
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PUBLISHER: &str = "00f067aa0ba902b7";
/// So long nothing may come.
const A_FEW_REQUESTS: Duration = Duration::from_millis(200);

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{PUBLISHER}-{flags}")
}

/// Traces go to this collector; of those that begin here none does.
fn telling(collector: &Collector) -> Builder {
    TestHost::builder()
        .setting("telemetry.otlp_url", collector.url())
        .setting("telemetry.otlp_wait_ms", 10)
        .setting("telemetry.trace_ratio", 0.0)
}

fn only<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "one span {name} in {spans:#?}");
    found[0]
}

/// What the receiver was told of the trace.
fn told(request: &Request) -> TraceContext {
    let header = request.header("traceparent").unwrap_or_else(|| panic!("no traceparent in {request}"));
    header.parse().unwrap_or_else(|_| panic!("{header} is none"))
}

#[tokio::test]
async fn a_message_is_one_trace_down_to_its_attempts() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    let hook = a_hook("channel_create").to(&receiver);
    let host = telling(&collector).hook(hook.clone()).start().await;
    let message = channel_created(ACCOUNT).message_id("m-1").header("traceparent", &parent("01"));
    host.publish(message.header("tracestate", "vendor=secret").header("baggage", "user=jo")).await;

    let [request] = &receiver.expect_requests(1).await[..] else { panic!("one request") };
    let spans = collector.expect("message", 1).await;
    let [message, module, matched, attempt] = ["message", "module", "match", "attempt"].map(|name| only(&spans, name));
    for (span, above) in [
        (message, PUBLISHER),
        (module, &message.span_id[..]),
        (matched, &module.span_id[..]),
        (attempt, &matched.span_id[..]),
    ] {
        assert_eq!((&span.trace_id[..], &span.parent_id[..]), (TRACE, above), "{}", span.name);
        assert!(span.from_to.0 <= span.from_to.1 && span.from_to.0 >= message.from_to.0, "{span:?}");
        assert!(!span.has_failed, "{span:?}");
    }
    assert_eq!(message.attributes["hookbox.message_id"], "m-1");
    assert_eq!(message.attributes["hookbox.settlement"], "ack");
    assert_eq!(module.attributes["hookbox.module"], "channel_create");
    assert_eq!(matched.attributes["hookbox.hooks"], "1");
    for (name, value) in [
        ("hookbox.module", "channel_create"),
        ("hookbox.hook", &hook.id()),
        ("hookbox.account", ACCOUNT),
        ("hookbox.try", "1"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attempt.attributes[name], value, "{name}");
    }
    // What the receiver does is below the attempt; of what the platform told others it hears nothing.
    let told = told(request);
    assert_eq!(
        (format!("{:032x}", told.trace_id), format!("{:016x}", told.span_id)),
        (TRACE.into(), attempt.span_id.clone())
    );
    assert!(told.is_sampled);
    assert_eq!((request.header("tracestate"), request.header("baggage")), (None, None));
    host.finish().await;
}

#[tokio::test]
async fn a_retry_after_a_restart_is_in_the_trace_of_its_message() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await.answering([503, 200]));
    let clock = Clock::manual(1_800_000_000_000);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", json!([60]));
    let host = telling(&collector).clock(clock.clone()).setting("firing.claim_poll_ms", 50).hook(hook.clone());
    let host = host.start().await;
    host.publish(channel_created(ACCOUNT).header("traceparent", &parent("01"))).await;
    host.expect_attempts(&hook.id(), 1).await;
    host.expect_settled().await;

    let host = host.restarted(clock.clone()).await;
    clock.advance(120_000);
    let requests = receiver.expect_requests(2).await;

    let spans = collector.expect("attempt", 2).await;
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "attempt").collect();
    assert_eq!(attempts[0].attributes["hookbox.try"], "1");
    assert_eq!(attempts[1].attributes["hookbox.try"], "2");
    assert!(attempts[0].has_failed && !attempts[1].has_failed);
    let matched = only(&spans, "match");
    for (attempt, request) in attempts.iter().zip(&requests) {
        assert_eq!((&attempt.trace_id[..], &attempt.parent_id), (TRACE, &matched.span_id));
        assert_eq!(format!("{:016x}", told(request).span_id), attempt.span_id);
    }
    host.finish().await;
}

#[tokio::test]
async fn what_is_not_recorded_is_passed_on_and_told_to_nobody() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    let host = telling(&collector).hook(a_hook("channel_create").to(&receiver)).start().await;
    host.publish(channel_created(ACCOUNT).header("traceparent", &parent("00"))).await;
    assert_eq!(told(&receiver.expect_requests(1).await[0]).to_string(), parent("00"));
    host.publish(channel_created(ACCOUNT)).await;
    host.publish(channel_created(ACCOUNT).header("traceparent", "no trace")).await;
    for request in &receiver.expect_requests(3).await[1..] {
        assert_eq!(request.header("traceparent"), None, "there is no trace");
    }
    collector.expect_silence(A_FEW_REQUESTS).await;
    assert_eq!(collector.spans(), []);
    host.finish().await;
}

#[tokio::test]
async fn a_poster_may_bring_a_trace_and_a_hook_its_own_header() {
    let (receiver, own) = (Receiver::start().await, Receiver::start().await);
    let header = json!({"Traceparent": "what the receiver wants"});
    let host = TestHost::builder()
        .without_broker()
        .hook(a_hook("channel_create").to(&receiver))
        .hook(a_hook("channel_create").to(&own).with("headers", header))
        .start()
        .await;
    // Also when traces go nowhere: a trace of others does not end here.
    let url = format!("http://{}/v2/accounts/{ACCOUNT}/messages", host.running.api_address);
    let body = json!({"data": [channel_created(ACCOUNT).to_json()]}).to_string();
    let posted = http().put(url).header("x-auth-token", TENANT_KEY).header("content-type", "application/json");
    let answer = posted.header("traceparent", parent("01")).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(told(&receiver.expect_requests(1).await[0]).to_string(), parent("01"));
    assert_eq!(own.expect_requests(1).await[0].header("traceparent"), Some("what the receiver wants"));
    host.finish().await;
}

#[tokio::test]
async fn traces_of_our_own_begin_with_the_message() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    let host = telling(&collector).setting("telemetry.trace_ratio", 1.0).without_broker();
    let host = host.hook(a_hook("channel_create").to(&receiver)).start().await;
    let (status, _) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(status, 202);
    let spans = collector.expect("message", 1).await;
    let (message, attempt) = (only(&spans, "message"), only(&spans, "attempt"));
    assert_eq!((&message.parent_id[..], &message.trace_id), ("", &attempt.trace_id));
    assert_eq!(format!("{:032x}", told(&receiver.requests()[0]).trace_id), message.trace_id);
    host.finish().await;
}

#[tokio::test]
async fn a_collector_that_hangs_stops_nobody() {
    let (collector, receiver) = (Collector::hanging().await, Receiver::start().await);
    let host = telling(&collector)
        .without_broker()
        .setting("telemetry.trace_ratio", 1.0)
        .setting("telemetry.otlp_queue_max", 4)
        .setting("telemetry.otlp_batch_max", 2)
        .setting("telemetry.otlp_timeout_ms", 60_000)
        .setting("telemetry.otlp_flush_ms", 10)
        .hook(a_hook("channel_create").to(&receiver))
        .start()
        .await;
    let dropped = "hookbox_spans_dropped_total{reason=\"queue_full\"}";
    let before = host.counted(dropped).await;
    for _ in 0..20 {
        let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
        assert_eq!(status, 202, "{envelope}");
    }
    receiver.expect_requests(20).await;
    // Four spans a message; two are being sent, four wait.
    assert!(host.counted(dropped).await - before >= 70, "{}", host.counted(dropped).await - before);
    host.finish().await;
}
