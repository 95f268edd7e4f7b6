//! `hookbox import kazoo FILE`: KAZOO's documents straight into the store.
//!
//! FILE is a JSON array of documents or a CouchDB `_all_docs` answer. Accounts come first, parents before children;
//! then keys, numbers and hooks. One bad document holds up no other: it is refused, with the reason. Whatever is loaded
//! twice changes nothing the second time: a hook keeps the secret that it was given first, and the second hook of a
//! migrated fax hook has an id that follows from the first.

mod accounts;
mod hooks;
mod report;

use std::collections::BTreeSet;

use serde_json::Value;
use thiserror::Error;

pub use report::{Counts, Migrated, Refused, Report};

use crate::{
    hook::HookRecord,
    message::{AccountId, Object, UnixMs},
    store::{SharedStore, StoreError, secrets::HostKey},
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

/// What the parts share.
struct Import<'a> {
    store: &'a SharedStore,
    key: &'a HostKey,
    master: &'a AccountId,
    validate: &'a (dyn Fn(&HookRecord) -> Result<(), String> + Sync),
    now_ms: UnixMs,
    /// Accounts that are there, or have just been loaded.
    known: BTreeSet<AccountId>,
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
    let mut known: BTreeSet<AccountId> = store.accounts().await?.into_iter().map(|account| account.id).collect();
    known.insert(master.clone());
    let mut import = Import { store, key, master, validate, now_ms, known, report: Report::default() };
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
            if is_true(&document, "pvt_deleted") || is_true(&document, "_deleted") {
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

    /// A document's id; one without is refused.
    fn id<'d>(&mut self, document: &'d Object, what: &str) -> Option<&'d str> {
        let id = text(document, "_id").filter(|id| !id.is_empty());
        if id.is_none() {
            self.report.refuse(&format!("({what} without _id)"), "_id is missing");
        }
        id
    }
}

fn text<'d>(document: &'d Object, field: &str) -> Option<&'d str> {
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
