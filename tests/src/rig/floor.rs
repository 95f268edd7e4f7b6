//! The floor: the least that a bridge from RabbitMQ to HTTP can do with the libraries that the host uses. It takes a
//! message, posts its body, and acknowledges it; no module, no hook, no log. What the host reaches is told as a share of
//! what this reaches.
//!
//! A bench program that measures against it starts itself again as `… floor …`.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use reqwest::Client;
use tokio::sync::Semaphore;

/// The first of a floor's arguments.
const NAME: &str = "floor";

/// What the floor is started with.
#[derive(Clone, Debug)]
pub struct Floor {
    /// The vhost.
    pub amqp_url: String,
    /// A queue that is there.
    pub queue: String,
    /// Where each body is posted.
    pub target: String,
    /// Messages held at a time, and so requests under way.
    pub prefetch: u16,
}

impl Floor {
    /// What this program was started to be, when that is the floor.
    pub fn of(arguments: &[String]) -> Option<Floor> {
        let [name, amqp_url, queue, target, prefetch] = arguments else { return None };
        let prefetch = prefetch.parse().ok().filter(|_| name == NAME)?;
        Some(Floor { amqp_url: amqp_url.clone(), queue: queue.clone(), target: target.clone(), prefetch })
    }

    /// What a program is started with to be it.
    pub fn arguments(&self) -> [String; 5] {
        let Floor { amqp_url, queue, target, prefetch } = self.clone();
        [NAME.to_owned(), amqp_url, queue, target, prefetch.to_string()]
    }

    /// Runs until it is killed.
    pub async fn run(self) {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder().no_proxy().build().expect("a client");
        let target = reqwest::Url::parse(&self.target).expect("a target");
        let connection =
            Connection::connect(&self.amqp_url, ConnectionProperties::default()).await.expect("the broker");
        let channel = connection.create_channel().await.expect("a channel");
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await.expect("a prefetch");
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(self.queue.into(), "floor".into(), options, FieldTable::default()).await;
        let mut deliveries = consumed.expect("the queue");

        let places = Arc::new(Semaphore::new(self.prefetch.into()));
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
