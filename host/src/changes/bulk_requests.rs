//! KAZOO's bulk requests: `doc_type_update` for hooks asks, over AMQP, that the hooks of an account (or of all below it
//! too) that were disabled for failing are enabled again; whoever asks waits two seconds for a reply.
//!
//! One queue, shared by all nodes, so that one does it and one reply is sent. It is acknowledged when it is done; a
//! request that nobody took for a minute is no use to who asked, and goes. A request that cannot be understood is logged
//! and dropped, without a reply.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, ExchangeKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ExchangeDeclareOptions,
        QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{ChangesError, Follower, Outage, declare_exchange};
use crate::{
    account::AccountTree, attempt::re_enable, broker::Broker, clock::Clock, message::AccountId, notice::Sender,
    store::SharedStore,
};

const EXCHANGE: &str = "configuration";
const ROUTING_KEY: &str = "configuration.doc_type_update.webhook";
/// Where replies go, to the queue that the routing key names.
const REPLIES: &str = "targeted";
/// The longest name of a queue; AMQP's short string.
const QUEUE_BYTES_MAX: usize = 255;
/// How long a request may wait for somebody to do it.
const TTL_MS: i32 = 60_000;

/// Does what is asked.
pub struct BulkRequests {
    /// Where they come from.
    pub broker: Arc<Broker>,
    /// `amqp.queue`; requests have a queue of their own, `<queue>.requests`.
    pub queue: String,
    /// Where hooks are.
    pub store: SharedStore,
    /// Who is below whom.
    pub accounts: Arc<AccountTree>,
    /// Has this node obey what was written.
    pub follower: Arc<Follower>,
    /// Rung when notices were written.
    pub to_tell: Arc<Notify>,
    /// How replies and notices name this node.
    pub node: String,
    /// What time it is.
    pub clock: Clock,
    /// `amqp.reconnect_pause_ms_max`.
    pub pause_ms_max: u64,
    /// `amqp.rebind_ms`.
    pub rebind_ms: u64,
}

/// One request.
#[derive(Debug, PartialEq)]
struct Request {
    account: AccountId,
    with_descendants: bool,
    message_id: String,
    reply_to: Option<ReplyTo>,
}

/// Where a reply goes.
#[derive(Debug, PartialEq)]
struct ReplyTo {
    queue: String,
    /// The process behind the queue, when the publisher named one.
    pid: Option<String>,
}

impl BulkRequests {
    /// Does them; loses the broker and finds it again in between.
    pub async fn run(&self) -> Result<(), Infallible> {
        let mut outage = Outage::new("bulk requests cannot be heard", self.pause_ms_max);
        loop {
            let ended = self.serve(&mut outage).await;
            outage.wait(ended).await;
        }
    }

    /// Does them until the connection is lost or the store fails; what was not acknowledged comes back.
    async fn serve(&self, outage: &mut Outage) -> Result<(), ChangesError> {
        let link = self.broker.connect("bulk requests").await?;
        let channel = link.channel().await?;
        let queue = ShortString::from(format!("{}.requests", self.queue));
        let mut arguments = FieldTable::default();
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(TTL_MS));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.clone(), options, arguments).await?;
        bind(&channel, &queue).await?;
        channel.basic_qos(1, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut requests =
            channel.basic_consume(queue.clone(), ShortString::default(), options, FieldTable::default()).await?;
        outage.is_over();
        loop {
            let delivery = tokio::select! {
                delivery = requests.next() => delivery,
                () = tokio::time::sleep(Duration::from_millis(self.rebind_ms)) => {
                    bind(&channel, &queue).await?;
                    continue;
                }
            };
            let Some(delivery) = delivery.transpose()? else { return Ok(()) };
            self.handle(&channel, &delivery).await?;
            delivery.ack(BasicAckOptions::default()).await?;
        }
    }

    async fn handle(&self, channel: &Channel, delivery: &Delivery) -> Result<(), ChangesError> {
        let request = match read(&delivery.data) {
            Ok(request) => request,
            Err(reason) => {
                tracing::warn!(reason, "a bulk request was not understood, and dropped");
                return Ok(());
            }
        };
        let mut accounts = match request.with_descendants {
            true => self.accounts.descendants(&request.account),
            false => Vec::new(),
        };
        accounts.push(request.account.clone());
        let sender = Sender { node: &self.node, request_id: None, now_ms: self.clock.now_ms() };
        let enabled = re_enable::switched_off_hooks(&self.store, &accounts, &sender).await?;
        self.to_tell.notify_one();
        self.follower.catch_up().await?;
        tracing::info!(account = %request.account, enabled, "hooks enabled again, as the platform asked");
        match &request.reply_to {
            Some(to) => self.reply(channel, &request, to).await,
            None => Ok(()),
        }
    }

    async fn reply(&self, channel: &Channel, request: &Request, to: &ReplyTo) -> Result<(), ChangesError> {
        let body = json!({
            "App-Name": "webhooks",
            "App-Version": "4.0.0",
            "Event-Category": "configuration",
            "Event-Name": "doc_type_updated",
            "Msg-ID": request.message_id,
            "Node": self.node,
        });
        let mut properties = BasicProperties::default().with_content_type("application/json".into());
        if let Some(pid) = &to.pid {
            let mut headers = FieldTable::default();
            headers.insert("Deliver-To-PID".into(), AMQPValue::LongString(LongString::from(pid.as_str())));
            properties = properties.with_headers(headers);
        }
        let (key, body) = (to.queue.as_str().into(), body.to_string());
        let options = BasicPublishOptions::default();
        channel.basic_publish(REPLIES.into(), key, options, body.as_bytes(), properties).await?;
        Ok(())
    }
}

