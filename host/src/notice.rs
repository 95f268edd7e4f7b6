//! What the platform is told: of changes, as KAZOO's data layer tells it, by notices on the `configuration` exchange; of what
//! people should know, on `notifications`. Plain functions: the store keeps a notice with the change that it tells of,
//! [`crate::changes`] publishes it.

use ring::digest;
use serde_json::{Value, json};

use crate::{
    account::AccountRecord,
    clock::gregorian_s,
    hook::HookRecord,
    message::{AccountId, HookId, ModuleId, Object, UnixMs},
    module::Kind,
    store::registered_modules::{Quarantine, RegisteredModule},
};

/// The exchange of what people are notified of.
pub const NOTIFICATIONS: &str = "notifications";

/// A message waiting to be published on the broker: written in the transaction that it tells of, removed when the broker
/// has confirmed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Counts up; 0 before it is stored.
    pub id: i64,
    /// The exchange to publish to.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The body.
    pub body: Object,
}

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Change {
    Created,
    Edited,
    Deleted,
}

impl Change {
    fn event_name(self) -> &'static str {
        match self {
            Change::Created => "doc_created",
            Change::Edited => "doc_edited",
            Change::Deleted => "doc_deleted",
        }
    }
}

/// Who tells, when, and in what request.
#[derive(Clone, Debug)]
pub struct Sender<'a> {
    /// What notices name as their node, e.g. `hookbox@host`.
    pub node: &'a str,
    /// `Msg-ID`; one is drawn when there is no request.
    pub request_id: Option<&'a str>,
    /// When.
    pub now_ms: UnixMs,
}

/// A document, as notices name it.
struct Document<'a> {
    database: String,
    kind: &'static str,
    id: &'a str,
    account: &'a AccountId,
    revision: Option<String>,
    created_ms: Option<UnixMs>,
}

/// The notice of a hook that was made, edited or deleted.
pub fn of_hook(record: &HookRecord, revision: i64, change: Change, sender: &Sender<'_>) -> Notice {
    let document = Document {
        database: "webhooks".into(),
        kind: "webhook",
        id: record.id.as_str(),
        account: &record.account,
        revision: Some(revision_word(revision, &record.document)),
        created_ms: Some(record.created_ms),
    };
    notice(&document, change, sender)
}

/// The notice of a hook that was edited, by who knows no more of it.
pub fn of_edited_hook(account: &AccountId, hook: &HookId, sender: &Sender<'_>) -> Notice {
    let (database, kind) = ("webhooks".into(), "webhook");
    let document = Document { database, kind, id: hook.as_str(), account, revision: None, created_ms: None };
    notice(&document, Change::Edited, sender)
}

/// The notices of an account: its document lives in a database of its own and in `accounts`, so there are two.
pub fn of_account(record: &AccountRecord, revision: i64, change: Change, sender: &Sender<'_>) -> [Notice; 2] {
    let id = &record.account.id;
    [account_database(id.as_str()), "accounts".to_owned()].map(|database| {
        let document = Document {
            database,
            kind: "account",
            id: id.as_str(),
            account: id,
            revision: Some(revision_word(revision, &record.document)),
            created_ms: Some(record.created_ms),
        };
        notice(&document, change, sender)
    })
}

/// The notice of a module or transform that was made, changed (a version activated, settings) or deleted. Its document is
/// in the account's database, named as everywhere: `account/name`.
pub fn of_module(module: &RegisteredModule, revision: i64, change: Change, sender: &Sender<'_>) -> Notice {
    let id = module.id();
    let shown = [("active".to_owned(), json!(module.active))].into_iter().collect();
    let document = Document {
        database: account_database(module.account.as_str()),
        kind: "webhook_module",
        id: id.as_str(),
        account: &module.account,
        revision: Some(revision_word(revision, &shown)),
        created_ms: Some(module.created_ms),
    };
    notice(&document, change, sender)
}

/// The notice of an account whose modules have other limits now, which stand in its database.
pub fn of_module_limits(account: &AccountId, sender: &Sender<'_>) -> Notice {
    let (database, kind) = (account_database(account.as_str()), "webhook_module_limits");
    let document =
        Document { database, kind, id: "configs_webhook_modules", account, revision: None, created_ms: None };
    notice(&document, Change::Edited, sender)
}

/// The notification of a module or transform that is being put into quarantine, to whom it belongs: hooks can take it, as
/// those of failing hooks (`guest-modules/notifications`).
pub fn of_quarantine(
    account: &AccountId,
    module: &ModuleId,
    kind: Kind,
    quarantine: &Quarantine,
    node: &str,
) -> Notice {
    let mut more = json!({
        "Module-ID": module,
        "Module-Kind": kind,
        "Module-Version": quarantine.version,
        "Module-Digest": quarantine.digest,
        "Reason": quarantine.reason,
    });
    if let Some(message) = &quarantine.last_message {
        more["Last-Message"] = json!(message);
    }
    notification("webhook_module_quarantined", "webhook.module_quarantined", account, node, more)
}

/// What an account's people, or programs, are to know: `name` is the event's, `key` what follows `notifications.` in the
/// routing key, `more` what the event says besides the usual.
pub fn notification(name: &str, key: &str, account: &AccountId, node: &str, more: Value) -> Notice {
    let body = json!({
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "notification",
        "Event-Name": name,
        "Msg-ID": drawn_id(),
        "Node": node,
        "Account-ID": account,
    });
    let mut body = object(body);
    body.extend(object(more));
    Notice { id: 0, exchange: NOTIFICATIONS.into(), routing_key: format!("{NOTIFICATIONS}.{key}"), body }
}

