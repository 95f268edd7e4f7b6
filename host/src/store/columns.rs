//! What both backends do with columns: documents as JSON text, times and counts as signed numbers, and rows read by the
//! names of their columns.
//!
//! Documents stay text, in PostgreSQL too: the order of a document's fields is its owner's, and a payload has to come
//! back byte for byte.

use serde::{Serialize, de::DeserializeOwned};

use super::{Changes, StoreError, StoreResult};
use crate::message::{AccountId, Firing, Target};

/// A driver's error with what was being done.
pub(super) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source }
}

/// Times and counts as databases have them.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// … and back.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// JSON for a column.
pub(super) fn json(value: &impl Serialize) -> String {
    // Only maps with keys that are no text cannot be written, and there are none in what is stored.
    serde_json::to_string(value).unwrap_or_default()
}

/// The hook of a firing, when it travelled in the message and is in no table.
pub(super) fn inline(firing: &Firing) -> Option<String> {
    match &firing.target {
        Target::Stored(..) => None,
        Target::Inline(hook) => Some(json(&**hook)),
    }
}

/// A JSON column, read back.
pub(super) fn parsed<T: DeserializeOwned>(what: &'static str, id: &str, text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable {
        what,
        id: id.to_owned(),
        reason: error.to_string(),
    })
}

/// A value that serde writes as one word, as that word.
pub(super) fn word(value: &impl Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}

/// Rows into values; the first that cannot be read ends it.
pub(super) fn each<R, T>(rows: Vec<R>, read: impl Fn(&R) -> StoreResult<T>) -> StoreResult<Vec<T>> {
    rows.iter().map(read).collect()
}

/// A page of changes from rows with a `change` and `deleted`; each is read with whether it is deleted.
pub(super) fn changes<R: Columns, T>(
    rows: &[R],
    cursor: i64,
    doing: &'static str,
    read: impl Fn(&R, bool) -> StoreResult<T>,
) -> StoreResult<Changes<T>> {
    let cursor = match rows.last() {
        Some(row) => Cells::of(row, doing).number("change")?,
        None => cursor,
    };
    let read = |row: &R| read(row, Cells::of(row, doing).flag("deleted")?);
    Ok(Changes { changes: rows.iter().map(read).collect::<StoreResult<_>>()?, cursor })
}

/// An account that may be none (the operator, the system), as a column: there is no account of an empty name.
pub(super) fn name_of(account: Option<&AccountId>) -> &str {
    account.map_or("", AccountId::as_str)
}

/// … and back.
pub(super) fn account_named(name: String) -> Option<AccountId> {
    (!name.is_empty()).then(|| name.into())
}

/// A count that stays small.
pub(super) fn small(count: i64) -> u32 {
    u32::try_from(unsigned(count)).unwrap_or(u32::MAX)
}

/// A row of either backend.
pub(super) trait Columns {
    /// A text.
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error>;
    /// A document, as it was written.
    fn document(&self, column: &str) -> Result<Option<String>, sqlx::Error>;
    /// A number.
    fn number(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
    /// Yes or no.
    fn flag(&self, column: &str) -> Result<bool, sqlx::Error>;
}

/// The columns of a row, read for a purpose, to follow "failed to".
pub(super) struct Cells<'a, R> {
    row: &'a R,
    doing: &'static str,
}

impl<'a, R: Columns> Cells<'a, R> {
    pub(super) fn of(row: &'a R, doing: &'static str) -> Self {
        Self { row, doing }
    }

    fn value<T>(&self, read: Result<Option<T>, sqlx::Error>) -> StoreResult<T> {
        // A column that must have a value and has none is the driver's error too.
        let missing = || sqlx::Error::ColumnDecode { index: String::new(), source: "it has no value".into() };
        read.and_then(|value| value.ok_or_else(missing)).map_err(failed(self.doing))
    }

    pub(super) fn text(&self, column: &str) -> StoreResult<String> {
        self.value(self.row.text(column))
    }

    pub(super) fn text_if_any(&self, column: &str) -> StoreResult<Option<String>> {
        self.row.text(column).map_err(failed(self.doing))
    }

    pub(super) fn number(&self, column: &str) -> StoreResult<i64> {
        self.value(self.row.number(column))
    }

    pub(super) fn count(&self, column: &str) -> StoreResult<u64> {
        self.number(column).map(unsigned)
    }

    pub(super) fn count_if_any(&self, column: &str) -> StoreResult<Option<u64>> {
        self.row.number(column).map(|value| value.map(unsigned)).map_err(failed(self.doing))
    }

    pub(super) fn flag(&self, column: &str) -> StoreResult<bool> {
        self.row.flag(column).map_err(failed(self.doing))
    }

    /// A JSON column of a thing that messages name.
    pub(super) fn json<T: DeserializeOwned>(&self, what: &'static str, id: &str, column: &str) -> StoreResult<T> {
        parsed(what, id, &self.value(self.row.document(column))?)
    }

    pub(super) fn json_if_any<T: DeserializeOwned>(
        &self,
        what: &'static str,
        id: &str,
        column: &str,
    ) -> StoreResult<Option<T>> {
        let text = self.row.document(column).map_err(failed(self.doing))?;
        text.map(|text| parsed(what, id, &text)).transpose()
    }
}
