//! Messages: those in the modules' `samples/` folders, with the events expected of them, and one constructor for each
//! kind that the platform publishes.
//!
//! Every call makes another message (`Msg-ID` and call id count up), so that two are never taken for one redelivered.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value, json};

/// An account of no particular standing, as 32 hex digits.
pub const ACCOUNT: &str = "aaaabbbbccccddddeeeeffff00001111";

/// A message on its way to the broker.
#[derive(Clone, Debug)]
pub struct Message {
    /// Published to this exchange…
    pub exchange: String,
    /// …with this key.
    pub routing_key: String,
    /// As it is sent, before compression.
    pub body: Vec<u8>,
    /// `application/json` unless changed; None leaves the property out.
    pub content_type: Option<String>,
    /// With `gzip`, the body is compressed when it is published.
    pub content_encoding: Option<String>,
    /// The AMQP property, which the platform does not set.
    pub message_id: Option<String>,
    /// AMQP headers.
    pub headers: FieldTable,
    /// Whether the broker writes it down. The platform's messages are not.
    pub persistent: bool,
}

/// One file of a module's `samples/` folder.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The folder under `guest-modules/`.
    pub module: String,
    /// The file's name without its ending.
    pub name: String,
    /// What is handed in.
    pub message: Message,
    /// The events that must come out, as the file has them; none when an error must.
    pub events: Vec<Value>,
    /// The error that must come out, as the file has it: `"not_mine"`, `{"malformed": reason}`; null when there is none.
    pub error: Value,
    /// What the `accounts` import is to answer (`resellers`, …), as the file has it; null when it says nothing.
    pub accounts: Value,
}

impl Message {
    /// A JSON message.
    pub fn new(exchange: &str, routing_key: &str, body: &Value) -> Message {
        Message {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            body: body.to_string().into_bytes(),
            content_type: Some("application/json".to_owned()),
            content_encoding: None,
            message_id: None,
            headers: FieldTable::default(),
            persistent: false,
        }
    }

    /// From `{"exchange": …, "routing_key": …, "body": …}`.
    pub fn from_json(message: &Value) -> Message {
        let text = |key: &str| message[key].as_str().unwrap_or_else(|| panic!("a message without {key}: {message}"));
        Message::new(text("exchange"), text("routing_key"), &message["body"])
    }

    /// As `hookbox publish` and the REST interface take it.
    pub fn to_json(&self) -> Value {
        json!({"exchange": self.exchange, "routing_key": self.routing_key, "body": self.json()})
    }

    /// The body; panics when it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|problem| panic!("the message is no JSON: {problem}"))
    }

    /// With a key of the body set to another value.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Message {
        let mut body = self.json();
        body[key] = value.into();
        self.body = body.to_string().into_bytes();
        self
    }

    /// With a key of the body taken out.
    pub fn without(mut self, key: &str) -> Message {
        let mut body = self.json();
        body.as_object_mut().map(|fields| fields.shift_remove(key));
        self.body = body.to_string().into_bytes();
        self
    }

    /// With these bytes as the body, whatever they are.
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Message {
        self.body = body.into();
        self
    }

    /// Compressed when it is published.
    pub fn gzip(mut self) -> Message {
        self.content_encoding = Some("gzip".to_owned());
        self
    }

    /// With another content type.
    pub fn content_type(mut self, content_type: &str) -> Message {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// With the AMQP property `message-id`.
    pub fn message_id(mut self, id: &str) -> Message {
        self.message_id = Some(id.to_owned());
        self
    }

    /// With one more AMQP header.
    pub fn header(mut self, name: &str, value: &str) -> Message {
        self.headers.insert(ShortString::from(name), AMQPValue::LongString(value.into()));
        self
    }

    /// Written down by the broker.
    pub fn persistent(mut self) -> Message {
        self.persistent = true;
        self
    }
}

/// The samples of every module, by module and name. Empty when no module has any yet.
pub fn all() -> Vec<Sample> {
    modules().iter().flat_map(|module| of(module)).collect()
}

/// The samples of one module, named as its folder is.
pub fn of(module: &str) -> Vec<Sample> {
    let files = entries(&guest_modules().join(module).join("samples"));
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "json"))
        .map(|file| read(module, file))
        .collect()
}

/// The folders under `guest-modules/` that have samples.
pub fn modules() -> Vec<String> {
    let folders = entries(&guest_modules()).into_iter().filter(|folder| folder.join("samples").is_dir());
    folders.filter_map(|folder| folder.file_name().map(|name| name.to_string_lossy().into_owned())).collect()
}

/// A call begins: `callevt`, `CHANNEL_CREATE`.
pub fn channel_created(account: &str) -> Message {
    call_event(account, "CHANNEL_CREATE", json!({"Channel-State": "ROUTING", "Channel-Call-State": "RINGING"}))
}

/// A call is answered: `callevt`, `CHANNEL_ANSWER`.
pub fn channel_answered(account: &str) -> Message {
    call_event(account, "CHANNEL_ANSWER", json!({"Channel-State": "EXECUTE", "Channel-Call-State": "ACTIVE"}))
}

