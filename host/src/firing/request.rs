//! From a hook and an event to the request that is sent: plain rules.
//!
//! The order is KAZOO's: `custom_data` is merged into the payload, `cluster_id` is written last, then it is encoded (query
//! string, form or JSON), then headers and signature. Between the first two a hook's transform may rewrite what is sent
//! ([`super::transform`]). Everything is borrowed up to the encoding, so that a firing copies no payload.
//!
//! **Forms and query strings.** `name=value` joined with `&`; a nested object is `name[key]=…`, a list `name[]=…` for each
//! entry; objects and lists inside lists are compact JSON text. Names and values are percent-encoded alike (`A-Z a-z 0-9 -
//! _ . ~` as they are, a space as `+`), so that any form decoder gives the names back. Null, the empty list and the empty
//! object give nothing.

use std::io;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, ser::PrettyFormatter};
use thiserror::Error;
use url::Url;

use super::{
    signature::{self, Secret},
    transform::Rewritten,
};
use crate::{
    attempt::SentRequest,
    hook::{Format, Hook, RareFields, Verb},
    message::{Event, Object, UnixMs, WebhookId},
    telemetry::trace_context::{self, TraceContext},
};

/// What stands in the log in the place of a header value that only the receiver shall know.
pub const MASK: &str = "(hidden)";

/// `custom_data` keys that choose among events and never reach the payload (KAZOO).
const SELECTING_KEYS: [&str; 2] = ["type", "action"];

/// The content type of a form.
pub const FORM_TYPE: &str = "application/x-www-form-urlencoded";
/// The content type of JSON.
pub const JSON_TYPE: &str = "application/json";

const USER_AGENT: &str = concat!("Hookbox/", env!("CARGO_PKG_VERSION"));

/// A request, ready to be sent by [`super::client`].
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedRequest {
    /// With what verb.
    pub verb: Verb,
    /// Where to; for GET with the query string.
    pub uri: String,
    /// All headers but Host and those of the connection; each name once.
    pub headers: Vec<(String, String)>,
    /// Empty for GET.
    pub body: String,
}

/// What goes into a request beside the hook and the event.
#[derive(Clone, Copy, Debug)]
pub struct Firing<'a> {
    /// The firing's id, sent as `webhook-id`.
    pub id: &'a WebhookId,
    /// KAZOO's `cluster_id`.
    pub cluster_id: &'a str,
    /// The time of this try.
    pub now_ms: UnixMs,
    /// The hook's secrets that are valid now, newest first; none for an inline hook, whose requests go unsigned.
    pub secrets: &'a [Secret],
    /// What the hook's transform made of it, when it has one.
    pub rewritten: Option<&'a Rewritten>,
    /// The longest body or query string, bytes.
    pub body_bytes_max: usize,
    /// Where this try stands in a trace, sent as `traceparent`; none when there is no trace.
    pub trace: Option<TraceContext>,
}

/// Nesting and escapes made more of the payload than may be sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the payload makes a body of more than {bytes_max} bytes (firing.body_bytes_max)")]
pub struct BodyTooLong {
    bytes_max: usize,
}

/// Makes the request of one try, and its masked copy for the log.
pub fn prepare(hook: &Hook, event: &Event, firing: Firing<'_>) -> Result<(PreparedRequest, SentRequest), BodyTooLong> {
    let content = match firing.rewritten {
        None => Content::of_hook(hook, event, firing.cluster_id),
        Some(rewritten) => Content::of_transform(rewritten, firing.cluster_id),
    };
    let mut uri = content.uri.to_owned();
    let mut body = String::new();
    let mut signed_query = None;
    let content_type = match (hook.verb, content.is_form()) {
        (Verb::Get, _) => {
            let (whole, query) = with_query(content.uri, &content.payload.to_form(firing.body_bytes_max)?);
            uri = whole;
            signed_query = Some(query);
            None
        }
        (Verb::Post | Verb::Put, is_form) => {
            body = match is_form {
                true => content.payload.to_form(firing.body_bytes_max)?,
                false => content.payload.to_json(firing.body_bytes_max)?,
            };
            Some(content.content_type)
        }
    };
    let timestamp_s = firing.now_ms / 1000;
    let kind = hook.rare.as_ref().map_or_else(Default::default, |rare| rare.signature);
    let signed = signed_query.as_deref().unwrap_or(&body);
    let signature = signature::sign(kind, firing.secrets, firing.id.as_str(), timestamp_s, signed);

    let own = content.headers;
    let mut headers = Vec::with_capacity(7 + own.len());
    let mut set = |name: &str, value: String| headers.push((name.to_owned(), value));
    set("X-Hook-ID", hook.id.to_string());
    set("X-Account-ID", hook.account.to_string());
    set("webhook-id", firing.id.to_string());
    set("webhook-timestamp", timestamp_s.to_string());
    if let Some(signature) = signature {
        set("webhook-signature", signature);
    }
    // A hook may bring these itself, and then its own go out; everything above is reserved.
    let brings = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if let Some(content_type) = content_type.filter(|_| !brings("content-type")) {
        set("content-type", content_type.to_owned());
    }
    if !brings("user-agent") {
        set("user-agent", USER_AGENT.to_owned());
    }
    if let Some(trace) = firing.trace.filter(|_| !brings(trace_context::HEADER)) {
        set(trace_context::HEADER, trace.to_string());
    }
    let masked = own.iter().map(|(name, _)| (name.clone(), MASK.to_owned()));
    let sent = SentRequest {
        method: method(hook.verb),
        headers: headers.iter().cloned().chain(masked).collect(),
        body: body.clone(),
    };
    headers.extend(own.iter().cloned());
    Ok((PreparedRequest { verb: hook.verb, uri, headers, body }, sent))
}

