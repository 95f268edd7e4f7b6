//! A JSON object being written.

use std::borrow::Cow;

use serde_json::Number;
use serde_json::value::RawValue;

/// Writes a JSON object key by key, in the order of the calls, straight into its text.
///
/// ```
/// use hookbox_sdk::JsonObject;
///
/// let payload = JsonObject::new().put("id", "d1").put_some("colour", None::<&str>).put("loud", true);
/// assert_eq!(payload.finish(), r#"{"id":"d1","loud":true}"#);
/// ```
///
/// Writing a key twice is the caller's mistake; readers take the later value.
#[derive(Clone, Debug)]
pub struct JsonObject {
    text: String,
}

/// What can be written as the value of a key: texts, numbers, booleans, lists of these, and JSON that is written already
/// ([`RawValue`], another [`JsonObject`]).
pub trait JsonValue {
    /// Writes the value's JSON at the end of `text`.
    fn write_json(&self, text: &mut String);
}

impl JsonObject {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    /// An empty object that holds so many bytes of text before it must grow.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes.max(2));
        text.push('{');
        Self { text }
    }

    /// Writes a key and its value.
    #[must_use]
    pub fn put(mut self, key: &str, value: impl JsonValue) -> Self {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        key.write_json(&mut self.text);
        self.text.push(':');
        value.write_json(&mut self.text);
        self
    }

    /// Writes a key and its value, or nothing when there is no value.
    #[must_use]
    pub fn put_some(self, key: &str, value: Option<impl JsonValue>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Writes a key and a value that is JSON text already. The text is taken on trust.
    #[must_use]
    pub fn put_json(self, key: &str, json: &str) -> Self {
        self.put(key, Trusted(json))
    }

    /// The object's text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self::new()
    }
}

impl From<JsonObject> for String {
    fn from(object: JsonObject) -> Self {
        object.finish()
    }
}

impl JsonValue for str {
    fn write_json(&self, text: &mut String) {
        text.push('"');
        if is_plain(self) {
            text.push_str(self);
        } else {
            escape(self, text);
        }
        text.push('"');
    }
}

/// Whether a text holds nothing that JSON must escape, as nearly all texts do.
///
/// Eight bytes at a time, for every key and text of every payload comes by here: a byte's high bit is set in the sum
/// when the byte is a control character, a quote or a backslash (and, harmlessly, sometimes in a byte above such a one).
pub(crate) fn is_plain(text: &str) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let below = |bytes: u64, bound: u64| bytes.wrapping_sub(ONES * bound) & !bytes;
    let is_plain = |bytes: u64| {
        let (quote, backslash) = (bytes ^ (ONES * u64::from(b'"')), bytes ^ (ONES * u64::from(b'\\')));
        (below(bytes, 0x20) | below(quote, 1) | below(backslash, 1)) & HIGH_BITS == 0
    };
    let (chunks, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    chunks.iter().chain([&last]).all(|chunk| is_plain(u64::from_ne_bytes(*chunk)))
}

fn escape(plain: &str, text: &mut String) {
    for char in plain.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..='\x1f' => text.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => text.push(char),
        }
    }
}

/// JSON text that its writer vouches for.
struct Trusted<'t>(&'t str);

impl JsonValue for Trusted<'_> {
    fn write_json(&self, text: &mut String) {
        text.push_str(self.0);
    }
}

impl JsonValue for RawValue {
    fn write_json(&self, text: &mut String) {
        text.push_str(self.get());
    }
}

impl JsonValue for JsonObject {
    fn write_json(&self, text: &mut String) {
        text.push_str(&self.text);
        text.push('}');
    }
}

impl JsonValue for bool {
    fn write_json(&self, text: &mut String) {
        text.push_str(if *self { "true" } else { "false" });
    }
}

impl<T: JsonValue> JsonValue for [T] {
    fn write_json(&self, text: &mut String) {
        text.push('[');
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            item.write_json(text);
        }
        text.push(']');
    }
}

/// Numbers look in JSON as they do in Rust.
macro_rules! written_as_displayed {
    ($($number:ty),*) => {$(
        impl JsonValue for $number {
            fn write_json(&self, text: &mut String) {
                text.push_str(&self.to_string());
            }
        }
    )*};
}

written_as_displayed!(u8, u16, u32, u64, i8, i16, i32, i64, Number);

/// What only points to a value is written as the value.
macro_rules! written_as_pointee {
    ($([$($generics:tt)*] $pointer:ty),* $(,)?) => {$(
        impl<$($generics)*> JsonValue for $pointer {
            fn write_json(&self, text: &mut String) {
                (**self).write_json(text);
            }
        }
    )*};
}

written_as_pointee!(
    ['t, T: JsonValue + ?Sized] &'t T,
    [] String,
    ['t] Cow<'t, str>,
    [T: JsonValue] Vec<T>,
);

impl<T: JsonValue, const N: usize> JsonValue for [T; N] {
    fn write_json(&self, text: &mut String) {
        self.as_slice().write_json(text);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::JsonObject;

    #[test]
    fn an_object_may_be_empty() {
        assert_eq!(JsonObject::new().finish(), "{}");
    }

    #[test]
    fn keys_keep_their_order_and_are_escaped() {
        let object = JsonObject::new().put("b", 1).put("a\"", "x\ny").put_json("c", r#"{"d":[]}"#);
        assert_eq!(object.finish(), r#"{"b":1,"a\"":"x\ny","c":{"d":[]}}"#);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        assert_eq!(JsonObject::new().put_some("a", None::<bool>).put_some("b", Some(2)).finish(), r#"{"b":2}"#);
    }

    #[test]
    fn texts_are_escaped_so_that_they_read_back_alike() {
        let all: String = (0..0x300).filter_map(char::from_u32).chain("€😀".chars()).collect();
        let json = JsonObject::new().put("a", &*all).finish();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["a"], all);
    }

    #[test]
    fn what_must_be_escaped_is_noticed_wherever_it_stands() {
        for (char, plain) in [('"', false), ('\\', false), ('\u{1f}', false), ('\0', false), ('!', true), ('é', true)]
        {
            for (before, after) in (0..20).flat_map(|before| (0..20).map(move |after| (before, after))) {
                let text = format!("{}{char}{}", "€".repeat(before), "x".repeat(after));
                assert_eq!(super::is_plain(&text), plain, "{text:?}");
            }
        }
        assert!(super::is_plain(""));
    }

    #[test]
    fn every_kind_of_value_is_written() {
        let object = JsonObject::new()
            .put("list", ["a", "b"])
            .put("empty", Vec::<bool>::new())
            .put("object", JsonObject::new().put("x", -1_i64))
            .put("number", serde_json::Number::from_f64(0.01).unwrap());
        assert_eq!(object.finish(), r#"{"list":["a","b"],"empty":[],"object":{"x":-1},"number":0.01}"#);
    }
}
