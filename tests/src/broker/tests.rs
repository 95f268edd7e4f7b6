use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::{Broker, VHOST_BATCH, Vhost};
use crate::eventually::eventually;

async fn channel(vhost: &Vhost) -> (Connection, Channel) {
    let connection = Connection::connect(&vhost.url(), ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

async fn declare_quorum(channel: &Channel) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare("q".into(), QueueDeclareOptions::durable(), arguments).await.expect("a queue");
}

async fn publish(channel: &Channel) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let options = BasicPublishOptions::default();
    let published = channel.basic_publish("".into(), "q".into(), options, b"x", BasicProperties::default()).await;
    published.expect("a channel").await.expect("a confirm");
}

#[tokio::test]
async fn vhosts_are_apart_and_never_run_out() {
    let broker = Broker::shared().await;
    let first = broker.vhost().await;
    let (_connection, channel_of_first) = channel(&first).await;
    declare_quorum(&channel_of_first).await;
    publish(&channel_of_first).await;

    let mut last = broker.vhost().await;
    for _ in 0..VHOST_BATCH {
        last = broker.vhost().await;
    }
    let (_connection, channel_of_last) = channel(&last).await;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel_of_last.queue_declare("q".into(), passive, FieldTable::default()).await.expect_err("no such queue here");
    assert_eq!(last.queue("q").await, None);

    let _unsettled = channel_of_first.basic_get("q".into(), BasicGetOptions::default()).await.expect("a message");
    eventually("one unsettled message", async || {
        let figures = first.queue("q").await.expect("the queue");
        if (figures.ready, figures.unacked) == (0, 1) { Ok(()) } else { Err(figures) }
    })
    .await;
}

#[tokio::test]
async fn a_killed_broker_comes_back_with_its_data() {
    let mut broker = Broker::boot().await;
    let vhost = broker.vhost().await;
    let (connection, channel_before) = channel(&vhost).await;
    declare_quorum(&channel_before).await;
    publish(&channel_before).await;

    broker.kill().await;
    eventually("the connection to be lost", async || {
        let status = connection.status();
        if status.connected() { Err("connected") } else { Ok(()) }
    })
    .await;
    Connection::connect(&vhost.url(), ConnectionProperties::default()).await.expect_err("nobody there");

    broker.restart().await;
    let (_connection, channel_after) = channel(&vhost).await;
    eventually("the message to be back", async || {
        match channel_after.basic_get("q".into(), BasicGetOptions::default()).await {
            Ok(Some(message)) => Ok(message),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let folder = broker.folder.path().to_owned();
    assert!(folder.exists());
    drop(broker);
    assert!(!folder.exists(), "{} was left", folder.display());
}
