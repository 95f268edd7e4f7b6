//! What a message must have before KAZOO looks at it.

use serde_json::value::RawValue;

use super::Fields;

/// Of every message, whatever it tells.
const ENVELOPE: [&str; 5] = ["App-Name", "App-Version", "Event-Category", "Event-Name", "Msg-ID"];

/// The definition of one kind of message: which headers must be there, and of which type those with a type must be.
///
/// There means that the key exists; an empty text and null are there too.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'d> {
    /// Headers that must be there, besides the envelope (`App-Name`, `App-Version`, `Event-Category`, `Event-Name`,
    /// `Msg-ID`).
    pub required: &'d [&'d str],
    /// Headers that must be of a type when they are there.
    pub kinds: &'d [(&'d str, Kind<'d>)],
}

/// What a header's value must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'d> {
    /// Any text.
    Text,
    /// A text that is not empty.
    NonEmptyText,
    /// One of these texts.
    OneOf(&'d [&'d str]),
    /// True or false, also as text.
    Boolean,
    /// A whole number above zero.
    PositiveInteger,
    /// An object.
    Object,
    /// A list of objects, perhaps of none.
    Objects,
    /// A list that is not empty.
    NonEmptyList,
}

/// Why a message does not meet its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl Definition<'_> {
    /// Checks a message's body.
    ///
    /// # Errors
    ///
    /// The first header that is missing or of a wrong type.
    pub fn check(&self, body: &Fields<'_>) -> Result<(), Invalid> {
        if let Some(missing) = ENVELOPE.iter().chain(self.required).find(|header| !body.has(header)) {
            return Err(Invalid(format!("{missing} is missing")));
        }
        for (header, kind) in self.kinds {
            if body.raw(header).is_some_and(|value| !kind.holds(value)) {
                return Err(Invalid(format!("{header} is not {}", kind.describe())));
            }
        }
        Ok(())
    }
}

impl Kind<'_> {
    fn holds(self, value: &RawValue) -> bool {
        let json = value.get();
        match self {
            Self::Text => json.starts_with('"'),
            Self::NonEmptyText => json.starts_with('"') && json != "\"\"",
            Self::OneOf(texts) => serde_json::from_str::<String>(json).is_ok_and(|text| texts.contains(&&*text)),
            Self::Boolean => matches!(json, "true" | "false" | "\"true\"" | "\"false\""),
            Self::PositiveInteger => json.parse::<u64>().is_ok_and(|number| number > 0),
            Self::Object => json.starts_with('{'),
            Self::Objects => items(json).is_some_and(|items| items.iter().all(|item| item.get().starts_with('{'))),
            Self::NonEmptyList => items(json).is_some_and(|items| !items.is_empty()),
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::NonEmptyText => "a text, or is empty".to_owned(),
            Self::OneOf(texts) => format!("one of {}", texts.join(", ")),
            Self::Boolean => "a boolean".to_owned(),
            Self::PositiveInteger => "a whole number above zero".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::Objects => "a list of objects".to_owned(),
            Self::NonEmptyList => "a list, or is empty".to_owned(),
        }
    }
}

fn items(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

impl From<Invalid> for crate::HandleError {
    fn from(invalid: Invalid) -> Self {
        Self::Malformed(invalid.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ENVELOPE_JSON: &str =
        r#""App-Name":"a","App-Version":"","Event-Category":"c","Event-Name":null,"Msg-ID":"1""#;

    fn check(kinds: &[(&str, Kind<'_>)], fields: &str) -> Result<(), String> {
        let body = format!("{{{ENVELOPE_JSON}{fields}}}");
        let definition = Definition { required: &["Call-ID"], kinds };
        definition.check(&Fields::parse(&body).unwrap()).map_err(|invalid| invalid.0)
    }

    #[test]
    fn the_envelope_and_required_headers_must_be_there_whatever_they_hold() {
        assert_eq!(check(&[], r#","Call-ID":null"#), Ok(()));
        assert_eq!(check(&[], ""), Err("Call-ID is missing".to_owned()));
        let bare = Fields::parse(r#"{"App-Name":"a","Call-ID":"1"}"#).unwrap();
        let invalid = Definition { required: &[], kinds: &[] }.check(&bare).unwrap_err();
        assert_eq!(invalid.0, "App-Version is missing");
    }

    #[test]
    fn a_header_that_is_absent_passes_its_check() {
        assert_eq!(check(&[("Reason", Kind::Object)], r#","Call-ID":"1""#), Ok(()));
    }

    #[test]
    fn each_kind_accepts_its_own_and_refuses_others() {
        let cases = [
            (Kind::Text, &[r#""""#, r#""x""#][..], &["1", "null", "{}"][..]),
            (Kind::NonEmptyText, &[r#""x""#], &[r#""""#, "1"]),
            (Kind::OneOf(&["on", "off"]), &[r#""on""#], &[r#""in""#, "1", "null"]),
            (Kind::Boolean, &["true", "false", r#""true""#], &["0", r#""yes""#, "null"]),
            (Kind::PositiveInteger, &["1"], &["0", "-1", "1.5", r#""1""#]),
            (Kind::Object, &["{}"], &["[]", "null", r#""{}""#]),
            (Kind::Objects, &["[]", "[{}]"], &["{}", "[1]"]),
            (Kind::NonEmptyList, &["[1]"], &["[]", "{}", r#""x""#]),
        ];
        for (kind, good, bad) in cases {
            for value in good {
                assert_eq!(check(&[("X", kind)], &format!(r#","Call-ID":"1","X":{value}"#)), Ok(()), "{value}");
            }
            for value in bad {
                let wrong = check(&[("X", kind)], &format!(r#","Call-ID":"1","X":{value}"#));
                assert!(wrong.unwrap_err().starts_with("X is not "), "{value}");
            }
        }
    }
}
