//! What bad neighbours cost the good ones: the whole path from RabbitMQ by way of a built-in module to a receiver, at a steady
//! pace, alone; then beside three modules of which one loops, one eats memory and one traps on every message; then while
//! uploads are compiled one after the other. Prints
//! `noisy_modules: others at … of their rate` and `compiling: host p99 …, …x its normal`.
//!
//! The three alternate in rounds, each on a host and a queue of its own, so that what else the machine does meets all.
//! Quarantine is put out of reach, so that the bad ones go on. Arguments after `--`: `--rate N` messages a second,
//! `--seconds N` a run, `--rounds N`.
#![allow(clippy::print_stdout, clippy::panic)]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::stream;
use hookbox_tests::{
    amqp::Amqp,
    bad_modules::{self, HOG, SPIN, TRAP},
    bombs,
    broker::{Broker, Vhost},
    real_program::{Place, Serving},
    rest::send,
    rig::{self, CountingReceiver, Figures, median},
    samples::{ACCOUNT, bad},
    test_host::{MASTER, MASTER_KEY, http},
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages a second that each of the bad modules is handed: the looping one alone wants five cores for them.
const BAD_PER_S: u64 = 100;
/// For what was published to arrive.
const DEADLINE: Duration = Duration::from_secs(300);
/// What the three bad ones are, and how each fails.
const NOISY: [(&str, &str, &str); 3] = [("spin", SPIN, "time"), ("hog", HOG, "memory"), ("trap", TRAP, "trap")];

/// What goes on beside the good module's work.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    Nothing,
    NoisyModules,
    Compiling,
}

struct Plan {
    rate: f64,
    span: Duration,
    rounds: u64,
}

