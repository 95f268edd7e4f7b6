//! What the channel modules say about themselves: metadata, schema, sample and bindings, from one list of fields.

use hookbox_sdk::{Binding, JsonObject, Metadata};

/// What tells one channel module from the others.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The module's id, and the event's name as hooks use it, e.g. `channel_create`.
    pub id: &'static str,
    /// For people, e.g. `Channel Create`.
    pub name: &'static str,
    /// When the event happens, for people.
    pub description: &'static str,
    /// The component's version.
    pub version: &'static str,
    /// The payload's fields that the other modules do not have.
    pub more: &'static [Property],
}

/// A field of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its key.
    pub key: &'static str,
    /// Its JSON type, as a schema names it.
    pub kind: &'static str,
    /// What it tells, for people.
    pub description: &'static str,
    /// Its value in the sample payload, as JSON text.
    pub sample: &'static str,
}

/// The binding to one event of a channel, e.g. `CHANNEL_CREATE`.
#[must_use]
pub fn bindings(event_name: &str) -> Vec<Binding> {
    let routing_key = format!("call.{event_name}.*");
    vec![Binding::topic("callevt").routing_key(&routing_key).category("call_event").name(event_name)]
}

impl Declaration {
    /// The module's metadata.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata::new(self.id, self.name, self.version)
            .description(self.description)
            .sample(self.id, &self.sample())
            .payload_schema(&self.payload_schema())
    }

    fn sample(&self) -> String {
        let mut sample = JsonObject::new();
        for property in COMMON {
            sample = sample.put_json(property.key, property.sample);
        }
        sample = sample.put("hook_event", self.id);
        for property in self.more {
            sample = sample.put_json(property.key, property.sample);
        }
        sample.finish()
    }

    fn payload_schema(&self) -> String {
        let mut properties = JsonObject::new();
        for property in COMMON {
            properties = properties.put(property.key, property.schema());
        }
        let hook_event = JsonObject::new().put("const", self.id).put("description", "The event's name");
        properties = properties.put("hook_event", hook_event);
        for property in self.more {
            properties = properties.put(property.key, property.schema());
        }
        JsonObject::new()
            .put("$schema", "https://json-schema.org/draft/2020-12/schema")
            .put("title", self.name)
            .put("type", "object")
            .put("properties", properties)
            .put("required", ALWAYS_THERE)
            .finish()
    }
}

impl Property {
    fn schema(&self) -> JsonObject {
        JsonObject::new().put("type", self.kind).put("description", self.description)
    }
}

/// The fields that no payload lacks.
const ALWAYS_THERE: [&str; 5] =
    ["account_id", "emergency_resource_used", "local_resource_used", "is_internal_leg", "hook_event"];

/// The fields of every channel event before `hook_event`, in their order.
const COMMON: &[Property] = &[
    property("account_id", "string", "The account whose call it is", r#""aaaabbbbccccddddeeeeffff00001111""#),
    property(
        "authorizing_id",
        "string",
        "The device or other document that was authorised for the call",
        r#""d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1""#,
    ),
    property("authorizing_type", "string", "What kind of document that is", r#""device""#),
    property("call_direction", "string", "`inbound` or `outbound`, as the switch sees it", r#""inbound""#),
    property("call_forwarded", "boolean", "Whether the leg is a forwarded call; absent when unknown", "false"),
    property("call_id", "string", "The leg's id", r#""b1946ac9@203.0.113.7""#),
    property("callee_id_name", "string", "The called party's name", r#""Support""#),
    property("callee_id_number", "string", "The called party's number", r#""4000""#),
    property("caller_id_name", "string", "The caller's name", r#""Dana""#),
    property("caller_id_number", "string", "The caller's number", r#""+13125550111""#),
    property(
        "custom_channel_vars",
        "object",
        "Variables of the channel, without those that are the platform's own",
        r#"{"Fetch-ID":"0d9c1e","Ecallmgr-Node":"ecallmgr@apps2.example.net"}"#,
    ),
    property(
        "custom_application_vars",
        "object",
        "Variables that an application attached to the call",
        r#"{"crm":"77"}"#,
    ),
    property("emergency_resource_used", "boolean", "Whether the call went out over an emergency carrier", "false"),
    property("from", "string", "The SIP From address", r#""+13125550111@203.0.113.7""#),
    property("inception", "string", "Where the call came into the platform", r#""+13125550199@203.0.113.7""#),
    property(
        "local_resource_id",
        "string",
        "The account's own carrier that the call uses; absent for the platform's carriers",
        r#""0a1b2c3d4e5f60718293a4b5c6d7e8f9""#,
    ),
    property("local_resource_used", "boolean", "False when the call uses one of the platform's carriers", "true"),
    property("is_internal_leg", "boolean", "Whether the leg runs inside the platform only", "false"),
    property("other_leg_call_id", "string", "The id of the leg at the other end", r#""c2a57bd0@203.0.113.9""#),
    property("owner_id", "string", "The user who owns the device", r#""f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0""#),
    property("request", "string", "The SIP request address", r#""4000@acme.example.net""#),
    property("reseller_id", "string", "The account's nearest reseller", r#""11112222333344445555666677778888""#),
    property("timestamp", "integer", "When it happened: seconds since year 0 (Gregorian), UTC", "63881319200"),
    property("to", "string", "The SIP To address", r#""4000@acme.example.net""#),
];

const fn property(key: &'static str, kind: &'static str, description: &'static str, sample: &'static str) -> Property {
    Property { key, kind, description, sample }
}