/// Whether the body of what was sent is the payload as JSON; from anything else (a form, a query string, a request that
/// could not be made) the payload cannot be had back.
pub fn shows_payload(hook: &Hook, sent: &SentRequest) -> bool {
    hook.verb != Verb::Get && hook.format == Format::Json && !sent.body.is_empty()
}

/// The verb as HTTP writes it.
pub fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Put => "PUT",
    }
}

/// The payload with `custom_data` merged, as JSON text, `cluster_id` not yet written: what a transform gets.
pub fn merged_payload(hook: &Hook, event: &Event) -> String {
    // Writing JSON values into memory cannot fail.
    serde_json::to_string(&Merged { cluster_id: None, ..Merged::of_hook(hook, event, "") }).unwrap_or_default()
}

/// The content type that the hook's format asks for.
pub fn content_type(hook: &Hook) -> &'static str {
    match hook.format {
        Format::FormData => FORM_TYPE,
        Format::Json => JSON_TYPE,
    }
}

const CLUSTER_ID: &str = "cluster_id";

/// What a transform may change of a request: as the hook has it, or as the hook's transform gave it.
struct Content<'a> {
    uri: &'a str,
    payload: Merged<'a>,
    headers: &'a [(String, String)],
    content_type: &'a str,
}

impl<'a> Content<'a> {
    fn of_hook(hook: &'a Hook, event: &'a Event, cluster_id: &'a str) -> Self {
        Self {
            uri: &hook.uri,
            payload: Merged::of_hook(hook, event, cluster_id),
            headers: hook.rare.as_ref().map_or(&[], |rare| &rare.headers),
            content_type: content_type(hook),
        }
    }

    fn of_transform(rewritten: &'a Rewritten, cluster_id: &'a str) -> Self {
        Self {
            uri: &rewritten.uri,
            payload: Merged::of_object(&rewritten.payload, cluster_id),
            headers: &rewritten.headers,
            content_type: &rewritten.content_type,
        }
    }

    /// Anything that is no form is JSON, whatever it is called. Parameters (`; charset=…`) make no difference.
    fn is_form(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(FORM_TYPE)
    }
}

/// A payload with `cluster_id` last, when it is written already; borrowed.
struct Merged<'a> {
    entries: Vec<(&'a str, &'a Value)>,
    cluster_id: Option<&'a str>,
}

impl<'a> Merged<'a> {
    /// The event's payload. Top-level keys of `custom_data` take the place of the payload's; null takes the payload's
    /// away; `type` and `action` stay out.
    fn of_hook(hook: &'a Hook, event: &'a Event, cluster_id: &'a str) -> Self {
        let custom = hook.rare.as_deref().map(|rare: &RareFields| &rare.custom_data);
        let custom = |key: &str| custom.and_then(|data| data.get(key)).filter(|_| !SELECTING_KEYS.contains(&key));
        let added = hook.rare.iter().flat_map(|rare| rare.custom_data.iter()).filter(|(key, value)| {
            !SELECTING_KEYS.contains(&key.as_str()) && !value.is_null() && !event.payload.contains_key(*key)
        });
        let entries = event
            .payload
            .iter()
            .map(|(key, value)| (key, custom(key).unwrap_or(value), custom(key).is_some_and(Value::is_null)))
            .filter(|(_, _, removed)| !removed)
            .map(|(key, value, _)| (key, value))
            .chain(added)
            .filter(|(key, _)| *key != CLUSTER_ID)
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        Self { entries, cluster_id: Some(cluster_id) }
    }

