//! Which request headers a hook (or a transform) may set.

use serde_json::Value;

use super::problems::{HookProblem, path};
use crate::message::Object;

/// Headers that are ours or the connection's. `accept-encoding` and `range` would change what an answer's body is.
const RESERVED: [&str; 19] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-account-id",
    "x-hook-id",
];

/// Whether the name belongs to the host: in any case of letters; all of `webhook-*` does.
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("webhook-") || RESERVED.contains(&name.as_str())
}

/// Whether the text is a header's name (RFC 9110, 5.6.2: a token).
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether the text can be a header's value: no line ends, no other control characters, no white space around it.
pub fn is_value(value: &str) -> bool {
    value.trim_matches([' ', '\t']) == value && value.chars().all(|c| c == '\t' || !c.is_control())
}

/// Reads `headers` of a document: an object of names and texts, at most `count_max` of them with `bytes_max` bytes.
pub fn read(
    headers: &Object,
    count_max: u64,
    bytes_max: u64,
    problems: &mut Vec<HookProblem>,
) -> Vec<(String, String)> {
    let mut read: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let field = path(&["headers", name]);
        let Value::String(value) = value else {
            problems
                .push(HookProblem::new(field, "type", "Value did not match type(s): string").with("target", "string"));
            continue;
        };
        match fault_of(name, value, &read) {
            Some((code, message)) => problems.push(HookProblem::new(field, code, message)),
            None => read.push((name.clone(), value.clone())),
        }
    }
    if let Some(message) = too_many(headers.len(), count_max) {
        problems.push(HookProblem::new("headers", "maxItems", message).with("target", count_max));
    }
    if let Some(message) = too_long(&read, bytes_max) {
        problems.push(HookProblem::new("headers", "maxSize", message).with("target", bytes_max));
    }
    read
}

/// Holds what a transform gave to the same rules; says the first thing that is wrong.
pub fn judge(headers: &[(String, String)], count_max: u64, bytes_max: u64) -> Result<(), String> {
    // First, so that comparing each with all before it is bounded.
    if let Some(message) = too_many(headers.len(), count_max).or_else(|| too_long(headers, bytes_max)) {
        return Err(message);
    }
    for (place, (name, value)) in headers.iter().enumerate() {
        if let Some((_, message)) = fault_of(name, value, &headers[..place]) {
            return Err(format!("the header {name}: {message}"));
        }
    }
    Ok(())
}

/// What is wrong with a header beside these others: KAZOO's code, and words.
fn fault_of(name: &str, value: &str, others: &[(String, String)]) -> Option<(&'static str, &'static str)> {
    if !is_name(name) {
        Some(("wrong_format", "is not a header's name; use letters, digits and -"))
    } else if is_reserved(name) {
        Some(("error", "is set by Hookbox or by the connection; leave it out"))
    } else if !is_value(value) {
        Some(("wrong_format", "is not a header's value; leave out line ends, control characters and spaces around it"))
    } else if others.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
        Some(("error", "is there twice; the case of letters makes no difference"))
    } else {
        None
    }
}

fn too_many(count: usize, count_max: u64) -> Option<String> {
    (count as u64 > count_max).then(|| format!("{count} headers; use at most {count_max}"))
}

fn too_long(headers: &[(String, String)], bytes_max: u64) -> Option<String> {
    let bytes: u64 = headers.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum();
    (bytes > bytes_max).then(|| format!("{bytes} bytes of names and values; use at most {bytes_max}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(headers: Value) -> Vec<String> {
        let mut problems = Vec::new();
        read(headers.as_object().unwrap(), 3, 40, &mut problems);
        problems.into_iter().map(|problem| format!("{} {}", problem.field, problem.code)).collect()
    }

    #[test]
    fn ordinary_headers_are_taken_as_they_are() {
        let mut problems = Vec::new();
        let headers = json!({"Authorization": "Bearer x", "X-Été": "no"});
        let read = read(headers.as_object().unwrap(), 3, 100, &mut problems);
        assert_eq!(read, [("Authorization".to_owned(), "Bearer x".to_owned())]);
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        for name in [
            "Host",
            "host",
            "Content-Length",
            "TRANSFER-ENCODING",
            "Connection",
            "Keep-Alive",
            "Upgrade",
            "TE",
            "Trailer",
            "Expect",
            "Webhook-Id",
            "webhook-signature",
            "webhook-anything",
            "X-Hook-ID",
            "x-account-id",
            "Proxy-Connection",
        ] {
            assert_eq!(problems(json!({name: "x"})), [format!("headers.{name} error")]);
        }
    }

    #[test]
    fn nothing_can_be_smuggled_in() {
        assert_eq!(problems(json!({"X-A": "a\r\nHost: b"})), ["headers.X-A wrong_format"]);
        assert_eq!(problems(json!({"X-A": "a\0"})), ["headers.X-A wrong_format"]);
        assert_eq!(problems(json!({"X-A": " a"})), ["headers.X-A wrong_format"]);
        assert_eq!(problems(json!({"X A": "a"})), ["headers.X A wrong_format"]);
        assert_eq!(problems(json!({"": "a"})), ["headers. wrong_format"]);
        assert_eq!(problems(json!({"X.A:": "a"})), ["headers.X%2EA: wrong_format"]);
        assert_eq!(problems(json!({"X-A": 1})), ["headers.X-A type"]);
        assert_eq!(problems(json!({"X-A": "1", "x-a": "2"})), ["headers.x-a error"]);
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        assert_eq!(problems(json!({"a": "", "b": "", "c": "", "d": ""})), ["headers maxItems"]);
        assert_eq!(problems(json!({"a": "x".repeat(39)})), [""; 0]);
        assert_eq!(problems(json!({"a": "x".repeat(40)})), ["headers maxSize"]);
    }
}
