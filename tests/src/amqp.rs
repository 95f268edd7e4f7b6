//! The platform's side of the broker: declares its exchanges as the platform does, publishes with confirms, and hears
//! what the host publishes.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm};
use serde_json::Value;

use crate::broker::Vhost;
use crate::eventually::eventually;
use crate::samples::Message;

/// The platform's exchanges, none durable.
const EXCHANGES: [(&str, ExchangeKind); 6] = [
    ("callevt", ExchangeKind::Topic),
    ("callmgr", ExchangeKind::Topic),
    ("notifications", ExchangeKind::Topic),
    ("configuration", ExchangeKind::Topic),
    ("im", ExchangeKind::Topic),
    ("targeted", ExchangeKind::Direct),
];

/// How many publishes wait for their confirms at a time.
const UNCONFIRMED_MAX: usize = 1000;

/// A client of one vhost, with confirms on.
pub struct Amqp {
    connection: Connection,
    channel: Channel,
}

/// What became of a published message that the broker has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// At least one queue holds it.
    Routed,
    /// No queue wanted it.
    Unrouted,
}

/// What arrives in a queue of its own, from the time of its making.
pub struct Inbox {
    heard: Arc<Mutex<VecDeque<Heard>>>,
    about: String,
}

/// One delivery, acknowledged already.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The exchange it was published to.
    pub exchange: String,
    /// With this key.
    pub routing_key: String,
    /// Its body, as it came.
    pub body: Vec<u8>,
    /// Content type, headers and the like.
    pub properties: BasicProperties,
}

impl Amqp {
    /// Connects, and declares the exchanges that are there whenever the platform is.
    pub async fn connect(vhost: &Vhost) -> Amqp {
        Amqp::connect_url(&vhost.url()).await
    }

    /// [`Amqp::connect`] by URL, as through a proxy.
    pub async fn connect_url(url: &str) -> Amqp {
        let connected = Amqp::try_connect(url).await;
        connected.unwrap_or_else(|problem| panic!("cannot connect to {url}: {problem}"))
    }

