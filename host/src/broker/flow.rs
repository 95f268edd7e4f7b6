//! Whether the broker takes what is published.
//!
//! A broker that is short of memory or disk raises an alarm: it stops reading from connections that publish, and says so
//! on them. Then what is to be published waits here, and operators are told, until the alarm is lifted. Otherwise a
//! confirm has `amqp.confirm_timeout_ms`. Connections that only consume go on.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use lapin::Event;
use thiserror::Error;
use tokio::time::{Duration, sleep};

use super::{Broker, link::Link};

/// What operators are told during an alarm.
const REMEDY: &str = "free memory or disk at the broker (rabbitmqctl status says which is short)";

/// The broker did not confirm in time, though it has raised no alarm.
#[derive(Debug, Error)]
#[error("the broker has not confirmed within {0:?} (amqp.confirm_timeout_ms); check its load and its log")]
pub struct Unconfirmed(Duration);

/// What the broker says of publishing on one link. Dropped, nothing is known any more.
pub struct Flow {
    broker: Arc<Broker>,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    blocked: bool,
}

impl Flow {
    /// Listens to a link.
    pub fn of(broker: &Arc<Broker>, link: &Link) -> Self {
        Self { broker: Arc::clone(broker), events: Box::pin(link.events()), blocked: false }
    }

    /// Waits for work that ends when the broker confirms: during an alarm until it is lifted, else only so long.
    pub async fn patiently<T, E: From<Unconfirmed>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let patience = self.broker.confirm_timeout();
        let mut work = std::pin::pin!(work);
        loop {
            let blocked = self.blocked;
            tokio::select! {
                done = &mut work => return done,
                () = self.hear() => {}
                () = sleep(patience), if !blocked => return Err(Unconfirmed(patience).into()),
            }
        }
    }

    /// Waits for the next that the broker says of it. For ever, when nothing more comes.
    pub async fn hear(&mut self) {
        match self.events.next().await {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(
                    reason,
                    "the broker takes nothing that is published until its alarm is over; notices are kept meanwhile; {REMEDY}"
                );
                self.blocked = true;
                self.broker.note_alarm(Some(format!(
                    "it takes nothing that is published ({reason}); notices are kept meanwhile; {REMEDY}"
                )));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("the broker takes again what is published");
                self.over();
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    fn over(&mut self) {
        self.blocked = false;
        self.broker.note_alarm(None);
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.over();
    }
}
