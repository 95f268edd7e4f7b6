//! From bytes to a [`Message`], by plain rules. What cannot be one is refused with the reason, and never comes back.

use std::{borrow::Cow, fmt, io::Read};

use flate2::read::GzDecoder;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};
use serde_json::{Value, value::RawValue};
use thiserror::Error;

use crate::{
    account::AccountTree,
    message::{AccountId, Message, Object, Source, UnixMs},
    telemetry::trace_context::TraceContext,
};

/// What came in, before anything is known of it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Where from.
    pub source: Source,
    /// The exchange.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
    /// AMQP's `message-id`.
    pub message_id: Option<&'a str>,
    /// AMQP's `content-type`; a missing one is taken as JSON.
    pub content_type: Option<&'a str>,
    /// AMQP's `content-encoding`.
    pub content_encoding: Option<&'a str>,
    /// As it came.
    pub body: &'a [u8],
    /// For a tenant's post: the tenant.
    pub within: Option<AccountId>,
    /// The `traceparent` that came with it.
    pub trace: Option<TraceContext>,
}

/// Why it can never be a message.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Only JSON is taken.
    #[error("content type {0:?} is not taken; send application/json")]
    ContentType(String),
    /// Only gzip is taken.
    #[error("content encoding {0:?} is not taken; send it plain or gzip")]
    ContentEncoding(String),
    /// Too large, before or after decompression.
    #[error("the body has over {0} bytes (ingress.body_bytes_max)")]
    TooLarge(usize),
    /// gzip that is none.
    #[error("the body is not gzip: {0}")]
    Gzip(String),
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    Utf8,
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
}

/// By which settings messages are decoded.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// `ingress.body_bytes_max`.
    pub body_bytes_max: usize,
    /// `amqp.account_pointers`.
    pub account_pointers: Vec<String>,
    /// `kazoo.send_passwords`.
    pub send_passwords: bool,
}

impl Decoder {
    /// Makes a message of what came in.
    pub fn decode(
        &self,
        incoming: &Incoming<'_>,
        accounts: &AccountTree,
        now_ms: UnixMs,
    ) -> Result<Message, DecodeError> {
        if let Some(content_type) = incoming.content_type.filter(|text| !is_json(text)) {
            return Err(DecodeError::ContentType(content_type.chars().take(100).collect()));
        }
        let text = self.text(incoming)?;
        let Some(first) = text.trim_start().chars().next() else {
            return Err(DecodeError::Json("it is empty".into()));
        };
        // Most of a message is of no interest here: values are skipped over, checked, and not built.
        let members: Members<'_> = match serde_json::from_str(&text) {
            Ok(members) => members,
            Err(error) if error.is_data() && first != '{' => return Err(DecodeError::NotAnObject),
            Err(error) => return Err(DecodeError::Json(error.to_string())),
        };
        let category = members.text("Event-Category").unwrap_or_default();
        let name = members.text("Event-Name").unwrap_or_default();
        let message_id = incoming.message_id.map(str::to_owned).or_else(|| members.text("Msg-ID"));
        let account = self.account(&members).filter(|account| accounts.contains(account));
        // Modules and dead letters never see a password.
        let has_password = !self.send_passwords
            && category == "notification"
            && name == "new_user"
            && members.raw("Password").is_some();
        let body = if has_password { without_password(&text)? } else { text };
        Ok(Message {
            source: incoming.source,
            exchange: incoming.exchange.to_owned(),
            routing_key: incoming.routing_key.to_owned(),
            message_id,
            category,
            name,
            account,
            within: incoming.within.clone(),
            received_ms: now_ms,
            trace: incoming.trace,
            body,
        })
    }

    /// The account that a decoded message's body leads to, whether anybody knows it or not; `None` when there is none,
    /// when it cannot be one, and for what Hookbox has published itself.
    pub fn stranger(&self, body: &str) -> Option<AccountId> {
        let members: Members<'_> = serde_json::from_str(body).ok()?;
        let is_own = members.text("Node").is_some_and(|node| node.starts_with("hookbox@"));
        self.account(&members).filter(|account| !is_own && AccountId::is_valid(account.as_str()))
    }

    fn text(&self, incoming: &Incoming<'_>) -> Result<String, DecodeError> {
        let most = self.body_bytes_max;
        if incoming.body.len() > most {
            return Err(DecodeError::TooLarge(most));
        }
        let bytes = match incoming.content_encoding.unwrap_or_default() {
            "" | "identity" => incoming.body.to_vec(),
            "gzip" => {
                let mut plain = Vec::with_capacity(incoming.body.len().saturating_mul(4).min(most));
                let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
                let mut bounded = GzDecoder::new(incoming.body).take(bound);
                bounded.read_to_end(&mut plain).map_err(|error| DecodeError::Gzip(error.to_string()))?;
                plain
            }
            other => return Err(DecodeError::ContentEncoding(other.chars().take(100).collect())),
        };
        if bytes.len() > most {
            return Err(DecodeError::TooLarge(most));
        }
        String::from_utf8(bytes).map_err(|_| DecodeError::Utf8)
    }

    /// Whose message it is: the first pointer that leads to a text, else the account's database that a change is of.
    fn account(&self, members: &Members<'_>) -> Option<AccountId> {
        let pointers = self.account_pointers.iter();
        let pointed = pointers.filter_map(|pointer| members.pointer(pointer)).find(|text| !text.is_empty());
        pointed.map(AccountId::from).or_else(|| match members.text("Database")?.as_str() {
            "accounts" => members.text("ID").map(AccountId::from),
            database => account_of_database(database),
        })
    }
}

