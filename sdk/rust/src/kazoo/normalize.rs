//! Keys as KAZOO's payloads spell them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fields::Key;

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
    let mut out = Vec::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Normalizer { out: &mut out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    String::from_utf8(out).map_err(Error::custom)
}

/// Writes a value to `out` while it is read, and says whether it was null.
struct Normalizer<'o> {
    out: &'o mut Vec<u8>,
}

/// Where a field of an object was written.
struct Entry {
    key: Range<usize>,
    /// Past the comma that follows the value.
    end: usize,
}

impl Normalizer<'_> {
    fn leaf<T: serde::Serialize, E: Error>(self, value: T) -> Result<bool, E> {
        serde_json::to_writer(self.out, &value).map_err(E::custom)?;
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
        self.out.extend_from_slice(b"null");
        Ok(true)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.leaf(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let out = self.out;
        out.push(b'[');
        while list.next_element_seed(Normalizer { out })?.is_some() {
            out.push(b',');
        }
        close(out, b']');
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let out = self.out;
        out.push(b'{');
        let mut entries = Vec::new();
        while let Some(Key(key)) = object.next_key()? {
            let start = out.len();
            serde_json::to_writer(&mut *out, &normalize_key(&key)).map_err(Error::custom)?;
            let key = start..out.len();
            out.push(b':');
            let is_null = object.next_value_seed(Normalizer { out })?;
            if is_null {
                out.truncate(start);
            } else {
                out.push(b',');
                entries.push(Entry {
                    key,
                    end: out.len(),
                });
            }
        }
        drop_overwritten(out, &entries);
        close(out, b'}');
        Ok(false)
    }
}

fn normalize_key(key: &str) -> String {
    let mut normal = key.replace('-', "_");
    normal.make_ascii_lowercase();
    normal
}

/// Ends a list or an object, without the comma after its last part.
fn close(out: &mut Vec<u8>, bracket: u8) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(bracket);
}

/// Takes fields of an object out again whose key comes once more later on.
fn drop_overwritten(out: &mut Vec<u8>, entries: &[Entry]) {
    let same_key = |a: &&Entry, b: &&Entry| out[a.key.clone()] == out[b.key.clone()];
    let mut by_key: Vec<&Entry> = entries.iter().collect();
    // The sort is stable, so among equals the last one came last.
    by_key.sort_by(|a, b| out[a.key.clone()].cmp(&out[b.key.clone()]));
    if !by_key.windows(2).any(|pair| same_key(&pair[0], &pair[1])) {
        return;
    }
    let kept: BTreeSet<usize> = by_key
        .chunk_by(same_key)
        .filter_map(<[_]>::last)
        .map(|entry| entry.key.start)
        .collect();
    let mut end = entries[0].key.start;
    for entry in entries
        .iter()
        .filter(|entry| kept.contains(&entry.key.start))
    {
        out.copy_within(entry.key.start..entry.end, end);
        end += entry.end - entry.key.start;
    }
    out.truncate(end);
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