    /// What a transform gave.
    fn of_object(payload: &'a Object, cluster_id: &'a str) -> Self {
        let entries = payload.iter().filter(|(key, _)| *key != CLUSTER_ID);
        Self { entries: entries.map(|(key, value)| (key.as_str(), value)).collect(), cluster_id: Some(cluster_id) }
    }

    /// Two spaces a level, as KAZOO's pretty-printed bodies.
    fn to_json(&self, bytes_max: usize) -> Result<String, BodyTooLong> {
        let mut text = Bounded { bytes: Vec::with_capacity(1024), bytes_max };
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"  "));
        // Writing JSON values into memory fails for want of room alone, and gives UTF-8.
        self.serialize(&mut serializer).map_err(|_| BodyTooLong { bytes_max })?;
        Ok(String::from_utf8(text.bytes).unwrap_or_default())
    }

    fn to_form(&self, bytes_max: usize) -> Result<String, BodyTooLong> {
        let mut form = Form { text: String::with_capacity(1024), name: String::new(), bytes_max };
        for (key, value) in &self.entries {
            form.name.clear();
            form.name.push_str(key);
            form.put(value)?;
        }
        if let Some(cluster_id) = self.cluster_id {
            CLUSTER_ID.clone_into(&mut form.name);
            form.put_pair(cluster_id)?;
        }
        Ok(form.text)
    }
}

impl Serialize for Merged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len() + 1))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        if let Some(cluster_id) = self.cluster_id {
            map.serialize_entry(CLUSTER_ID, cluster_id)?;
        }
        map.end()
    }
}

/// Takes so many bytes and no more: pretty-printing a deep payload makes much of little.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stays as it is in forms; the space is turned into `+` besides.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// A form being written. The name of what is put next grows and shrinks with the nesting, so that what a payload costs
/// goes with its size, however long and deep its names are.
struct Form {
    text: String,
    name: String,
    bytes_max: usize,
}

impl Form {
    fn put(&mut self, value: &Value) -> Result<(), BodyTooLong> {
        let outer = self.name.len();
        match value {
            Value::Null => {}
            Value::Object(object) => {
                for (key, value) in object {
                    self.name.push('[');
                    self.name.push_str(key);
                    self.name.push(']');
                    self.put(value)?;
                    self.name.truncate(outer);
                }
            }
            Value::Array(list) => {
                self.name.push_str("[]");
                for entry in list.iter().filter(|entry| !entry.is_null()) {
                    self.put_pair(&text_of(entry))?;
                }
                self.name.truncate(outer);
            }
            scalar => self.put_pair(&text_of(scalar))?,
        }
        Ok(())
    }

    fn put_pair(&mut self, value: &str) -> Result<(), BodyTooLong> {
        let form = &mut self.text;
        if !form.is_empty() {
            form.push('&');
        }
        encode(form, &self.name);
        form.push('=');
        encode(form, value);
        if form.len() > self.bytes_max { Err(BodyTooLong { bytes_max: self.bytes_max }) } else { Ok(()) }
    }
}

fn text_of(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

fn encode(form: &mut String, text: &str) {
    for piece in utf8_percent_encode(text, FORM) {
        // Spaces come through as they are, so only a piece with one needs a second look.
        if piece.contains(' ') { form.push_str(&piece.replace(' ', "+")) } else { form.push_str(piece) }
    }
}

/// The URI with the query string added before its fragment, and the whole query as it goes over the wire. What was there
/// already stays, with `&` after it.
fn with_query(uri: &str, query: &str) -> (String, String) {
    // A URI that is none is left for the client to refuse; nothing is signed that is not sent.
    let Ok(mut parsed) = Url::parse(uri) else {
        return (uri.to_owned(), query.to_owned());
    };
    let whole = match parsed.query().filter(|there| !there.is_empty()) {
        Some(there) if there.ends_with('&') => format!("{there}{query}"),
        Some(there) => format!("{there}&{query}"),
        None => query.to_owned(),
    };
    parsed.set_query(Some(&whole));
    let sent = parsed.query().unwrap_or_default().to_owned();
    (parsed.into(), sent)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
