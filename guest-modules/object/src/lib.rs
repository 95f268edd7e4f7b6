//! The event `object`: a document of an account was made, edited or deleted. The payload names the document; it does not
//! hold it.

mod database;

use hookbox_sdk::kazoo::{Definition, Fields, Kind};
use hookbox_sdk::{Binding, Event, HandleError, JsonObject, Message, Metadata, Module, log, settings};

struct Object;

const DOC_UPDATE: Definition<'_> = Definition {
    required: &["ID", "Database"],
    kinds: &[("ID", Kind::Text), ("Rev", Kind::Text), ("Is-Soft-Deleted", Kind::Boolean)],
};

/// What is announced of documents and of whole databases.
const ANNOUNCEMENTS: [&str; 7] =
    ["doc_edited", "doc_created", "doc_deleted", "db_edited", "db_created", "db_deleted", "db_views_updated"];

/// The actions that a hook may choose from.
const ACTIONS: [&str; 4] = ["all", "doc_created", "doc_edited", "doc_deleted"];

/// The types that a hook may choose from, besides `all`, unless the setting `object_types` says otherwise.
const TYPES: [&str; 10] =
    ["account", "callflow", "device", "faxbox", "media", "user", "vmbox", "fax", "mailbox_message", "call_recording"];

impl Module for Object {
    fn metadata() -> Metadata {
        Metadata::new("object", "Object", env!("CARGO_PKG_VERSION"))
            .description("A document of the account, such as a user or a device, was made, edited or deleted")
            .modifiers(modifiers())
            .selector("type")
            .selector("action")
            .sample("doc_created", &sample("doc_created"))
            .sample("doc_edited", &sample("doc_edited"))
            .sample("doc_deleted", &sample("doc_deleted"))
            .payload_schema(include_str!("../payload-schema.json"))
    }

    fn bindings() -> Vec<Binding> {
        vec![Binding::topic("configuration").routing_key("#").category("configuration").any_name()]
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        if !ANNOUNCEMENTS.contains(&&*message.name) {
            log::debug(&format!("object: {} is no announcement of a change", message.name));
            return Err(HandleError::NotMine);
        }
        let body = Fields::parse(&message.body).map_err(|error| HandleError::Malformed(error.to_string()))?;
        DOC_UPDATE.check(&body)?;
        let (id, action) = (body.text("ID"), &message.name);
        let database = body.text("Database").unwrap_or_default();
        let Some(account) = database::account(&database, id.as_deref()) else {
            log::debug(&format!("object: database {database} is no account's"));
            return Err(HandleError::NotMine);
        };
        let kind = body.text("Type");
        let payload = JsonObject::new()
            .put_some("id", id)
            .put("account_id", &account)
            .put("action", action)
            .put_some("type", kind.as_deref());
        let mut event = Event::new("object", account, payload).facet("action", action);
        if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
            event = event.facet("type", &kind);
        }
        Ok(vec![event])
    }
}

fn modifiers() -> JsonObject {
    let types = settings::list("object_types")
        .unwrap_or_else(|| TYPES.map(str::to_owned).to_vec())
        .into_iter()
        .filter(|kind| kind != "all");
    let types: Vec<String> = std::iter::once("all".to_owned()).chain(types).collect();
    JsonObject::new()
        .put(
            "type",
            JsonObject::new()
                .put("type", "array")
                .put("description", "The type of document to be told of")
                .put("items", types),
        )
        .put(
            "action",
            JsonObject::new()
                .put("type", "array")
                .put("description", "What must have been done to the document")
                .put("items", ACTIONS),
        )
}

fn sample(action: &str) -> String {
    JsonObject::new()
        .put("id", "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f")
        .put("account_id", "aaaabbbbccccddddeeeeffff00001111")
        .put("action", action)
        .put("type", "user")
        .finish()
}

hookbox_sdk::module!(Object);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hookbox_sdk::rehearsal::{self, Rehearsal, message};
    use hookbox_sdk::{Event, HandleError, Module};
    use serde_json::{Value, json};

    use super::Object;

    #[test]
    fn samples() {
        rehearsal::check::<Object>("samples");
    }

    fn result(changes: &Value) -> Result<Event, HandleError> {
        let mut body = json!({
            "App-Name": "kazoo_data", "App-Version": "4.0.0", "Event-Category": "configuration",
            "Event-Name": "doc_edited", "Msg-ID": "aa01", "ID": "d1", "Type": "user", "Rev": "7-ab12",
            "Database": "account/aa/aa/bbbbccccddddeeeeffff00001111", "Is-Soft-Deleted": false,
        });
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let message = message("configuration", "doc_edited.db.user.d1", &body.to_string());
        Rehearsal::new().handle::<Object>(message).result.map(|mut events| events.remove(0))
    }

    #[test]
    fn a_document_without_a_type_has_none_in_payload_and_facets() {
        let event = result(&json!({"Type": ["a", true]})).unwrap();
        assert_eq!(
            event.payload,
            r#"{"id":"d1","account_id":"aaaabbbbccccddddeeeeffff00001111","action":"doc_edited"}"#
        );
        assert_eq!(event.facets, [("action".to_owned(), "doc_edited".to_owned())]);
    }

    #[test]
    fn bodies_that_are_no_change_notice_are_malformed() {
        for (changes, reason) in [
            (json!({"ID": 7}), "ID is not a text"),
            (json!({"ID": null}), "ID is not a text"),
            (json!({"Rev": 7}), "Rev is not a text"),
            (json!({"Is-Soft-Deleted": "yes"}), "Is-Soft-Deleted is not a boolean"),
        ] {
            assert_eq!(result(&changes), Err(HandleError::Malformed(reason.to_owned())));
        }
        assert!(result(&json!({"Is-Soft-Deleted": "true"})).is_ok());
    }

    #[test]
    fn other_messages_of_the_exchange_are_not_mine() {
        for name in ["doc_type_update", "doc_type_updated", "", "flush"] {
            assert_eq!(result(&json!({"Event-Name": name})), Err(HandleError::NotMine), "{name}");
        }
    }

    #[test]
    fn a_database_of_an_unexpected_type_belongs_to_nobody() {
        for database in [json!(7), json!(null), json!({}), json!([])] {
            assert_eq!(result(&json!({"Database": database})), Err(HandleError::NotMine));
        }
    }

    #[test]
    fn the_operator_says_which_types_hooks_may_choose_from() {
        let items = |host: Rehearsal| -> Value {
            let (metadata, _) = host.play(Object::metadata);
            let modifiers: Value = serde_json::from_str(&metadata.modifiers).unwrap();
            modifiers["type"]["items"].clone()
        };
        assert_eq!(items(Rehearsal::new()).as_array().unwrap().len(), 11);
        let host = Rehearsal::new().setting("object_types", r#"["device", "all", "menu"]"#);
        assert_eq!(items(host), json!(["all", "device", "menu"]));
    }
}
