//! What telling of itself costs the host: messages a second from RabbitMQ to one receiver, against the floor, with nothing
//! told, with metrics and traces as they are by default, and with everything told of every message. Runs alternate, so that
//! what else the machine does meets all.
//!
//! `cargo bench` runs it with the arguments after `--`: `--messages N` a run, `--rounds N`, `--prefetch N`.
#![allow(clippy::print_stdout, clippy::panic)]

#[path = "floor.rs"]
mod floor;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hookbox_tests::amqp::Amqp;
use hookbox_tests::broker::{Broker, Vhost};
use hookbox_tests::eventually::eventually;
use hookbox_tests::rig::{self, CountingReceiver, Program, hookbox, median};
use hookbox_tests::samples::ACCOUNT;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUEUE: &str = "hookbox";

/// For a run to move all its messages.
const DEADLINE: Duration = Duration::from_secs(300);

/// Keeps the log of the program in a file, as a service manager would.
const LOGGING: &str = r#"log="$1"; shift; exec "$@" 2>"$log""#;

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
    if !hookbox().exists() {
        eprintln!("{} is not built; run `make bench`", hookbox().display());
        return ExitCode::FAILURE;
    }
    let number = |name, default| rig::number_after(&arguments, name, default);
    let plan = Plan {
        messages: number("--messages", 50_000),
        rounds: number("--rounds", 5),
        prefetch: number("--prefetch", 256),
    };
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

struct Plan {
    messages: u64,
    rounds: u64,
    prefetch: u64,
}

/// Who consumes, and what it tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Floor,
    /// Neither metrics nor traces nor lines of attempts.
    Silent,
    /// Metrics, traces of the default share of messages.
    Telling,
    /// The same, and a line in the log for each attempt, as by default.
    TellingWithLines,
    /// The same, and a trace of every message.
    TellingAll,
}

const SIDES: [Side; 5] = [Side::Floor, Side::Silent, Side::Telling, Side::TellingWithLines, Side::TellingAll];

async fn measure(plan: &Plan) {
    let broker = Broker::boot().await;
    let (mut rates, mut cpu) = (SIDES.map(|_| Vec::new()), SIDES.map(|_| Vec::new()));
    for round in 0..plan.rounds {
        // Each begins a round as often as the others, as far as there are rounds: what comes first meets a colder machine.
        for step in 0..SIDES.len() {
            let at = (step + usize::try_from(round).unwrap_or_default()) % SIDES.len();
            let (rate, cpu_us) = run(SIDES[at], plan, &broker.vhost().await).await;
            println!("round {}: {:?} {rate:.0} msg/s, {cpu_us:.1} us of processor a message", round + 1, SIDES[at]);
            rates[at].push(rate);
            cpu[at].push(cpu_us);
        }
    }
    let ratio = |side: Side| median(&rates[side as usize]) / median(&rates[Side::Floor as usize]);
    for side in &SIDES[1..] {
        println!("ratio_to_floor {side:?}: {:.3}", ratio(*side));
    }
    for (name, side) in [
        ("telemetry_cost", Side::Telling),
        ("telemetry_cost_with_lines", Side::TellingWithLines),
        ("telemetry_cost_of_all", Side::TellingAll),
    ] {
        let of_rate = 100.0 * (1.0 - ratio(side) / ratio(Side::Silent));
        // Of two programs on a machine that is shared, this is the steadier figure.
        let of_cpu = 100.0 * (median(&cpu[side as usize]) / median(&cpu[Side::Silent as usize]) - 1.0);
        println!("{name}: {of_rate:.1} % of ratio_to_floor, {of_cpu:.1} % of processor time a message");
    }
}

/// Messages a second from the first to the last arrival, and processor time a message, µs. The queue is filled before.
async fn run(side: Side, plan: &Plan, vhost: &Vhost) -> (f64, f64) {
    let (receiver, collector) = (CountingReceiver::start().await, CountingReceiver::start().await);
    let folder = tempfile::Builder::new().prefix("hookbox-bench-").tempdir().expect("a temporary folder");
    let amqp = Amqp::connect(vhost).await;
    if side == Side::Floor {
        rig::declare_queue(&amqp, QUEUE).await;
    } else {
        write_settings(folder.path(), side, plan, vhost, &collector);
        import_hook(folder.path(), &receiver.url());
        // The host declares its queue when it starts, with arguments of its own.
        serve(folder.path()).await.kill();
    }
    rig::load(&amqp, plan.messages).await;
    eventually("the queue to hold the load", async || match amqp.ready(QUEUE).await {
        Some(ready) if u64::from(ready) == plan.messages => Ok(()),
        other => Err(other),
    })
    .await;
    let running = match side {
        Side::Floor => {
            let arguments = ["floor".to_owned(), vhost.url(), QUEUE.into(), receiver.url(), plan.prefetch.to_string()];
            Program::start(std::env::current_exe().expect("this program"), &arguments)
        }
        _ => serve(folder.path()).await,
    };
    let before = running.cpu_time();
    let figures = receiver.expect(plan.messages, DEADLINE).await;
    let cpu_us = (running.cpu_time() - before).as_secs_f64() * 1e6 / plan.messages as f64;
    running.kill();
    (figures.rate(), cpu_us)
}

/// Starts the host, its log in a file.
async fn serve(folder: &Path) -> Program {
    let [log, settings] = ["hookbox.log", "hookbox.toml"].map(|name| folder.join(name).display().to_string());
    let program = hookbox().display().to_string();
    let arguments = ["-c", LOGGING, "sh", &log, &program, "serve", "--config", &settings];
    let mut program = Program::start("sh", &arguments);
    program.line_starting_with("ready").await;
    program
}

fn write_settings(folder: &Path, side: Side, plan: &Plan, vhost: &Vhost, collector: &CountingReceiver) {
    let told = match side {
        Side::Floor | Side::Silent => "log = \"warn\"\nmetrics = false\n".to_owned(),
        Side::Telling => format!("log = \"warn\"\notlp_url = \"{}\"\n", collector.url()),
        Side::TellingWithLines => format!("log = \"info\"\notlp_url = \"{}\"\n", collector.url()),
        Side::TellingAll => format!("log = \"info\"\notlp_url = \"{}\"\ntrace_ratio = 1.0\n", collector.url()),
    };
    let settings = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n\n\
         [store]\nurl = \"sqlite:{}\"\nkey_file = {:?}\n\n\
         [modules]\ncache_dir = {:?}\n\n\
         [amqp]\nurl = \"{}\"\nqueue = \"{QUEUE}\"\nprefetch = {}\n\n\
         [firing]\nallow_addresses = [\"127.0.0.0/8\"]\n\n\
         [telemetry]\n{told}",
        folder.join("hookbox.db").display(),
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
