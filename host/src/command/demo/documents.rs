//! The demo's accounts and hooks, in KAZOO's form, and one message of every kind.

use serde_json::{Value, json};

use super::receivers::Receivers;

/// Whose messages they are.
pub(super) const CUSTOMER: &str = "aaaabbbbccccddddeeeeffff00001111";
/// The account above it.
pub(super) const RESELLER: &str = "11112222333344445555666677778888";
/// The hook whose receiver always fails.
pub(super) const FAILING_HOOK: &str = "00000000000000000000000000000003";
/// How many hooks there are.
pub(super) const HOOKS: usize = 5;

/// The kinds of event that have to arrive.
pub(super) const KINDS: [&str; 10] = [
    "channel_answer",
    "channel_bridge",
    "channel_create",
    "channel_destroy",
    "mms",
    "notifications",
    "object",
    "parking",
    "skel",
    "sms",
];

/// Account, id and name of each hook.
pub(super) fn hook_names() -> [(&'static str, &'static str, &'static str); HOOKS] {
    [
        (CUSTOMER, "00000000000000000000000000000001", "everything, as JSON"),
        (RESELLER, "00000000000000000000000000000002", "hang-ups of all customers, as a form"),
        (CUSTOMER, FAILING_HOOK, "missed calls, to a failing receiver"),
        (CUSTOMER, "00000000000000000000000000000004", "new calls, to a slow receiver"),
        (CUSTOMER, "00000000000000000000000000000005", "texts from +1312…, by GET"),
    ]
}

/// The documents to load.
pub(super) fn hooks_and_accounts(receivers: &Receivers) -> Vec<Value> {
    let [everything, hang_ups, failing, slow, texts] = hook_names();
    let hook = |(account, id, name): (&str, &str, &str), uri: String, rest: Value| {
        let mut document =
            json!({"_id": id, "pvt_type": "webhook", "pvt_account_id": account, "name": name, "uri": uri});
        if let (Some(document), Value::Object(rest)) = (document.as_object_mut(), rest) {
            document.extend(rest);
        }
        document
    };
    vec![
        json!({"_id": RESELLER, "pvt_type": "account", "name": "A reseller", "pvt_tree": []}),
        json!({"_id": CUSTOMER, "pvt_type": "account", "name": "Its customer", "pvt_tree": [RESELLER],
            "pvt_reseller_id": RESELLER}),
        hook(
            everything,
            receivers.healthy("/all"),
            json!({"hook": "all", "format": "json", "custom_data": {"crm": "42"}}),
        ),
        hook(hang_ups, receivers.healthy("/reseller"), json!({"hook": "channel_destroy", "include_subaccounts": true})),
        hook(
            failing,
            receivers.failing("/broken"),
            json!({"hook": "notifications", "custom_data": {"type": "missed_call"}, "retry_schedule_s": [0, 0, 0, 0, 0, 0]}),
        ),
        hook(slow, receivers.slow("/slow"), json!({"hook": "channel_create", "format": "json"})),
        hook(
            texts,
            receivers.healthy("/texts"),
            json!({"hook": "sms", "http_verb": "get",
                "filter": [{"pointer": "/from", "op": "prefix", "value": "+1312"}]}),
        ),
    ]
}

/// One message of each kind, as KAZOO publishes them.
pub(super) fn messages() -> Vec<Value> {
    let call = |name: &str, more: Value| {
        let mut body = envelope("ecallmgr", "call_event", name);
        body.extend(object(json!({
            "Call-ID": "b1946ac9@203.0.113.7", "Call-Direction": "inbound", "Caller-ID-Name": "Dana",
            "Caller-ID-Number": "+13125550111", "Callee-ID-Name": "Support", "Callee-ID-Number": "4000",
            "Channel-Name": "sofia/sipinterface_1/+13125550111@203.0.113.7",
            "Custom-Channel-Vars": {"Account-ID": CUSTOMER, "Global-Resource": "true", "Fetch-ID": "0d9c"},
            "From": "+13125550111@203.0.113.7", "To": "4000@acme.example.net", "Request": "4000@acme.example.net",
            "Timestamp": 63_881_319_200_u64,
        })));
        body.extend(object(more));
        message("callevt", &format!("call.{name}.b1946ac9%40203%2E0%2E113%2E7"), body)
    };
    let text = |category: &str| {
        let mut body = envelope("im", category, "inbound");
        body.extend(object(json!({
            "Message-ID": format!("{category}-1"), "Account-ID": CUSTOMER, "From": "+13125550111", "To": "+13125550199",
            "Body": "See you at eight?", "Route-Type": "offnet", "Charges": 0.01,
        })));
        message("im", &format!("{category}.inbound.offnet.1"), body)
    };
    let mut missed_call = envelope("callflow", "notification", "missed_call");
    missed_call.extend(object(json!({
        "Account-ID": CUSTOMER, "Call-ID": "b1946ac9@203.0.113.7", "Call-Bridged": false, "Message-Left": false,
        "Caller-ID-Name": "Dana", "Caller-ID-Number": "+13125550111", "Timestamp": 63_881_319_200_u64,
    })));
    let mut edited = envelope("kazoo_data", "configuration", "doc_edited");
    edited.extend(object(json!({
        "ID": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "Type": "user", "Rev": "7-ab12", "Account-ID": CUSTOMER,
        "Database": "account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111", "Is-Soft-Deleted": false,
    })));
    let mut greeting = envelope("demo", "skel", "greeting");
    greeting.extend(object(json!({"Account-ID": CUSTOMER, "Greeting": "hello from the template"})));
    vec![
        call("CHANNEL_CREATE", json!({})),
        call("CHANNEL_ANSWER", json!({})),
        call("CHANNEL_BRIDGE", json!({"Other-Leg-Call-ID": "c2a57bd0"})),
        call("PARK_PARKED", json!({"Parking-Slot": "104"})),
        call(
            "CHANNEL_DESTROY",
            json!({"Hangup-Cause": "NORMAL_CLEARING", "Duration-Seconds": 61, "Billing-Seconds": 55}),
        ),
        message("notifications", "notifications.sip.missed_call", missed_call),
        message("configuration", "doc_edited.account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111.user.0f0f", edited),
        text("sms"),
        text("mms"),
        message("skel", "skel.greeting", greeting),
    ]
}

type Object = serde_json::Map<String, Value>;

fn envelope(app: &str, category: &str, name: &str) -> Object {
    object(json!({
        "App-Name": app, "App-Version": "4.0.0", "Event-Category": category, "Event-Name": name,
        "Msg-ID": format!("demo-{category}-{name}"), "Node": "kazoo_apps@apps1.example.net",
    }))
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn message(exchange: &str, routing_key: &str, body: Object) -> Value {
    json!({"exchange": exchange, "routing_key": routing_key, "body": body})
}
