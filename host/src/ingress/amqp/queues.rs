//! The queues: `amqp.queue`, and `<queue>.dead` for what the broker gives up.
//!
//! The broker compares arguments when a queue is declared that is there already, and refuses when they differ. That is
//! said with what to do; nothing is deleted here.

use lapin::{
    Channel,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, LongString},
};
use thiserror::Error;

use crate::{
    broker::{
        fault::{Fault, NOT_FOUND, PRECONDITION_FAILED},
        link::Link,
    },
    settings::{AmqpSettings, QueueType},
};

/// A queue cannot be had.
#[derive(Debug, Error)]
pub enum QueueError {
    /// The broker has one of that name with other arguments; the operator's to decide.
    #[error(
        "the queue {queue} is there with other arguments than the settings ask for ({said}); set amqp.queue_type and \
         amqp.delivery_limit to what it has, or name another queue in amqp.queue, or let it run empty and delete it \
         (rabbitmqctl delete_queue {queue})"
    )]
    OfAnotherKind {
        /// Its name.
        queue: String,
        /// The broker's words.
        said: String,
    },
    /// Anything else.
    #[error("the queue {queue}: {fault}")]
    Broker {
        /// Its name.
        queue: String,
        /// What is wrong.
        fault: Fault,
    },
}

/// Where the broker puts what it gives up.
pub fn dead_queue(settings: &AmqpSettings) -> String {
    format!("{}.dead", settings.queue)
}

/// Declares both.
pub async fn declare(channel: &Channel, settings: &AmqpSettings) -> Result<(), QueueError> {
    for (queue, arguments) in wanted(settings) {
        declare_one(channel, &queue, arguments).await?;
    }
    Ok(())
}

/// Looks whether both can be had, and makes none. Gives the names of those that are there.
pub async fn look(link: &Link, settings: &AmqpSettings) -> Result<Vec<String>, QueueError> {
    let mut there = Vec::new();
    for (queue, arguments) in wanted(settings) {
        let wrong = |error: lapin::Error| QueueError::Broker { queue: queue.clone(), fault: error.into() };
        // What is refused ends its channel.
        let channel = link.channel().await.map_err(wrong)?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await;
        match found.map_err(Fault::from) {
            Ok(_) => {
                declare_one(&channel, &queue, arguments).await?;
                there.push(queue);
            }
            Err(fault) if fault.code() == Some(NOT_FOUND) => {}
            Err(fault) => return Err(QueueError::Broker { queue, fault }),
        }
    }
    Ok(there)
}

async fn declare_one(channel: &Channel, queue: &str, arguments: FieldTable) -> Result<(), QueueError> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), durable, arguments).await;
    declared.map(drop).map_err(|error| {
        let (queue, fault) = (queue.to_owned(), Fault::from(error));
        match fault.code() {
            Some(PRECONDITION_FAILED) => QueueError::OfAnotherKind { queue, said: fault.said() },
            _ => QueueError::Broker { queue, fault },
        }
    })
}

/// Names and arguments, in the order of their making.
fn wanted(settings: &AmqpSettings) -> [(String, FieldTable); 2] {
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let kind = match settings.queue_type {
        QueueType::Quorum => "quorum",
        QueueType::Classic => "classic",
    };
    let mut of_dead = FieldTable::default();
    of_dead.insert("x-queue-type".into(), text(kind));
    let mut of_queue = of_dead.clone();
    if settings.queue_type == QueueType::Quorum {
        let limit = i64::try_from(settings.delivery_limit).unwrap_or(i64::MAX);
        of_queue.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
    }
    of_queue.insert("x-dead-letter-exchange".into(), text(""));
    of_queue.insert("x-dead-letter-routing-key".into(), text(&dead_queue(settings)));
    [(dead_queue(settings), of_dead), (settings.queue.clone(), of_queue)]
}
