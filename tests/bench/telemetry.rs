//! What telling of itself costs the host: messages a second from RabbitMQ to one receiver, against the floor, with nothing
//! told, with metrics and traces as they are by default, and with everything told of every message. Runs alternate, so that
//! what else the machine does meets all.
//!
//! `cargo bench` runs it with the arguments after `--`: `--messages N` a run, `--rounds N`, `--prefetch N`.
#![allow(clippy::print_stdout, clippy::panic)]

use std::process::ExitCode;

use hookbox_tests::broker::{Broker, Vhost};
use hookbox_tests::rig::{self, Consumer, CountingReceiver, Floor, HostPlan, hookbox, median};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    if !hookbox().exists() {
        eprintln!("{} is not built; run `make bench`", hookbox().display());
        return ExitCode::FAILURE;
    }
    let number = |name, default| rig::number_after(&arguments, name, default);
    let plan = Plan {
        messages: number("--messages", 50_000),
        rounds: number("--rounds", 5),
        prefetch: u16::try_from(number("--prefetch", 256)).expect("at most 65535"),
    };
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

struct Plan {
    messages: u64,
    rounds: u64,
    prefetch: u16,
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
    let telemetry = match side {
        Side::Floor => None,
        Side::Silent => Some("log = \"warn\"\nmetrics = false\n".to_owned()),
        Side::Telling => Some(format!("log = \"warn\"\notlp_url = \"{}\"\n", collector.url())),
        Side::TellingWithLines => Some(format!("log = \"info\"\notlp_url = \"{}\"\n", collector.url())),
        Side::TellingAll => Some(format!("log = \"info\"\notlp_url = \"{}\"\ntrace_ratio = 1.0\n", collector.url())),
    };
    let consumer = match telemetry {
        None => Consumer::floor(vhost, plan.prefetch, &receiver).await,
        Some(telemetry) => {
            let host = HostPlan { store: None, telemetry, keeps_log: true };
            Consumer::host(vhost, plan.prefetch, &receiver, host).await
        }
    };
    let (figures, cpu_us) = consumer.throughput(vhost, plan.messages, &receiver).await;
    (figures.rate(), cpu_us)
}
