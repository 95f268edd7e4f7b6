//! From a hook and an event to the request that is sent: plain rules.
//!
//! The order is KAZOO's: `custom_data` is merged into the payload, `cluster_id` is written last, then it is encoded (query
//! string, form or JSON), then headers and signature. Everything is borrowed up to the encoding, so that a firing copies
//! no payload.
//!
//! **Forms and query strings.** `name=value` joined with `&`; a nested object is `name[key]=…`, a list `name[]=…` for each
//! entry; objects and lists inside lists are compact JSON text. Names and values are percent-encoded alike (`A-Z a-z 0-9 -
//! _ . ~` as they are, a space as `+`), so that any form decoder gives the names back. Null, the empty list and the empty
//! object give nothing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, ser::PrettyFormatter};
use url::Url;

use super::signature::{self, Secret};
use crate::{
    attempt::SentRequest,
    hook::{Format, Hook, RareFields, Verb},
    message::{Event, Object, UnixMs, WebhookId},
};

/// What stands in the log in the place of a header value that only the receiver shall know.
pub const MASK: &str = "(hidden)";

/// `custom_data` keys that choose among events and never reach the payload (KAZOO).
const SELECTING_KEYS: [&str; 2] = ["type", "action"];

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
}

/// Makes the request of one try, and its masked copy for the log.
pub fn prepare(hook: &Hook, event: &Event, firing: Firing<'_>) -> (PreparedRequest, SentRequest) {
    let payload = Merged::new(hook, event, firing.cluster_id);
    let mut uri = String::from(&*hook.uri);
    let mut body = String::new();
    let mut signed_query = None;
    let content_type = match (hook.verb, hook.format) {
        (Verb::Get, _) => {
            let (whole, query) = with_query(&hook.uri, &payload.to_form());
            uri = whole;
            signed_query = Some(query);
            None
        }
        (Verb::Post | Verb::Put, Format::FormData) => {
            body = payload.to_form();
            Some("application/x-www-form-urlencoded")
        }
        (Verb::Post | Verb::Put, Format::Json) => {
            body = payload.to_json();
            Some("application/json")
        }
    };
    let timestamp_s = firing.now_ms / 1000;
    let kind = hook.rare.as_ref().map_or_else(Default::default, |rare| rare.signature);
    let signed = signed_query.as_deref().unwrap_or(&body);
    let signature = signature::sign(kind, firing.secrets, firing.id.as_str(), timestamp_s, signed);

    let own: &[(String, String)] = hook.rare.as_ref().map_or(&[], |rare| &rare.headers);
    let mut headers = Vec::with_capacity(7 + own.len());
    let mut set = |name: &str, value: String| headers.push((name.to_owned(), value));
    set("X-Hook-ID", hook.id.to_string());
    set("X-Account-ID", hook.account.to_string());
    set("webhook-id", firing.id.to_string());
    set("webhook-timestamp", timestamp_s.to_string());
    if let Some(signature) = signature {
        set("webhook-signature", signature);
    }
    // A hook may bring these two itself; everything above is reserved.
    let brings = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if let Some(content_type) = content_type.filter(|_| !brings("content-type")) {
        set("content-type", content_type.to_owned());
    }
    if !brings("user-agent") {
        set("user-agent", USER_AGENT.to_owned());
    }
    let masked = own.iter().map(|(name, _)| (name.clone(), MASK.to_owned()));
    let sent = SentRequest {
        method: method(hook.verb),
        headers: headers.iter().cloned().chain(masked).collect(),
        body: body.clone(),
    };
    headers.extend(own.iter().cloned());
    (PreparedRequest { verb: hook.verb, uri, headers, body }, sent)
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

/// The payload that receivers get, as an object: for transforms and for people.
pub fn merged_payload(hook: &Hook, event: &Event, cluster_id: &str) -> Object {
    let merged = Merged::new(hook, event, cluster_id);
    let mut object: Object = merged.entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect();
    object.insert(CLUSTER_ID.to_owned(), cluster_id.into());
    object
}

const CLUSTER_ID: &str = "cluster_id";

/// The event's payload with `custom_data` merged in, `cluster_id` last; borrowed.
struct Merged<'a> {
    entries: Vec<(&'a str, &'a Value)>,
    cluster_id: &'a str,
}

impl<'a> Merged<'a> {
    /// Top-level keys of `custom_data` take the place of the payload's; null takes the payload's away; `type` and
    /// `action` stay out.
    fn new(hook: &'a Hook, event: &'a Event, cluster_id: &'a str) -> Self {
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
        Self { entries, cluster_id }
    }

    /// Two spaces a level, as KAZOO's pretty-printed bodies.
    fn to_json(&self) -> String {
        let mut text = Vec::with_capacity(1024);
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"  "));
        // Writing JSON values into memory cannot fail, and gives UTF-8.
        let written = self.serialize(&mut serializer);
        debug_assert!(written.is_ok());
        String::from_utf8(text).unwrap_or_default()
    }

    fn to_form(&self) -> String {
        let mut form = String::with_capacity(1024);
        for (key, value) in &self.entries {
            put(&mut form, key, value);
        }
        put_pair(&mut form, CLUSTER_ID, self.cluster_id);
        form
    }
}

impl Serialize for Merged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len() + 1))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry(CLUSTER_ID, self.cluster_id)?;
        map.end()
    }
}

/// What stays as it is in forms; the space is turned into `+` besides.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

fn put(form: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(object) => object.iter().for_each(|(key, value)| put(form, &format!("{name}[{key}]"), value)),
        Value::Array(list) => {
            let name = format!("{name}[]");
            list.iter().filter(|entry| !entry.is_null()).for_each(|entry| put_pair(form, &name, &text_of(entry)));
        }
        scalar => put_pair(form, name, &text_of(scalar)),
    }
}

fn text_of(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

fn put_pair(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    encode(form, name);
    form.push('=');
    encode(form, value);
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
