//! Who takes the load: the floor, or a host with one hook. Made ready first, so that a queue is there to be filled, and
//! started when it is full.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{CountingReceiver, Figures, Floor, Program, declare_queue, hookbox, import, load_of, serve};
use crate::amqp::Amqp;
use crate::broker::Vhost;
use crate::eventually::eventually;
use crate::samples::ACCOUNT;

/// The queue that is filled.
pub const QUEUE: &str = "hookbox";

/// For a run to move all its messages.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// Keeps the log of a program in a file, as a service manager would.
const LOGGING: &str = r#"log="$1"; shift; exec "$@" 2>"$log""#;

/// A side that is made ready: its queue is declared and bound, and it does not run.
pub enum Consumer {
    /// The floor.
    Floor(Floor),
    /// The host.
    Host {
        /// Its settings, its key, and its store when that is a file.
        folder: TempDir,
        /// Whether its log goes into a file there, and not to this program's own standard error.
        keeps_log: bool,
    },
}

/// What the host is started with.
pub struct HostPlan {
    /// `store.url`; `None`: a file.
    pub store: Option<String>,
    /// The lines of `[telemetry]`.
    pub telemetry: String,
    /// Whether its log goes into a file.
    pub keeps_log: bool,
}

impl Consumer {
    /// The floor in this vhost, which posts to this receiver.
    pub async fn floor(vhost: &Vhost, prefetch: u16, receiver: &CountingReceiver) -> Consumer {
        declare_queue(&Amqp::connect(vhost).await, QUEUE).await;
        Consumer::Floor(Floor { amqp_url: vhost.url(), queue: QUEUE.to_owned(), target: receiver.url(), prefetch })
    }

    /// A host in this vhost, with one hook, for this receiver.
    pub async fn host(vhost: &Vhost, prefetch: u16, receiver: &CountingReceiver, plan: HostPlan) -> Consumer {
        let HostPlan { store, telemetry, keeps_log } = plan;
        let folder = tempfile::Builder::new().prefix("hookbox-bench-").tempdir().expect("a temporary folder");
        let store = store.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("hookbox.db").display()));
        let settings = format!(
            "[api]\nlisten = \"127.0.0.1:0\"\n\n\
             [store]\nurl = \"{store}\"\nkey_file = {:?}\n\n\
             [modules]\ncache_dir = {:?}\n\n\
             [amqp]\nurl = \"{}\"\nqueue = \"{QUEUE}\"\nprefetch = {prefetch}\n\n\
             [firing]\nallow_addresses = [\"127.0.0.0/8\"]\n\n\
             [telemetry]\n{telemetry}",
            folder.path().join("hookbox.key"),
            folder.path().join("module-cache"),
            vhost.url(),
        );
        fs::write(folder.path().join("hookbox.toml"), settings).expect("the folder can be written to");
        import_hook(folder.path(), &receiver.url());
        let consumer = Consumer::Host { folder, keeps_log };
        // The host declares its queue when it starts, with arguments of its own.
        consumer.start().await.kill();
        consumer
    }

    /// Starts it, and waits until it takes messages.
    pub async fn start(&self) -> Program {
        match self {
            Consumer::Floor(floor) => {
                Program::start(std::env::current_exe().expect("this program"), &floor.arguments())
            }
            Consumer::Host { folder, keeps_log: false } => serve(folder.path()).await,
            Consumer::Host { folder, keeps_log: true } => serve_with_log(folder.path()).await,
        }
    }

    /// Messages that wait in the queue are taken: from the first to the last arrival, and the processor time of one, µs.
    pub async fn throughput(&self, vhost: &Vhost, messages: u64, receiver: &CountingReceiver) -> (Figures, f64) {
        fill(vhost, &[ACCOUNT], messages).await;
        taken(self.start().await, messages, receiver, messages).await
    }
}

/// Fills the queue, of several accounts in turn, while nobody consumes.
pub async fn fill(vhost: &Vhost, accounts: &[&str], messages: u64) {
    let amqp = Amqp::connect(vhost).await;
    load_of(&amqp, accounts, messages).await;
    eventually("the queue to hold the load", async || match amqp.ready(QUEUE).await {
        Some(ready) if u64::from(ready) == messages => Ok(()),
        other => Err(other),
    })
    .await;
}

/// Waits until so many of the messages have arrived at the receiver, and kills who took them. Gives also the processor time
/// that one message cost it, µs.
pub async fn taken(running: Program, messages: u64, receiver: &CountingReceiver, arriving: u64) -> (Figures, f64) {
    let before = running.cpu_time();
    let figures = receiver.expect(arriving, DEADLINE).await;
    let cpu_us = (running.cpu_time() - before).as_secs_f64() * 1e6 / messages as f64;
    running.kill();
    (figures, cpu_us)
}

async fn serve_with_log(folder: &Path) -> Program {
    let [log, settings] = ["hookbox.log", "hookbox.toml"].map(|name| folder.join(name).display().to_string());
    let program = hookbox().display().to_string();
    let arguments = ["-c", LOGGING, "sh", &log, &program, "serve", "--config", &settings];
    let mut program = Program::start("sh", &arguments);
    program.line_starting_with("ready").await;
    program
}

fn import_hook(folder: &Path, uri: &str) {
    let documents = json!([
        {"_id": ACCOUNT, "pvt_type": "account", "name": "bench", "pvt_tree": []},
        {
            "_id": "0123456789abcdef0123456789abcdef", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "bench",
            "uri": uri, "hook": "channel_create", "http_verb": "post", "format": "json", "enabled": true,
            "max_in_flight": 1000,
        },
    ]);
    import(folder, &documents);
}
