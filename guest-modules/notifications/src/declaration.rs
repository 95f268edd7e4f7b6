//! What the module says about itself.

use hookbox_sdk::kazoo::Fields;
use hookbox_sdk::{Binding, JsonObject, Metadata};

use crate::notification::NOTIFICATIONS;

pub(crate) fn metadata() -> Metadata {
    let metadata = Metadata::new("notifications", "Notifications Webhook", env!("CARGO_PKG_VERSION"))
        .description("The platform notifies someone: of a missed call, a new voicemail, a ported number, …")
        .modifiers(modifiers())
        .selector("type")
        .payload_schema(include_str!("../payload-schema.json"));
    let payloads = Fields::parse(include_str!("../payloads.json")).unwrap_or_default();
    payloads
        .iter()
        .fold(metadata, |metadata, (name, own_fields)| metadata.sample(name, &sample(name, own_fields.get())))
}

/// A sample payload: what every notification has, and the fields of its own.
fn sample(name: &str, own_fields: &str) -> String {
    let everyones = JsonObject::new()
        .put("app_name", "crossbar")
        .put("app_version", "4.0.0")
        .put("event_category", "notification")
        .put("event_name", name)
        .put("msg_id", "77e1c0de")
        .put("node", "kazoo_apps@apps1.example.net")
        .put("server_id", "kazoo_apps@apps1.example.net-<0.5.0>-aa11bb22")
        .put("system_log_id", "5f2c7d1e9a0b4c33")
        .put("account_id", "aaaabbbbccccddddeeeeffff00001111");
    let own_fields = Fields::parse(own_fields).unwrap_or_default();
    own_fields.iter().fold(everyones, |sample, (key, value)| sample.put(key, value)).finish()
}

fn modifiers() -> JsonObject {
    let all = JsonObject::new().put("friendly_name", "All").put("description", "Every notification there is");
    let items = NOTIFICATIONS.iter().fold(JsonObject::new().put("all", all), |items, notification| {
        let item = JsonObject::new()
            .put("friendly_name", notification.friendly_name)
            .put("description", notification.description);
        items.put(notification.name, item)
    });
    JsonObject::new().put("type", JsonObject::new().put("type", "object").put("items", items))
}

pub(crate) fn bindings() -> Vec<Binding> {
    let binding = Binding::topic("notifications").category("notification").any_name();
    vec![
        NOTIFICATIONS
            .iter()
            .fold(binding, |binding, notification| binding.routing_key(&format!("notifications.{}", notification.key))),
    ]
}