/// Declares the exchanges and binds, anew when it has been before: an exchange may have gone.
async fn bind(channel: &Channel, queue: &ShortString) -> Result<(), lapin::Error> {
    declare_exchange(channel, EXCHANGE).await?;
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(REPLIES.into(), ExchangeKind::Direct, options, FieldTable::default()).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.clone(), EXCHANGE.into(), ROUTING_KEY.into(), options, FieldTable::default()).await
}

/// Reads a request; what is wrong with one that is none.
fn read(body: &[u8]) -> Result<Request, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("it is not JSON: {error}"))?;
    let text = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
    let required = |key: &str| text(key).ok_or_else(|| format!("{key} is missing"));
    for (key, expected) in [("Event-Category", EXCHANGE), ("Event-Name", "doc_type_update"), ("Type", "webhook")] {
        let found = required(key)?;
        if found != expected {
            return Err(format!("{key} is {found:?}, not {expected:?}"));
        }
    }
    let with_descendants = match required("Action")? {
        "account" => false,
        "descendants" => true,
        other => return Err(format!("Action is {other:?}; it can be account or descendants")),
    };
    let reply_to = text("Server-ID").map(reply_to);
    // The library panics at a longer one.
    if reply_to.as_ref().is_some_and(|to| to.queue.len() > QUEUE_BYTES_MAX) {
        return Err(format!("Server-ID names a queue of more than {QUEUE_BYTES_MAX} bytes"));
    }
    Ok(Request {
        account: AccountId::from(required("Account-ID")?),
        with_descendants,
        message_id: text("Msg-ID").unwrap_or_default().to_owned(),
        reply_to,
    })
}

/// The forms of a `Server-ID`: `pid://<pid>/<queue>`, `consumer://<pid>/<queue>`, or the queue alone.
fn reply_to(server_id: &str) -> ReplyTo {
    let parts = |scheme: &str| server_id.strip_prefix(scheme)?.split_once('/');
    if let Some((pid, queue)) = parts("pid://") {
        return ReplyTo { queue: queue.to_owned(), pid: Some(pid.to_owned()) };
    }
    let queue = parts("consumer://").map_or(server_id, |(_, queue)| queue);
    ReplyTo { queue: queue.to_owned(), pid: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Value {
        json!({
            "Event-Category": "configuration", "Event-Name": "doc_type_update", "Type": "webhook", "Action": "account",
            "Account-ID": "a1", "Msg-ID": "m1", "Server-ID": "kazoo@n1-<0.77.0>-1a2b",
        })
    }

    #[test]
    fn a_request_is_read() {
        let reply_to = Some(ReplyTo { queue: "kazoo@n1-<0.77.0>-1a2b".into(), pid: None });
        let (account, message_id) = (AccountId::from("a1"), "m1".to_owned());
        let expected = Request { account, with_descendants: false, message_id, reply_to };
        assert_eq!(read(request().to_string().as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (key, value, named) in [
            ("Type", "account", "Type"),
            ("Action", "everything", "descendants"),
            ("Account-ID", "", "Account-ID"),
            ("Server-ID", &"q".repeat(256), "Server-ID"),
            ("Event-Name", "doc_edited", "Event-Name"),
        ] {
            let mut request = request();
            request[key] = json!(value);
            assert!(read(request.to_string().as_bytes()).is_err_and(|reason| reason.contains(named)), "{key}");
        }
        assert!(read(b"{").is_err());
    }

    #[test]
    fn replies_go_where_the_request_says() {
        let to = |queue: &str, pid: Option<&str>| ReplyTo { queue: queue.into(), pid: pid.map(str::to_owned) };
        assert_eq!(reply_to("pid://<0.1.0>/queue/1"), to("queue/1", Some("<0.1.0>")));
        assert_eq!(reply_to("consumer://<0.1.0>/queue"), to("queue", None));
        assert_eq!(reply_to("queue"), to("queue", None));
    }
}
