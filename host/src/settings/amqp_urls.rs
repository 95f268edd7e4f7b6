//! `amqp.url`: one URI or a list of them, never shown with their passwords.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Brokers to try in turn, as they were written.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "Written", into = "Written")]
pub struct AmqpUrls(Vec<String>);

/// How the setting is written.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Several(Vec<String>),
}

impl AmqpUrls {
    /// Each of them, passwords and all.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<String>> for AmqpUrls {
    fn from(urls: Vec<String>) -> Self {
        Self(urls)
    }
}

impl From<Written> for AmqpUrls {
    fn from(written: Written) -> Self {
        match written {
            Written::One(url) => Self(vec![url]),
            Written::Several(urls) => Self(urls),
        }
    }
}

impl From<AmqpUrls> for Written {
    fn from(urls: AmqpUrls) -> Self {
        match <[String; 1]>::try_from(urls.0) {
            Ok([url]) => Self::One(url),
            Err(urls) => Self::Several(urls),
        }
    }
}

impl fmt::Debug for AmqpUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpUrls({} hidden)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    fn read(written: &str) -> Settings {
        let variable = ("HOOKBOX_AMQP__URL".to_owned(), written.to_owned());
        Settings::from_parts(None, std::iter::once(variable)).unwrap()
    }

    #[test]
    fn one_and_several_are_read_and_never_shown() {
        for (written, urls) in [
            ("amqp://u:hunter2@a/v", vec!["amqp://u:hunter2@a/v"]),
            (r#"["amqp://u:hunter2@a/v", "amqps://b"]"#, vec!["amqp://u:hunter2@a/v", "amqps://b"]),
        ] {
            let settings = read(written);
            assert_eq!(settings.amqp.url.as_ref().unwrap().iter().collect::<Vec<_>>(), urls);
            assert!(!format!("{settings:?}").contains("hunter2"));
        }
    }
}
