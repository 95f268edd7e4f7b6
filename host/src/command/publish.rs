//! `hookbox publish FILE`: posts messages to a host, or to a broker.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use flate2::{Compression, write::GzEncoder};
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{AMQPValue, FieldTable, LongString},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{could_not_begin, rest};
use crate::error_chain::chain;

/// Messages of one request to a host.
const MESSAGES_A_REQUEST: usize = 100;

/// What to publish, and where.
#[derive(Debug, Args)]
pub struct Publish {
    /// An object, an array or JSON lines of {exchange, routing_key, body, message_id?, headers?, content_type?,
    /// content_encoding?}; `-` for standard input.
    file: PathBuf,
    /// A broker to publish to, instead of a host. Exchanges are declared as KAZOO does: topic, not durable.
    #[arg(long)]
    amqp: Option<String>,
    /// The host's address.
    #[arg(long, env = "HOOKBOX_CLI_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// An API key of the account.
    #[arg(long, env = "HOOKBOX_CLI_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The account to post for.
    #[arg(long, required_unless_present = "amqp")]
    account: Option<String>,
}

/// One message of the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Message {
    exchange: String,
    routing_key: String,
    body: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<serde_json::Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
}

impl Publish {
    /// Publishes; exit code 1 when not every message was taken.
    pub async fn run(self) -> ExitCode {
        let name = self.file.display().to_string();
        let text = match name.as_str() {
            "-" => std::io::read_to_string(std::io::stdin()),
            _ => std::fs::read_to_string(&self.file),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => return could_not_begin(&format!("{name}: cannot be read ({error})")),
        };
        let messages = match parse(&text) {
            Ok(messages) => messages,
            Err(reason) => return could_not_begin(&format!("{name}: {reason}")),
        };
        let published = match &self.amqp {
            Some(url) => to_broker(url, &messages).await,
            None => self.to_host(&messages).await,
        };
        match published {
            Ok(taken) => {
                println!("{taken} of {} messages taken", messages.len());
                if taken == messages.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(reason) => could_not_begin(&reason),
        }
    }

    async fn to_host(&self, messages: &[Message]) -> Result<usize, String> {
        let (url, account) = (self.url.trim_end_matches('/'), self.account.as_deref().unwrap_or_default());
        let url = format!("{url}/v2/accounts/{account}/messages");
        let token = self.token.as_deref().ok_or("a key is needed: --token, or HOOKBOX_CLI_TOKEN in the environment")?;
        let client = rest::client().map_err(|error| chain(&error))?;
        let mut taken = 0;
        for chunk in messages.chunks(MESSAGES_A_REQUEST) {
            let body = json!({"data": chunk}).to_string();
            let request = client.put(&url).header("x-auth-token", token).header("content-type", "application/json");
            let answer = request.body(body).send().await.map_err(|error| format!("{url}: {}", chain(&error)))?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| chain(&error))?;
            let envelope: Value = serde_json::from_str(&text).unwrap_or_default();
            let Some(answers) = envelope["data"].as_array() else {
                return Err(format!("{url}: the host answered {status}: {text}"));
            };
            for (message, answer) in chunk.iter().zip(answers) {
                match answer["settlement"].as_str() {
                    Some("ack") => taken += 1,
                    _ => println!("{} {}: {answer}", message.exchange, message.routing_key),
                }
            }
        }
        Ok(taken)
    }
}

/// Publishes with confirms; a message that the broker could route nowhere is not counted as taken.
async fn to_broker(url: &str, messages: &[Message]) -> Result<usize, String> {
    let failed = |error: lapin::Error| format!("the broker: {}", chain(&error));
    let connection = Connection::connect(url, ConnectionProperties::default()).await.map_err(failed)?;
    let channel = connection.create_channel().await.map_err(failed)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
    let mut taken = 0;
    for message in messages {
        let exchange = message.exchange.as_str();
        let options = ExchangeDeclareOptions::default();
        let declared = channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default());
        declared.await.map_err(failed)?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (body, properties) = message.for_the_broker()?;
        let key = message.routing_key.as_str().into();
        let sent = channel.basic_publish(exchange.into(), key, options, &body, properties).await.map_err(failed)?;
        match sent.await.map_err(failed)? {
            Confirmation::Ack(None) => taken += 1,
            _ => println!("{exchange} {}: no queue is bound for it", message.routing_key),
        }
    }
    connection.close(200, "bye".into()).await.map_err(failed)?;
    Ok(taken)
}

impl Message {
    fn for_the_broker(&self) -> Result<(Vec<u8>, BasicProperties), String> {
        let mut properties = BasicProperties::default();
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        properties = properties.with_content_type(content_type.into());
        if let Some(id) = &self.message_id {
            properties = properties.with_message_id(id.as_str().into());
        }
        if let Some(headers) = &self.headers {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                table.insert(name.as_str().into(), AMQPValue::LongString(LongString::from(text)));
            }
            properties = properties.with_headers(table);
        }
        let plain = self.body.get().as_bytes();
        let body = match self.content_encoding.as_deref() {
            None | Some("identity") => plain.to_vec(),
            Some("gzip") => {
                properties = properties.with_content_encoding("gzip".into());
                gzip(plain).map_err(|error| error.to_string())?
            }
            Some(other) => return Err(format!("content_encoding {other:?} is not known; leave it out or say gzip")),
        };
        Ok((body, properties))
    }
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, plain)?;
    encoder.finish()
}

fn parse(text: &str) -> Result<Vec<Message>, String> {
    let text = text.trim_start();
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    // One object, or one a line: a stream of them either way.
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"exchange": "e", "routing_key": "k", "body": {"a": 1}}"#;

    fn count(text: &str) -> Result<usize, String> {
        parse(text).map(|messages| messages.len())
    }

    #[test]
    fn an_object_an_array_and_lines_are_read() {
        assert_eq!(count(ONE), Ok(1));
        assert_eq!(count(&format!("[{ONE}, {ONE}]")), Ok(2));
        assert_eq!(count(&format!("{ONE}\n{ONE}\n{ONE}\n")), Ok(3));
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let error = count(r#"{"exchange": "e", "routing_kee": "k", "body": {}}"#);
        assert!(error.is_err_and(|text| text.contains("routing_kee")));
    }
}
