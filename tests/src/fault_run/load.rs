//! The platform under load: publishes call events evenly, with confirms and `mandatory`, and goes on through whatever
//! happens to the broker.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    amqp::{Amqp, Published as Became},
    rig::call_event,
    samples,
};

/// Published together, at most; and each batch is confirmed before the next.
const BATCH_MAX: u64 = 500;
/// How long a batch's confirms are waited for, and a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two batches, and between two tries to reach the broker.
const PAUSE: Duration = Duration::from_millis(10);

/// A load under way.
pub struct Load {
    taken: watch::Receiver<u64>,
    task: JoinHandle<Published>,
}

/// How far a load has come.
#[derive(Clone)]
pub struct Progress(watch::Receiver<u64>);

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The numbers of the messages that the broker has confirmed and not returned.
    pub taken: BTreeSet<u64>,
    /// Messages that it returned, because no queue was bound.
    pub returned: u64,
    /// Messages that it has not confirmed; they may arrive.
    pub unconfirmed: u64,
    /// From the first to the last.
    pub took: Duration,
}

impl Load {
    /// Publishes to the broker of this URL until it has taken so many.
    pub fn start(url: String, messages: u64, per_s: f64) -> Load {
        let (progress, taken) = watch::channel(0);
        Load { taken, task: tokio::spawn(publish(url, messages, per_s, progress)) }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress(self.taken.clone())
    }

    /// Waits for its end.
    pub async fn published(self) -> Published {
        self.task.await.unwrap_or_else(|error| panic!("the load broke off: {error}"))
    }
}

impl Progress {
    /// Of no load at all.
    pub fn none() -> Progress {
        Progress(watch::channel(0).1)
    }

    /// Waits until so many messages were taken.
    pub async fn until(&mut self, count: u64) {
        // The load has ended: it has come as far as it goes.
        let _ = self.0.wait_for(|taken| *taken >= count).await;
    }
}

async fn publish(url: String, messages: u64, per_s: f64, progress: watch::Sender<u64>) -> Published {
    let mut published = Published::default();
    let mut next = 0;
    let began = Instant::now();
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while (published.taken.len() as u64) < messages {
        ticks.tick().await;
        let Ok(Ok(amqp)) = timeout(PATIENCE, Amqp::try_connect(&url)).await else { continue };
        // The rate counts from each connection on: what an outage has kept back does not come in one go.
        let (connected, first) = (Instant::now(), next);
        loop {
            ticks.tick().await;
            let missing = messages - published.taken.len() as u64;
            let by_now = (connected.elapsed().as_secs_f64() * per_s) as u64;
            let due = by_now.saturating_sub(next - first);
            let numbers = next..next + due.min(missing).min(BATCH_MAX);
            next = numbers.end;
            let batch: Vec<_> = numbers.clone().map(|number| call_event(samples::ACCOUNT, number)).collect();
            let sent = join_all(batch.iter().map(|message| amqp.try_publish(message)));
            let Ok(sent) = timeout(PATIENCE, sent).await else {
                published.unconfirmed += numbers.count() as u64;
                break;
            };
            let mut broken = false;
            for (number, became) in numbers.zip(sent) {
                match became {
                    Ok(Became::Routed) => drop(published.taken.insert(number)),
                    Ok(Became::Unrouted) => published.returned += 1,
                    Err(_) => {
                        published.unconfirmed += 1;
                        broken = true;
                    }
                }
            }
            progress.send_replace(published.taken.len() as u64);
            if broken || published.taken.len() as u64 == messages {
                break;
            }
        }
    }
    published.took = began.elapsed();
    published
}
