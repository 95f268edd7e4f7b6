//! Crossbar's filters on lists: `filter_<key>=v`, `filter_not_<key>`, `has_key`, `key_missing`, `has_value`,
//! `value_missing`, `created_from`/`created_to`, `modified_from`/`modified_to`. Several must all hold; a value may be a
//! JSON list, of which one must hold (for the negative ones: none may). Plain functions.

use serde_json::Value;

use crate::message::Object;

/// What a document must be like to be listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    rule: Rule,
    /// The key as a path, its dots split.
    path: Vec<String>,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Is,
    IsNot,
    HasKey,
    KeyMissing,
    HasValue,
    ValueMissing,
    From,
    To,
}

/// When a document was made and last changed, in KAZOO's seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// `created_from`, `created_to`.
    pub created_s: Option<u64>,
    /// `modified_from`, `modified_to`.
    pub modified_s: Option<u64>,
}

impl Filters {
    /// Reads them from a query. What is no filter is not looked at.
    pub fn of_query(pairs: &[(String, String)]) -> Self {
        Self(pairs.iter().filter_map(|(name, value)| Filter::read(name, value)).collect())
    }

    /// Without those on the time: for lists that take `created_from` and `created_to` as their range.
    #[must_use]
    pub fn without_times(mut self) -> Self {
        self.0.retain(|filter| !matches!(filter.rule, Rule::From | Rule::To));
        self
    }

    /// The one value that a key has to have.
    pub fn only(&self, key: &str) -> Option<&str> {
        let of_key = |filter: &&Filter| filter.rule == Rule::Is && filter.path == [key];
        let mut values = self.0.iter().find(of_key)?.values.iter();
        values.next().filter(|_| values.next().is_none()).map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the document is to be listed.
    pub fn pass(&self, document: &Object, times: Times) -> bool {
        self.0.iter().all(|filter| filter.passes(document, times))
    }
}

impl Filter {
    fn read(name: &str, value: &str) -> Option<Self> {
        let path = |key: &str| key.split('.').map(str::to_owned).collect();
        let of_value = |rule| Some(Self { rule, path: path(value), values: Vec::new() });
        match name {
            "has_key" => return of_value(Rule::HasKey),
            "key_missing" => return of_value(Rule::KeyMissing),
            "has_value" => return of_value(Rule::HasValue),
            "value_missing" => return of_value(Rule::ValueMissing),
            "created_from" | "modified_from" | "created_to" | "modified_to" => {
                let rule = if name.ends_with("from") { Rule::From } else { Rule::To };
                let which = name.split('_').next().unwrap_or_default();
                return Some(Self { rule, path: path(which), values: vec![value.to_owned()] });
            }
            _ => {}
        }
        let (rule, key) = match name.strip_prefix("filter_not_") {
            Some(key) => (Rule::IsNot, key),
            None => (Rule::Is, name.strip_prefix("filter_")?),
        };
        Some(Self { rule, path: path(key), values: listed(value) })
    }

    fn passes(&self, document: &Object, times: Times) -> bool {
        let found = || lookup(document, &self.path);
        match self.rule {
            Rule::Is => found().is_some_and(|found| self.values.iter().any(|wanted| reads_as(found, wanted))),
            Rule::IsNot => !found().is_some_and(|found| self.values.iter().any(|wanted| reads_as(found, wanted))),
            Rule::HasKey => found().is_some(),
            Rule::KeyMissing => found().is_none(),
            Rule::HasValue => found().is_some_and(has_value),
            Rule::ValueMissing => !found().is_some_and(has_value),
            Rule::From | Rule::To => {
                let is_created = self.path.first().is_some_and(|which| which == "created");
                let time = if is_created { times.created_s } else { times.modified_s };
                let bound = self.values.first().and_then(|value| value.parse::<u64>().ok());
                match (time, bound) {
                    (Some(time), Some(bound)) if self.rule == Rule::From => time >= bound,
                    (Some(time), Some(bound)) => time <= bound,
                    // A document without times is listed, as is everything when the bound is no number.
                    _ => true,
                }
            }
        }
    }
}

/// The values of a filter: those of a JSON list, else the text itself.
fn listed(value: &str) -> Vec<String> {
    match serde_json::from_str(value) {
        Ok(Value::Array(values)) => values.iter().map(as_text).collect(),
        _ => vec![value.to_owned()],
    }
}

fn lookup<'d>(document: &'d Object, path: &[String]) -> Option<&'d Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(document.get(first)?, |value, key| value.get(key))
}

/// Queries are text, so values are compared as they read.
fn reads_as(found: &Value, wanted: &str) -> bool {
    as_text(found) == wanted
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Neither null nor empty.
fn has_value(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passes(query: &[(&str, &str)]) -> bool {
        let document =
            json!({"hook": "object", "retries": 2, "enabled": false, "note": "", "custom_data": {"type": "user"}});
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let times = Times { created_s: Some(100), modified_s: None };
        Filters::of_query(&pairs).pass(document.as_object().expect("an object"), times)
    }

    #[test]
    fn each_filter_does_as_crossbar_does() {
        for (name, value, expected) in [
            ("filter_hook", "object", true),
            ("filter_hook", "all", false),
            ("filter_retries", "2", true),
            ("filter_enabled", "false", true),
            ("filter_hook", r#"["all", "object"]"#, true),
            ("filter_hook", r#"["all"]"#, false),
            ("filter_missing", "x", false),
            ("filter_not_hook", "object", false),
            ("filter_not_hook", "all", true),
            ("filter_not_missing", "x", true),
            ("filter_custom_data.type", "user", true),
            ("has_key", "note", true),
            ("has_key", "custom_data.action", false),
            ("key_missing", "custom_data.action", true),
            ("has_value", "note", false),
            ("value_missing", "note", true),
            ("created_from", "100", true),
            ("created_from", "101", false),
            ("created_to", "99", false),
            ("modified_from", "101", true),
            ("page_size", "nonsense", true),
        ] {
            assert_eq!(passes(&[(name, value)]), expected, "{name}={value}");
        }
        assert!(!passes(&[("filter_hook", "object"), ("filter_retries", "3")]), "all must hold");
    }
}
