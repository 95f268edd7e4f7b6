//! Tell other nodes, and hear from them.
//!
//! What changed is always read from the store ([`Follower`]): all of it at the start, then what has changed since. A
//! notice on the `configuration` exchange ([`Listener`]) only says that now is the time to look; without a broker, or
//! when a notice is lost, the periodic look finds it. What the host has to tell the broker itself was written to the
//! store with the change it tells of, and is published from there until the broker has confirmed it ([`Publisher`]).

pub mod bulk_requests;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use thiserror::Error;
use tokio::sync::{Mutex, Notify, mpsc, watch};

use crate::{
    account::AccountTree,
    broker::{
        Broker, Pauses, Unreachable,
        fault::Fault,
        flow::{Flow, Unconfirmed},
    },
    error_chain::chain,
    hook::{Hook, table::HookTable},
    ingress::amqp::BrokerState,
    message::Object,
    settings::FiringSettings,
    store::{HookChange, Notice, SharedStore, StoreError},
};

/// Rows read at once.
const PAGE_ROWS: u32 = 1000;

/// What a notice of a change looks like, of a hook, an account, a registered module or the limits of an account's modules
/// (KAZOO's data layer publishes those of hooks and accounts).
const NOTICE_KEYS: [&str; 5] = [
    "*.webhooks.webhook.*",
    "doc_deleted.*.account.*",
    "*.accounts.account.*",
    "*.*.webhook_module.*",
    "*.*.webhook_module_limits.*",
];

/// As above, of the documents of numbers: heard where KAZOO's documents are read.
const NUMBER_NOTICE_KEY: &str = "*.*.number.*";
/// The largest notice that is looked into; KAZOO's have half a thousand bytes.
const NOTICE_BYTES_MAX: usize = 65_536;

/// Why telling or hearing failed.
#[derive(Debug, Error)]
pub enum ChangesError {
    /// No broker can be reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The broker, or the way there.
    #[error("the broker: {0}")]
    Broker(Fault),
    /// The broker takes no notices.
    #[error(transparent)]
    Unconfirmed(#[from] Unconfirmed),
    /// The broker has refused a notice, which is kept.
    #[error("the broker has refused a notice ({exchange} {routing_key}); its log says why")]
    Refused {
        /// Where it was to go.
        exchange: String,
        /// With this key.
        routing_key: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<lapin::Error> for ChangesError {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error.into())
    }
}

/// Keeps the account tree and the hook table in step with the store.
pub struct Follower {
    /// What is followed.
    pub store: SharedStore,
    /// Kept in step.
    pub accounts: Arc<AccountTree>,
    /// Kept in step.
    pub hooks: Arc<HookTable>,
    /// Which hooks are valid.
    pub firing: Arc<FiringSettings>,
    /// Where reading goes on.
    pub cursors: Mutex<Cursors>,
    /// How many have asked for a look so far: those who wait for the same one share it.
    pub asked: AtomicU64,
    /// Rung when somebody knows of a change.
    pub wake: Arc<Notify>,
    /// `store.poll_ms`.
    pub poll_ms: u64,
}

/// How far the changes have been read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursors {
    accounts: i64,
    numbers: i64,
    hooks: i64,
    /// Whoever asked up to here has been served.
    served: u64,
}

