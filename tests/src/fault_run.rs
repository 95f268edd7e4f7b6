//! A steady load through real hosts while something goes wrong, and what became of it: `lost: 0 duplicates: n`.
//!
//! A [`Scene`] is a vhost, one or more hosts as processes on one store, links to the broker and to the database server that
//! can fail, and a receiver that counts. [`run`] puts a load on it, lets a fault happen meanwhile ([`faults`]), waits until all that the broker had
//! taken has arrived, stops the hosts as a service manager would, and has `hookbox doctor --audit` look at the store.
//!
//! What was published counts when the broker has confirmed it and has not returned it; the rest may arrive or not.

pub mod faults;
pub mod load;
pub mod node;
pub mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    load::{Load, Published},
    node::Node,
    tally::Tally,
};
use crate::{
    broker::Vhost,
    chaos_proxy::ChaosProxy,
    database::Database,
    eventually::eventually_within,
    samples::ACCOUNT,
    test_host::{MASTER, MASTER_KEY, shared_folder},
};

/// The hook that all of the load is for.
const HOOK: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

/// Where the hosts of a run keep what they keep.
#[derive(Clone, Debug)]
pub enum StoreAt {
    /// A file in the run's folder.
    File,
    /// A file here, which nobody else uses.
    FileIn(PathBuf),
    /// A database, which nobody else uses.
    Database(Database),
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the summary calls it.
    pub name: String,
    /// Hosts at work.
    pub nodes: usize,
    /// Messages that the broker has to take.
    pub messages: u64,
    /// Published so many a second.
    pub per_s: f64,
    /// The receiver answers after this time.
    pub answers_after: Duration,
    /// The hook's pauses before its second, third, … try, seconds.
    pub retry_schedule_s: Vec<u64>,
    /// The hosts' store.
    pub store: StoreAt,
    /// Settings over the usual: keys, and values as TOML has them.
    pub settings: Vec<(String, String)>,
    /// How long what was published may take to arrive when the fault is over.
    pub patience: Duration,
}

/// A run under way.
pub struct Scene {
    /// What it is made of.
    pub plan: Plan,
    /// Where its queue is.
    pub vhost: Vhost,
    /// Between the hosts and the broker.
    pub link: ChaosProxy,
    /// Between the hosts and the database server, which passes everything to nobody when the store is a file.
    pub store_link: ChaosProxy,
    /// The hosts.
    pub nodes: Vec<Node>,
    /// The receiver.
    pub tally: Tally,
    /// How many messages the broker has taken.
    pub load: load::Progress,
    folder: TempDir,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The plan's name.
    pub name: String,
    /// Messages that the broker had confirmed and not returned.
    pub published: u64,
    /// … in this time.
    pub took: Duration,
    /// Of those, how many have not arrived.
    pub lost: u64,
    /// Requests beyond the first of their webhook ids.
    pub duplicates: u64,
    /// Messages that came under more than one webhook id.
    pub under_two_ids: u64,
    /// Exit codes of the hosts, told to stop.
    pub stopped: Vec<i32>,
    /// What `doctor --audit` said, when it found something.
    pub audit: Result<String, String>,
}

impl Plan {
    /// One host on a file, so many messages at a rate that a busy machine keeps up with.
    pub fn new(name: &str, messages: u64) -> Plan {
        Plan {
            name: name.to_owned(),
            nodes: 1,
            messages,
            per_s: 300.0,
            answers_after: Duration::from_millis(20),
            retry_schedule_s: vec![1; 20],
            store: StoreAt::File,
            settings: Vec::new(),
            patience: Duration::from_secs(60),
        }
    }

    /// With so many hosts.
    pub fn nodes(mut self, nodes: usize) -> Plan {
        self.nodes = nodes;
        self
    }

    /// With the store in this database.
    pub fn on(mut self, database: Database) -> Plan {
        self.store = StoreAt::Database(database);
        self
    }

    /// With this setting, e.g. `("firing.lease_ms", 5000)`.
    pub fn setting(mut self, key: &str, value: impl fmt::Display) -> Plan {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }
}

/// Puts the plan's load on a scene of its own, lets the fault happen, and sums up.
pub async fn run(plan: Plan, vhost: Vhost, fault: impl AsyncFnOnce(&mut Scene)) -> Summary {
    let (mut scene, load) = Scene::begin(plan, vhost).await;
    fault(&mut scene).await;
    let published = load.published().await;
    scene.finish(published).await
}

impl Scene {
    /// A scene whose hosts run, and on which the load has begun.
    pub async fn begin(plan: Plan, vhost: Vhost) -> (Scene, Load) {
        let mut scene = Scene::set(plan, vhost).await;
        for node in &mut scene.nodes {
            node.start().await;
        }
        let load = Load::start(scene.vhost.url(), scene.plan.messages, scene.plan.per_s);
        scene.load = load.progress();
        (scene, load)
    }

