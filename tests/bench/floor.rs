//! The floor: the least that a bridge from RabbitMQ to HTTP can do with the libraries that the host uses. It takes a
//! message, posts its body, and acknowledges it; no module, no hook, no log. What the host reaches is told as a share of
//! what this reaches.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use reqwest::Client;
use tokio::sync::Semaphore;

/// What the floor is started with.
pub(crate) struct Floor {
    /// The vhost.
    pub(crate) amqp_url: String,
    /// A queue that is there.
    pub(crate) queue: String,
    /// Where each body is posted.
    pub(crate) target: String,
    /// Messages held at a time, and so requests under way.
    pub(crate) prefetch: u16,
}

/// Runs until it is killed.
pub(crate) async fn run(floor: Floor) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Client::builder().no_proxy().build().expect("a client");
    let target = reqwest::Url::parse(&floor.target).expect("a target");
    let connection = Connection::connect(&floor.amqp_url, ConnectionProperties::default()).await.expect("the broker");
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(floor.prefetch, BasicQosOptions::default()).await.expect("a prefetch");
    let options = BasicConsumeOptions::default();
    let consumed = channel.basic_consume(floor.queue.into(), "floor".into(), options, FieldTable::default()).await;
    let mut deliveries = consumed.expect("the queue");

    let places = Arc::new(Semaphore::new(floor.prefetch.into()));
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery.expect("the broker to stay");
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (client, target) = (client.clone(), target.clone());
        tokio::spawn(async move {
            bridge(&client, target, delivery).await;
            drop(place);
        });
    }
}

async fn bridge(client: &Client, target: reqwest::Url, delivery: Delivery) {
    let request = client.post(target).header("content-type", "application/json").body(delivery.data);
    let taken = match request.send().await {
        // To its end, so that the connection can be used again.
        Ok(answer) if answer.status().is_success() => answer.bytes().await.is_ok(),
        _ => false,
    };
    let settled = if taken {
        delivery.acker.ack(BasicAckOptions::default()).await
    } else {
        delivery.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await
    };
    settled.expect("the broker to stay");
}