impl Follower {
    /// Looks at once, now and then, and when woken. What the store fails to tell is read at the next look.
    pub async fn run(&self) -> Result<(), Infallible> {
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::warn!(error = chain(&error), "changes cannot be read; trying on");
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(self.poll_ms)) => {}
            }
        }
    }

    /// Reads what changed since the last time.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let own = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut cursors = self.cursors.lock().await;
        if cursors.served >= own {
            return Ok(());
        }
        // Whoever has asked by now had written before, so this look shows them what they wrote.
        let served = self.asked.load(Ordering::SeqCst);
        self.read_on(&mut cursors).await?;
        cursors.served = served;
        Ok(())
    }

    async fn read_on(&self, cursors: &mut Cursors) -> Result<(), StoreError> {
        loop {
            let page = self.store.accounts_since(cursors.accounts, PAGE_ROWS).await?;
            cursors.accounts = page.cursor;
            if page.changes.is_empty() {
                break;
            }
            for change in page.changes {
                match change {
                    Ok(account) => self.accounts.replace(account),
                    Err(deleted) => {
                        self.hooks.remove_account(&deleted);
                        self.accounts.remove(&deleted);
                    }
                }
            }
        }
        loop {
            let page = self.store.numbers_since(cursors.numbers, PAGE_ROWS).await?;
            cursors.numbers = page.cursor;
            if page.changes.is_empty() {
                break;
            }
            for (number, account) in page.changes {
                match account {
                    Some(account) => self.accounts.assign_number(number, account),
                    None => self.accounts.unassign_number(&number),
                }
            }
        }
        loop {
            let page = self.store.hooks_since(cursors.hooks, PAGE_ROWS).await?;
            cursors.hooks = page.cursor;
            if page.changes.is_empty() {
                return Ok(());
            }
            for change in page.changes {
                self.apply(change);
            }
        }
    }

    fn apply(&self, change: HookChange) {
        match change {
            HookChange::Deleted(account, id) => drop(self.hooks.remove(&account, &id)),
            HookChange::Saved(record) => match Hook::from_record(&record, &self.firing) {
                Ok(hook) if hook.enabled => drop(self.hooks.replace(hook)),
                Ok(hook) => drop(self.hooks.remove(&hook.account, &hook.id)),
                Err(problems) => {
                    tracing::warn!(hook = %record.id, account = %record.account, %problems, "hook not loaded: its document is not valid");
                    drop(self.hooks.remove(&record.account, &record.id));
                }
            },
        }
    }
}

/// Where notices go besides, for a reader of KAZOO's documents.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Their bodies.
    pub notices: mpsc::Sender<Object>,
    /// Rung when listening begins, and when one could not be handed over: what changed has to be looked for.
    pub missed: Arc<Notify>,
}

impl Heard {
    /// Hands a notice over; never waits.
    fn hand_over(&self, body: &[u8]) {
        if body.len() > NOTICE_BYTES_MAX {
            return tracing::warn!(
                bytes = body.len(),
                "a change notice is too large to be one, and is not looked into"
            );
        }
        match serde_json::from_slice(body) {
            Ok(notice) => {
                if self.notices.try_send(notice).is_err() {
                    self.missed.notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "a change notice cannot be read"),
        }
    }
}

/// Hears change notices on the `configuration` exchange, on a queue of this node's own.
pub struct Listener {
    /// Where they are heard.
    pub broker: Arc<Broker>,
    /// Rung for each notice: who follows hooks and accounts, and who follows modules.
    pub wake: [Arc<Notify>; 2],
    /// Who else is told of them.
    pub heard: Option<Heard>,
    /// `amqp.reconnect_pause_ms_max`.
    pub pause_ms_max: u64,
    /// `amqp.rebind_ms`.
    pub rebind_ms: u64,
}

impl Listener {
    /// Listens; loses the broker and finds it again in between.
    pub async fn run(&self) -> Result<(), Infallible> {
        let mut outage = Outage::new("change notices cannot be heard", self.pause_ms_max);
        loop {
            let ended = self.listen(&mut outage).await;
            outage.wait(ended).await;
        }
    }

    /// Listens until the connection is lost.
    async fn listen(&self, outage: &mut Outage) -> Result<(), ChangesError> {
        let link = self.broker.connect("changes").await?;
        let channel = link.channel().await?;
        let queue = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(ShortString::default(), queue, FieldTable::default()).await?;
        self.bind(&channel, queue.name()).await?;
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let tag = ShortString::default();
        let mut notices = channel.basic_consume(queue.name().clone(), tag, options, FieldTable::default()).await?;
        // What changed while nobody listened.
        self.ring();
        if let Some(heard) = &self.heard {
            heard.missed.notify_one();
        }
        outage.is_over();
        tracing::info!("listening for change notices");
        loop {
            let notice = tokio::select! {
                notice = notices.next() => notice,
                () = tokio::time::sleep(Duration::from_millis(self.rebind_ms)) => {
                    self.bind(&channel, queue.name()).await?;
                    continue;
                }
            };
            let Some(notice) = notice.transpose()? else { return Ok(()) };
            if let Some(heard) = &self.heard {
                heard.hand_over(&notice.data);
            }
            self.ring();
        }
    }

