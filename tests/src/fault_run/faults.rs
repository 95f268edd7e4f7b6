//! What can go wrong under load. Each begins when the load has come some way, and is over before it ends.

use std::time::Duration;

use tokio::time::sleep;

use super::Scene;
use crate::{broker::Broker, chaos_proxy::ChaosProxy, database::Cluster, eventually::eventually};

/// `kill -9` of the hosts in turn, so often in all; each is started again at once.
pub async fn kill_hosts(scene: &mut Scene, times: usize) {
    for nth in 0..times {
        scene.until_share(nth as u64 + 1, times as u64 + 1).await;
        let node = nth % scene.nodes.len();
        scene.nodes[node].kill().await;
        scene.nodes[node].start().await;
    }
}

/// `kill -9` of hosts, and of their broker, evenly over the load; the broker is back before the next.
pub async fn kill_hosts_and_broker(scene: &mut Scene, broker: &mut Broker, hosts: usize, brokers: usize) {
    let times = hosts + brokers;
    for nth in 0..times {
        scene.until_share(nth as u64 + 1, times as u64 + 1).await;
        // Every so many kills one is the broker's.
        if (nth + 1) * brokers / times > nth * brokers / times {
            broker.kill().await;
            broker.restart().await;
        } else {
            let node = nth % scene.nodes.len();
            scene.nodes[node].kill().await;
            scene.nodes[node].start().await;
        }
    }
}

/// `kill -9` of the database server, so often; it is back before the next.
pub async fn kill_database_server(scene: &mut Scene, cluster: &mut Cluster, times: u64) {
    for nth in 1..=times {
        scene.until_share(nth, times + 1).await;
        cluster.kill().await;
        cluster.restart().await;
    }
}

/// SIGSTOP of a host for this long: longer than its lease.
pub async fn a_host_stands_still(scene: &mut Scene, span: Duration) {
    scene.until_share(1, 3).await;
    scene.nodes[0].stand_still();
    sleep(span).await;
    scene.nodes[0].go_on();
}

/// A link of the hosts'.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// To the broker.
    Broker,
    /// To the database server.
    Store,
}

impl Link {
    fn of(self, scene: &mut Scene) -> &mut ChaosProxy {
        match self {
            Link::Broker => &mut scene.link,
            Link::Store => &mut scene.store_link,
        }
    }
}

/// A link is cut, so often.
pub async fn a_link_is_cut(scene: &mut Scene, link: Link, times: u64) {
    for nth in 1..=times {
        scene.until_share(nth, times + 1).await;
        link.of(scene).cut().await;
    }
}

/// A link passes everything later, then nothing at all, for this long each.
pub async fn a_link_is_slow(scene: &mut Scene, link: Link, delay: Duration, span: Duration) {
    scene.until_share(1, 4).await;
    link.of(scene).delay(delay);
    sleep(span).await;
    link.of(scene).stall();
    sleep(span).await;
    link.of(scene).restore().await;
}

/// The receiver is away for this long.
pub async fn the_receiver_is_away(scene: &mut Scene, span: Duration) {
    scene.until_share(1, 4).await;
    scene.tally.go_away().await;
    sleep(span).await;
    scene.tally.come_back().await;
}

/// The hosts' disk is full until one of them has said so, and this long besides.
pub async fn the_disk_is_full(scene: &mut Scene, span: Duration) {
    scene.until_share(1, 4).await;
    for node in &scene.nodes {
        node.limit_files(Some(0));
    }
    until_a_host_cannot_write(scene).await;
    sleep(span).await;
    for node in &scene.nodes {
        node.limit_files(None);
    }
}

/// Waits until a host has said that its store takes nothing.
pub async fn until_a_host_cannot_write(scene: &Scene) {
    eventually("a host to say that it cannot write", async || {
        let said: String = scene.nodes.iter().map(|node| node.log()).collect();
        if said.contains("attempts could not be recorded") { Ok(()) } else { Err(said) }
    })
    .await;
}
