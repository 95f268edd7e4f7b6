//! Messages from the broker: one durable queue shared by all nodes, acknowledged by hand.
//!
//! Connecting, declaring and binding are done anew after every loss of the connection, of the channel or of the queue, for
//! ever, with a growing pause; each change of state is logged once. A delivery is settled on the channel it came on: when
//! that is gone, the broker delivers it again, and the `webhook-id` of what comes of it is the same. Exchanges and bindings
//! are declared anew every `amqp.rebind_ms` besides, for the broker tells nobody when an exchange goes.

pub mod queues;

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{Fuse, FusedFuture},
};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        ExchangeDeclareOptions, QueueBindOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::queues::QueueError;
use super::{
    Settlement,
    decode::{Decoder, Incoming},
    doubling_pause,
};
use crate::{
    account::AccountTree,
    broker::{Broker, Pauses, Unreachable, fault::Fault, link::Link},
    clock::Clock,
    error_chain::chain,
    kazoo::newcomers::Newcomers,
    message::{Message, Source},
    module::{Modules, dead_letter, registry::BindingKey},
    pipeline::Pipeline,
    settings::AmqpSettings,
    store::{SharedStore, StoreError, bound_bindings::Bound},
    telemetry::{
        meters::meters,
        trace_context::{self, TraceContext},
    },
};

/// How long an answer of the broker is waited for when we take our leave.
const PARTING: Duration = Duration::from_secs(2);

/// How it stands with the broker, for `/readyz` and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// `amqp.url` is unset.
    Off,
    /// Trying; with the reason why it is not there yet, and what to do: no broker can be reached, it does not let us in, a
    /// queue is another one than the settings ask for…
    Away(String),
    /// Consuming; with what could not be bound, if anything.
    Consuming {
        /// Exchanges or keys that the broker refused, with its words.
        refused: Vec<String>,
    },
}

/// Takes messages from the broker.
pub struct AmqpIngress {
    /// Where from.
    pub broker: Arc<Broker>,
    /// How.
    pub settings: AmqpSettings,
    /// How bodies are read.
    pub decoder: Decoder,
    /// Whose accounts are known.
    pub accounts: Arc<AccountTree>,
    /// Where messages wait whose account is not known yet; none when there is nobody to ask.
    pub newcomers: Option<Arc<Newcomers>>,
    /// Whose bindings are bound.
    pub modules: Arc<Modules>,
    /// Where messages go.
    pub pipeline: Arc<Pipeline>,
    /// Where messages go that the broker gave up.
    pub store: SharedStore,
    /// What time it is.
    pub clock: Clock,
    /// Told of each change.
    pub state: watch::Sender<BrokerState>,
    /// The deliveries that are being worked on.
    pub deliveries: TaskTracker,
    /// Cancelled when no more are to be taken.
    pub stopping: CancellationToken,
}

/// A connection at work.
struct Open {
    link: Link,
    channel: Channel,
    wanted: watch::Receiver<Arc<BTreeSet<BindingKey>>>,
    bound: BTreeSet<BindingKey>,
    /// What another process has bound, or this one before it lost the connection, and nothing wants now.
    left_over: BTreeSet<Bound>,
    messages: Consumer,
    given_up: Consumer,
}

/// Why consuming ended.
#[derive(Debug, Error)]
enum Ended {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Broker(Fault),
    #[error("the broker ended the consumer; was the queue deleted? It is declared and bound anew")]
    Cancelled,
    #[error("what the broker gave up or has bound cannot be kept")]
    Store(#[from] StoreError),
}

impl From<lapin::Error> for Ended {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error.into())
    }
}

