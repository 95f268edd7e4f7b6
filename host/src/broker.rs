//! The one place that makes connections to the broker: for ingress, the change listener, the publisher of notices, bulk
//! requests, and the commands `publish` and `doctor`. So URIs, TLS, heartbeats, names and words are the same everywhere.
//!
//! `amqp.url` names one broker or several, which are tried in turn, beginning with the one that worked last. Who fails to
//! get a connection waits a [`Pauses`] and asks again; that is the caller's loop. What went wrong is told in words with the
//! remedy ([`fault`]), without passwords. Nothing waits for ever: a try has `amqp.connect_timeout_ms`, a link that
//! swallows everything is found by heartbeats.

pub mod address;
pub mod fault;
pub mod flow;
pub mod link;
pub mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lapin::ConnectionProperties;
use metrics::counter;
use thiserror::Error;
use tokio::sync::watch;

use self::{
    address::Address,
    link::{Link, NoLink},
    tls::TlsFiles,
};
use crate::{ingress::doubling_pause, settings::AmqpSettings};

/// How much a pause is lengthened at most, so that nodes do not come back all at once: a part of it.
const JITTER: f64 = 0.2;

/// Makes connections, all alike.
#[derive(Debug)]
pub struct Broker {
    addresses: Vec<Address>,
    tls: TlsFiles,
    connect_timeout: Duration,
    confirm_timeout: Duration,
    /// How connections name this node.
    node: String,
    /// The address to begin with.
    first: AtomicUsize,
    /// Why the broker takes nothing that is published, when it does not.
    alarm: watch::Sender<Option<String>>,
}

/// No broker of `amqp.url` could be reached; why, of each that was tried, with the remedy.
#[derive(Debug, Error)]
#[error("{}", .tried.join("; "))]
pub struct Unreachable {
    tried: Vec<String>,
}

impl Broker {
    /// `None` when AMQP is off (`amqp.url` is unset). `node` is how connections name this node, e.g. `hookbox@host`.
    pub fn new(settings: &AmqpSettings, node: &str) -> Option<Arc<Self>> {
        let urls = settings.url.as_ref()?;
        Some(Arc::new(Self {
            addresses: urls.iter().filter_map(|url| Address::read(url, settings.heartbeat_s)).collect(),
            tls: TlsFiles::of(settings),
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            confirm_timeout: Duration::from_millis(settings.confirm_timeout_ms),
            node: node.to_owned(),
            first: AtomicUsize::new(0),
            alarm: watch::Sender::new(None),
        }))
    }

    /// Connects for a part of the host, e.g. `ingress`: to the broker that worked last, else to the next.
    pub async fn connect(&self, part: &str) -> Result<Link, Unreachable> {
        let (count, first) = (self.addresses.len(), self.first.load(Ordering::Relaxed));
        let mut tried = Vec::new();
        for (index, address) in self.addresses.iter().enumerate().cycle().skip(first).take(count) {
            match self.connect_to(address, part).await {
                Ok(link) => {
                    if self.first.swap(index, Ordering::Relaxed) != index {
                        tracing::info!(broker = %address, "another broker of amqp.url is used from now on");
                    }
                    counter!("hookbox_amqp_connections_total").increment(1);
                    tracing::debug!(broker = %address, part, "connected");
                    return Ok(link);
                }
                Err(error) => tried.push(format!("{address}: {error}")),
            }
        }
        Err(Unreachable { tried })
    }

    /// Connects to one of [`Broker::addresses`] and no other.
    pub async fn connect_to(&self, address: &Address, part: &str) -> Result<Link, NoLink> {
        let name = format!("hookbox {part} {}", self.node);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = if address.is_tls() { Some(self.tls.client_config().await?) } else { None };
        Link::open(address, tls, properties, self.connect_timeout).await
    }

    /// The brokers of `amqp.url`.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// How long a confirm may take (`amqp.confirm_timeout_ms`).
    pub fn confirm_timeout(&self) -> Duration {
        self.confirm_timeout
    }

    /// Why the broker takes nothing that is published, as far as the publisher of notices knows; `None` when it takes it.
    pub fn alarm(&self) -> watch::Receiver<Option<String>> {
        self.alarm.subscribe()
    }

    fn note_alarm(&self, reason: Option<String>) {
        self.alarm.send_if_modified(|alarm| {
            let changed = *alarm != reason;
            *alarm = reason;
            changed
        });
    }
}

/// Pauses between tries: growing, up to a bound, each lengthened by chance.
#[derive(Debug)]
pub struct Pauses {
    failures: u64,
    pause_ms_max: u64,
}

impl Pauses {
    /// Up to `amqp.reconnect_pause_ms_max`; the first is a twentieth of it.
    pub fn new(pause_ms_max: u64) -> Self {
        Self { failures: 0, pause_ms_max }
    }

    /// Whether nothing has failed since it last worked.
    pub fn are_over(&self) -> bool {
        self.failures == 0
    }

    /// It works again: the next pause is short.
    pub fn begin_anew(&mut self) {
        self.failures = 0;
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = doubling_pause(self.failures, (self.pause_ms_max / 20).max(1), self.pause_ms_max);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(1.0 + rand::random::<f64>() * JITTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound_and_begin_anew() {
        let mut pauses = Pauses::new(2000);
        for least_ms in [100, 200, 400, 800, 1600, 2000, 2000] {
            let pause = pauses.pause().as_millis();
            assert!((least_ms..=least_ms * 12 / 10).contains(&pause), "{pause} for {least_ms}");
        }
        assert!(!pauses.are_over());
        pauses.begin_anew();
        assert!(pauses.are_over() && pauses.pause().as_millis() <= 120);
    }
}