/// Two legs are joined: `callevt`, `CHANNEL_BRIDGE`.
pub fn channel_bridged(account: &str) -> Message {
    let other = json!({"Other-Leg-Call-ID": "c2a57bd0", "Bridge-B-Unique-ID": "c2a57bd0"});
    call_event(account, "CHANNEL_BRIDGE", other)
}

/// A call ends: `callevt`, `CHANNEL_DESTROY`.
pub fn channel_destroyed(account: &str) -> Message {
    let end = json!({
        "Channel-State": "DESTROY", "Channel-Call-State": "HANGUP", "Hangup-Cause": "NORMAL_CLEARING",
        "Hangup-Code": "sip:200", "Duration-Seconds": 61, "Ringing-Seconds": 6, "Billing-Seconds": 55,
    });
    call_event(account, "CHANNEL_DESTROY", end)
}

/// A call is parked: `callevt`, `PARK_PARKED`.
pub fn call_parked(account: &str) -> Message {
    call_event(account, "PARK_PARKED", json!({"App-Name": "callflow", "Parking-Slot": "104", "Callee-ID-Number": "*3"}))
}

/// A new voicemail: `notifications`, `voicemail_new`.
pub fn voicemail_new(account: &str) -> Message {
    let fields = json!({
        "From-User": "+13125550111", "From-Realm": "203.0.113.7", "To-User": "4000", "To-Realm": "acme.example.net",
        "Voicemail-Box": "4000", "Voicemail-ID": "202404-5c1a", "Voicemail-Timestamp": 63_881_319_200_u64,
        "Voicemail-Length": 12_000, "Caller-ID-Name": "Dana", "Caller-ID-Number": "+13125550111",
    });
    notification("voicemail.new", "voicemail_new", account, fields)
}

/// A call was missed: `notifications`, `missed_call`.
pub fn missed_call(account: &str) -> Message {
    let fields = json!({
        "Call-ID": unique("call"), "Call-Bridged": false, "Message-Left": false, "Caller-ID-Name": "Dana",
        "Caller-ID-Number": "+13125550111", "From-User": "+13125550111", "From-Realm": "203.0.113.7",
        "To-User": "4000", "To-Realm": "acme.example.net", "Timestamp": 63_881_319_200_u64,
    });
    notification("sip.missed_call", "missed_call", account, fields)
}

/// Any notification, by the end of its routing key and its `Event-Name`.
pub fn notification(key: &str, name: &str, account: &str, fields: Value) -> Message {
    let own = json!({"Account-ID": account});
    Message::new("notifications", &format!("notifications.{key}"), &body("notification", name, [own, fields]))
}

/// A call flow fires a hook that travels in the message: `notifications`, `webhook`.
pub fn callflow_webhook(account: &str, uri: &str) -> Message {
    let call = unique("call");
    let fields = json!({
        "App-Name": "callflow", "Timestamp": 63_881_319_200_u64,
        "Hook": {
            "_id": "63881319201", "uri": uri, "hook": "notifications", "http_verb": "post", "retries": 2,
            "pvt_account_id": account, "custom_data": {"k": "v"},
        },
        "Data": {"account_id": account, "call_id": call, "caller_id_number": "+13125550111", "is_recording": false},
    });
    let body = body("notification", "webhook", [fields]);
    Message::new("notifications", "notifications.webhook.callflow", &body)
}

/// A document of an account changed: `configuration`, with an action `doc_created`, `doc_edited` or `doc_deleted`.
pub fn document_changed(action: &str, account: &str, kind: &str, id: &str) -> Message {
    change(action, &account_database(account), kind, id, account)
}

/// A hook was changed elsewhere.
pub fn hook_changed(action: &str, account: &str, id: &str) -> Message {
    change(action, "webhooks", "webhook", id, account)
}

/// An account was changed, as its document in the database `accounts`.
pub fn account_changed(action: &str, account: &str) -> Message {
    change(action, "accounts", "account", account, account)
}

/// A number was changed.
pub fn number_changed(action: &str, number: &str, account: &str) -> Message {
    let database = format!("numbers%2F%2B{}", &number[1..5]);
    let mut message = change(action, &database, "number", number, account);
    message.routing_key = format!("{action}.{database}.number.%2B{}", &number[1..]);
    message
}

/// A text arrives from outside: `im`, category `sms`.
pub fn sms_received(account: &str) -> Message {
    text("sms", account)
}

/// A picture message arrives from outside: `im`, category `mms`, compressed as the platform does.
pub fn mms_received(account: &str) -> Message {
    text("mms", account).gzip()
}

/// A message for the bad modules: exchange, key and category that they all bind.
pub fn bad(account: &str) -> Message {
    Message::new("bad", "bad.message", &body("bad", "message", [json!({"Account-ID": account})]))
}

