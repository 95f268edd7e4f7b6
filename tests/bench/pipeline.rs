//! The whole path against the floor: how many messages a second from RabbitMQ to one receiver, and how much later at
//! half that load; with the store in SQLite, and in PostgreSQL. All consume a quorum queue that was filled before they
//! start; runs alternate, so that what else the machine does meets all.
//!
//! `cargo bench` runs it with the arguments after `--`:
//! `--messages N` a run, `--pairs N` of runs, `--prefetch N`, `--floor-only`.
#![allow(clippy::print_stdout, clippy::panic)]

use std::process::ExitCode;
use std::time::Duration;

use hookbox_tests::amqp::Amqp;
use hookbox_tests::broker::{Broker, Vhost};
use hookbox_tests::database::Database;
use hookbox_tests::rig::{self, Consumer, CountingReceiver, DEADLINE, Figures, Floor, HostPlan, hookbox, median};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    if let Some(floor) = Floor::of(&arguments) {
        runtime.block_on(floor.run());
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
    let consumer = made_ready(side, plan, vhost, &receiver).await;
    let (figures, cpu_us) = consumer.throughput(vhost, plan.messages, &receiver).await;
    println!("  {side:?}: {cpu_us:.1} us of processor a message");
    figures
}

/// Messages are published evenly to a consumer that runs.
async fn latency(side: Side, plan: &Plan, rate: f64, vhost: &Vhost) -> Figures {
    let receiver = CountingReceiver::start().await;
    let running = made_ready(side, plan, vhost, &receiver).await.start().await;
    let amqp = Amqp::connect(vhost).await;
    let published = rig::load_at(&amqp, rate, LATENCY_SPAN).await;
    let figures = receiver.expect(published, DEADLINE).await;
    running.kill();
    figures
}

async fn made_ready(side: Side, plan: &Plan, vhost: &Vhost, receiver: &CountingReceiver) -> Consumer {
    let store = match side {
        Side::Floor => return Consumer::floor(vhost, plan.prefetch, receiver).await,
        Side::Hookbox => None,
        Side::HookboxOnPostgres => Some(Database::new().await.url()),
    };
    let host = HostPlan { store, telemetry: "log = \"warn\"\n".to_owned(), keeps_log: false };
    Consumer::host(vhost, plan.prefetch, receiver, host).await
}
