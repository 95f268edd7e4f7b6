//! KAZOO's documents into the store: what `hookbox import kazoo FILE` and the reader of CouchDB both do.
//!
//! A file is a JSON array of documents or a CouchDB `_all_docs` answer. Accounts come first, parents before children;
//! then keys, numbers and hooks. One bad document holds up no other: it is refused, with the reason. Whatever is loaded
//! twice changes nothing the second time: a hook keeps the secret that it was given first, and the second hook of a
//! migrated fax hook has an id that follows from the first.

mod accounts;
mod hooks;
mod report;

use std::collections::BTreeSet;

use serde_json::Value;
use thiserror::Error;

pub use report::{Came, Counts, Migrated, Refused, Report};

use crate::{
    account::AccountTree,
    hook::HookRecord,
    message::{AccountId, Object, UnixMs},
    store::{SharedStore, StoreError, StoreResult, secrets::HostKey},
};

/// Nothing more was loaded. What was loaded before stays.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file is no JSON.
    #[error("it is not JSON; save a JSON array of documents, or CouchDB's answer to _all_docs?include_docs=true")]
    NotJson(#[source] serde_json::Error),
    /// The file is JSON of another kind.
    #[error(
        "it has no documents; save a JSON array of documents, or CouchDB's answer to _all_docs?include_docs=true \
         ({{\"rows\": [{{\"doc\": …}}]}})"
    )]
    NoDocuments,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where documents go, and by which rules.
pub struct Destination<'a> {
    /// Where they are kept.
    pub store: &'a SharedStore,
    /// Seals the secret that a new hook gets.
    pub key: &'a HostKey,
    /// Roots come under it.
    pub master: &'a AccountId,
    /// A hook that it refuses is not loaded.
    pub validate: &'a (dyn Fn(&HookRecord) -> Result<(), String> + Sync),
    /// The accounts that are there.
    pub accounts: &'a AccountTree,
    /// What time it is.
    pub now_ms: UnixMs,
}

/// What the parts share.
struct Import<'a> {
    to: &'a Destination<'a>,
    /// Accounts that have just been loaded.
    loaded: BTreeSet<AccountId>,
    report: Report,
}

/// Loads what is in `text`. Roots of the file come under `master`; a hook that `validate` refuses is not loaded.
pub async fn run(
    text: &str,
    store: &SharedStore,
    key: &HostKey,
    master: &AccountId,
    validate: &(dyn Fn(&HookRecord) -> Result<(), String> + Sync),
    now_ms: UnixMs,
) -> Result<Report, ImportError> {
    let documents = documents(text)?;
    let accounts = AccountTree::load(store.as_ref()).await?;
    Ok(load(documents, &Destination { store, key, master, validate, accounts: &accounts, now_ms }).await?)
}

/// Loads documents, in any order.
pub async fn load(documents: Vec<Value>, to: &Destination<'_>) -> StoreResult<Report> {
    let mut import = Import { to, loaded: BTreeSet::new(), report: Report::default() };
    let sorted = import.sort(documents);
    import.load_accounts(&sorted.accounts).await?;
    import.load_numbers(&sorted.numbers).await?;
    import.load_hooks(&sorted.hooks).await?;
    Ok(import.report)
}

/// The documents in the file, with what stands for each in the report should it have no id.
fn documents(text: &str) -> Result<Vec<Value>, ImportError> {
    match serde_json::from_str(text).map_err(ImportError::NotJson)? {
        Value::Array(documents) => Ok(documents),
        Value::Object(mut answer) => match answer.remove("rows") {
            Some(Value::Array(rows)) => Ok(rows.into_iter().filter_map(document_of_row).collect()),
            _ => Err(ImportError::NoDocuments),
        },
        _ => Err(ImportError::NoDocuments),
    }
}

/// A row without its document (a deleted one, or an answer without `include_docs`) is refused later, by its id.
fn document_of_row(mut row: Value) -> Option<Value> {
    if row.pointer("/value/deleted") == Some(&Value::Bool(true)) {
        return Some(serde_json::json!({"_deleted": true}));
    }
    match row.get_mut("doc").map(Value::take) {
        Some(document @ Value::Object(_)) => Some(document),
        _ => Some(row.get("id").cloned().unwrap_or(Value::Null)),
    }
}

/// Documents by type.
#[derive(Default)]
struct Sorted {
    accounts: Vec<Object>,
    numbers: Vec<Object>,
    hooks: Vec<Object>,
}

impl Import<'_> {
    fn sort(&mut self, documents: Vec<Value>) -> Sorted {
        let mut sorted = Sorted::default();
        for (place, document) in documents.into_iter().enumerate() {
            let document = match document {
                Value::Object(document) => document,
                Value::String(id) => {
                    self.report.refuse(&id, "its row has no document; fetch _all_docs with include_docs=true");
                    continue;
                }
                other => {
                    let kind = kind(&other);
                    self.report.refuse(&format!("document {}", place + 1), format!("it is {kind}, not an object"));
                    continue;
                }
            };
            if is_deleted(&document) {
                self.report.deleted += 1;
                continue;
            }
            match text(&document, "pvt_type") {
                Some("account") => sorted.accounts.push(document),
                Some("number") => sorted.numbers.push(document),
                Some("webhook") => sorted.hooks.push(document),
                other => *self.report.passed_over.entry(other.unwrap_or("(no pvt_type)").to_owned()).or_default() += 1,
            }
        }
        sorted
    }

    /// Whether the account is there, or has just been loaded.
    fn knows(&self, account: &AccountId) -> bool {
        account == self.to.master || self.loaded.contains(account) || self.to.accounts.contains(account)
    }

    /// A document's id; one without is refused.
    fn id<'d>(&mut self, document: &'d Object, what: &str) -> Option<&'d str> {
        let id = text(document, "_id").filter(|id| !id.is_empty());
        if id.is_none() {
            self.report.refuse(&format!("({what} without _id)"), "_id is missing");
        }
        id
    }
}

/// Whether a document stands for one that is no more: KAZOO marks them, CouchDB does so too.
pub(super) fn is_deleted(document: &Object) -> bool {
    is_true(document, "pvt_deleted") || is_true(document, "_deleted")
}

/// The text of a field.
pub(super) fn text<'d>(document: &'d Object, field: &str) -> Option<&'d str> {
    document.get(field).and_then(Value::as_str)
}

fn is_true(document: &Object, field: &str) -> bool {
    document.get(field) == Some(&Value::Bool(true))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
