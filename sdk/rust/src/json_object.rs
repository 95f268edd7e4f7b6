//! A JSON object being written.

use serde::Serialize;

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
    /// UTF-8 always: only `serde_json` and texts are written to it.
    text: Vec<u8>,
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
        let mut text = Vec::with_capacity(bytes.max(2));
        text.push(b'{');
        Self { text }
    }

    /// Writes a key and its value. A value that JSON cannot hold is written as null.
    #[must_use]
    pub fn put(mut self, key: &str, value: impl Serialize) -> Self {
        self.key(key);
        let start = self.text.len();
        if serde_json::to_writer(&mut self.text, &value).is_err() {
            self.text.truncate(start);
            self.text.extend_from_slice(b"null");
        }
        self
    }

    /// Writes a key and its value, or nothing when there is no value.
    #[must_use]
    pub fn put_some(self, key: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Writes a key and a value that is JSON text already. The text is taken on trust.
    #[must_use]
    pub fn put_json(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.text.extend_from_slice(json.as_bytes());
        self
    }

    /// Writes a key and a value that is JSON text already, or nothing when there is no value.
    #[must_use]
    pub fn put_json_some(self, key: &str, json: Option<impl AsRef<str>>) -> Self {
        match json {
            Some(json) => self.put_json(key, json.as_ref()),
            None => self,
        }
    }

    /// The object's text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push(b'}');
        String::from_utf8(self.text).unwrap_or_default()
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        // A text can always be written as JSON.
        let _ = serde_json::to_writer(&mut self.text, key);
        self.text.push(b':');
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

#[cfg(test)]
mod tests {
    use super::JsonObject;

    #[test]
    fn an_object_may_be_empty() {
        assert_eq!(JsonObject::new().finish(), "{}");
    }

    #[test]
    fn keys_keep_their_order_and_are_escaped() {
        let object = JsonObject::new()
            .put("b", 1)
            .put("a\"", "x\ny")
            .put_json("c", r#"{"d":[]}"#);
        assert_eq!(object.finish(), r#"{"b":1,"a\"":"x\ny","c":{"d":[]}}"#);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        assert_eq!(
            JsonObject::new()
                .put_some("a", None::<bool>)
                .put_some("b", Some(2))
                .finish(),
            r#"{"b":2}"#
        );
    }

    #[test]
    fn what_json_cannot_hold_is_null() {
        let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(
            JsonObject::new().put("a", unwritable).finish(),
            r#"{"a":null}"#
        );
    }
}
