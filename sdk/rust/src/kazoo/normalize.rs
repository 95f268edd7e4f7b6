//! Keys as KAZOO's payloads spell them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::fields::Key;
use crate::JsonValue;
use crate::json_object::is_plain;

/// JSON text with its keys normalised, at every depth: `A` to `Z` in lower case, `-` as `_`, so that `Caller-ID-Name`
/// becomes `caller_id_name`.
///
/// Values are untouched, but nulls in objects are taken out (in lists they stay). When two keys of an object come out
/// alike, the later one wins. Other letters keep their case: KAZOO lower-cases Latin-1 byte by byte, which breaks
/// UTF-8.
///
/// # Errors
///
/// When the text is not JSON, or is nested deeper than 127 levels.
pub fn normalize(json: &str) -> Result<String, serde_json::Error> {
    let mut out = String::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Normalizer { out: &mut out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// Writes a value to `out` while it is read, and says whether it was null.
struct Normalizer<'o> {
    out: &'o mut String,
}

/// Where a field of an object was written.
struct Entry {
    key: Range<usize>,
    /// Past the comma that follows the value.
    end: usize,
}

impl Normalizer<'_> {
    fn leaf<E>(self, value: impl JsonValue) -> Result<bool, E> {
        value.write_json(self.out);
        Ok(false)
    }
}

impl<'de> DeserializeSeed<'de> for Normalizer<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Normalizer<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        self.out.push_str("null");
        Ok(true)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
        self.leaf(number)
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let out = self.out;
        out.push('[');
        while list.next_element_seed(Normalizer { out })?.is_some() {
            out.push(',');
        }
        close(out, ']');
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let out = self.out;
        out.push('{');
        let mut entries = Vec::new();
        while let Some(Key(key)) = object.next_key()? {
            let start = out.len();
            let key = write_key(&key, out);
            out.push(':');
            let is_null = object.next_value_seed(Normalizer { out })?;
            if is_null {
                out.truncate(start);
            } else {
                out.push(',');
                entries.push(Entry { key, end: out.len() });
            }
        }
        if may_repeat(out, &entries) {
            drop_overwritten(out, &entries);
        }
        close(out, '}');
        Ok(false)
    }
}

/// Writes a key as a JSON string, and answers where it stands.
fn write_key(key: &str, out: &mut String) -> Range<usize> {
    let start = out.len();
    let normal = |char: char| {
        if char == '-' { '_' } else { char.to_ascii_lowercase() }
    };
    if is_plain(key) {
        out.push('"');
        out.extend(key.chars().map(normal));
        out.push('"');
    } else {
        key.chars().map(normal).collect::<String>().write_json(out);
    }
    start..out.len()
}

/// Ends a list or an object, without the comma after its last part.
fn close(out: &mut String, bracket: char) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push(bracket);
}

/// Whether two keys of an object may be alike: quick, and wrong once in many millions of objects, harmlessly.
fn may_repeat(out: &str, entries: &[Entry]) -> bool {
    let hash = |key: &Range<usize>| {
        out[key.clone()].bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193) // FNV-1a
        })
    };
    let mut hashes: Vec<u32> = entries.iter().map(|entry| hash(&entry.key)).collect();
    hashes.sort_unstable();
    hashes.windows(2).any(|pair| pair[0] == pair[1])
}

/// Takes fields of an object out again whose key comes once more later on.
fn drop_overwritten(out: &mut String, entries: &[Entry]) {
    let Some(first) = entries.first().map(|entry| entry.key.start) else {
        return;
    };
    let written = out.split_off(first);
    let text = |from: usize, to: usize| &written[from - first..to - first];
    let key = |entry: &Entry| text(entry.key.start, entry.key.end);
    let last: BTreeMap<&str, usize> = entries.iter().map(|entry| (key(entry), entry.end)).collect();
    for entry in entries.iter().filter(|entry| last[key(entry)] == entry.end) {
        out.push_str(text(entry.key.start, entry.end));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::normalize;

    #[test]
    fn keys_are_lower_case_with_underscores_at_every_depth() {
        assert_eq!(
            normalize(r#"{"App-Name":"A-B","Data":[{"Caller-ID":1,"x":{"Y-Z":"Q"}}]}"#).unwrap(),
            r#"{"app_name":"A-B","data":[{"caller_id":1,"x":{"y_z":"Q"}}]}"#
        );
    }

    #[test]
    fn nulls_go_from_objects_and_stay_in_lists() {
        assert_eq!(
            normalize(r#"{"a":null,"b":[null,{"C":null}],"d":{},"e":[],"f":null}"#).unwrap(),
            r#"{"b":[null,{}],"d":{},"e":[]}"#
        );
    }

    #[test]
    fn of_keys_that_come_out_alike_the_later_wins() {
        assert_eq!(
            normalize(r#"{"A-B":1,"c":{"Z":1,"z":2,"y":3},"a_b":2,"a-b":3,"d":4}"#).unwrap(),
            r#"{"c":{"z":2,"y":3},"a_b":3,"d":4}"#
        );
        assert_eq!(normalize(r#"{"A":1,"a":null}"#).unwrap(), r#"{"a":1}"#);
    }

    #[test]
    fn letters_beyond_ascii_keep_their_case() {
        assert_eq!(normalize(r#"{"ÄÉ-X":"Ä"}"#).unwrap(), r#"{"ÄÉ_x":"Ä"}"#);
    }

    #[test]
    fn values_are_untouched() {
        let values = r#"{"a":-1,"b":18446744073709551615,"c":0.01,"d":true,"e":"\"\\\n\u0001€😀"}"#;
        assert_eq!(normalize(values).unwrap(), values);
    }

    #[test]
    fn texts_that_are_not_json_are_refused() {
        for text in ["", "{", "{}{}", r#"{"a":}"#] {
            assert!(normalize(text).is_err(), "{text}");
        }
        assert!(normalize(&"[".repeat(200)).is_err());
    }

    #[test]
    fn many_alike_keys_take_no_longer_than_many_keys() {
        let alike = format!("{{{}\"a\":1}}", "\"A\":1,".repeat(100_000));
        assert_eq!(normalize(&alike).unwrap(), r#"{"a":1}"#);
    }
}