/// The members of a JSON object, each as the text that it stands in. Few are looked for, so a list is faster than a map.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Members<'_> {
    /// The text of a member's value; of the last one, when there are several.
    fn raw(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// A member that is a text.
    fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    /// The text that a JSON pointer leads to, through objects.
    fn pointer(&self, pointer: &str) -> Option<String> {
        let path = pointer.strip_prefix('/')?;
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let raw = match first.contains('~') {
            true => self.raw(&first.replace("~1", "/").replace("~0", "~"))?,
            false => self.raw(first)?,
        };
        match rest {
            None => serde_json::from_str(raw).ok(),
            Some(rest) => serde_json::from_str::<Members<'_>>(raw).ok()?.pointer(&format!("/{rest}")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(48);
                while let Some((Key(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// A member's name, borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn without_password(text: &str) -> Result<String, DecodeError> {
    let mut document: Object = serde_json::from_str(text).map_err(|error| DecodeError::Json(error.to_string()))?;
    document.shift_remove("Password");
    Ok(Value::Object(document).to_string())
}

/// `application/json`, perhaps with parameters.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.is_empty() || kind.eq_ignore_ascii_case("application/json")
}

/// The account of a KAZOO account database, in any of its spellings (`account%2Faa%2Fbb%2F…`, `account/aa/bb/…`, 32
/// digits), also of one month's (`-202404`).
pub fn account_of_database(database: &str) -> Option<AccountId> {
    let plain = database.replace("%2F", "/").replace("%2f", "/");
    let digits: String = match plain.strip_prefix("account/") {
        Some(rest) => rest.chars().filter(|c| *c != '/').collect(),
        None => plain,
    };
    let (id, month) = digits.split_at_checked(32)?;
    let is_month = |text: &str| {
        text.strip_prefix('-').is_some_and(|month| month.len() == 6 && month.bytes().all(|b| b.is_ascii_digit()))
    };
    let sound = id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) && (month.is_empty() || is_month(month));
    sound.then(|| AccountId::from(id))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;
    use crate::{account::Account, settings::Settings};

    const ACCOUNT: &str = "aaaabbbbccccddddeeeeffff00001111";

    fn tree() -> AccountTree {
        let tree = AccountTree::default();
        tree.replace(Account { id: ACCOUNT.into(), name: String::new(), tree: vec![], reseller: None });
        tree
    }

    fn decoder() -> Decoder {
        let settings = Settings::default();
        Decoder { body_bytes_max: 1000, account_pointers: settings.amqp.account_pointers, send_passwords: false }
    }

    fn incoming(body: &[u8]) -> Incoming<'_> {
        Incoming {
            source: Source::Amqp,
            exchange: "callevt",
            routing_key: "call.X.1",
            message_id: None,
            content_type: Some("application/json"),
            content_encoding: None,
            body,
            within: None,
            trace: None,
        }
    }

    fn decode(body: &Value) -> Message {
        decoder().decode(&incoming(body.to_string().as_bytes()), &tree(), 7).unwrap()
    }

    fn refusal(incoming: &Incoming<'_>) -> String {
        decoder().decode(incoming, &tree(), 7).unwrap_err().to_string()
    }

    #[test]
    fn a_message_knows_its_kind_and_its_account() {
        let message = decode(&json!({"Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE", "Msg-ID": "1",
            "Custom-Channel-Vars": {"Account-ID": ACCOUNT}}));
        assert_eq!((message.category.as_str(), message.name.as_str()), ("call_event", "CHANNEL_CREATE"));
        assert_eq!(message.message_id.as_deref(), Some("1"));
        assert_eq!(message.account, Some(ACCOUNT.into()));
    }

    #[test]
    fn a_message_belongs_to_the_trace_that_came_with_it() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
        let message = decoder().decode(&Incoming { trace, ..incoming(b"{}") }, &tree(), 7).unwrap();
        assert_eq!(message.trace, trace);
        // As it is stored, and as older versions stored it.
        let stored = serde_json::to_value(&message).unwrap();
        assert_eq!(serde_json::from_value::<Message>(stored.clone()).unwrap(), message);
        let mut older = stored;
        older.as_object_mut().unwrap().remove("trace");
        assert_eq!(serde_json::from_value::<Message>(older).unwrap(), Message { trace: None, ..message });
    }

    #[test]
    fn an_unknown_account_is_none() {
        assert_eq!(decode(&json!({"Account-ID": "who"})).account, None);
        assert_eq!(decode(&json!({"Account-ID": 7})).account, None);
    }

    #[test]
    fn a_stranger_is_an_account_that_can_be_one() {
        let stranger = |body: Value| decoder().stranger(&body.to_string());
        assert_eq!(stranger(json!({"Account-ID": "who"})), Some("who".into()));
        assert_eq!(stranger(json!({"Account-ID": "who", "Node": "hookbox@n1"})), None, "our own message");
        assert_eq!(stranger(json!({"Account-ID": "../x"})), None);
        assert_eq!(stranger(json!({"a": 1})), None);
    }

    #[test]
    fn the_database_of_a_change_names_the_account() {
        for database in [
            "account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111",
            "account/aa/aa/bbbbccccddddeeeeffff00001111-202404",
            ACCOUNT,
        ] {
            assert_eq!(account_of_database(database), Some(ACCOUNT.into()), "{database}");
        }
        for database in ["webhooks", "account/aa", "account%2Faa%2Faa%2Fbbbbccccddddeeeeffff00001111-2024", ""] {
            assert_eq!(account_of_database(database), None, "{database}");
        }
        assert_eq!(decode(&json!({"Database": "accounts", "ID": ACCOUNT})).account, Some(ACCOUNT.into()));
    }

    #[test]
    fn a_password_goes_no_further() {
        let body =
            json!({"Event-Category": "notification", "Event-Name": "new_user", "Password": "pst", "User-ID": "u"});
        assert!(!decode(&body).body.contains("pst"));
        let open = Decoder { send_passwords: true, ..decoder() };
        assert!(open.decode(&incoming(body.to_string().as_bytes()), &tree(), 7).unwrap().body.contains("pst"));
    }

    #[test]
    fn gzip_is_taken_and_bounded() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let small = gzip(b"{\"Event-Name\":\"x\"}");
        let message = decoder().decode(&Incoming { content_encoding: Some("gzip"), ..incoming(&small) }, &tree(), 7);
        assert_eq!(message.unwrap().name, "x");
        let bomb = gzip(&vec![b' '; 1_000_000]);
        assert!(bomb.len() < 2000);
        let text = Decoder { body_bytes_max: 2000, ..decoder() }
            .decode(&Incoming { content_encoding: Some("gzip"), ..incoming(&bomb) }, &tree(), 7)
            .unwrap_err();
        assert_eq!(text, DecodeError::TooLarge(2000));
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_with_the_reason() {
        assert!(refusal(&incoming(b"{")).starts_with("the body is not JSON: EOF"));
        assert_eq!(refusal(&incoming(b"[]")), "the body is not a JSON object");
        assert_eq!(refusal(&incoming(b"\xff{}")), "the body is not UTF-8");
        assert_eq!(refusal(&incoming(&[b' '; 1001])), "the body has over 1000 bytes (ingress.body_bytes_max)");
        let erlang = Incoming { content_type: Some("application/erlang"), ..incoming(b"x") };
        assert_eq!(refusal(&erlang), "content type \"application/erlang\" is not taken; send application/json");
        let brotli = Incoming { content_encoding: Some("br"), ..incoming(b"{}") };
        assert_eq!(refusal(&brotli), "content encoding \"br\" is not taken; send it plain or gzip");
        let broken = Incoming { content_encoding: Some("gzip"), ..incoming(b"{}") };
        assert!(refusal(&broken).starts_with("the body is not gzip"));
    }
}
