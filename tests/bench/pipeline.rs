//! The whole path against the floor: how many messages a second from RabbitMQ to one receiver, and how much later at
//! half that load; with the store in SQLite, and in PostgreSQL. All consume a quorum queue that was filled before they start; runs alternate, so that what else the
//! machine does meets all.
//!
//! `cargo bench` runs it with the arguments after `--`:
//! `--messages N` a run, `--pairs N` of runs, `--prefetch N`, `--floor-only`.
#![allow(clippy::print_stdout, clippy::panic)]

#[path = "floor.rs"]
mod floor;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hookbox_tests::amqp::Amqp;
use hookbox_tests::broker::{Broker, Vhost};
use hookbox_tests::database::Database;
use hookbox_tests::eventually::eventually;
use hookbox_tests::rig::{self, CountingReceiver, Figures, Program, hookbox, median};
use hookbox_tests::samples::ACCOUNT;
use serde_json::json;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUEUE: &str = "hookbox";

/// For a run to move all its messages.
const DEADLINE: Duration = Duration::from_secs(300);

/// A middle latency over this says that messages pile up, not how long one takes.
const BACKLOG: Duration = Duration::from_millis(20);

/// For one latency run.
const LATENCY_SPAN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if rig::is_receiver() {
        rig::receive();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let [command, amqp_url, queue, target, prefetch] = &arguments[..]
        && command == "floor"
    {
        let prefetch = prefetch.parse().expect("a number");
        let (amqp_url, queue, target) = (amqp_url.clone(), queue.clone(), target.clone());
        runtime.block_on(floor::run(floor::Floor { amqp_url, queue, target, prefetch }));
        return ExitCode::SUCCESS;
    }
    let plan = Plan::from(&arguments);
    if !plan.floor_only && !hookbox().exists() {
        eprintln!("{} is not built; run `make bench`", hookbox().display());
        return ExitCode::FAILURE;
    }
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

struct Plan {
    messages: u64,
    pairs: usize,
    prefetch: u16,
    floor_only: bool,
}

impl Plan {
    fn from(arguments: &[String]) -> Plan {
        let number = |name, default| rig::number_after(arguments, name, default);
        Plan {
            messages: number("--messages", 100_000),
            pairs: usize::try_from(number("--pairs", 3)).expect("a small number"),
            prefetch: u16::try_from(number("--prefetch", 256)).expect("at most 65535"),
            floor_only: arguments.iter().any(|argument| argument == "--floor-only"),
        }
    }
}

/// Who consumes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Floor,
    Hookbox,
    HookboxOnPostgres,
}

async fn measure(plan: &Plan) {
    let broker = Broker::boot().await;
    let sides =
        if plan.floor_only { &[Side::Floor][..] } else { &[Side::Floor, Side::Hookbox, Side::HookboxOnPostgres] };
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for pair in 1..=plan.pairs {
        for side in sides {
            let figures = throughput(*side, plan, &broker.vhost().await).await;
            println!("pair {pair}: {side:?} {:.0} msg/s, {} repeated", figures.rate(), figures.repeated);
            rates[*side as usize].push(figures.rate());
        }
    }
    let [floor, hookbox, on_postgres] = rates;
    // Half of what the slower of the two can do; less where publishing at that rate leaves too little of the machine.
    let mut load =
        if plan.floor_only { median(&floor) } else { median(&hookbox).min(median(&floor)).min(median(&on_postgres)) }
            / 2.0;
    let mut at_floor = latency(Side::Floor, plan, load, &broker.vhost().await).await;
    while at_floor.latency_p50 > BACKLOG {
        println!("{load:.0} msg/s is more than the floor keeps up with while the same machine publishes");
        load /= 2.0;
        at_floor = latency(Side::Floor, plan, load, &broker.vhost().await).await;
    }
    let mut p99 = Vec::new();
    for side in sides {
        let figures = match side {
            Side::Floor => at_floor.clone(),
            Side::Hookbox | Side::HookboxOnPostgres => latency(*side, plan, load, &broker.vhost().await).await,
        };
        let (p50_ms, p99_ms) = (figures.latency_p50.as_secs_f64() * 1e3, figures.latency_p99.as_secs_f64() * 1e3);
        println!("latency at {load:.0} msg/s: {side:?} p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms");
        p99.push(p99_ms);
    }
    if let [floor_ms, hookbox_ms, on_postgres_ms] = p99[..] {
        println!("added_latency_p99: {:.2} ms at {load:.0} msg/s", hookbox_ms - floor_ms);
        println!("added_latency_p99_on_postgres: {:.2} ms at {load:.0} msg/s", on_postgres_ms - floor_ms);
        print_ratio("ratio_to_floor", &floor, &hookbox);
        print_ratio("ratio_to_floor_on_postgres", &floor, &on_postgres);
    } else {
        println!("floor: {:.0} msg/s, median of {} runs of {} messages", median(&floor), plan.pairs, plan.messages);
    }
}

