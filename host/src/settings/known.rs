//! Which keys there are, and what is said when one is written wrongly. The keys are read from `hookbox.example.toml`,
//! the unset ones (`# key = …`) included, so nothing is listed twice.

use std::sync::LazyLock;

use figment::{
    error::{Actual, Kind},
    value::Value,
};

use super::EXAMPLE;

/// How alike a wrong name must be to the one that is proposed; 1 is the same.
const LIKENESS_MIN: f64 = 0.5;

static KNOWN: LazyLock<Known> = LazyLock::new(Known::read);

/// What the example names.
struct Known {
    sections: Vec<String>,
    /// As `section.key`.
    keys: Vec<String>,
}

impl Known {
    fn read() -> Self {
        let mut known = Self { sections: Vec::new(), keys: Vec::new() };
        for line in EXAMPLE.lines() {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                known.sections.push(section.to_owned());
            } else if let (Some(key), Some(section)) = (key_of(line), known.sections.last()) {
                known.keys.push(format!("{section}.{key}"));
            }
        }
        known
    }

    fn has(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key == path)
    }
}

/// The key of a line `key = …` or `# key = …`.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    (!key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')).then_some(key)
}

/// The name most like `wrong`, when there is one that is like it at all.
fn nearest<'a>(wrong: &str, names: &'a [String]) -> Option<&'a str> {
    names
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wrong, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.as_str())
}

/// The keys of a settings file that do not exist.
pub(super) fn unknown_keys(table: &toml::Table, place: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (section, value) in table {
        if !KNOWN.sections.contains(section) {
            let remedy = match nearest(section, &KNOWN.sections) {
                Some(near) => format!("did you mean [{near}]?"),
                None => "hookbox.example.toml lists all".to_owned(),
            };
            problems.push(format!("{place}: there is no section [{section}]; {remedy}"));
            continue;
        }
        let Some(keys) = value.as_table() else {
            problems
                .push(format!("{place}: {section} is a section, not a value; write [{section}] and its keys below"));
            continue;
        };
        for key in keys.keys() {
            let path = format!("{section}.{key}");
            if !KNOWN.has(&path) {
                problems.push(format!("{place}: there is no setting {path}; {}", proposal(&path)));
            }
        }
    }
    problems
}

fn proposal(path: &str) -> String {
    match nearest(path, &KNOWN.keys) {
        Some(near) => format!("did you mean {near}?"),
        None => "hookbox.example.toml lists all".to_owned(),
    }
}

/// Says where the file is not TOML.
pub(super) fn syntax_problem(place: &str, text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    format!(
        "{place}: line {line} is not TOML ({}); mend it, hookbox.example.toml shows the form",
        error.message().trim()
    )
}

/// Whether an environment variable `HOOKBOX_SECTION__KEY` names no setting; `path` is `section.key`.
pub(super) fn unknown_variable(variable: &str, path: &str) -> Option<String> {
    if KNOWN.has(path) {
        return None;
    }
    let remedy = match nearest(path, &KNOWN.keys) {
        Some(near) => format!("did you mean {}?", variable_of(near)),
        None => "hookbox.example.toml lists all settings".to_owned(),
    };
    Some(format!("environment: {variable} names no setting; {remedy}"))
}

/// The variable that overrides `section.key`.
pub(super) fn variable_of(path: &str) -> String {
    format!("HOOKBOX_{}", path.replace('.', "__").to_uppercase())
}

/// The value of an environment variable: as in TOML, or the text itself when it is none (`0.0.0.0:8000`, `info`).
pub(super) fn variable_value(text: &str) -> Value {
    let as_toml = format!("value = {text}").parse::<toml::Table>().ok().filter(|table| table.len() == 1);
    as_toml
        .and_then(|mut table| table.remove("value"))
        .and_then(|value| Value::serialize(value).ok())
        .unwrap_or_else(|| Value::from(text))
}

/// Says which setting is of the wrong type, where it stands, and what is expected. The value itself is shown unless it
/// may be a secret.
pub(super) fn type_problem(error: figment::Error) -> String {
    let path = error.path.join(".");
    let file =
        error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref()).and_then(figment::Source::file_path);
    let (place, key) = match file {
        Some(file) => (file.display().to_string(), path.clone()),
        None if error.metadata.as_ref().is_some_and(|metadata| metadata.name.starts_with("TOML")) => {
            ("settings".to_owned(), path.clone())
        }
        None => ("environment".to_owned(), variable_of(&path)),
    };
    let secret = path.contains("key") || path.contains("url");
    let wrong = match &error.kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let found = if secret { "something else".to_owned() } else { shown(found) };
            let text = place == "environment" && expected.contains("string");
            let quoted = if text { ", in quotes since it reads as something else" } else { "" };
            format!("is {found}; use {}{quoted}", in_words(expected))
        }
        Kind::UnknownVariant(found, words) => format!("is {found:?}; use {}", words.join(" or ")),
        Kind::Message(_) if secret => "cannot be read; hookbox.example.toml shows the form".to_owned(),
        other => format!("cannot be read ({other}); hookbox.example.toml shows the form"),
    };
    format!("{place}: {key} {wrong}")
}

/// A value as it was written.
fn shown(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("{text:?}"),
        Actual::Bool(value) => value.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// A type as people say it.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" => "a whole number from 0",
        "a boolean" => "true or false",
        "a string" | "string" => "a text",
        "a sequence" | "sequence" => "a list",
        other => other,
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
