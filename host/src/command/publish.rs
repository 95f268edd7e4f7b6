//! `hookbox publish FILE`: posts messages to a host, or to a broker.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use flate2::{Compression, write::GzEncoder};
use lapin::{
    BasicProperties, Channel, Confirmation, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::time::timeout;

use super::{could_not_begin, rest};
use crate::{
    broker::{Broker, fault::Fault},
    error_chain::chain,
    settings::{AmqpUrls, Settings},
};

/// Messages of one request to a host.
const MESSAGES_A_REQUEST: usize = 100;

/// What to publish, and where.
#[derive(Debug, Args)]
pub struct Publish {
    /// An object, an array or JSON lines of {exchange, routing_key, body, message_id?, headers?, content_type?,
    /// content_encoding?}; `-` for standard input.
    file: PathBuf,
    /// A broker to publish to, instead of a host; more than once for brokers to try in turn. Exchanges are declared as
    /// KAZOO does: topic, not durable.
    #[arg(long)]
    amqp: Vec<String>,
    /// Settings that say how the broker is reached: certificates, time-outs (those of `[amqp]`, but for the URL).
    #[arg(long, requires = "amqp")]
    config: Option<PathBuf>,
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
        let published = match self.amqp.is_empty() {
            true => self.to_host(&messages).await,
            false => self.to_broker(&messages).await,
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

    /// Publishes with confirms. Only what the broker has confirmed and put into a queue counts as taken; the rest is named.
    /// When the broker fails on the way, nothing after it is tried.
    async fn to_broker(&self, messages: &[Message]) -> Result<usize, String> {
        let failed = |error: lapin::Error| format!("the broker: {}", Fault::from(error));
        let mut settings = Settings::load(self.config.as_deref()).map_err(|error| chain(&error))?.amqp;
        settings.url = Some(AmqpUrls::from(self.amqp.clone()));
        let broker =
            Broker::new(&settings, "hookbox@command").filter(|broker| broker.addresses().len() == self.amqp.len());
        let broker =
            broker.ok_or("--amqp is no URL of a broker; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…")?;
        let link = broker.connect("publish").await.map_err(|error| format!("the broker: {error}"))?;
        let channel = link.channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let (patience, mut taken) = (broker.confirm_timeout(), 0);
        for (message, number) in messages.iter().zip(1..) {
            let place = format!("{} {}", message.exchange, message.routing_key);
            let ended = match timeout(patience, send(&channel, message)).await {
                Ok(Ok(Sent::Taken)) => {
                    taken += 1;
                    continue;
                }
                Ok(Ok(Sent::Returned)) => {
                    println!("{place}: no queue is bound for it");
                    continue;
                }
                Ok(Ok(Sent::Refused)) => {
                    println!("{place}: the broker has refused it; its log says why");
                    continue;
                }
                Ok(Err(reason)) => reason,
                Err(_) if link.is_blocked() => {
                    "the broker has raised an alarm and takes nothing that is published; free \
                                                memory or disk there (rabbitmqctl status)"
                        .to_owned()
                }
                Err(_) => format!("the broker has not confirmed within {patience:?} (amqp.confirm_timeout_ms)"),
            };
            println!("{place} (message {number}): {ended}; it may be there or not, and nothing after it was tried");
            return Ok(taken);
        }
        // All that counts has been confirmed.
        let _ = timeout(patience, link.close()).await;
        Ok(taken)
    }
}

/// What became of a message at the broker.
enum Sent {
    Taken,
    /// Confirmed, and in no queue.
    Returned,
    Refused,
}

/// Publishes one message and waits for what becomes of it.
async fn send(channel: &Channel, message: &Message) -> Result<Sent, String> {
    let failed = |error: lapin::Error| Fault::from(error).to_string();
    let (exchange, routing_key) = (short("exchange", &message.exchange)?, short("routing_key", &message.routing_key)?);
    let (body, properties) = message.for_the_broker()?;
    let options = ExchangeDeclareOptions::default();
    let declared = channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, options, FieldTable::default());
    declared.await.map_err(failed)?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish(exchange, routing_key, options, &body, properties).await.map_err(failed)?;
    Ok(match sent.await.map_err(failed)? {
        Confirmation::Ack(None) => Sent::Taken,
        Confirmation::Ack(Some(_)) => Sent::Returned,
        Confirmation::Nack(_) | Confirmation::NotRequested => Sent::Refused,
    })
}

/// AMQP's short string; the library panics at a longer one.
fn short(field: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| format!("{field} is {} bytes long; AMQP takes 255", text.len()))
}

impl Message {
    fn for_the_broker(&self) -> Result<(Vec<u8>, BasicProperties), String> {
        let mut properties = BasicProperties::default();
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        properties = properties.with_content_type(short("content_type", content_type)?);
        if let Some(id) = &self.message_id {
            properties = properties.with_message_id(short("message_id", id)?);
        }
        if let Some(headers) = &self.headers {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                table.insert(short("a header's name", name)?, AMQPValue::LongString(LongString::from(text)));
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