    /// Declares the exchange and binds, anew when it has been before: the exchange may have gone.
    async fn bind(&self, channel: &Channel, queue: &ShortString) -> Result<(), lapin::Error> {
        declare_exchange(channel, "configuration").await?;
        for key in NOTICE_KEYS.into_iter().chain(self.heard.as_ref().map(|_| NUMBER_NOTICE_KEY)) {
            let options = QueueBindOptions::default();
            let (queue, exchange) = (queue.clone(), "configuration".into());
            channel.queue_bind(queue, exchange, key.into(), options, FieldTable::default()).await?;
        }
        Ok(())
    }

    fn ring(&self) {
        self.wake.iter().for_each(|wake| wake.notify_one());
    }
}

/// Publishes the notices that the store keeps, in order, until the broker has confirmed them.
///
/// They are not `mandatory`: a notice that no queue wants is nobody's loss. But hooks of this host hear of notices when they
/// come back in, so none is sent before the host's own queue is bound.
pub struct Publisher {
    /// Where to.
    pub broker: Arc<Broker>,
    /// Whether the host's own queue is bound.
    pub ingress: watch::Receiver<BrokerState>,
    /// Where they are kept.
    pub store: SharedStore,
    /// Rung when one was written.
    pub wake: Arc<Notify>,
    /// `store.poll_ms`: how often to look for those of others.
    pub poll_ms: u64,
    /// `amqp.reconnect_pause_ms_max`.
    pub pause_ms_max: u64,
}

impl Publisher {
    /// Publishes; loses the broker and finds it again in between.
    pub async fn run(&self) -> Result<(), Infallible> {
        let mut outage = Outage::new("notices cannot be published, and are kept", self.pause_ms_max);
        loop {
            let ended = self.publish_all(&mut outage).await;
            outage.wait(ended).await;
        }
    }

    /// Publishes until the connection is lost, or the store fails.
    async fn publish_all(&self, outage: &mut Outage) -> Result<(), ChangesError> {
        let link = self.broker.connect("notices").await?;
        let mut flow = Flow::of(&self.broker, &link);
        let channel = link.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut ingress = self.ingress.clone();
        loop {
            let notices = self.store.notices(PAGE_ROWS).await?;
            for notice in &notices {
                // An error says that the host ends, which drops this too.
                let _ = ingress.wait_for(|state| matches!(state, BrokerState::Consuming { .. })).await;
                flow.patiently(self.publish(&channel, notice)).await?;
                self.store.delete_notice(notice.id).await?;
            }
            outage.is_over();
            if notices.is_empty() {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = flow.hear() => {}
                    () = tokio::time::sleep(Duration::from_millis(self.poll_ms)) => {}
                }
            }
        }
    }

    async fn publish(&self, channel: &Channel, notice: &Notice) -> Result<(), ChangesError> {
        declare_exchange(channel, &notice.exchange).await?;
        let properties = BasicProperties::default().with_content_type("application/json".into());
        let (exchange, key) = (notice.exchange.as_str().into(), notice.routing_key.as_str().into());
        let body = serde_json::Value::Object(notice.body.clone()).to_string();
        let options = BasicPublishOptions::default();
        match channel.basic_publish(exchange, key, options, body.as_bytes(), properties).await?.await? {
            Confirmation::Ack(_) => Ok(()),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                let (exchange, routing_key) = (notice.exchange.clone(), notice.routing_key.clone());
                Err(ChangesError::Refused { exchange, routing_key })
            }
        }
    }
}

/// A time without broker or store: said once, and tried again with a growing pause, for ever. The broker's absence is
/// nobody's fault here, so it does not count as a failure of the part that waits for it.
struct Outage {
    what: &'static str,
    pauses: Pauses,
}

impl Outage {
    fn new(what: &'static str, pause_ms_max: u64) -> Self {
        Self { what, pauses: Pauses::new(pause_ms_max) }
    }

    fn is_over(&mut self) {
        self.pauses.begin_anew();
    }

    async fn wait(&mut self, ended: Result<(), ChangesError>) {
        let reason = ended.err().map_or_else(|| "the broker ended the consumer".to_owned(), |error| chain(&error));
        if self.pauses.are_over() {
            tracing::warn!(%reason, "{}; trying again until they can", self.what);
        }
        tokio::time::sleep(self.pauses.pause()).await;
    }
}

/// As every KAZOO application declares its exchanges.
async fn declare_exchange(channel: &Channel, name: &str) -> Result<(), lapin::Error> {
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await
}
