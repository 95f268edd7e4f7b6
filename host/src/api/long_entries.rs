//! A page of entries that may be long (attempts, undelivered firings, dead letters): it ends after `page_size` entries, at
//! `api.list_bytes_max`, or when a filter has passed over `api.list_looks_max` rows, whichever comes first, and rows are
//! fetched a few at a time.

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
    looks_left: u64,
    /// The last row that was passed over, when none was taken since.
    passed: Option<P>,
}

impl<'a, P: Serialize> LongEntries<'a, P> {
    /// Nothing yet.
    pub fn new(paging: &'a Paging, api: &Api) -> Self {
        let bytes_max = usize::try_from(api.settings.list_bytes_max).unwrap_or(usize::MAX);
        // A list that is wanted whole has no next page.
        let looks_left = if paging.whole { u64::MAX } else { api.settings.list_looks_max };
        Self { paging, bytes_max, bytes: 0, entries: Vec::new(), looks_left, passed: None }
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
            self.passed = None;
        }
    }

    /// Passes over a row that is not to be listed.
    pub fn pass_over(&mut self, place: P) {
        if !self.is_full() {
            self.looks_left -= 1;
            self.passed = Some(place);
        }
    }

    /// Whether nothing more is taken: there is more than the page can hold, or enough was looked at.
    pub fn is_full(&self) -> bool {
        self.has_too_many() || self.looks_left == 0
    }

    fn has_too_many(&self) -> bool {
        self.entries.len() > self.paging.page_size || self.has_too_many_bytes()
    }

    fn has_too_many_bytes(&self) -> bool {
        // One entry is always given, however long.
        self.bytes > self.bytes_max && self.entries.len() > 1
    }

    /// The page, and where the next one begins.
    pub fn answer(self) -> Result<Answer, Problem> {
        if self.looks_left == 0 && !self.has_too_many() {
            let last = self.passed.as_ref().or(self.entries.last().map(|(place, _)| place));
            let page = self.paging.ended_after(self.entries.len(), last);
            return Ok(Answer::page(self.entries.into_iter().map(|(_, entry)| entry).collect(), page));
        }
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