    /// [`Amqp::connect_url`], for a broker that may be away.
    pub async fn try_connect(url: &str) -> lapin::Result<Amqp> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        for (name, kind) in EXCHANGES {
            channel
                .exchange_declare(name.into(), kind, ExchangeDeclareOptions::default(), FieldTable::default())
                .await?;
        }
        Ok(Amqp { connection, channel })
    }

    /// Declares an exchange that is not durable.
    pub async fn declare_exchange(&self, name: &str, kind: ExchangeKind) {
        let options = ExchangeDeclareOptions::default();
        let declared = self.channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await;
        declared.unwrap_or_else(|problem| panic!("cannot declare exchange {name}: {problem}"));
    }

    /// Publishes, and waits for the broker to have taken it.
    pub async fn publish(&self, message: &Message) -> Published {
        self.publish_all([message]).await[0]
    }

    /// Publishes many, with up to a thousand on the way at a time, and waits for the broker to have taken all.
    pub async fn publish_all<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> Vec<Published> {
        let mut waiting = VecDeque::new();
        let mut published = Vec::new();
        for message in messages {
            if waiting.len() == UNCONFIRMED_MAX
                && let Some(oldest) = waiting.pop_front()
            {
                published.push(settled(oldest).await);
            }
            let sent = self.send(message).await;
            waiting.push_back(sent.unwrap_or_else(|problem| panic!("cannot publish: {problem}")));
        }
        for confirm in waiting {
            published.push(settled(confirm).await);
        }
        published
    }

    /// Publishes to a broker that may go away meanwhile. An error means that nobody knows whether it has the message.
    pub async fn try_publish(&self, message: &Message) -> lapin::Result<Published> {
        match self.send(message).await?.await? {
            Confirmation::Ack(None) => Ok(Published::Routed),
            Confirmation::Ack(Some(_)) => Ok(Published::Unrouted),
            // Not taken: the same to a publisher as not knowing.
            other => Err(std::io::Error::other(format!("{other:?}")).into()),
        }
    }

    async fn send(&self, message: &Message) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
        self.channel.basic_publish(exchange, key, options, &encoded(message), properties(message)).await
    }

    /// Hears what is published to an exchange with keys of this pattern, from now on.
    pub async fn listen(&self, exchange: &str, pattern: &str) -> Inbox {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare("".into(), options, FieldTable::default()).await.expect("a queue");
        let bind = QueueBindOptions::default();
        let bound =
            self.channel.queue_bind(queue.name().clone(), exchange.into(), pattern.into(), bind, FieldTable::default());
        bound.await.unwrap_or_else(|problem| panic!("cannot bind {pattern} of {exchange}: {problem}"));
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumed =
            self.channel.basic_consume(queue.name().clone(), "".into(), options, FieldTable::default()).await;
        let mut deliveries = consumed.expect("a consumer");

        let heard = Arc::new(Mutex::new(VecDeque::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = deliveries.next().await {
                lock(&ears).push_back(Heard {
                    exchange: delivery.exchange.to_string(),
                    routing_key: delivery.routing_key.to_string(),
                    body: delivery.data,
                    properties: delivery.properties,
                });
            }
        });
        Inbox { heard, about: format!("{exchange} {pattern}") }
    }

    /// How many messages of a queue wait for a consumer, at this moment. None when there is no such queue.
    ///
    /// Messages that a consumer holds are not among them: they are once it has disconnected, or ask
    /// [`Vhost::queue`].
    pub async fn ready(&self, queue: &str) -> Option<u32> {
        // A refused declaration closes the channel, so each takes one of its own.
        let channel = self.connection.create_channel().await.expect("a channel");
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()?;
        let ready = found.message_count();
        channel.close(200, "done".into()).await.ok();
        Some(ready)
    }

    /// Waits until a queue is there and empty: all it held was taken by a consumer.
    pub async fn expect_drained(&self, queue: &str) {
        eventually(&format!("queue {queue} to be drained"), async || match self.ready(queue).await {
            Some(0) => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// For what is not covered here.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}

impl Inbox {
    /// Waits for the next delivery and takes it.
    pub async fn next(&self) -> Heard {
        eventually(&format!("a message on {}", self.about), async || lock(&self.heard).pop_front().ok_or("none")).await
    }

    /// Waits until so many deliveries have come, and takes them; fails when more have come.
    pub async fn expect(&self, count: usize) -> Vec<Heard> {
        let heard = eventually(&format!("{count} messages on {}", self.about), async || {
            let mut heard = lock(&self.heard);
            if heard.len() >= count { Ok(heard.drain(..).collect::<Vec<_>>()) } else { Err(heard.clone()) }
        })
        .await;
        assert_eq!(heard.len(), count, "more messages on {} than expected: {heard:?}", self.about);
        heard
    }

    /// How many wait to be taken.
    pub fn waiting(&self) -> usize {
        lock(&self.heard).len()
    }
}

impl Heard {
    /// The body as JSON; panics when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|problem| panic!("{self:?} is no JSON: {problem}"))
    }
}

async fn settled(confirm: PublisherConfirm) -> Published {
    match confirm.await {
        Ok(Confirmation::Ack(None)) => Published::Routed,
        Ok(Confirmation::Ack(Some(_))) => Published::Unrouted,
        other => panic!("the broker did not take a message: {other:?}"),
    }
}

fn encoded(message: &Message) -> Vec<u8> {
    if message.content_encoding.as_deref() != Some("gzip") {
        return message.body.clone();
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&message.body).expect("memory takes it");
    packed.finish().expect("memory takes it")
}

fn properties(message: &Message) -> BasicProperties {
    let mut properties = BasicProperties::default().with_headers(message.headers.clone());
    if let Some(content_type) = &message.content_type {
        properties = properties.with_content_type(content_type.as_str().into());
    }
    if let Some(encoding) = &message.content_encoding {
        properties = properties.with_content_encoding(encoding.as_str().into());
    }
    if let Some(id) = &message.message_id {
        properties = properties.with_message_id(id.as_str().into());
    }
    if message.persistent { properties.with_delivery_mode(2) } else { properties }
}

fn lock(heard: &Mutex<VecDeque<Heard>>) -> MutexGuard<'_, VecDeque<Heard>> {
    heard.lock().expect("no holder panicked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::chaos_proxy::ChaosProxy;
    use crate::samples::{ACCOUNT, channel_created, mms_received};

    #[tokio::test]
    async fn publishes_as_the_platform_does_and_hears_it() {
        let vhost = Broker::shared().await.vhost().await;
        let amqp = Amqp::connect(&vhost).await;
        let calls = amqp.listen("callevt", "call.CHANNEL_CREATE.*").await;
        let texts = amqp.listen("im", "mms.#").await;

        let messages: Vec<_> = (0..3).map(|_| channel_created(ACCOUNT)).collect();
        assert_eq!(amqp.publish_all(&messages).await, [Published::Routed; 3]);
        assert_eq!(calls.expect(3).await[2].json(), messages[2].json());
        let unbound = Message { routing_key: "call.NO_SUCH.x".to_owned(), ..channel_created(ACCOUNT) };
        assert_eq!(amqp.publish(&unbound).await, Published::Unrouted);

        let message = mms_received(ACCOUNT).message_id("m1").header("call-id", "c1");
        amqp.publish(&message).await;
        let heard = texts.next().await;
        assert_eq!(&heard.body[..2], [0x1f, 0x8b]);
        assert_eq!(heard.properties.content_encoding().as_ref().map(|text| text.as_str()), Some("gzip"));
        assert_eq!(heard.properties.message_id().as_ref().map(|text| text.as_str()), Some("m1"));
    }

    #[tokio::test]
    async fn counts_what_waits_in_a_queue() {
        let vhost = Broker::shared().await.vhost().await;
        let amqp = Amqp::connect(&vhost).await;
        assert_eq!(amqp.ready("q").await, None);
        let channel = amqp.channel();
        channel
            .queue_declare("q".into(), QueueDeclareOptions::durable(), FieldTable::default())
            .await
            .expect("a queue");
        amqp.expect_drained("q").await;
        amqp.publish(&Message { exchange: String::new(), routing_key: "q".to_owned(), ..channel_created(ACCOUNT) })
            .await;
        assert_eq!(amqp.ready("q").await, Some(1));
    }

    #[tokio::test]
    async fn a_cut_link_ends_the_connection() {
        let vhost = Broker::shared().await.vhost().await;
        let mut proxy = ChaosProxy::start(vhost.amqp_port).await;
        let amqp = Amqp::connect_url(&vhost.url_through(proxy.port())).await;
        proxy.refuse().await;
        eventually("the connection to be lost", async || {
            if amqp.connection.status().connected() { Err("connected") } else { Ok(()) }
        })
        .await;
        proxy.restore().await;
        Amqp::connect_url(&vhost.url_through(proxy.port())).await;
    }
}
