//! A page of entries that may be long (attempts, undelivered firings, dead letters): it ends after `page_size` entries, or
//! at `api.list_bytes_max`, whichever comes first, and rows are fetched a few at a time.

use serde::Serialize;
use serde_json::Value;

use super::{Api, answer::Answer, paging::Paging, problem::Problem};
use crate::message::Object;

/// Rows fetched at once.
const ROWS_AT_ONCE: u32 = 100;

/// What is gathered of a page.
pub struct LongEntries<'a, P> {
    paging: &'a Paging,
    bytes_max: usize,
    bytes: usize,
    entries: Vec<(P, Value)>,
}

impl<'a, P: Serialize> LongEntries<'a, P> {
    /// Nothing yet.
    pub fn new(paging: &'a Paging, api: &Api) -> Self {
        let bytes_max = usize::try_from(api.settings.list_bytes_max).unwrap_or(usize::MAX);
        Self { paging, bytes_max, bytes: 0, entries: Vec::new() }
    }

    /// How many rows to fetch next.
    pub fn rows_to_fetch(&self) -> u32 {
        ROWS_AT_ONCE
    }

    /// Takes an entry with its place; one that comes after the page is full is not kept.
    pub fn push(&mut self, place: P, entry: Object) {
        if !self.is_full() {
            let entry = Value::Object(entry);
            self.bytes += bytes(&entry);
            self.entries.push((place, entry));
        }
    }

    /// Whether there is more than the page can hold.
    pub fn is_full(&self) -> bool {
        self.entries.len() > self.paging.page_size || self.has_too_many_bytes()
    }

    fn has_too_many_bytes(&self) -> bool {
        // One entry is always given, however long.
        self.bytes > self.bytes_max && self.entries.len() > 1
    }

    /// The page, and where the next one begins.
    pub fn answer(self) -> Result<Answer, Problem> {
        let mut paging = self.paging.clone();
        if self.has_too_many_bytes() {
            if paging.whole {
                return Err(Problem::too_many_bytes(self.bytes_max as u64));
            }
            paging.page_size = paging.page_size.min(self.entries.len() - 1);
        }
        let (data, page) = paging.cut(self.entries)?;
        Ok(Answer::page(data, page))
    }
}

/// About as many as the value has as JSON.
fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(bytes).sum::<usize>() + list.len() + 2,
        Value::Object(object) => object.iter().map(|(key, value)| key.len() + 4 + bytes(value)).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}