fn drawn_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn notice(document: &Document<'_>, change: Change, sender: &Sender<'_>) -> Notice {
    let name = change.event_name();
    let mut body = json!({
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": name,
        "Msg-ID": sender.request_id.map_or_else(drawn_id, str::to_owned),
        "Node": sender.node,
        "Account-ID": document.account,
        "Database": document.database,
        "ID": document.id,
        "Type": document.kind,
        "Date-Modified": gregorian_s(sender.now_ms),
        "Is-Soft-Deleted": change == Change::Deleted,
    });
    if let Some(revision) = &document.revision {
        body["Rev"] = json!(revision);
    }
    if let Some(created_ms) = document.created_ms {
        body["Date-Created"] = json!(gregorian_s(created_ms));
    }
    Notice {
        id: 0,
        exchange: "configuration".into(),
        routing_key: format!("{name}.{}.{}.{}", document.database, document.kind, key_word(document.id)),
        body: object(body),
    }
}

/// A revision in CouchDB's form: how many, and of what.
fn revision_word(revision: i64, document: &Object) -> String {
    let text = serde_json::to_string(document).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    format!("{revision}-{}", hex::encode(&digest.as_ref()[..16]))
}

/// The name of an account's database as CouchDB's paths show it.
fn account_database(id: &str) -> String {
    match (id.get(..2), id.get(2..4), id.get(4..)) {
        (Some(first), Some(second), Some(rest)) if !rest.is_empty() => format!("account%2F{first}%2F{second}%2F{rest}"),
        _ => format!("account%2F{id}"),
    }
}

/// An id as one word of a routing key, in KAZOO's encoding.
pub fn key_word(id: &str) -> String {
    if matches!(id, "" | "*" | "#") {
        return id.to_owned();
    }
    let mut word = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'~' | b'_' => word.push(char::from(byte)),
            b' ' => word.push('+'),
            other => word.push_str(&format!("%{other:02X}")),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use insta::assert_json_snapshot;

    use super::*;
    use crate::account::Account;

    const SENDER: Sender<'static> =
        Sender { node: "hookbox@n1", request_id: Some("(request)"), now_ms: 1_714_100_000_000 };

    #[test]
    fn an_account_is_told_of_twice() {
        let id = AccountId::from("aaaabbbbccccddddeeeeffff00001111");
        let account = Account { id, name: "acme".into(), tree: vec!["master".into()], reseller: None };
        let document = json!({"name": "acme"}).as_object().cloned().unwrap_or_default();
        let record =
            AccountRecord { account, is_reseller: false, document, revision: 6, created_ms: 1_714_000_000_000 };
        let [own, shared] = of_account(&record, 7, Change::Edited, &SENDER);
        assert_eq!(
            own.routing_key,
            "doc_edited.account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111.account.aaaabbbbccccddddeeeeffff00001111"
        );
        assert_eq!(shared.routing_key, "doc_edited.accounts.account.aaaabbbbccccddddeeeeffff00001111");
        assert_json_snapshot!(own.body);
    }

    #[test]
    fn a_hook_is_named_in_one_word() {
        let notice = of_edited_hook(&"a1".into(), &"h.1".into(), &SENDER);
        assert_eq!(notice.routing_key, "doc_edited.webhooks.webhook.h%2E1");
        assert_json_snapshot!(notice.body);
    }

    #[test]
    fn a_quarantine_says_what_failed_and_why() {
        let quarantine = Quarantine {
            reason: "failed 20 times".into(),
            digest: "d1".into(),
            version: "1.2.0".into(),
            since_ms: 1,
            last_message: Some("m7".into()),
        };
        let notice = of_quarantine(&"a1".into(), &"a1/crm".into(), Kind::Transform, &quarantine, SENDER.node);
        let place = (notice.exchange.as_str(), notice.routing_key.as_str());
        assert_eq!(place, ("notifications", "notifications.webhook.module_quarantined"));
        let mut body = Value::Object(notice.body);
        assert_eq!(body["Msg-ID"].take().as_str().map(str::len), Some(32));
        let expected = json!({
            "App-Name": "webhooks", "App-Version": "4.0.0", "Event-Category": "notification",
            "Event-Name": "webhook_module_quarantined", "Msg-ID": null, "Node": "hookbox@n1", "Account-ID": "a1",
            "Module-ID": "a1/crm", "Module-Kind": "transform", "Module-Version": "1.2.0", "Module-Digest": "d1",
            "Reason": "failed 20 times", "Last-Message": "m7",
        });
        assert_eq!(body, expected);
        let unknown = Quarantine { last_message: None, ..quarantine };
        let notice = of_quarantine(&"a1".into(), &"sms".into(), Kind::Module, &unknown, SENDER.node);
        assert!(!notice.body.contains_key("Last-Message"));
    }

    #[test]
    fn ids_become_one_word() {
        for (id, word) in
            [("a.b@c:1", "a%2Eb%40c%3A1"), ("100%", "100%25"), ("é", "%C3%A9"), ("a b", "a+b"), ("*", "*")]
        {
            assert_eq!(key_word(id), word);
        }
    }
}
