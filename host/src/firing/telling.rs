//! What is told of each attempt: one line in the log, and its span. Its figures are [`meters`](crate::telemetry::meters)'s.
//!
//! The line has what somebody looks for, and no secrets: of the URI its scheme, host and port alone (paths and queries hold
//! keys of chat services), no headers, and no bodies unless `telemetry.log_body_bytes_max` asks for them.

use std::borrow::Cow;

use crate::{
    attempt::{Attempt, Outcome},
    telemetry::spans::Span,
};

/// What came of it, and of a failure why.
fn result_and_fault(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Dropped => ("dropped", ""),
        outcome if outcome.is_success() => ("delivered", ""),
        Outcome::Answered { .. } => ("failed", "status"),
        Outcome::Failed { fault, .. } => ("failed", fault.as_str()),
    }
}

fn status(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Answered { status, .. } => Some(*status),
        Outcome::Failed { .. } | Outcome::Dropped => None,
    }
}

fn detail(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Failed { detail, .. } => Some(detail),
        Outcome::Answered { .. } | Outcome::Dropped => None,
    }
}

/// Writes the attempt's line.
pub(super) fn canonical_line(attempt: &Attempt, body_bytes_max: usize) {
    let (result, fault) = result_and_fault(&attempt.outcome);
    let answer = match &attempt.outcome {
        Outcome::Answered { body, .. } => Some(body.as_str()),
        Outcome::Failed { .. } | Outcome::Dropped => None,
    };
    tracing::info!(
        target: "hookbox::attempt",
        webhook_id = %attempt.webhook_id,
        account = %attempt.account,
        hook = %attempt.hook,
        event = attempt.hook_event,
        transform = attempt.transform.as_ref().map(|run| run.id.as_str()),
        receiver = %origin(&attempt.uri),
        try_number = attempt.try_number,
        result,
        fault,
        status = status(&attempt.outcome),
        detail = detail(&attempt.outcome),
        duration_ms = attempt.duration_ms,
        next_try_ms = attempt.next_try_ms,
        trace_id = attempt.trace.map(|trace| format!("{:032x}", trace.trace_id)),
        request_body = (body_bytes_max > 0).then(|| beginning(&attempt.request.body, body_bytes_max)),
        answer_body = answer.filter(|_| body_bytes_max > 0).map(|body| beginning(body, body_bytes_max)),
        "attempt"
    );
}

/// Says of the span what it is of.
pub(super) fn describe(span: &mut Span, attempt: &Attempt) {
    let (result, fault) = result_and_fault(&attempt.outcome);
    span.set("hookbox.webhook_id", || attempt.webhook_id.to_string());
    span.set("hookbox.account", || attempt.account.to_string());
    span.set("hookbox.hook", || attempt.hook.to_string());
    span.set("hookbox.module", || attempt.module.to_string());
    span.set("hookbox.event", || attempt.hook_event.clone());
    span.set("hookbox.try", || i64::from(attempt.try_number));
    span.set("hookbox.result", || result);
    span.set("hookbox.receiver", || origin(&attempt.uri).into_owned());
    if let Some(run) = &attempt.transform {
        span.set("hookbox.transform", || run.id.to_string());
    }
    if !attempt.request.method.is_empty() {
        span.set("http.request.method", || attempt.request.method);
    }
    if let Some(status) = status(&attempt.outcome) {
        span.set("http.response.status_code", || i64::from(status));
    }
    if result == "failed" {
        span.set("error.type", || fault);
        span.fail(|| detail(&attempt.outcome).unwrap_or("the receiver's status is no success").to_owned());
    }
}

/// Scheme, host and port of a URI, whatever else it holds.
fn origin(uri: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = uri.split_once("://") else { return Cow::Borrowed("") };
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    match authority.rsplit_once('@') {
        None => Cow::Borrowed(&uri[..scheme.len() + "://".len() + authority.len()]),
        Some((_user, host)) => Cow::Owned(format!("{scheme}://{host}")),
    }
}

/// At most so many bytes of it.
fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_uri_only_the_origin_is_told() {
        for (uri, told) in [
            ("https://hooks.example:8443/T0/key?token=s#x", "https://hooks.example:8443"),
            ("https://user:s3cret@hooks.example/x", "https://hooks.example"),
            ("http://user:s3%40cret@[2001:db8::1]:80?x=@y", "http://[2001:db8::1]:80"),
            ("https://hooks.example?key=s", "https://hooks.example"),
            ("https://hooks.example\\@evil.example/x", "https://hooks.example"),
            ("no uri", ""),
        ] {
            assert_eq!(origin(uri), told);
        }
    }

    #[test]
    fn a_body_is_cut_between_letters() {
        assert_eq!(beginning("aé", 2), "a");
        assert_eq!(beginning("aé", 3), "aé");
    }
}
