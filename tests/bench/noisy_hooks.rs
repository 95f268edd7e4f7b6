//! What hooks whose receivers hang cost the others: twenty accounts with a hook each, of which two hooks (a tenth) hang
//! until their time-out, against the same run with all of them well. How many messages a second of the other hooks are
//! delivered from a full queue, and how late at a third of that rate. Runs alternate, so that what else the machine does
//! meets both.
//!
//! `cargo bench` runs it with the arguments after `--`: `--messages N` a run, `--pairs N` of runs, `--seconds N` of a
//! latency run, `--timeout-ms N` of a request.
#![allow(clippy::print_stdout, clippy::panic)]

use std::{fs, net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use hookbox_tests::{
    amqp::Amqp,
    broker::{Broker, Vhost},
    rig::{self, CountingReceiver, DEADLINE, Figures, Program, QUEUE, hookbox, median},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpListener};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Accounts, each with one hook.
const HOOKS: usize = 20;
/// Of these, hooks whose receiver hangs.
const HANGING: usize = 2;

fn main() -> ExitCode {
    if rig::is_receiver() {
        rig::receive();
        return ExitCode::SUCCESS;
    }
    let plan = Plan::from(&std::env::args().skip(1).collect::<Vec<_>>());
    if !hookbox().exists() {
        eprintln!("{} is not built; run `make bench`", hookbox().display());
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

struct Plan {
    messages: u64,
    pairs: usize,
    seconds: u64,
    timeout_ms: u64,
}

impl Plan {
    fn from(arguments: &[String]) -> Plan {
        let number = |name, default| rig::number_after(arguments, name, default);
        Plan {
            messages: number("--messages", 60_000),
            pairs: usize::try_from(number("--pairs", 3)).expect("a small number"),
            seconds: number("--seconds", 15),
            timeout_ms: number("--timeout-ms", 3_000),
        }
    }
}

/// How the tenth fares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tenth {
    Well,
    Hanging,
}

async fn measure(plan: &Plan) {
    let broker = Broker::boot().await;
    let tenths = [Tenth::Well, Tenth::Hanging];
    let (mut rates, mut p99) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for pair in 1..=plan.pairs {
        for tenth in tenths {
            let (figures, cpu_us) = throughput(tenth, plan, &broker.vhost().await).await;
            println!(
                "pair {pair}: {tenth:?}: others at {:.0} msg/s, {cpu_us:.1} us of processor a message",
                figures.rate()
            );
            rates[tenth as usize].push(figures.rate());
        }
    }
    // All messages, at a third of what goes through: what is measured is lateness, not a queue.
    let others = (HOOKS - HANGING) as f64 / HOOKS as f64;
    let load = median(&rates[0]).min(median(&rates[1])) / others / 3.0;
    for pair in 1..=plan.pairs {
        for tenth in tenths {
            let figures = latency(tenth, plan, load, &broker.vhost().await).await;
            let (p50_ms, p99_ms) = (figures.latency_p50.as_secs_f64() * 1e3, figures.latency_p99.as_secs_f64() * 1e3);
            println!("pair {pair}: {tenth:?}: at {load:.0} msg/s others p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms");
            p99[tenth as usize].push(p99_ms);
        }
    }
    let ratios =
        |values: &[Vec<f64>; 2]| values[1].iter().zip(&values[0]).map(|(hanging, well)| hanging / well).collect();
    let (of_rates, of_p99): (Vec<f64>, Vec<f64>) = (ratios(&rates), ratios(&p99));
    let listed = |ratios: &[f64]| ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ");
    println!(
        "noisy_hooks: others at {:.2} of their rate, p99 {:.2} x (pairs {} and {})",
        median(&of_rates),
        median(&of_p99),
        listed(&of_rates),
        listed(&of_p99)
    );
}

/// The queue is filled while nobody consumes; counted is from the first to the last arrival at the others.
async fn throughput(tenth: Tenth, plan: &Plan, vhost: &Vhost) -> (Figures, f64) {
    let scene = Scene::new(tenth, plan, vhost).await;
    // The host declares its queue when it starts.
    scene.start().await.kill();
    let accounts = accounts();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    rig::fill(vhost, &accounts, plan.messages).await;
    rig::taken(scene.start().await, plan.messages, &scene.others, of_others(plan.messages)).await
}

/// Messages are published evenly to a host that runs.
async fn latency(tenth: Tenth, plan: &Plan, rate: f64, vhost: &Vhost) -> Figures {
    let scene = Scene::new(tenth, plan, vhost).await;
    let running = scene.start().await;
    let accounts = accounts();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let amqp = Amqp::connect(vhost).await;
    let published = rig::load_of_at(&amqp, &accounts, rate, Duration::from_secs(plan.seconds)).await;
    let figures = scene.others.expect(of_others(published), DEADLINE).await;
    running.kill();
    figures
}

/// How many of so many messages are of accounts whose hook is among the others.
fn of_others(messages: u64) -> u64 {
    let whole = messages / HOOKS as u64 * (HOOKS - HANGING) as u64;
    whole + (messages % HOOKS as u64).saturating_sub(HANGING as u64)
}

/// A folder with settings and a store, and the receivers.
struct Scene {
    folder: TempDir,
    others: CountingReceiver,
    /// Where the tenth's requests go when it is well.
    _tenth: CountingReceiver,
}

impl Scene {
    async fn new(tenth: Tenth, plan: &Plan, vhost: &Vhost) -> Scene {
        let folder = tempfile::Builder::new().prefix("hookbox-bench-").tempdir().expect("a temporary folder");
        let (others, well) = (CountingReceiver::start().await, CountingReceiver::start().await);
        let of_tenth = match tenth {
            Tenth::Well => well.url(),
            Tenth::Hanging => format!("http://{}/hook", hang().await),
        };
        write_settings(folder.path(), plan, vhost);
        import_hooks(folder.path(), &of_tenth, &others.url());
        Scene { folder, others, _tenth: well }
    }

    async fn start(&self) -> Program {
        rig::serve(self.folder.path()).await
    }
}

/// A receiver that reads and never answers.
async fn hang() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 4096];
                while let Ok(1..) = stream.read(&mut heard).await {}
            });
        }
    });
    address
}