fn print_ratio(name: &str, floor: &[f64], hookbox: &[f64]) {
    let (floor_rate, hookbox_rate) = (median(floor), median(hookbox));
    let pairs: Vec<_> = floor.iter().zip(hookbox).map(|(floor, hookbox)| format!("{:.2}", hookbox / floor)).collect();
    println!(
        "{name}: {:.2} (floor {floor_rate:.0} msg/s, hookbox {hookbox_rate:.0} msg/s, pairs {})",
        hookbox_rate / floor_rate,
        pairs.join(" ")
    );
}

/// The queue is filled while nobody consumes; counted is from the first to the last arrival.
async fn throughput(side: Side, plan: &Plan, vhost: &Vhost) -> Figures {
    let receiver = CountingReceiver::start().await;
    let consumer = Consumer::new(side, plan, vhost, &receiver).await;
    let amqp = Amqp::connect(vhost).await;
    rig::load(&amqp, plan.messages).await;
    eventually("the queue to hold the load", async || match amqp.ready(QUEUE).await {
        Some(ready) if u64::from(ready) == plan.messages => Ok(()),
        other => Err(other),
    })
    .await;
    let running = consumer.start().await;
    let before = running.cpu_time();
    let figures = receiver.expect(plan.messages, DEADLINE).await;
    let cpu_us = (running.cpu_time() - before).as_secs_f64() * 1e6 / plan.messages as f64;
    running.kill();
    println!("  {side:?}: {cpu_us:.1} us of processor a message");
    figures
}

/// Messages are published evenly to a consumer that runs.
async fn latency(side: Side, plan: &Plan, rate: f64, vhost: &Vhost) -> Figures {
    let receiver = CountingReceiver::start().await;
    let running = Consumer::new(side, plan, vhost, &receiver).await.start().await;
    let amqp = Amqp::connect(vhost).await;
    let published = rig::load_at(&amqp, rate, LATENCY_SPAN).await;
    let figures = receiver.expect(published, DEADLINE).await;
    running.kill();
    figures
}

/// A side made ready: its queue is declared and bound, and it does not run.
enum Consumer {
    Floor { arguments: [String; 5] },
    Hookbox { folder: TempDir },
}

impl Consumer {
    async fn new(side: Side, plan: &Plan, vhost: &Vhost, receiver: &CountingReceiver) -> Consumer {
        match side {
            Side::Floor => {
                rig::declare_queue(&Amqp::connect(vhost).await, QUEUE).await;
                let prefetch = plan.prefetch.to_string();
                let arguments = ["floor".to_owned(), vhost.url(), QUEUE.to_owned(), receiver.url(), prefetch];
                Consumer::Floor { arguments }
            }
            Side::Hookbox | Side::HookboxOnPostgres => {
                let folder = tempfile::Builder::new().prefix("hookbox-bench-").tempdir().expect("a temporary folder");
                let store = match side {
                    Side::HookboxOnPostgres => Database::new().await.url(),
                    _ => format!("sqlite:{}", folder.path().join("hookbox.db").display()),
                };
                write_settings(folder.path(), &store, plan, vhost);
                import_hook(folder.path(), &receiver.url());
                let consumer = Consumer::Hookbox { folder };
                // The host declares its queue when it starts, with arguments of its own.
                consumer.start().await.kill();
                consumer
            }
        }
    }

    async fn start(&self) -> Program {
        match self {
            Consumer::Floor { arguments } => Program::start(std::env::current_exe().expect("this program"), arguments),
            Consumer::Hookbox { folder } => rig::serve(folder.path()).await,
        }
    }
}

fn write_settings(folder: &Path, store: &str, plan: &Plan, vhost: &Vhost) {
    let settings = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n\n\
         [store]\nurl = \"{store}\"\nkey_file = {:?}\n\n\
         [modules]\ncache_dir = {:?}\n\n\
         [amqp]\nurl = \"{}\"\nqueue = \"{QUEUE}\"\nprefetch = {}\n\n\
         [firing]\nallow_addresses = [\"127.0.0.0/8\"]\n\n\
         [telemetry]\nlog = \"warn\"\n",
        folder.join("hookbox.key"),
        folder.join("module-cache"),
        vhost.url(),
        plan.prefetch
    );
    fs::write(folder.join("hookbox.toml"), settings).expect("the folder can be written to");
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
    rig::import(folder, &documents);
}