    /// A scene on which nothing runs yet; its store has the hook.
    pub async fn set(plan: Plan, vhost: Vhost) -> Scene {
        let folder = tempfile::Builder::new().prefix("hookbox-faults-").tempdir().expect("a temporary folder");
        let link = ChaosProxy::start(vhost.amqp_port).await;
        let tally = Tally::start(plan.answers_after).await;
        let store_link = ChaosProxy::start(match &plan.store {
            StoreAt::Database(database) => database.port,
            StoreAt::File | StoreAt::FileIn(_) => 0,
        })
        .await;
        let file_in = |folder: &Path| format!("sqlite:{}", folder.join("hookbox.db").display());
        let store = match &plan.store {
            StoreAt::File => file_in(folder.path()),
            StoreAt::FileIn(folder) => file_in(folder),
            StoreAt::Database(database) => database.url_through(store_link.port()),
        };
        let settings = settings(&store, &vhost.url_through(link.port()), &plan.settings);
        let nodes: Vec<Node> = (0..plan.nodes).map(|_| Node::new(&settings)).collect();
        nodes[0].import(&documents(&tally.url(), &plan.retry_schedule_s)).await;
        Scene { plan, vhost, link, store_link, nodes, tally, load: load::Progress::none(), folder }
    }

    /// The folder that the run's store is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until so many messages were taken by the broker.
    pub async fn until_published(&mut self, count: u64) {
        self.load.until(count).await;
    }

    /// Waits until that share of the load was published.
    pub async fn until_share(&mut self, nth: u64, of: u64) {
        self.until_published(self.plan.messages * nth / of).await;
    }

    /// Ends every fault, waits for what is on its way, stops the hosts and sums up.
    pub async fn finish(mut self, published: Published) -> Summary {
        self.link.restore().await;
        self.store_link.restore().await;
        self.tally.come_back().await;
        for node in &mut self.nodes {
            node.wake_or_start().await;
        }
        let lost = self.missing_at_last(&published.taken).await;
        let mut stopped = Vec::new();
        for node in &mut self.nodes {
            stopped.push(node.stop().await);
        }
        let audited = self.nodes[0].audit().await;
        let counts = self.tally.counts();
        Summary {
            name: self.plan.name,
            published: published.taken.len() as u64,
            took: published.took,
            lost: lost.len() as u64,
            duplicates: counts.duplicates,
            under_two_ids: counts.under_two_ids,
            stopped,
            audit: match audited.code {
                0 => Ok(audited.stdout),
                _ => Err(format!("{}{}", audited.stdout, audited.stderr)),
            },
        }
    }

    /// What has not arrived when nothing is missing any more, or patience is over.
    async fn missing_at_last(&self, taken: &BTreeSet<u64>) -> BTreeSet<u64> {
        let began = Instant::now();
        eventually_within(self.plan.patience * 2, "what was published to arrive", async || {
            let missing = self.tally.missing(taken);
            if missing.is_empty() || began.elapsed() > self.plan.patience { Ok(missing) } else { Err(missing.len()) }
        })
        .await
    }
}

impl Summary {
    /// Fails unless nothing was lost and everything was in order.
    pub fn expect_nothing_lost(&self) {
        assert!(self.is_well(), "{self}\n{}", self.audit.as_ref().map_or_else(String::as_str, String::as_str));
    }

    /// Whether nothing was lost and everything was in order.
    pub fn is_well(&self) -> bool {
        self.lost == 0 && self.under_two_ids == 0 && self.audit.is_ok() && self.stopped.iter().all(|code| *code == 0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { name, published, took, lost, duplicates, .. } = self;
        let rate = *published as f64 / took.as_secs_f64();
        write!(f, "{name}: published {published} at {rate:.0}/s, lost: {lost} duplicates: {duplicates}")?;
        if self.under_two_ids > 0 {
            write!(f, ", {} came under two ids", self.under_two_ids)?;
        }
        if self.audit.is_err() {
            f.write_str(", the audit found violations")?;
        }
        if self.stopped.iter().any(|code| *code != 0) {
            write!(f, ", hosts ended with {:?}", self.stopped)?;
        }
        Ok(())
    }
}

fn settings(store: &str, amqp: &str, more: &[(String, String)]) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let in_shared = |name: &str| text(&shared_folder().join(name).display().to_string());
    // Times are short, so that what comes back after them comes soon.
    let usual = [
        ("api.listen", text("127.0.0.1:0")),
        ("telemetry.log", text("warn,lapin=off")),
        ("store.url", text(store)),
        ("store.acquire_timeout_ms", "2000".to_owned()),
        ("store.key_file", in_shared("host.key")),
        ("modules.cache_dir", in_shared("module-cache")),
        ("master.account_id", text(MASTER)),
        ("master.api_key", text(MASTER_KEY)),
        ("amqp.url", text(amqp)),
        ("amqp.reconnect_pause_ms_max", "500".to_owned()),
        ("amqp.requeue_pause_ms_max", "1000".to_owned()),
        ("firing.allow_addresses", "[\"127.0.0.0/8\"]".to_owned()),
        ("firing.request_timeout_ms", "900".to_owned()),
        ("firing.request_timeout_ms_max", "900".to_owned()),
        ("firing.lease_ms", "2000".to_owned()),
        ("firing.claim_poll_ms", "200".to_owned()),
        ("webhooks.disable_disabler", "true".to_owned()),
    ];
    let mut settings: BTreeMap<String, String> = usual.map(|(key, value)| (key.to_owned(), value)).into();
    settings.extend(more.iter().cloned());
    settings.into_iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn documents(uri: &str, retry_schedule_s: &[u64]) -> Value {
    json!([
        {"_id": ACCOUNT, "pvt_type": "account", "name": "load", "pvt_tree": []},
        {
            "_id": HOOK, "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": "load", "uri": uri,
            "hook": "channel_create", "http_verb": "post", "format": "json", "enabled": true, "max_in_flight": 1000,
            "retry_schedule_s": retry_schedule_s,
        },
    ])
}
