//! What commands print on stdout: [`Table`]s and fields for people, JSON for programs.
//!
//! No colours, and as wide as what is in it, so that it is the same in a terminal, a pipe and a file. Texts come from hosts,
//! clients and receivers, so control characters are shown, not sent to the terminal. A reader that goes away in the middle
//! (`| head`) is no fault.

use std::io::Write;

use comfy_table::presets::NOTHING;
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::GREGORIAN_OFFSET_S;

/// The longest address in a table, characters.
pub(super) const URI_WIDTH: usize = 60;
/// What stands where there is nothing.
const NOTHING_THERE: &str = "-";
/// Between two columns.
const GAP: u16 = 2;

/// Rows under a header.
pub(super) struct Table(comfy_table::Table);

impl Table {
    /// One with these columns, and no rows.
    pub(super) fn new(columns: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_header(columns.iter().map(|name| name.to_uppercase()));
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, GAP));
        });
        Self(table)
    }

    /// Adds a row: as many texts as there are columns.
    pub(super) fn row(&mut self, texts: impl IntoIterator<Item = String>) {
        self.0.add_row(texts.into_iter().map(|text| one_line(&text)));
    }

    /// Prints it; `none` when it has no rows.
    pub(super) fn print(&self, none: &str) {
        match self.0.is_empty() {
            true => say(none),
            false => say(&self.text()),
        }
    }

    fn text(&self) -> String {
        self.0.trim_fmt()
    }
}

/// Prints a row of a list that goes on: its columns cannot be as wide as what is in them.
pub(super) fn print_row(texts: impl IntoIterator<Item = String>) {
    let texts: Vec<_> = texts.into_iter().map(|text| one_line(&text)).collect();
    say(&texts.join("  "));
}

/// Prints a thing's fields, one a line; those without a value are left out.
pub(super) fn print_fields(fields: &[(&str, String)]) {
    let fields = fields.iter().filter(|(_, text)| text != NOTHING_THERE);
    let width = fields.clone().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, text) in fields {
        say(&format!("{name:width$}  {}", one_line(text)));
    }
}

/// Prints what a host answered, for programs.
pub(super) fn print_json(data: &Value) {
    // Text of a value that was JSON before can always be made.
    say(&serde_json::to_string_pretty(data).unwrap_or_default());
}

/// Prints a line.
pub(super) fn say(line: &str) {
    // Whoever reads may have gone, which is their choice; `println!` would panic.
    writeln!(std::io::stdout(), "{line}").ok();
}

/// A field's value in a table: texts as they are, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => NOTHING_THERE.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING_THERE.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Seconds since year 0, as RFC 3339 in UTC; the number itself when it is no time that can be written so.
pub(super) fn time(gregorian_s: &Value) -> String {
    let written = gregorian_s.as_u64().and_then(|s| {
        let since_1970 = i64::try_from(s).ok()?.checked_sub(i64::try_from(GREGORIAN_OFFSET_S).ok()?)?;
        OffsetDateTime::UNIX_EPOCH.checked_add(Duration::seconds(since_1970))?.format(&Rfc3339).ok()
    });
    written.unwrap_or_else(|| text(gregorian_s))
}

/// At most `width` characters of a text, with `…` in the place of what is cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The text with its control characters escaped.
fn one_line(text: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["id", "name"]);
        table.row(["1".to_owned(), "long\u{1b}[31m".to_owned()]);
        table.row(["22222".to_owned(), "ü".to_owned()]);
        assert_eq!(table.text(), "ID     NAME\n1      long\\u{1b}[31m\n22222  ü");
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(time(&json!(GREGORIAN_OFFSET_S)), "1970-01-01T00:00:00Z");
        assert_eq!(time(&json!(63_939_456_000_u64)), "2026-02-28T00:00:00Z");
        assert_eq!(time(&json!(u64::MAX)), u64::MAX.to_string());
        assert_eq!(time(&Value::Null), "-");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("12345", 5), "12345");
        assert_eq!(cut("123456", 5), "1234…");
        assert_eq!(cut("üüüüüü", 2), "ü…");
    }

    #[test]
    fn values_are_texts() {
        assert_eq!(
            [json!("a"), json!(""), json!(null), json!(true)].map(|value| text(&value)),
            ["a", "-", "-", "true"]
        );
    }
}
