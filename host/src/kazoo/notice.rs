//! What a change notice says of a document, by plain rules.

use serde_json::Value;

use super::{ACCOUNTS, HOOKS, NUMBERS};
use crate::message::Object;

/// A document that somebody else has changed, to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its database, in CouchDB's own spelling.
    pub database: String,
    /// Its `_id`.
    pub document: String,
    /// The revision that it had when the notice was published: what is fetched is at least as new.
    pub revision: Option<String>,
    /// Whether it has been deleted; else a fetch finds it.
    pub is_deleted: bool,
}

impl Changed {
    /// What a notice asks to be fetched; `None` for what is of no interest, and for what Hookbox has published itself,
    /// which is about its own store.
    pub fn of_notice(body: &Object) -> Option<Self> {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let action = text("Event-Name")?;
        if !matches!(action, "doc_created" | "doc_edited" | "doc_deleted") || is_own(text("Node")) {
            return None;
        }
        let database = percent_encoding::percent_decode_str(text("Database")?).decode_utf8().ok()?;
        let database = match (&*database, text("Type")?) {
            (HOOKS, "webhook") => HOOKS,
            // An account's document is in its own database too, with a revision of its own; that one is not read.
            (_, "account") => ACCOUNTS,
            (database, "number") if database.starts_with(NUMBERS) => database,
            _ => return None,
        };
        let document = text("ID").filter(|id| !id.is_empty() && !id.starts_with('_'))?;
        let revision = text("Rev").filter(|_| text("Database") == Some(database) || database.starts_with(NUMBERS));
        Some(Self {
            database: database.to_owned(),
            document: document.to_owned(),
            // Whether what is in another database went too is not said.
            is_deleted: action == "doc_deleted" || revision.is_none(),
            revision: revision.map(str::to_owned),
        })
    }
}

/// Whether the publisher is a Hookbox.
pub fn is_own(node: Option<&str>) -> bool {
    node.is_some_and(|node| node.starts_with("hookbox@"))
}

/// The number that a revision begins with, which counts up with each change; 0 for what is no revision.
pub fn generation(revision: &str) -> u64 {
    revision.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(database: &str, kind: &str, id: &str, more: Value) -> Option<Changed> {
        let mut body = json!({"Event-Name": "doc_edited", "Database": database, "Type": kind, "ID": id, "Rev": "7-ab",
            "Node": "kazoo_apps@apps1"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        Changed::of_notice(body.as_object().unwrap())
    }

    fn of(database: &str, document: &str, revision: Option<&str>) -> Option<Changed> {
        Some(Changed {
            is_deleted: revision.is_none(),
            database: database.to_owned(),
            document: document.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    #[test]
    fn notices_name_what_to_fetch() {
        let none = || json!({});
        assert_eq!(changed("webhooks", "webhook", "h1", none()), of("webhooks", "h1", Some("7-ab")));
        assert_eq!(changed("accounts", "account", "a1", none()), of("accounts", "a1", Some("7-ab")));
        assert_eq!(
            changed("account%2Fa1", "account", "a1", none()),
            of("accounts", "a1", None),
            "its revision is another database's"
        );
        assert_eq!(
            changed("numbers%2F%2B1312", "number", "+13125550111", none()),
            of("numbers/+1312", "+13125550111", Some("7-ab"))
        );
    }

    #[test]
    fn what_is_of_no_interest_is_passed_over() {
        assert_eq!(changed("account%2Fa1", "user", "u1", json!({})), None);
        assert_eq!(changed("webhooks", "webhook", "_design/x", json!({})), None);
        assert_eq!(changed("webhooks", "webhook", "h1", json!({"Event-Name": "db_created"})), None);
        assert_eq!(changed("webhooks", "webhook", "h1", json!({"Node": "hookbox@n1"})), None, "our own");
        assert_eq!(changed("webhooks", "webhook", "h1", json!({"ID": 7})), None);
    }

    #[test]
    fn revisions_count_up() {
        assert_eq!([generation("12-ab"), generation("1"), generation("x-1"), generation("")], [12, 1, 0, 0]);
    }
}