impl AmqpIngress {
    /// Consumes until told to stop; loses the broker and finds it again in between.
    pub async fn run(&self) -> Result<(), StoreError> {
        let mut pauses = Pauses::new(self.settings.reconnect_pause_ms_max);
        while !self.stopping.is_cancelled() {
            let open = tokio::select! {
                open = self.open() => open,
                () = self.stopping.cancelled() => break,
            };
            let ended = match open {
                Ok(open) => {
                    pauses.begin_anew();
                    self.consume(open).await
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => break,
                Err(ended) => self.away(&ended),
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.pause()) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        // Also of a connection that is gone: its requests are under way, and their rows are to be written.
        self.settled().await;
        Ok(())
    }

    /// Says that the broker is away, once for each reason in a row.
    fn away(&self, ended: &Ended) {
        let now = BrokerState::Away(chain(ended));
        self.state.send_if_modified(|state| {
            let changed = *state != now;
            if let (true, BrokerState::Away(reason)) = (changed, &now) {
                tracing::warn!(%reason, "the broker is away; trying again until it is back");
            }
            *state = now;
            changed
        });
    }

    /// Connects, declares, binds and begins to consume.
    async fn open(&self) -> Result<Open, Ended> {
        let link = self.broker.connect("ingress").await?;
        let channel = link.channel().await?;
        queues::declare(&channel, &self.settings).await?;
        channel.basic_qos(self.settings.prefetch, BasicQosOptions::default()).await?;

        let mut wanted = self.modules.bindings();
        let mut bound = BTreeSet::new();
        let keys = Arc::clone(&wanted.borrow_and_update());
        let before = self.store.bound_bindings(&self.settings.queue).await?;
        let left_over = before.into_iter().collect();
        let refused = self.bind(&link, &mut bound, &keys).await?;
        self.modules.note_bound(keys);

        let messages = self.consumer(&channel, &self.settings.queue).await?;
        let given_up = self.consumer(&channel, &queues::dead_queue(&self.settings)).await?;
        self.consuming(&refused);
        Ok(Open { link, channel, wanted, bound, left_over, messages, given_up })
    }

    /// Takes what comes until the connection is lost, or until told to stop: then what was taken is settled first.
    async fn consume(&self, open: Open) -> Result<(), Ended> {
        let Open { link, channel, mut wanted, mut bound, mut left_over, mut messages, mut given_up } = open;
        // When what is no longer wanted is unbound: not before every node has heard of the change, for another node may
        // already want it back.
        let pause = Duration::from_millis(self.settings.unbind_after_ms);
        let mut release_at = Some(Instant::now() + pause);
        let rebind_pause = Duration::from_millis(self.settings.rebind_ms);
        let mut rebind = tokio::time::interval_at(Instant::now() + rebind_pause, rebind_pause);
        rebind.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Beside the rest, because it is a round trip to the broker for each binding.
        let mut rebinding = pin!(Fuse::terminated());
        loop {
            let release = async {
                match release_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                delivery = messages.next() => match delivery {
                    Some(delivery) => self.take(delivery?),
                    None => return Err(Ended::Cancelled),
                },
                delivery = given_up.next() => match delivery {
                    Some(delivery) => self.keep_given_up(delivery?).await?,
                    None => return Err(Ended::Cancelled),
                },
                changed = wanted.changed() => {
                    if changed.is_ok() {
                        let keys = Arc::clone(&wanted.borrow_and_update());
                        let refused = self.bind(&link, &mut bound, &keys).await?;
                        self.modules.note_bound(keys);
                        self.consuming(&refused);
                        release_at = Some(Instant::now() + pause);
                    }
                }
                () = release => {
                    release_at = None;
                    let keys = Arc::clone(&wanted.borrow());
                    self.release(&link, &mut bound, &mut left_over, &keys).await?;
                }
                _ = rebind.tick(), if rebinding.is_terminated() => {
                    let keys = wanted.borrow().iter().cloned().collect();
                    rebinding.set(bind_all(&link, &self.settings.queue, keys).fuse());
                }
                rebound = &mut rebinding => {
                    let Bindings { made, refused } = rebound?;
                    let wanted = wanted.borrow();
                    // What is no longer wanted may have been unbound meanwhile, or is about to be.
                    bound.extend(made.into_iter().filter(|key| wanted.contains(key)));
                    self.consuming(&refused);
                }
                () = self.stopping.cancelled() => break,
            }
        }
        // Stop taking, then wait for what was taken: it is settled on this channel. A broker that does not answer (it is
        // gone without a word, or takes nothing from us for want of memory) is not waited for: it delivers again what we
        // have not settled.
        let cancelling = channel.basic_cancel(messages.tag(), BasicCancelOptions::default());
        let cancelled = timeout(PARTING, cancelling).await;
        self.settled().await;
        if let Ok(Ok(())) = cancelled {
            let _ = timeout(PARTING, link.close()).await;
        }
        Ok(())
    }

    /// Waits until what was taken is settled, or has found its channel gone.
    async fn settled(&self) {
        self.deliveries.close();
        self.deliveries.wait().await;
    }

    fn consuming(&self, refused: &[String]) {
        let now = BrokerState::Consuming { refused: refused.to_vec() };
        let before = self.state.send_replace(now.clone());
        if before != now {
            tracing::info!(queue = self.settings.queue, "consuming from the broker");
            for reason in refused {
                tracing::error!(%reason, "the broker refuses a binding; the rest is bound");
            }
        }
    }

    async fn consumer(&self, channel: &Channel, queue: &str) -> Result<Consumer, lapin::Error> {
        let options = BasicConsumeOptions::default();
        channel.basic_consume(queue.into(), ShortString::default(), options, FieldTable::default()).await
    }

    /// Binds what is wanted and not bound yet. Gives what the broker refused.
    async fn bind(
        &self,
        link: &Link,
        bound: &mut BTreeSet<BindingKey>,
        wanted: &BTreeSet<BindingKey>,
    ) -> Result<Vec<String>, Ended> {
        let missing: Vec<_> = wanted.difference(bound).cloned().collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let noted: Vec<_> = missing.iter().map(place).collect();
        self.store.note_bound(&self.settings.queue, &noted).await?;
        let Bindings { made, refused } = bind_all(link, &self.settings.queue, missing).await?;
        bound.extend(made);
        Ok(refused)
    }

    /// Unbinds what is no longer wanted. The broker knows a binding by its exchange and key alone.
    async fn release(
        &self,
        link: &Link,
        bound: &mut BTreeSet<BindingKey>,
        left_over: &mut BTreeSet<Bound>,
        wanted: &BTreeSet<BindingKey>,
    ) -> Result<(), Ended> {
        let kept: BTreeSet<Bound> = wanted.iter().map(place).collect();
        let there: BTreeSet<Bound> = bound.iter().map(place).chain(std::mem::take(left_over)).collect();
        bound.retain(|key| wanted.contains(key));
        let gone: Vec<Bound> = there.difference(&kept).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        let queue = ShortString::from(self.settings.queue.as_str());
        let channel = link.channel().await?;
        for (exchange, routing_key) in &gone {
            let (exchange, routing_key) = (exchange.as_str().into(), routing_key.as_str().into());
            channel.queue_unbind(queue.clone(), exchange, routing_key, FieldTable::default()).await?;
        }
        channel.close(200, "done".into()).await?;
        self.store.forget_bound(&self.settings.queue, &gone).await?;
        tracing::info!(bindings = gone.len(), "released what no module asks for any more");
        Ok(())
    }

    /// Works on a delivery in a task of its own.
    fn take(&self, delivery: Delivery) {
        meters().taken_in(Source::Amqp, 1);
        let decoded = self.decoder.decode(&incoming(&delivery), &self.accounts, self.clock.now_ms());
        let (pipeline, newcomers) = (Arc::clone(&self.pipeline), self.newcomers.clone());
        let pauses = (self.settings.requeue_pause_ms, self.settings.requeue_pause_ms_max);
        let stopping = self.stopping.clone();
        self.deliveries.spawn(async move {
            let settlement = match decoded {
                Ok(message) => pipeline.handle(introduced(message, newcomers.as_ref()).await).await,
                Err(error) => pipeline.refuse(Source::Amqp, &error),
            };
            settle(&delivery, &settlement, pauses, &stopping).await;
        });
    }

    async fn keep_given_up(&self, delivery: Delivery) -> Result<(), Ended> {
        let now_ms = self.clock.now_ms();
        match self.decoder.decode(&incoming(&delivery), &self.accounts, now_ms) {
            Ok(message) => {
                let id = self.store.put_dead_letter(&dead_letter::of_broker(&message, now_ms)).await?;
                tracing::error!(dead_letter = id, "the broker gave up a message; it is kept as a dead letter");
            }
            Err(error) => drop(self.pipeline.refuse(Source::Amqp, &error)),
        }
        delivery.acker.ack(BasicAckOptions::default()).await?;
        Ok(())
    }
}

/// The message, after its account was asked for if nobody knew it and there is somebody to ask.
async fn introduced(message: Message, newcomers: Option<&Arc<Newcomers>>) -> Message {
    match newcomers {
        Some(newcomers) => newcomers.introduce(message).await,
        None => message,
    }
}

fn place(key: &BindingKey) -> Bound {
    (key.exchange.clone(), key.routing_key.clone())
}

/// What came of binding.
struct Bindings {
    made: Vec<BindingKey>,
    /// What the broker refused, and why: an exchange of that name may be there with other options.
    refused: Vec<String>,
}

/// Binds all of these, bound already or not. On a channel of its own, anew after each refusal, which closes it.
async fn bind_all(link: &Link, queue: &str, keys: Vec<BindingKey>) -> Result<Bindings, Ended> {
    let queue = ShortString::from(queue);
    let (mut made, mut refused) = (Vec::with_capacity(keys.len()), Vec::new());
    let mut channel = link.channel().await?;
    for key in keys {
        match bind_one(&channel, &queue, &key).await {
            Ok(()) => made.push(key),
            Err(error) if is_refusal(&error) && link.is_up() => {
                let fault = Fault::from(error);
                refused.push(format!("{} ({}) {}: {fault}", key.exchange, key.kind, key.routing_key));
                channel = link.channel().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    channel.close(200, "done".into()).await?;
    Ok(Bindings { made, refused })
}

/// Whether the broker refused that one thing. The queue that went meanwhile is no refusal of a binding.
fn is_refusal(error: &lapin::Error) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => !refusal.get_message().as_str().contains("no queue"),
        _ => true,
    }
}

async fn bind_one(channel: &Channel, queue: &ShortString, key: &BindingKey) -> Result<(), lapin::Error> {
    let kind = match key.kind.as_str() {
        "direct" => lapin::ExchangeKind::Direct,
        "fanout" => lapin::ExchangeKind::Fanout,
        "headers" => lapin::ExchangeKind::Headers,
        _ => lapin::ExchangeKind::Topic,
    };
    let options = ExchangeDeclareOptions { durable: key.durable, ..ExchangeDeclareOptions::default() };
    let exchange = ShortString::from(key.exchange.as_str());
    channel.exchange_declare(exchange.clone(), kind, options, FieldTable::default()).await?;
    let (routing_key, options) = (key.routing_key.as_str().into(), QueueBindOptions::default());
    channel.queue_bind(queue.clone(), exchange, routing_key, options, FieldTable::default()).await
}

fn incoming(delivery: &Delivery) -> Incoming<'_> {
    let properties = &delivery.properties;
    Incoming {
        source: Source::Amqp,
        exchange: delivery.exchange.as_str(),
        routing_key: delivery.routing_key.as_str(),
        message_id: properties.message_id().as_ref().map(ShortString::as_str),
        content_type: properties.content_type().as_ref().map(ShortString::as_str),
        content_encoding: properties.content_encoding().as_ref().map(ShortString::as_str),
        body: &delivery.data,
        within: None,
        trace: trace_of(delivery),
    }
}

/// The `traceparent` among its headers. What is none is as if absent: a trace is no reason to refuse a message.
fn trace_of(delivery: &Delivery) -> Option<TraceContext> {
    match delivery.properties.headers().as_ref()?.inner().get(trace_context::HEADER)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.parse().ok(),
        AMQPValue::ShortString(text) => text.as_str().parse().ok(),
        _ => None,
    }
}

/// Does to the delivery what was decided. An error means that the channel is gone; then the broker delivers again.
async fn settle(
    delivery: &Delivery,
    settlement: &Settlement,
    (first_ms, most_ms): (u64, u64),
    stopping: &CancellationToken,
) {
    let settled = match settlement {
        // A discarded message is acknowledged: rejected, it would go where poisoned ones go.
        Settlement::Ack { .. } | Settlement::Discard(_) => delivery.acker.ack(BasicAckOptions::default()).await,
        Settlement::Requeue(_) => {
            tokio::select! {
                () = tokio::time::sleep(doubling_pause(times_delivered(delivery), first_ms, most_ms)) => {}
                () = stopping.cancelled() => {}
            }
            delivery.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await
        }
    };
    if let Err(error) = settled {
        tracing::debug!(%error, "a message could not be settled, its channel is gone; the broker delivers it again");
    }
}

/// How often the broker has delivered it before; quorum queues count.
fn times_delivered(delivery: &Delivery) -> u64 {
    let count = delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get("x-delivery-count"));
    match count {
        Some(AMQPValue::LongLongInt(n)) => u64::try_from(*n).unwrap_or(0),
        Some(AMQPValue::LongInt(n)) => u64::try_from(*n).unwrap_or(0),
        _ => u64::from(delivery.redelivered),
    }
}