/// The name of an account's database as it stands in change notices: the id split after two and four digits, with the
/// slashes percent-encoded.
pub fn account_database(account: &str) -> String {
    match (account.get(..2), account.get(2..4), account.get(4..)) {
        (Some(first), Some(second), Some(rest)) => format!("account%2F{first}%2F{second}%2F{rest}"),
        _ => panic!("{account:?} is no account id"),
    }
}

fn call_event(account: &str, name: &str, fields: Value) -> Message {
    let call = unique("call");
    let common = json!({
        "App-Name": "ecallmgr", "Call-ID": format!("{call}@203.0.113.7"), "Call-Direction": "inbound",
        "Caller-ID-Name": "Dana", "Caller-ID-Number": "+13125550111",
        "Callee-ID-Name": "Support", "Callee-ID-Number": "4000",
        "Channel-Name": "sofia/sipinterface_1/+13125550111@203.0.113.7", "Channel-Created-Time": 1_714_100_000_123_456_u64,
        "Custom-Channel-Vars": {"Account-ID": account, "Account-Realm": "acme.example.net", "Resource-ID": "0a1b2c3d"},
        "From": "+13125550111@203.0.113.7", "To": "4000@acme.example.net", "Request": "4000@acme.example.net",
        "Switch-Hostname": "fs2.example.net", "Switch-Nodename": "freeswitch@fs2.example.net",
        "Timestamp": 63_881_319_200_u64,
    });
    let key = format!("call.{name}.{call}%40203%2E0%2E113%2E7");
    Message::new("callevt", &key, &body("call_event", name, [common, fields]))
}

fn change(action: &str, database: &str, kind: &str, id: &str, account: &str) -> Message {
    let fields = json!({
        "App-Name": "kazoo_data", "ID": id, "Database": database, "Type": kind, "Rev": "7-ab12", "Account-ID": account,
        "Date-Modified": 63_881_000_000_u64, "Date-Created": 63_881_319_300_u64,
        "Is-Soft-Deleted": action == "doc_deleted", "Origin-Cache": "kazoo_data_cache",
    });
    let key = format!("{action}.{database}.{kind}.{id}");
    Message::new("configuration", &key, &body("configuration", action, [fields]))
}

fn text(category: &str, account: &str) -> Message {
    let id = unique("text");
    let fields = json!({
        "App-Name": "im", "Message-ID": id, "Account-ID": account, "From": "+13125550111", "To": "+13125550199",
        "Body": "hi", "Route-Type": "offnet", "Route-ID": "carrier_a", "System-ID": "apps1", "Charges": 0.01,
    });
    Message::new("im", &format!("{category}.inbound.offnet.{id}"), &body(category, "inbound", [fields]))
}

/// The headers that every message has, then the others; a later one takes the place of an earlier.
fn body<const PARTS: usize>(category: &str, name: &str, parts: [Value; PARTS]) -> Value {
    let envelope = json!({
        "App-Name": "hookbox_tests", "App-Version": "4.0.0", "Event-Category": category, "Event-Name": name,
        "Msg-ID": unique("msg"), "Node": "kazoo_apps@apps1.example.net",
    });
    let mut body = Map::new();
    for part in [envelope].into_iter().chain(parts) {
        let Value::Object(fields) = part else { panic!("{part} is no object") };
        body.extend(fields);
    }
    Value::Object(body)
}

fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn guest_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-modules")
}

fn read(module: &str, file: &Path) -> Sample {
    let text = fs::read_to_string(file).unwrap_or_else(|problem| panic!("cannot read {}: {problem}", file.display()));
    let sample: Value = serde_json::from_str(&text).unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
    let events = sample["events"].as_array().cloned();
    assert_ne!(events.is_some(), !sample["error"].is_null(), "{} lists either events or an error", file.display());
    Sample {
        module: module.to_owned(),
        name: file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        message: Message::from_json(&sample["message"]),
        events: events.unwrap_or_default(),
        error: sample["error"].clone(),
        accounts: sample["accounts"].clone(),
    }
}

/// In the order of their names; none when there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = found.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shaped_as_the_platform_shapes_them() {
        let message = channel_created(ACCOUNT).with("To", "x@y").without("Request");
        assert_eq!(message.json()["Custom-Channel-Vars"]["Account-ID"], ACCOUNT);
        assert_eq!((&message.json()["To"], &message.json()["Request"]), (&json!("x@y"), &Value::Null));
        assert!(message.routing_key.starts_with("call.CHANNEL_CREATE.call-"), "{}", message.routing_key);
        assert_ne!(message.json()["Msg-ID"], channel_created(ACCOUNT).json()["Msg-ID"]);

        let change = document_changed("doc_edited", ACCOUNT, "user", "u1");
        assert_eq!(change.routing_key, "doc_edited.account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111.user.u1");
    }

    #[test]
    fn every_sample_of_every_module_can_be_read() {
        for sample in all() {
            assert!(sample.message.json().is_object(), "{} {}", sample.module, sample.name);
        }
    }
}
