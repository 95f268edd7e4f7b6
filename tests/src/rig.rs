//! What the programs under `bench/` share: child processes that never outlive them, a receiver in a process of its own
//! that only counts, a load of call events whose call ids tell when they were published, and who takes it.
//!
//! A bench program starts itself again as `… receiver`, so each begins with [`is_receiver`].

mod consumer;
mod floor;
mod measured;
mod program;
mod tally;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::amqp::{Amqp, Published};
use crate::eventually::eventually_within;
use crate::samples::{self, Message};

pub use consumer::{Consumer, DEADLINE, HostPlan, QUEUE, fill, taken};
pub use floor::Floor;
pub use measured::{hookbox, import, median, number_after, serve};
pub use program::Program;
pub(crate) use tally::message_number;
pub use tally::{is_receiver, receive};

/// Published this many at a time, so that a long load needs little memory.
const BATCH: u64 = 5000;

/// A counting receiver in a process of its own.
pub struct CountingReceiver {
    target: SocketAddr,
    figures: SocketAddr,
    _program: Program,
}

/// What a counting receiver has seen.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Different messages.
    pub count: u64,
    /// Messages that came again.
    pub repeated: u64,
    /// From the first to the last of them.
    pub span: Duration,
    /// From publishing to arrival, the middle one.
    pub latency_p50: Duration,
    /// From publishing to arrival, all but one in a hundred.
    pub latency_p99: Duration,
}

impl CountingReceiver {
    /// Starts this very program again as a receiver.
    pub async fn start() -> CountingReceiver {
        let mut program = Program::start(std::env::current_exe().expect("this program's path"), &["receiver"]);
        let mut address = async |name: &str| {
            let line = program.line_starting_with(name).await;
            line[name.len()..].trim().parse().expect("an address")
        };
        let (target, figures) = (address("target").await, address("figures").await);
        CountingReceiver { target, figures, _program: program }
    }

    /// Where requests go.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.target)
    }

    /// What it has seen so far.
    pub async fn figures(&self) -> Figures {
        let mut stream = TcpStream::connect(self.figures).await.expect("the receiver's figures");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("the receiver's figures");
        let figures: Value = serde_json::from_str(&text).expect("JSON");
        let number = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("no {name} in {figures}"));
        let micros = |name: &str| Duration::from_micros(number(name));
        Figures {
            count: number("count"),
            repeated: number("repeated"),
            span: micros("span_us"),
            latency_p50: micros("latency_p50_us"),
            latency_p99: micros("latency_p99_us"),
        }
    }

    /// Waits until so many different messages have come.
    pub async fn expect(&self, count: u64, deadline: Duration) -> Figures {
        eventually_within(deadline, &format!("{count} messages at the receiver"), async || {
            let figures = self.figures().await;
            if figures.count >= count { Ok(figures) } else { Err(figures) }
        })
        .await
    }
}

impl Figures {
    /// Messages a second, from the first to the last.
    pub fn rate(&self) -> f64 {
        self.count.saturating_sub(1) as f64 / self.span.as_secs_f64()
    }
}

/// A durable quorum queue bound to the calls that [`load`] publishes, as a host would declare it.
pub async fn declare_queue(amqp: &Amqp, queue: &str) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let channel = amqp.channel();
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.expect("a queue");
    let (exchange, pattern) = ("callevt".into(), "call.CHANNEL_CREATE.*".into());
    let bound =
        channel.queue_bind(queue.into(), exchange, pattern, QueueBindOptions::default(), FieldTable::default()).await;
    bound.expect("the platform's exchange");
}

/// Publishes call events and returns when the broker has taken all of them.
pub async fn load(amqp: &Amqp, count: u64) {
    load_of(amqp, &[samples::ACCOUNT], count).await;
}

/// [`load`] of several accounts in turn.
pub async fn load_of(amqp: &Amqp, accounts: &[&str], count: u64) {
    for first in (0..count).step_by(BATCH as usize) {
        publish(amqp, accounts, first..count.min(first + BATCH)).await;
    }
}

/// Publishes call events evenly, so many a second, and returns how many that were.
pub async fn load_at(amqp: &Amqp, rate: f64, span: Duration) -> u64 {
    load_of_at(amqp, &[samples::ACCOUNT], rate, span).await
}

/// [`load_at`] of several accounts in turn.
pub async fn load_of_at(amqp: &Amqp, accounts: &[&str], rate: f64, span: Duration) -> u64 {
    let started = Instant::now();
    let mut published = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    while started.elapsed() < span {
        tick.tick().await;
        let due = (started.elapsed().as_secs_f64() * rate) as u64;
        publish(amqp, accounts, published..due).await;
        published = due;
    }
    published
}

async fn publish(amqp: &Amqp, accounts: &[&str], numbers: std::ops::Range<u64>) {
    let account = |number: u64| accounts[(number % accounts.len() as u64) as usize];
    let messages: Vec<_> = numbers.map(|number| call_event(account(number), number)).collect();
    let published = amqp.publish_all(&messages).await;
    assert!(published.iter().all(|became| *became == Published::Routed), "the queue is not bound to call events");
}

/// A call begins: about 600 bytes. The call id holds the time and the number, which any payload made of it repeats.
pub(crate) fn call_event(account: &str, number: u64) -> Message {
    let call = format!("{}{}-{number}@203.0.113.7", tally::MARK, tally::now_us());
    ["Channel-Name", "Switch-Hostname", "Switch-Nodename", "Callee-ID-Name", "Channel-Call-State"]
        .into_iter()
        .fold(samples::channel_created(account), Message::without)
        .with("Call-ID", call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_event_has_about_600_bytes() {
        let bytes = call_event(samples::ACCOUNT, 12_345).body.len();
        assert!((550..=700).contains(&bytes), "{bytes}");
    }
}