fn main() -> ExitCode {
    if rig::is_receiver() {
        rig::receive();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |name, default| rig::number_after(&arguments, name, default);
    let plan = Plan {
        rate: number("--rate", 1000) as f64,
        span: Duration::from_secs(number("--seconds", 15)),
        rounds: number("--rounds", 3),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

async fn measure(plan: &Plan) {
    let broker = Broker::boot().await;
    let (mut alone, mut noisy, mut compiling) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        for (beside, runs) in
            [(Beside::Nothing, &mut alone), (Beside::NoisyModules, &mut noisy), (Beside::Compiling, &mut compiling)]
        {
            let (figures, told) = run(beside, plan, &broker.vhost().await).await;
            println!(
                "round {round}: {beside:?} {:.0} msg/s, p50 {:.1} ms, p99 {:.1} ms{told}",
                figures.rate(),
                ms(figures.latency_p50),
                ms(figures.latency_p99)
            );
            runs.push(figures);
        }
    }
    let of_each = |runs: &[Figures], figure: fn(&Figures) -> f64| {
        runs.iter().zip(&alone).map(|(run, alone)| figure(run) / figure(alone)).collect::<Vec<_>>()
    };
    let p99 = |figures: &Figures| ms(figures.latency_p99);
    let (rates, p99_noisy) = (of_each(&noisy, Figures::rate), of_each(&noisy, p99));
    println!(
        "noisy_modules: others at {:.2} of their rate ({:.0} msg/s offered, rounds {}), p99 {:.1} ms, {:.1}x (rounds {})",
        median(&rates),
        plan.rate,
        listed(&rates),
        median(&noisy.iter().map(p99).collect::<Vec<_>>()),
        median(&p99_noisy),
        listed(&p99_noisy),
    );
    let (rates, p99_compiling) = (of_each(&compiling, Figures::rate), of_each(&compiling, p99));
    println!(
        "compiling: host p99 {:.1} ms, {:.2}x its normal (rounds {}), at {:.2} of its rate",
        median(&compiling.iter().map(p99).collect::<Vec<_>>()),
        median(&p99_compiling),
        listed(&p99_compiling),
        median(&rates),
    );
}

/// What arrived of the good module's work, and what there is to tell of what went on beside it.
async fn run(beside: Beside, plan: &Plan, vhost: &Vhost) -> (Figures, String) {
    let receiver = CountingReceiver::start().await;
    let place = a_place(vhost, &receiver).await;
    let host = place.serve_with(&[("HOOKBOX_MODULES__CACHE_DIR", "cache")]).await;
    let (ended, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let noise = match beside {
        Beside::Nothing => tokio::spawn(async {}),
        Beside::NoisyModules => tokio::spawn(noise(Amqp::connect(vhost).await, Arc::clone(&ended), Arc::clone(&count))),
        Beside::Compiling => tokio::spawn(uploads(host.url.clone(), Arc::clone(&ended), Arc::clone(&count))),
    };
    let amqp = Amqp::connect(vhost).await;
    let published = rig::load_at(&amqp, plan.rate, plan.span).await;
    let figures = receiver.expect(published, DEADLINE).await;
    let told = match beside {
        Beside::Nothing => String::new(),
        Beside::NoisyModules => format!("; {}", faults(&host).await),
        Beside::Compiling => format!("; {} uploads compiled to their end", count.load(Ordering::Relaxed)),
    };
    ended.store(true, Ordering::Relaxed);
    noise.abort();
    drop(host);
    (figures, told)
}

/// The good module's hook is one account's; the bad modules are the operator's, as the good one is.
async fn a_place(vhost: &Vhost, receiver: &CountingReceiver) -> Place {
    let place = Place::with_settings(&format!(
        "amqp.url = {:?}\nmodules.dir = \"modules\"\nmodules.fault_count = 10000\nmodules.fault_window_ms = 1000\n\
         telemetry.log = \"error\"\nmodules.compile_wall_s = 600\n",
        vhost.url()
    ));
    for (name, path, _) in NOISY {
        place.write(&format!("modules/{name}.wasm"), bad_modules::bytes(path));
    }
    let documents = json!([
        {"_id": ACCOUNT, "pvt_type": "account", "name": "bench", "pvt_tree": []},
        {
            "_id": "0123456789abcdef0123456789abcdef", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "bench",
            "uri": receiver.url(), "hook": "channel_create", "http_verb": "post", "format": "json", "enabled": true,
            "max_in_flight": 1000,
        },
    ]);
    place.write("documents.json", documents.to_string());
    let imported = place.call(&["import", "kazoo", "documents.json", "--config", "hookbox.toml"]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    place
}

/// Messages for the bad modules, evenly.
async fn noise(amqp: Amqp, ended: Arc<AtomicBool>, published: Arc<AtomicU64>) {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(BAD_PER_S).expect("a small number"));
    while !ended.load(Ordering::Relaxed) {
        pace.tick().await;
        amqp.publish(&bad(ACCOUNT)).await;
        published.fetch_add(1, Ordering::Relaxed);
    }
}

/// Uploads of components that are dear to compile, one after the other, so that one is always being compiled. Each is
/// another one; each ends with a refusal, so that nothing is kept.
async fn uploads(url: String, ended: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let began = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        let component = bombs::dear_to_compile(&format!("{:?}", began.elapsed()));
        let url = format!("{url}/v2/accounts/{MASTER}/webhook_modules/dear/versions");
        let request = http().put(url).header("x-auth-token", MASTER_KEY).header("content-type", "application/wasm");
        let body = reqwest::Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(component)]));
        let called = send(request.body(body)).await;
        let step = called.envelope["data"].to_string();
        assert!(called.status == 422 && step.contains("metadata"), "it was not compiled: {:#}", called.envelope);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often each of the bad modules has failed, as it must.
async fn faults(host: &Serving) -> String {
    let answer = http().get(format!("{}/metrics", host.url)).send().await.expect("the host's metrics");
    let metrics = answer.text().await.expect("the host's metrics");
    let counted = |name: &str, kind: &str| {
        let series = format!("hookbox_module_faults_total{{module=\"{name}\",kind=\"{kind}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).and_then(|count| count.parse::<f64>().ok())
    };
    let told = NOISY.map(|(name, _, kind)| match counted(name, kind) {
        Some(count) if count > 0.0 => format!("{name} failed {count:.0} times"),
        _ => panic!("{name} did not fail by {kind}; the run tells nothing:\n{metrics}"),
    });
    told.join(", ")
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn listed(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(" ")
}