/// The first ones' hooks are the tenth.
fn accounts() -> Vec<String> {
    (0..HOOKS).map(|number| format!("{:032x}", 0xacc0_0000 + number)).collect()
}

fn write_settings(folder: &Path, plan: &Plan, vhost: &Vhost) {
    let settings = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n\n\
         [store]\nurl = \"sqlite:{}\"\n\n\
         [amqp]\nurl = \"{}\"\nqueue = \"{QUEUE}\"\n\n\
         [firing]\nallow_addresses = [\"127.0.0.0/8\"]\nrequest_timeout_ms = {}\n\n\
         [webhooks]\ndisable_disabler = true\n\n\
         [telemetry]\nlog = \"error\"\n",
        folder.join("hookbox.db").display(),
        vhost.url(),
        plan.timeout_ms
    );
    fs::write(folder.join("hookbox.toml"), settings).expect("the folder can be written to");
}

fn import_hooks(folder: &Path, of_tenth: &str, of_others: &str) {
    let mut documents = Vec::new();
    for (number, account) in accounts().iter().enumerate() {
        let uri = if number < HANGING { of_tenth } else { of_others };
        documents.push(json!({"_id": account, "pvt_type": "account", "name": account, "pvt_tree": []}));
        documents.push(json!({
            "_id": format!("{number:032x}"), "pvt_type": "webhook", "pvt_account_id": account, "name": "bench",
            "uri": uri, "hook": "channel_create", "http_verb": "post", "format": "json", "enabled": true,
        }));
    }
    rig::import(folder, &json!(documents));
}
