//! Reading the fields of a document one by one, whatever it is of: a field is there and of its type, or what is wrong with
//! it is noted. What a hook is read by; [`super`] says which fields that are.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{super::HookProblem, HookProblems, Origin};
use crate::{message::Object, settings::FiringSettings};

/// Reads one document and collects what is wrong with it.
pub(super) struct Reader<'a> {
    document: &'a Object,
    pub(super) origin: Origin,
    pub(super) settings: &'a FiringSettings,
    pub(super) problems: Vec<HookProblem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a Object, origin: Origin, settings: &'a FiringSettings) -> Self {
        Self { document, origin, settings, problems: Vec::new() }
    }

    pub(super) fn problem(&mut self, problem: HookProblem) {
        self.problems.push(problem);
    }

    pub(super) fn finish(&mut self) -> HookProblems {
        HookProblems(std::mem::take(&mut self.problems))
    }

    /// The field's value; null is as if absent.
    pub(super) fn value(&self, field: &str) -> Option<&'a Value> {
        self.document.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, field: &str) -> Option<&'a str> {
        let value = self.value(field)?;
        if value.as_str().is_none() {
            self.problem(type_problem(field.to_owned(), "string", value));
        }
        value.as_str()
    }

    pub(super) fn required(&mut self, field: &str) -> &'a str {
        if self.value(field).is_none() {
            self.problem(HookProblem::new(field, "required", "Field is required but missing").with("value", field));
            return "";
        }
        let text = self.text(field);
        if text == Some("") {
            self.problem(
                HookProblem::new(field, "minLength", "String must be at least 1 characters").with("target", 1),
            );
        }
        text.unwrap_or_default()
    }

    /// One of some words, in any case of letters.
    pub(super) fn word(&mut self, field: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(field)?;
        let word = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        if word.is_none() {
            let message = format!("Value not found in enumerated list of values ({})", words.join(", "));
            self.problem(HookProblem::new(field, "enum", message).with("target", json!(words)).with("value", text));
        }
        word
    }

    pub(super) fn boolean(&mut self, field: &str) -> Option<bool> {
        match self.value(field)? {
            Value::Bool(value) => Some(*value),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            other => {
                self.problem(type_problem(field.to_owned(), "boolean", other));
                None
            }
        }
    }

    pub(super) fn object(&mut self, field: &str) -> Option<&'a Object> {
        let value = self.value(field)?;
        if value.as_object().is_none() {
            self.problem(type_problem(field.to_owned(), "object", value));
        }
        value.as_object().filter(|object| !object.is_empty())
    }

    pub(super) fn list(&mut self, field: &str, length_max: usize) -> Option<&'a [Value]> {
        let value = self.value(field)?;
        let Some(list) = value.as_array() else {
            self.problem(type_problem(field.to_owned(), "array", value));
            return None;
        };
        if list.len() > length_max {
            let message = format!("{} entries; use at most {length_max}", list.len());
            self.problem(HookProblem::new(field, "maxItems", message).with("target", length_max));
        }
        Some(&list[..list.len().min(length_max)])
    }

    pub(super) fn integer(&mut self, field: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(field)?;
        self.bounded(field.to_owned(), value, bounds)
    }

    pub(super) fn small_integer(&mut self, field: &str, ceiling: u64) -> Option<u32> {
        self.integer(field, 1..=ceiling).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// A whole number within bounds; out of bounds it is refused, or for KAZOO's documents moved to the bound.
    pub(super) fn bounded(&mut self, field: String, value: &Value, bounds: RangeInclusive<u64>) -> Option<u64> {
        let Some(number) = whole_number(value) else {
            self.problem(type_problem(field, "integer", value));
            return None;
        };
        let (least, most) = (i128::from(*bounds.start()), i128::from(*bounds.end()));
        if self.origin == Origin::Api && number < least {
            let message = format!("Value must be at least {least}");
            self.problem(
                HookProblem::new(field, "minimum", message)
                    .with("target", *bounds.start())
                    .with("value", value.clone()),
            );
        } else if self.origin == Origin::Api && number > most {
            let message = format!("Value must be at most {most}");
            self.problem(
                HookProblem::new(field, "maximum", message).with("target", *bounds.end()).with("value", value.clone()),
            );
        }
        u64::try_from(number.clamp(least, most)).ok()
    }
}

/// A field that is not of its type.
pub(super) fn type_problem(field: String, expected: &'static str, value: &Value) -> HookProblem {
    HookProblem::new(field, "type", format!("Value did not match type(s): {expected}"))
        .with("target", expected)
        .with("value", value.clone())
}

/// A whole number, or a text that reads as one.
fn whole_number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128)),
        Value::String(text) => text.trim().parse::<i64>().ok().map(i128::from),
        _ => None,
    }
}
