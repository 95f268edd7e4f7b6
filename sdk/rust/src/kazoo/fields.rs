//! The getters.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::json_object::is_plain;

/// The fields of one JSON object, borrowed from the message: keys, and values that are not yet parsed.
///
/// Reading a message costs one pass over its text and one list; a value is parsed when it is asked for. When a key is
/// there twice, the later value counts.
///
/// Every getter answers none when the key is absent.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    entries: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
}

impl<'a> Fields<'a> {
    /// Reads the text of a JSON object.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or is not an object.
    pub fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The keys and values, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.entries.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether the key is there, whatever its value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.json(key).is_some()
    }

    /// The value's JSON text.
    #[must_use]
    pub fn json(&self, key: &str) -> Option<&str> {
        self.raw(key).map(RawValue::get)
    }

    /// The value as it is; null is a value.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&RawValue> {
        self.entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    /// The value as text. A number is its decimal text; true, false and null are the words; a list is its texts and
    /// bytes (0 to 255) joined, or none when it holds anything else; an object is its compact JSON.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        text(self.json(key)?)
    }

    /// As [`text`](Self::text), without empty texts ("non-empty text").
    #[must_use]
    pub fn netext(&self, key: &str) -> Option<Cow<'_, str>> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// The value as a whole number: a float is rounded half away from zero; a text counts when it reads as one of the
    /// two. Beyond 64 bits there is none.
    #[must_use]
    pub fn int(&self, key: &str) -> Option<i64> {
        let json = self.json(key)?;
        let text = numeral(json)?;
        if let Ok(whole) = text.parse::<i64>() {
            return Some(whole);
        }
        let rounded = float(&text)?.round();
        // Both bounds are powers of two, so they are exact as floats.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
        #[expect(clippy::cast_possible_truncation, reason = "checked on the line above")]
        fits.then_some(rounded as i64)
    }

    /// The value as a number: as [`int`](Self::int), but floats stay what they are.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<Number> {
        let text = numeral(self.json(key)?)?;
        if let Ok(whole) = text.parse::<i64>() {
            return Some(whole.into());
        }
        Number::from_f64(float(&text)?)
    }

    /// The value as it is when it is an object, else none.
    #[must_use]
    pub fn raw_object(&self, key: &str) -> Option<&RawValue> {
        self.raw(key).filter(|value| value.get().starts_with('{'))
    }

    /// The fields of a value that is an object.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Fields<'_>> {
        Fields::parse(self.raw_object(key)?.get()).ok()
    }

    /// Whether the value is true or the text `"true"`; nothing else is.
    #[must_use]
    pub fn is_true(&self, key: &str) -> bool {
        matches!(self.json(key), Some("true" | "\"true\""))
    }

    /// Sets a key to a text, in its place when it is there, else at the end.
    pub fn set(&mut self, key: &'a str, text: &str) {
        let Ok(value) = serde_json::value::to_raw_value(text) else {
            return;
        };
        match self.entries.iter_mut().rev().find(|(name, _)| name == key) {
            Some((_, old)) => *old = Cow::Owned(value),
            None => self.entries.push((Cow::Borrowed(key), Cow::Owned(value))),
        }
    }

    /// Takes away every field whose key is not wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.entries.retain(|(key, _)| wanted(key));
    }

    /// The fields as JSON text again.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = crate::JsonObject::new();
        for (key, value) in self.iter() {
            object = object.put_json(key, value.get());
        }
        object.finish()
    }
}

/// The text of a value that is written as JSON.
fn text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => string(json),
        b'[' => {
            let mut bytes = Vec::new();
            join(json, &mut bytes)?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
        b'{' => Some(Cow::Owned(compact(json))),
        _ => Some(Cow::Borrowed(json)),
    }
}

/// The content of a JSON string, borrowed when nothing in it is escaped.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let content = json.strip_prefix('"')?.strip_suffix('"')?;
    if is_plain(content) {
        return Some(Cow::Borrowed(content));
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// Joins a list of texts, bytes and such lists. None when there is anything else in it.
fn join(list: &str, bytes: &mut Vec<u8>) -> Option<()> {
    for item in serde_json::from_str::<Vec<&RawValue>>(list).ok()? {
        match item.get().as_bytes().first()? {
            b'"' => bytes.extend_from_slice(string(item.get())?.as_bytes()),
            b'[' => join(item.get(), bytes)?,
            _ => bytes.push(item.get().parse().ok()?),
        }
    }
    Some(())
}

/// JSON text without the white space between its parts.
fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&char| {
            if in_string {
                in_string = escaped || char != '"';
                escaped = !escaped && char == '\\';
                return true;
            }
            in_string = char == '"';
            !char.is_ascii_whitespace()
        })
        .collect()
}

