//! What comes in: Crossbar's request envelope, `{"data": …}`.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use super::{Shared, front::RequestBody, problem::Problem};
use crate::message::Object;

/// The envelope, its keys read without case. Other keys (`accept_charges`, `ui_metadata`, …) are allowed and not used.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    /// What the request is about.
    pub data: Option<&'a RawValue>,
    /// Stands in for the method of a POST.
    pub verb: Option<String>,
    /// Stands in for the header.
    pub auth_token: Option<String>,
}

impl<'a> Envelope<'a> {
    /// Reads a body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            let message = format!("{error}; send {{\"data\": …}}");
            Problem::invalid_with("json", "invalid", &message, json!({"target": "body"}))
        })
    }

    /// Reads a body that may be none.
    pub fn peek(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The data as it came; 400 when it is missing.
    pub fn required_data(&self) -> Result<&'a RawValue, Problem> {
        self.data.ok_or_else(|| Problem::invalid("data", "required", "Field is required but missing"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with `data`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(key) = map.next_key::<String>()? {
                    let value: &'de RawValue = map.next_value()?;
                    let text = || serde_json::from_str::<String>(value.get()).ok();
                    match key.to_ascii_lowercase().as_str() {
                        "data" => envelope.data = Some(value),
                        "verb" => envelope.verb = text(),
                        "auth_token" => envelope.auth_token = text(),
                        _ => {}
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The envelope's `data`, an object, without `_` and `pvt_` keys, which are the store's own.
#[derive(Clone, Debug)]
pub struct Data(pub Object);

/// As [`Data`]; an empty object when there is no body at all, or null.
#[derive(Clone, Debug, Default)]
pub struct OptionalData(pub Object);

impl Data {
    fn of(body: &[u8]) -> Result<Self, Problem> {
        let data = Envelope::parse(body)?.required_data()?;
        match serde_json::from_str(data.get()) {
            Ok(Value::Object(mut object)) => {
                object.retain(|key, _| !key.starts_with('_') && !key.starts_with("pvt_"));
                Ok(Self(object))
            }
            Ok(other) => {
                let details = json!({"target": "object", "value": other});
                Err(Problem::invalid_with("data", "type", "Value did not match type(s): object", details))
            }
            // It was read once, as part of the envelope; what is left is a number out of range.
            Err(error) => Err(Problem::invalid_with("json", "invalid", &error.to_string(), json!({"target": "body"}))),
        }
    }
}

impl FromRequestParts<Shared> for Data {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        Self::of(&body(parts))
    }
}

impl FromRequestParts<Shared> for OptionalData {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        let body = body(parts);
        if matches!(body.trim_ascii(), b"" | b"null") {
            return Ok(Self::default());
        }
        Data::of(&body).map(|Data(object)| Self(object))
    }
}

fn body(parts: &Parts) -> axum::body::Bytes {
    parts.extensions.get::<RequestBody>().cloned().unwrap_or_default().0
}

/// The fields of a `data` object by their types, with Crossbar's words for what is wrong. Text that reads as a number or a
/// truth value is one, null is as if absent.
pub struct Fields<'a> {
    object: &'a Object,
    problems: Object,
}

impl<'a> Fields<'a> {
    /// Of this object.
    pub fn of(object: &'a Object) -> Self {
        Self { object, problems: Object::new() }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Notes something that is wrong.
    pub fn wrong(&mut self, name: &str, code: &str, message: &str, details: Value) {
        let mut body = json!({"message": message});
        if let (Some(body), Value::Object(details)) = (body.as_object_mut(), details) {
            body.extend(details);
        }
        self.problems.insert(name.to_owned(), json!({code: body}));
    }

    fn of_type<T>(&mut self, name: &str, word: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let found = read(value);
        if found.is_none() {
            let message = format!("Value did not match type(s): {word}");
            self.wrong(name, "type", &message, json!({"target": word, "value": value}));
        }
        found
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        self.of_type(name, "string", Value::as_str)
    }

    /// A text that must be there, with 1 to so many bytes.
    pub fn required_text(&mut self, name: &str, bytes_max: usize) -> &'a str {
        if self.value(name).is_none() {
            self.wrong(name, "required", "Field is required but missing", json!({}));
        }
        let text = self.text(name).unwrap_or_default();
        if self.value(name).is_some_and(Value::is_string) {
            if text.is_empty() {
                self.wrong(name, "minLength", "String must be at least 1 characters", json!({"target": 1}));
            } else if text.len() > bytes_max {
                let message = format!("String must not be more than {bytes_max} bytes");
                self.wrong(name, "maxLength", &message, json!({"target": bytes_max}));
            }
        }
        text
    }

    /// A whole number, zero or more.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        self.of_type(name, "integer", |value| match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        })
    }

    /// A truth value.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.of_type(name, "boolean", |value| match value {
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            other => other.as_bool(),
        })
    }

    /// One of these words.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Option<&'a str> {
        let text = self.text(name)?;
        if !words.contains(&text) {
            let details = json!({"target": words, "value": text});
            self.wrong(name, "enum", "Value not found in enumerated list of values", details);
            return None;
        }
        Some(text)
    }

    /// All that is wrong, together.
    pub fn finish(self) -> Result<(), Problem> {
        match self.problems.is_empty() {
            true => Ok(()),
            false => Err(Problem::validation(self.problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Value {
        Data::of(body.as_bytes()).expect_err("it is refused").data
    }

    #[test]
    fn data_is_taken_out_of_its_envelope() {
        let Data(object) = Data::of(br#"{"DATA": {"a": 1, "_id": "x", "pvt_type": "y"}, "accept_charges": true}"#)
            .expect("it is data");
        assert_eq!(Value::Object(object), json!({"a": 1}));
    }

    #[test]
    fn each_bad_body_has_its_error() {
        assert!(refused("{\"data\": ").pointer("/json/invalid/message").is_some());
        assert!(refused("").pointer("/json/invalid").is_some());
        assert!(refused("[]").pointer("/json/invalid").is_some());
        assert!(refused("{}").pointer("/data/required").is_some());
        assert!(refused(r#"{"data": 1}"#).pointer("/data/type").is_some());
        assert!(refused(r#"{"data": null}"#).pointer("/data/type").is_some());
    }

    #[test]
    fn fields_are_read_leniently_and_faults_come_together() {
        let object = json!({"count": "7", "on": "true", "name": 1, "kind": "odd"});
        let mut fields = Fields::of(object.as_object().expect("an object"));
        assert_eq!((fields.number("count"), fields.boolean("on"), fields.number("none")), (Some(7), Some(true), None));
        fields.required_text("name", 10);
        fields.required_text("missing", 10);
        fields.word("kind", &["even"]);
        let problem = fields.finish().expect_err("faults");
        let named: Vec<_> = problem.data.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(named, ["name", "missing", "kind"]);
    }
}
