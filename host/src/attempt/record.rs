//! An attempt as the document that is stored and shown: KAZOO's field names, so that its readers find what they know.
//!
//! Where KAZOO's documents are at fault, ours are not: `req_body` is text, header values keep their case, `try` counts
//! up from 1, and there is an `id`. Times are KAZOO's, in seconds since year 0. It is written in one go, because it is
//! done for every attempt.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};

use super::{Attempt, Outcome, Phases, TransformRun};
use crate::{clock::gregorian_s, live::LiveEvent, message::Object};

/// KAZOO's word in `reason` for an answer that is no success.
const BAD_RESPONSE: &str = "bad response code";
/// KAZOO's word in `reason` when there was no answer.
const CLIENT_ERROR: &str = "kazoo http client error";
/// KAZOO's word in `retries_left` after the last try.
const EXCEEDED: &str = "retries exceeded";

/// The document, as JSON text.
pub fn document(attempt: &Attempt) -> String {
    let answer = match &attempt.outcome {
        Outcome::Answered { body, .. } => body.len(),
        Outcome::Failed { detail, .. } => detail.len(),
        Outcome::Dropped => 0,
    };
    let mut text = Vec::with_capacity(attempt.request.body.len() + answer + 1024);
    // Writing text keys and values into memory cannot fail; and what is written is UTF-8.
    let written = serde_json::to_writer(&mut text, &Document(attempt));
    debug_assert!(written.is_ok());
    String::from_utf8(text).unwrap_or_default()
}

/// The document, as it will be read back.
pub fn object(attempt: &Attempt) -> Object {
    // What was just written is an object.
    serde_json::from_str(&document(attempt)).unwrap_or_default()
}

/// What of an attempt is not told of as it happens: it is to be had when somebody looks at the attempt itself.
const NOT_TOLD: [&str; 6] = ["req_headers", "req_body", "resp_headers", "resp_body", "resp_body_cut", "transform"];

/// The attempt for those who look on: without what was sent and answered.
pub fn live_event(attempt: &Attempt) -> LiveEvent {
    let mut shown = object(attempt);
    shown.retain(|name, _| !NOT_TOLD.contains(&name.as_str()));
    LiveEvent { account: Some(attempt.account.clone()), kind: "attempt", data: shown.into() }
}

/// Writes an attempt's fields.
struct Document<'a>(&'a Attempt);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attempt = self.0;
        let success = attempt.outcome.is_success();
        let mut fields = serializer.serialize_struct("Attempt", 27)?;
        fields.serialize_field("id", &attempt.id)?;
        fields.serialize_field("account_id", &attempt.account)?;
        fields.serialize_field("hook_id", &attempt.hook)?;
        fields.serialize_field("hook_event", &attempt.hook_event)?;
        fields.serialize_field("event_id", &attempt.webhook_id)?;
        fields.serialize_field("module", &attempt.module)?;
        fields.serialize_field("timestamp", &gregorian_s(attempt.at_ms))?;
        fields.serialize_field("duration_ms", &attempt.duration_ms)?;
        if attempt.phases != Phases::default() {
            fields.serialize_field("phases", &Timings(attempt.phases))?;
        }
        fields.serialize_field("try", &attempt.try_number)?;
        fields.serialize_field("uri", &attempt.uri)?;
        fields.serialize_field("method", attempt.request.method)?;
        fields.serialize_field("req_headers", &Headers(&attempt.request.headers))?;
        fields.serialize_field("req_body", &attempt.request.body)?;
        fields.serialize_field("result", if success { "success" } else { "failure" })?;
        match &attempt.outcome {
            Outcome::Answered { status, headers, body, body_cut } => {
                if !success {
                    fields.serialize_field("reason", BAD_RESPONSE)?;
                }
                fields.serialize_field("resp_status_code", &Shown(status))?;
                fields.serialize_field("resp_headers", &Headers(headers))?;
                fields.serialize_field("resp_body", body)?;
                if *body_cut {
                    fields.serialize_field("resp_body_cut", body_cut)?;
                }
            }
            Outcome::Failed { fault, detail } => {
                fields.serialize_field("reason", CLIENT_ERROR)?;
                fields.serialize_field("client_error", &Shown(&format_args!("{}: {detail}", fault.as_str())))?;
                fields.serialize_field("retries", &attempt.retries_left)?;
            }
            Outcome::Dropped => fields.serialize_field("dropped", &true)?,
        }
        if let Some(run) = &attempt.transform {
            fields.serialize_field("transform", &Transform(run))?;
        }
        if !success {
            match attempt.retries_left {
                0 => fields.serialize_field("retries_left", EXCEEDED)?,
                left => fields.serialize_field("retries_left", &left)?,
            }
        }
        if let Some(next_try_ms) = attempt.next_try_ms {
            fields.serialize_field("next_try", &gregorian_s(next_try_ms))?;
        }
        fields.end()
    }
}