/// The text in which a number is to be found: a JSON number itself, or a text's content.
fn numeral(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => string(json),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// A finite float in digits; the words that Rust would also read (`inf`, `nan`) are texts like any other.
fn float(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|float: &f64| digits && float.is_finite())
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        // A call event has some forty fields.
        let mut entries = Vec::with_capacity(48);
        while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            entries.push((key.0, Cow::Borrowed(value)));
        }
        Ok(Fields { entries })
    }
}

/// A key, borrowed when nothing in it is escaped.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fields(json: &str) -> Fields<'_> {
        Fields::parse(json).unwrap()
    }

    #[test]
    fn only_an_object_has_fields() {
        assert!(Fields::parse("[]").is_err());
        assert!(Fields::parse("{").is_err());
        assert!(Fields::parse(r#"{"a":1}x"#).is_err());
    }

    #[test]
    fn raw_is_the_value_as_it_is_and_null_is_a_value() {
        let fields = fields(r#"{"a": null, "b": [1, 2]}"#);
        assert_eq!(fields.json("a"), Some("null"));
        assert_eq!(fields.json("b"), Some("[1, 2]"));
        assert_eq!(fields.json("c"), None);
    }

    #[test]
    fn text_makes_the_best_of_every_type() {
        let fields = fields(
            r#"{"text":"x\ty","number":-12,"float":0.10,"true":true,"null":null,"empty":"",
                "list":["a",[98,"c"]],"flags":[true],"big":[256],"latin":[233],"object":{ "a" : "b \" c" }}"#,
        );
        assert_eq!(fields.text("text").unwrap(), "x\ty");
        assert_eq!(fields.text("number").unwrap(), "-12");
        assert_eq!(fields.text("float").unwrap(), "0.10");
        assert_eq!(fields.text("true").unwrap(), "true");
        assert_eq!(fields.text("null").unwrap(), "null");
        assert_eq!(fields.text("list").unwrap(), "abc");
        assert_eq!(fields.text("flags"), None);
        assert_eq!(fields.text("big"), None);
        assert_eq!(fields.text("latin"), None);
        assert_eq!(fields.text("object").unwrap(), r#"{"a":"b \" c"}"#);
        assert_eq!(fields.text("empty").unwrap(), "");
        assert_eq!(fields.netext("empty"), None);
        assert_eq!(fields.netext("absent"), None);
    }

    #[test]
    fn whole_numbers_are_found_in_floats_and_texts() {
        let fields = fields(
            r#"{"int":61,"float":2.5,"minus":-2.5,"text":"42","float text":"0.4","word":"soon","inf":"inf",
                "true":true,"null":null,"list":[1],"huge":1e300,"empty":""}"#,
        );
        let ints = ["int", "float", "minus", "text", "float text"].map(|key| fields.int(key));
        assert_eq!(ints, [Some(61), Some(3), Some(-3), Some(42), Some(0)]);
        for none in ["word", "inf", "true", "null", "list", "huge", "empty", "absent"] {
            assert_eq!(fields.int(none), None, "{none}");
        }
    }

    #[test]
    fn numbers_keep_their_fraction() {
        let fields = fields(r#"{"int":1,"float":0.01,"text":"0.25","word":"free"}"#);
        assert_eq!(fields.number("int").unwrap().to_string(), "1");
        assert_eq!(fields.number("float").unwrap().to_string(), "0.01");
        assert_eq!(fields.number("text").unwrap().to_string(), "0.25");
        assert_eq!(fields.number("word"), None);
    }

    #[test]
    fn only_an_object_is_an_object() {
        let fields = fields(r#"{"object":{"a":1},"text":"{}","list":[],"null":null}"#);
        assert_eq!(fields.object("object").unwrap().int("a"), Some(1));
        for none in ["text", "list", "null", "absent"] {
            assert!(fields.object(none).is_none(), "{none}");
        }
    }

    #[test]
    fn true_is_true_and_the_text_true_and_nothing_else() {
        let fields = fields(r#"{"a":true,"b":"true","c":"True","d":1,"e":"yes","f":null}"#);
        assert!(fields.is_true("a") && fields.is_true("b"));
        assert!(!["c", "d", "e", "f", "absent"].iter().any(|key| fields.is_true(key)));
    }

    #[test]
    fn of_two_alike_keys_the_later_counts_also_when_escaped() {
        assert_eq!(fields(r#"{"a":1,"\u0061":2}"#).int("a"), Some(2));
    }

    #[test]
    fn fields_are_set_in_their_place_or_at_the_end_and_taken_away() {
        let mut fields = fields(r#"{"a":1,"b":2,"c":3}"#);
        fields.set("b", "two");
        fields.set("d", "four");
        fields.retain(|key| key != "a");
        assert_eq!(fields.to_json(), r#"{"b":"two","c":3,"d":"four"}"#);
    }
}
