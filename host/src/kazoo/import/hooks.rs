//! Hooks, and what becomes of those for events that KAZOO has given up.

use ring::digest;
use serde_json::{Value, json};

use super::{Import, Migrated, text};
use crate::{
    clock::GREGORIAN_OFFSET_S,
    hook::HookRecord,
    message::{AccountId, HookId, Object},
    store::{StoreResult, origins::Thing, secrets::new_secret},
};

/// Hooks that are written in one transaction.
const ROWS_AT_ONCE: usize = 500;
/// Events that became types of `notifications`, and what the second hook, for errors, is for.
const OLD_EVENTS: [(&str, Option<&str>); 3] =
    [("callflow", None), ("inbound_fax", Some("inbound_fax_error")), ("outbound_fax", Some("outbound_fax_error"))];
/// What a hook is when its document does not say: KAZOO's schema.
fn defaults() -> [(&'static str, Value); 5] {
    [
        ("http_verb", json!("post")),
        ("format", json!("form-data")),
        ("retries", json!(2)),
        ("enabled", json!(true)),
        ("include_internal_legs", json!(true)),
    ]
}

impl Import<'_> {
    pub(super) async fn load_hooks(&mut self, documents: &[Object]) -> StoreResult<()> {
        let mut records = Vec::with_capacity(documents.len());
        for document in documents {
            let Some(id) = self.id(document, "webhook") else { continue };
            match self.owner(document) {
                Ok(owner) => {
                    for record in self.hooks_of(id, owner, document).await? {
                        self.report.came(id, Thing::Hook(record.id.clone()), &record.account);
                        records.push(record);
                    }
                }
                Err(reason) => self.report.refuse(id, reason),
            }
        }
        for some in records.chunks(ROWS_AT_ONCE) {
            for changed in self.to.store.put_hooks(some, self.to.now_ms).await? {
                self.report.hooks.add(changed);
            }
        }
        Ok(())
    }

    fn owner(&self, document: &Object) -> Result<AccountId, String> {
        let owner = text(document, "pvt_account_id").ok_or("pvt_account_id is missing: the hook has no owner")?;
        let owner = AccountId::from(owner);
        match self.knows(&owner) {
            true => Ok(owner),
            false => Err(format!("account {owner} (pvt_account_id) is not known; put it into the file too")),
        }
    }

    /// The hook of a document, and its second one when there is to be one; nothing when it is refused.
    async fn hooks_of(&mut self, id: &str, owner: AccountId, document: &Object) -> StoreResult<Vec<HookRecord>> {
        let migration = migrated(id, public(document));
        let mut records = Vec::new();
        for (id, fields) in [Some((id.to_owned(), migration.first)), migration.second].into_iter().flatten() {
            let record = match self.record(&id, &owner, document, fields).await? {
                Ok(record) => record,
                Err(reason) => {
                    self.report.refuse(&id, reason);
                    return Ok(Vec::new());
                }
            };
            records.push(record);
        }
        if let Some(from) = migration.from {
            let second = records.get(1).map(|second| second.id.to_string());
            self.report.migrated.push(Migrated { id: id.to_owned(), from, second });
        }
        Ok(records)
    }

    /// The record, checked; with the secrets that the hook has, or a new one.
    async fn record(
        &self,
        id: &str,
        owner: &AccountId,
        document: &Object,
        fields: Object,
    ) -> StoreResult<Result<HookRecord, String>> {
        let id = HookId::from(id);
        let found = self.to.store.hook(&id).await?;
        if let Some(found) = found.as_ref().filter(|found| found.account != *owner) {
            return Ok(Err(format!("it is a hook of account {} already; give it another _id", found.account)));
        }
        let secrets = match &found {
            Some(found) => found.secrets.clone(),
            None => match self.to.key.seal(&id, &new_secret()) {
                Ok(secret) => vec![secret],
                Err(error) => return Ok(Err(error.to_string())),
            },
        };
        let created_s = document.get("pvt_created").and_then(Value::as_u64);
        let record = HookRecord {
            id,
            account: owner.clone(),
            document: fields,
            disabled_message: text(document, "pvt_disabled_message").map(str::to_owned),
            secrets,
            revision: 1,
            created_ms: created_s
                .and_then(|created_s| created_s.checked_sub(GREGORIAN_OFFSET_S))
                .map_or(self.to.now_ms, |unix_s| unix_s.saturating_mul(1000)),
        };
        Ok((self.to.validate)(&record).map(|()| record))
    }
}

/// What CouchDB and KAZOO keep for themselves goes; so does a secret, which is never in a document.
fn public(document: &Object) -> Object {
    let is_public = |name: &str| !name.starts_with('_') && !name.starts_with("pvt_") && name != "secret";
    let mut fields: Object = document
        .iter()
        .filter(|(name, _)| is_public(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, default) in defaults() {
        if fields.get(name).is_none_or(Value::is_null) {
            fields.insert(name.to_owned(), default);
        }
    }
    fields
}

/// A document after migration: the fields of one hook, or of two.
struct Migration {
    /// The event that it was for, when it was an old one.
    from: Option<String>,
    first: Object,
    second: Option<(String, Object)>,
}

/// KAZOO turns these hooks into `notifications` hooks with a `type` beside `hook`, where matching does not look, so that
/// they fire for every notification. Here the type goes into `custom_data`; also for those that KAZOO has migrated.
fn migrated(id: &str, fields: Object) -> Migration {
    let event = text(&fields, "hook").unwrap_or_default().to_ascii_lowercase();
    if let Some((old, errors)) = OLD_EVENTS.iter().find(|(old, _)| *old == event) {
        let second_id = errors.map(|kind| (id_for(id, kind), kind));
        let mut first = typed(fields.clone(), old);
        let second = second_id.map(|(second_id, kind)| {
            first.insert("other_id".into(), json!(second_id));
            let mut second = typed(fields, kind);
            second.insert("other_id".into(), json!(id));
            (second_id, second)
        });
        return Migration { from: Some((*old).to_owned()), first, second };
    }
    match text(&fields, "type").map(str::to_owned) {
        Some(kind) if event == "notifications" && !has_type(&fields) => {
            let first = typed(fields, &kind);
            Migration { from: Some(format!("notifications with type {kind}")), first, second: None }
        }
        _ => Migration { from: None, first: fields, second: None },
    }
}

fn has_type(fields: &Object) -> bool {
    fields.get("custom_data").is_some_and(|data| data.get("type").is_some())
}

/// The hook for one type of notification.
fn typed(mut fields: Object, kind: &str) -> Object {
    fields.shift_remove("type");
    fields.insert("hook".into(), json!("notifications"));
    let mut data = match fields.get_mut("custom_data").map(Value::take) {
        Some(Value::Object(data)) => data,
        _ => Object::new(),
    };
    data.insert("type".into(), json!(kind));
    fields.insert("custom_data".into(), Value::Object(data));
    fields
}

/// The same id each time, so that importing twice makes one second hook.
fn id_for(id: &str, kind: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{id} {kind}").as_bytes());
    hex::encode(&digest.as_ref()[..16])
}