/// How long its parts took, as far as it came.
struct Timings(Phases);

impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Phases { connect_us, first_byte_us, body_us } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, took_us) in [("connect_us", connect_us), ("first_byte_us", first_byte_us), ("body_us", body_us)] {
            if let Some(took_us) = took_us {
                map.serialize_entry(name, &took_us)?;
            }
        }
        map.end()
    }
}

/// The transform that it went through.
struct Transform<'a>(&'a TransformRun);

impl Serialize for Transform<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let TransformRun { id, version, digest, fuel } = self.0;
        let mut fields = serializer.serialize_struct("Transform", 4)?;
        fields.serialize_field("module", id)?;
        fields.serialize_field("version", version)?;
        if let Some(digest) = digest {
            fields.serialize_field("digest", digest)?;
        }
        fields.serialize_field("fuel", fuel)?;
        fields.end()
    }
}

/// Written as the text that it shows.
struct Shown<'a, T>(&'a T);

impl<T: std::fmt::Display> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// Headers as an object. A name that comes more than once (whatever its case) gets its values joined by `, `, under
/// the name as it was first written.
struct Headers<'a>(&'a [(String, String)]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (place, (name, value)) in headers.iter().enumerate() {
            let same = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
            if headers[..place].iter().any(|header| same(&header)) {
                continue;
            }
            if headers[place + 1..].iter().any(|header| same(&header)) {
                let values: Vec<&str> = headers[place..].iter().filter(same).map(|(_, value)| value.as_str()).collect();
                map.serialize_entry(name, &values.join(", "))?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::attempt::{Fault, SentRequest};

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt {
            id: "018f1c0de00000000000000000000001".into(),
            webhook_id: "5a".repeat(32).into(),
            account: "aaaabbbbccccddddeeeeffff00001111".into(),
            hook: "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f".into(),
            hook_event: "channel_create".into(),
            module: "channel_create".into(),
            at_ms: 1_714_100_000_123,
            try_number: 2,
            uri: "https://hooks.example.net/in".into(),
            request: SentRequest {
                method: "POST",
                headers: headers(&[("Content-Type", "application/json"), ("Authorization", "(hidden)")]),
                body: "{\"caller_id_name\":\"Zoë \\\"Z\\\"\"}".into(),
            },
            outcome,
            duration_ms: 17,
            phases: Phases { connect_us: Some(4100), first_byte_us: Some(12_400), body_us: None },
            trace: None,
            next_try_ms: None,
            retries_left: 0,
            payload: None,
            transform: None,
        }
    }

    fn answered(status: u16, body: &str) -> Outcome {
        let headers = headers(&[("Set-Cookie", "A=1"), ("Server", "Nginx"), ("set-cookie", "B=2")]);
        Outcome::Answered { status, headers, body: body.into(), body_cut: body.is_empty() }
    }

    fn pretty(attempt: &Attempt) -> String {
        let document: serde_json::Value = serde_json::from_str(&document(attempt)).expect("it is JSON");
        serde_json::to_string_pretty(&document).expect("it can be written")
    }

    #[test]
    fn a_success_says_what_was_sent_and_answered() {
        assert_snapshot!(pretty(&attempt(answered(204, ""))));
    }

    #[test]
    fn a_bad_answer_says_why_and_when_the_next_try_is() {
        let attempt =
            Attempt { next_try_ms: Some(1_714_100_002_999), retries_left: 1, ..attempt(answered(503, "try\nlater")) };
        assert_snapshot!(pretty(&attempt));
    }

    #[test]
    fn who_looks_on_is_told_of_it_without_what_was_sent_and_answered() {
        let told = live_event(&attempt(answered(503, "a secret of theirs")));
        assert_eq!((told.kind, told.account), ("attempt", Some("aaaabbbbccccddddeeeeffff00001111".into())));
        assert_eq!((&told.data["resp_status_code"], &told.data["try"]), (&"503".into(), &2.into()));
        let text = told.data.to_string();
        assert!(!text.contains("theirs") && !text.contains("Authorization") && !text.contains("Zoë"), "{text}");
    }

    #[test]
    fn no_answer_says_what_went_wrong() {
        let detail = "198.51.100.7:443 refused".into();
        assert_snapshot!(pretty(&attempt(Outcome::Failed { fault: Fault::Connection, detail })));
    }

    #[test]
    fn what_a_transform_dropped_is_no_failure() {
        let run =
            TransformRun { id: "acme/mask".into(), version: "1.0.0".into(), digest: Some("ab".repeat(32)), fuel: 5120 };
        let attempt = Attempt {
            request: SentRequest::default(),
            phases: Phases::default(),
            transform: Some(Box::new(run)),
            retries_left: 2,
            ..attempt(Outcome::Dropped)
        };
        assert_snapshot!(pretty(&attempt));
    }
}
