//! Every plug pulled under load, the long form: a table of what was lost, and how much two hosts on one store move.
//!
//! `cargo bench` runs it with the arguments after `--`: `--per-s N` messages a second (1000), `--short` for a tenth of the
//! messages, `--only WORD` for the runs whose name has it. Ends with an error when something was lost.
#![allow(clippy::print_stdout, clippy::panic)]

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use hookbox_tests::{
    amqp::Amqp,
    broker::{Broker, Vhost},
    database::Cluster,
    eventually::eventually_within,
    fault_run::{
        Plan, Scene, StoreAt, Summary,
        faults::{self, Link},
        load::Load,
        run,
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// For a run to move all its messages.
const DEADLINE: Duration = Duration::from_secs(300);

struct Arguments {
    per_s: f64,
    share: u64,
    only: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let summaries = runtime.block_on(all(&arguments));
    println!();
    for summary in &summaries {
        println!("{summary}");
    }
    let mut well = true;
    for summary in summaries.iter().filter(|summary| !summary.is_well()) {
        well = false;
        println!("\n{summary}\n{}", summary.audit.as_ref().map_or_else(String::as_str, String::as_str));
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn read() -> Arguments {
        let given: Vec<_> = std::env::args().skip(1).collect();
        let value = |name: &str| {
            let place = given.iter().position(|argument| argument == name)?;
            given.get(place + 1).cloned()
        };
        Arguments {
            per_s: value("--per-s").map_or(1000.0, |text| text.parse().expect("--per-s takes a number")),
            share: if given.iter().any(|argument| argument == "--short") { 10 } else { 1 },
            only: value("--only"),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|word| name.contains(word.as_str()))
    }

    fn plan(&self, name: &str, messages: u64) -> Plan {
        let plan = Plan::new(name, messages / self.share);
        Plan { per_s: self.per_s, patience: DEADLINE, ..plan }
    }
}

/// One run after the other, so that each has the machine to itself.
async fn all(arguments: &Arguments) -> Vec<Summary> {
    let mut broker = Broker::boot().await;
    let mut done = Done { summaries: Vec::new(), arguments };
    let plan = |name: &str, messages| arguments.plan(name, messages);

    let name = "kill -9 of the host 20 times and of the broker twice";
    if arguments.wants(name) {
        let vhost = broker.vhost().await;
        let fault = async |scene: &mut Scene| faults::kill_hosts_and_broker(scene, &mut broker, 20, 2).await;
        done.add(run(plan(name, 30_000), vhost, fault).await);
    }
    let broker = &broker;
    done.run(broker, plan("kill -9 of two hosts in turn, 20 times", 30_000).nodes(2), async |scene| {
        faults::kill_hosts(scene, 20).await;
    })
    .await;
    done.run(
        broker,
        plan("SIGSTOP of one of two hosts for 5 s, its lease is 2 s", 10_000)
            .nodes(2)
            .setting("firing.park_after_ms", 10),
        async |scene| {
            faults::a_host_stands_still(scene, Duration::from_secs(5)).await;
        },
    )
    .await;
    done.run(broker, plan("link to the broker cut 10 times", 10_000), async |scene| {
        faults::a_link_is_cut(scene, Link::Broker, 10).await;
    })
    .await;
    done.run(broker, plan("link to the broker slow for 5 s, stalled for 5 s", 10_000), async |scene| {
        faults::a_link_is_slow(scene, Link::Broker, Duration::from_millis(50), Duration::from_secs(5)).await;
    })
    .await;
    done.run(broker, plan("receiver away for 60 s", 10_000), async |scene| {
        faults::the_receiver_is_away(scene, Duration::from_secs(60)).await;
    })
    .await;
    done.run(broker, plan("disk full (no file may grow) for 5 s", 10_000), async |scene| {
        faults::the_disk_is_full(scene, Duration::from_secs(5)).await;
    })
    .await;
    let name = "disk full (tmpfs) for 5 s";
    if arguments.wants(name) {
        match SmallDisk::mount() {
            Ok(disk) => {
                let plan = Plan { store: disk.store(), ..plan(name, 10_000) };
                done.run(broker, plan, async |scene| disk.is_full(scene, Duration::from_secs(5)).await).await;
            }
            Err(why) => println!("{name}: left out, {why}"),
        }
    }
    on_a_database(&mut done, broker).await;
    for nodes in [1, 2] {
        let name = format!("{nodes} host(s) on a file");
        done.throughput(broker, patient(plan(&name, 20_000).nodes(nodes))).await;
    }
    done.summaries
}

/// What concerns PostgreSQL, on a server that nobody else uses.
async fn on_a_database(done: &mut Done<'_>, broker: &Broker) {
    let mut cluster = Cluster::boot().await;
    let arguments = done.arguments;
    let plan = |name: &str, messages| arguments.plan(name, messages);

    let on = plan("kill -9 of two hosts on PostgreSQL in turn, 20 times", 30_000).nodes(2).on(cluster.database().await);
    done.run(broker, on, async |scene| faults::kill_hosts(scene, 20).await).await;
    let on = plan("SIGSTOP of one of two hosts on PostgreSQL for 5 s, its lease is 2 s", 10_000)
        .nodes(2)
        .on(cluster.database().await)
        .setting("firing.park_after_ms", 10);
    done.run(broker, on, async |scene| faults::a_host_stands_still(scene, Duration::from_secs(5)).await).await;
    let on = plan("link to PostgreSQL cut 10 times", 10_000).on(cluster.database().await);
    done.run(broker, on, async |scene| faults::a_link_is_cut(scene, Link::Store, 10).await).await;
    let on = plan("link to PostgreSQL slow for 5 s, stalled for 5 s", 10_000).on(cluster.database().await);
    let (delay, span) = (Duration::from_millis(50), Duration::from_secs(5));
    done.run(broker, on, async |scene| faults::a_link_is_slow(scene, Link::Store, delay, span).await).await;
    for nodes in [1, 2] {
        let on = plan(&format!("{nodes} host(s) on PostgreSQL"), 20_000).nodes(nodes);
        done.throughput(broker, patient(on.on(cluster.database().await))).await;
    }
    let on = plan("kill -9 of PostgreSQL 5 times", 20_000).on(cluster.database().await);
    done.run(broker, on, async |scene| faults::kill_database_server(scene, &mut cluster, 5).await).await;
}

/// So that a busy machine is not taken for a receiver that hangs.
fn patient(plan: Plan) -> Plan {
    plan.setting("firing.request_timeout_ms", 30_000)
        .setting("firing.request_timeout_ms_max", 30_000)
        .setting("firing.lease_ms", 90_000)
}

struct Done<'a> {
    summaries: Vec<Summary>,
    arguments: &'a Arguments,
}

impl Done<'_> {
    fn add(&mut self, summary: Summary) {
        println!("{summary}");
        self.summaries.push(summary);
    }

    async fn run(&mut self, broker: &Broker, plan: Plan, fault: impl AsyncFnOnce(&mut Scene)) {
        if self.arguments.wants(&plan.name) {
            let summary = run(plan, broker.vhost().await, fault).await;
            self.add(summary);
        }
    }

    /// The queue is filled while nobody consumes, then as many hosts as there are begin; counted is from the first arrival
    /// to the last.
    async fn throughput(&mut self, broker: &Broker, plan: Plan) {
        if !self.arguments.wants(&plan.name) {
            return;
        }
        let vhost = broker.vhost().await;
        let plan = Plan { answers_after: Duration::ZERO, per_s: f64::from(u32::MAX), ..plan };
        let mut scene = Scene::set(plan, vhost.clone()).await;
        // A host declares its queue when it starts.
        scene.nodes[0].start().await;
        scene.nodes[0].kill().await;
        let published = Load::start(vhost.url(), scene.plan.messages, scene.plan.per_s).published().await;
        held(&vhost, scene.plan.messages).await;
        for node in &mut scene.nodes {
            node.start().await;
        }
        eventually_within(DEADLINE, "every message", async || {
            let missing = scene.tally.missing(&published.taken).len();
            if missing == 0 { Ok(()) } else { Err(missing) }
        })
        .await;
        let counts = scene.tally.counts();
        let rate = counts.messages.saturating_sub(1) as f64 / counts.span.as_secs_f64();
        println!("throughput, {}: {rate:.0} messages/s", scene.plan.name);
        let summary = scene.finish(published).await;
        self.add(summary);
    }
}

async fn held(vhost: &Vhost, messages: u64) {
    let amqp = Amqp::connect(vhost).await;
    eventually_within(DEADLINE, "the queue to hold the load", async || match amqp.ready("hookbox").await {
        Some(ready) if u64::from(ready) >= messages => Ok(()),
        other => Err(other),
    })
    .await;
}

/// A file system of a few megabytes in memory; mounting it takes root.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Result<SmallDisk, String> {
        let folder = tempfile::Builder::new().prefix("hookbox-disk-").tempdir().map_err(|error| error.to_string())?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=512m", "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(SmallDisk { folder }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn store(&self) -> StoreAt {
        StoreAt::FileIn(self.folder.path().to_owned())
    }

    /// Fills it up, until a host has said so and this long besides, and makes room again.
    async fn is_full(&self, scene: &mut Scene, span: Duration) {
        scene.until_share(1, 4).await;
        let ballast = self.folder.path().join("ballast");
        fill(&ballast);
        faults::until_a_host_cannot_write(scene).await;
        tokio::time::sleep(span).await;
        std::fs::remove_file(&ballast).expect("the ballast can be removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the hosts of a run that panicked may still be ending.
        Command::new("umount").arg("--lazy").arg(self.folder.path()).status().ok();
    }
}

/// Writes until there is no room for another byte.
fn fill(file: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).expect("a file for the ballast");
    for piece in [1 << 20, 4096, 1] {
        let zeros = vec![0; piece];
        while file.write_all(&zeros).and_then(|()| file.flush()).is_ok() {}
    }
}
