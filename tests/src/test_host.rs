//! A host of a test's own: in this process, on port 0, with an SQLite store in a folder of its own (or a database of the
//! shared PostgreSQL), and, unless the test says otherwise, on a vhost of the shared broker.
//!
//! ```ignore
//! let receiver = Receiver::start().await.answering([500, 200]);
//! let host = TestHost::builder().hook(a_hook("channel_create").to(&receiver)).start().await;
//! host.publish(channel_created(ACCOUNT)).await;
//! receiver.expect_requests(2).await;
//! host.finish().await;
//! ```

use std::{path::PathBuf, sync::OnceLock};

use hookbox::{
    account::Account,
    clock::Clock,
    host::{self, HostOptions, RunningHost},
    ingress::Settlement,
    message::{AccountId, Object, UnixMs},
    settings::Settings,
    store::AttemptQuery,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    amqp::{Amqp, Published},
    broker::{Broker, Vhost},
    database::Database,
    eventually::eventually,
    real_program::hookbox,
    receiver::Receiver,
    samples::{ACCOUNT, Message},
};

/// The account above [`ACCOUNT`].
pub const RESELLER: &str = "11112222333344445555666677778888";
/// An account beside it.
pub const SIBLING: &str = "99990000999900009999000099990000";
/// The key of the master account of every test host.
pub const MASTER_KEY: &str = "test-master-key-0123456789abcdef0123456789abcdef";
/// The master account of every test host.
pub const MASTER: &str = "ffffffffffffffffffffffffffffffff";
/// A key of [`ACCOUNT`].
pub const TENANT_KEY: &str = "test-tenant-key-0123456789abcdef0123456789abcdef";

/// A hook to be made: KAZOO's document, with what a test says over it.
#[derive(Clone, Debug)]
pub struct HookDraft(Object);

/// A hook of [`ACCOUNT`] for this event, posted as JSON, which is retried at once.
pub fn a_hook(event: &str) -> HookDraft {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let document = json!({
        "_id": format!("{number:032x}"), "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "name": format!("hook {number}"),
        "hook": event, "format": "json", "retry_schedule_s": [0, 0],
    });
    HookDraft(object(document))
}

impl HookDraft {
    /// Fires at the root of this receiver.
    pub fn to(self, receiver: &Receiver) -> Self {
        self.to_uri(&receiver.url("/"))
    }

    /// Fires at this URI.
    pub fn to_uri(self, uri: &str) -> Self {
        self.with("uri", uri)
    }

    /// Says something over the document.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Takes something out of the document.
    pub fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// Of another account.
    pub fn of(self, account: &str) -> Self {
        self.with("pvt_account_id", account)
    }

    /// Its id.
    pub fn id(&self) -> String {
        self.0["_id"].as_str().unwrap_or_default().to_owned()
    }

    /// The document that `import kazoo` takes.
    pub fn document(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// What a host is started with.
#[derive(Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    hooks: Vec<HookDraft>,
    documents: Vec<Value>,
    modules: Vec<(String, Vec<u8>)>,
    url: Option<String>,
    without_broker: bool,
    clock: Clock,
    with_skel: bool,
    on_postgres: bool,
    store_url: Option<String>,
}

/// A host of a test's own.
pub struct TestHost {
    /// The host.
    pub running: RunningHost,
    /// The platform's side of its vhost.
    pub amqp: Option<Amqp>,
    /// Its vhost.
    pub vhost: Option<Vhost>,
    /// What it was started with.
    pub settings: Settings,
    /// Where its store and its modules are.
    pub folder: TempDir,
}

impl TestHost {
    /// One with the usual accounts, no hooks, and a vhost of the shared broker.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Publishes a message on the host's vhost; it must have been routed somewhere.
    pub async fn publish(&self, message: Message) {
        let amqp = self.amqp.as_ref().unwrap_or_else(|| panic!("this host has no broker"));
        match amqp.publish(&message).await {
            Published::Routed => {}
            other => panic!("{} {} was not taken: {other:?}", message.exchange, message.routing_key),
        }
    }

    /// Posts one message over HTTP with a key; the status and the envelope.
    pub async fn post(&self, account: &str, key: &str, message: &Message) -> (u16, Value) {
        let body = json!({"data": message.to_json()}).to_string();
        self.put(&format!("/v2/accounts/{account}/messages"), key, body).await
    }

    /// One PUT; the status and the envelope.
    pub async fn put(&self, path: &str, key: &str, body: String) -> (u16, Value) {
        let url = format!("http://{}{path}", self.running.api_address);
        let request = http().put(url).header("x-auth-token", key).header("content-type", "application/json");
        let answer =
            request.body(body).send().await.unwrap_or_else(|error| panic!("the host does not answer: {error}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// One GET; the status and the text.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.running.api_address);
        let answer = http().get(url).send().await.unwrap_or_else(|error| panic!("the host does not answer: {error}"));
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    }

    /// Hands a message straight to the pipeline, as ingress would, and gives the settlement.
    pub async fn handle(&self, message: hookbox::message::Message) -> Settlement {
        self.running.pipeline.handle(message).await
    }

    /// The attempts of a hook of [`ACCOUNT`], newest first.
    pub async fn attempts(&self, hook: &str) -> Vec<Object> {
        self.recorded(Some(hook)).await
    }

    /// The attempts of all hooks of [`ACCOUNT`], newest first.
    pub async fn attempts_of_all(&self) -> Vec<Object> {
        self.recorded(None).await
    }

    async fn recorded(&self, hook: Option<&str>) -> Vec<Object> {
        let query = AttemptQuery::newest(ACCOUNT.into(), hook.map(Into::into), 1000);
        let attempts = self.running.store.attempts(&query).await.unwrap_or_else(|error| panic!("{error}"));
        attempts.into_iter().map(|attempt| attempt.document).collect()
    }

    /// Waits until the hook has so many attempts.
    pub async fn expect_attempts(&self, hook: &str, count: usize) -> Vec<Object> {
        eventually("attempts in the store", async || {
            let attempts = self.attempts(hook).await;
            if attempts.len() == count { Ok(attempts) } else { Err(attempts) }
        })
        .await
    }

    /// Why the hook was switched off, when it was.
    pub async fn disabled_message(&self, hook: &str) -> Option<String> {
        let record = self.running.store.hook(&hook.into()).await.unwrap_or_else(|error| panic!("{error}"));
        record.and_then(|record| record.disabled_message)
    }

    /// Waits until no firing waits in the store.
    pub async fn expect_no_waiting(&self) {
        eventually("no waiting firings", async || {
            match self.running.store.firing_counts(None).await.unwrap_or_else(|error| panic!("{error}")) {
                counts if counts.waiting == 0 => Ok(()),
                counts => Err(counts),
            }
        })
        .await;
    }

    /// Waits until the broker holds nothing for the host: neither ready nor unacknowledged.
    pub async fn expect_settled(&self) {
        let Some(vhost) = &self.vhost else { return };
        eventually("a settled queue", async || match vhost.queue(&self.settings.amqp.queue).await {
            Some(figures) if figures.ready == 0 && figures.unacked == 0 => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// Stops it and starts it anew: the same store, modules, settings and vhost.
    pub async fn restarted(self, clock: Clock) -> Self {
        let Self { running, amqp, vhost, settings, folder } = self;
        assert!(running.stop().await, "the host did not stop in time");
        let options = HostOptions { clock, compile_program: Some(hookbox()), ..HostOptions::default() };
        let running = host::start(settings.clone(), options).await.unwrap_or_else(|error| panic!("{error:?}"));
        running.ready().await;
        Self { running, amqp, vhost, settings, folder }
    }

    /// The file of a module in `modules.dir`.
    pub fn module_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("modules").join(format!("{name}.wasm"))
    }

    /// What `/metrics` says of a series, e.g. `hookbox_module_faults_total{module="trap",kind="trap"}`, or of all series of a
    /// name together; 0 when there is none. Counters are those of the whole process, so compare with what was there before.
    pub async fn counted(&self, series: &str) -> u64 {
        let (_, text) = self.get("/metrics").await;
        let of_name = text.lines().filter_map(|line| line.strip_prefix(series));
        let values = of_name.filter_map(|rest| match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once("} ").map(|(_, value)| value),
            None => rest.strip_prefix(' '),
        });
        values.map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{series} is {value:?}"))).sum()
    }

    /// Ends the test: the host must have taken all messages, must stop in time, and must have settled all by then: what
    /// it has not settled is in the queue again when it has gone.
    pub async fn finish(self) {
        let queue = &self.settings.amqp.queue;
        if let Some(amqp) = &self.amqp {
            self.expect_quiet(amqp).await;
        }
        self.running.drain().await.unwrap_or_else(|late| panic!("the host did not stop in time: {late}"));
        if let Some(amqp) = &self.amqp {
            assert_eq!(amqp.ready(queue).await, Some(0), "messages were left unsettled");
        }
    }

    /// Waits until nothing is on its way to the host: its own notices are published (they come in again) and the queue is
    /// empty. Looked at twice, for what the broker has handed over just now; what is being worked on is for the stop to
    /// wait for.
    async fn expect_quiet(&self, amqp: &Amqp) {
        let mut quiet = 0;
        eventually("nothing to be on its way", async || {
            let notices = self.running.store.notices(1).await.unwrap_or_else(|error| panic!("{error}")).len();
            let ready = amqp.ready(&self.settings.amqp.queue).await;
            let state = (notices, ready);
            quiet = if state == (0, Some(0)) { quiet + 1 } else { 0 };
            if quiet >= 2 { Ok(()) } else { Err(state) }
        })
        .await;
    }

    /// A receiver's own view of the hook's signatures: the library of Standard Webhooks with the hook's secret.
    pub async fn verifier(&self, hook: &str) -> standardwebhooks::Webhook {
        let id = hookbox::message::HookId::from(hook);
        let key = host::host_key(&self.settings).unwrap_or_else(|error| panic!("{error}"));
        let record = self.running.store.hook(&id).await.unwrap_or_else(|error| panic!("{error}"));
        let record = record.unwrap_or_else(|| panic!("there is no hook {hook}"));
        let secret = key.open(&id, &record.secrets[0]).unwrap_or_else(|error| panic!("{error}"));
        standardwebhooks::Webhook::from_bytes(secret).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Builder {
    /// Sets a key of the settings, e.g. `("firing.park_after_ms", 50)`.
    pub fn setting(mut self, key: &str, value: impl Into<Value>) -> Self {
        let variable = format!("HOOKBOX_{}", key.to_uppercase().replace('.', "__"));
        let value = value.into();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.settings.retain(|(known, _)| *known != variable);
        self.settings.push((variable, text));
        self
    }

    /// With this hook.
    pub fn hook(mut self, hook: HookDraft) -> Self {
        self.hooks.push(hook);
        self
    }

    /// With this document, as `import kazoo` takes it.
    pub fn document(mut self, document: Value) -> Self {
        self.documents.push(document);
        self
    }

    /// With this component in `modules.dir`.
    pub fn module(mut self, name: &str, component: Vec<u8>) -> Self {
        self.modules.push((name.to_owned(), component));
        self
    }

    /// With the template.
    pub fn with_skel(mut self) -> Self {
        self.with_skel = true;
        self
    }

    /// Reaches its broker by this URL, e.g. through a proxy.
    pub fn amqp_url(mut self, url: String) -> Self {
        self.url = Some(url);
        self
    }

    /// With its store in a database of the shared PostgreSQL.
    pub fn on_postgres(mut self) -> Self {
        self.on_postgres = true;
        self
    }

    /// With its store in this database.
    pub fn on_database(mut self, database: &Database) -> Self {
        self.store_url = Some(database.url());
        self
    }

    /// Without AMQP.
    pub fn without_broker(mut self) -> Self {
        self.without_broker = true;
        self
    }

    /// With this clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Starts it, and waits until it takes messages.
    pub async fn start(self) -> TestHost {
        let vhost = match (self.without_broker, &self.url) {
            (true, _) | (_, Some(_)) => None,
            (false, None) => Some(Broker::shared().await.vhost().await),
        };
        self.start_on(vhost).await
    }

    /// As [`Self::start`], on this vhost.
    pub async fn start_on(mut self, vhost: Option<Vhost>) -> TestHost {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let store = match (&self.store_url, self.on_postgres) {
            (Some(url), _) => url.clone(),
            (None, true) => Database::new().await.url(),
            (None, false) => format!("sqlite:{}", folder.path().join("hookbox.db").display()),
        };
        let url = self.url.clone().or_else(|| vhost.as_ref().map(Vhost::url));
        let mut settings = vec![
            ("HOOKBOX_API__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("HOOKBOX_STORE__URL".to_owned(), store),
            ("HOOKBOX_STORE__KEY_FILE".to_owned(), shared_folder().join("host.key").display().to_string()),
            ("HOOKBOX_MODULES__CACHE_DIR".to_owned(), shared_folder().join("module-cache").display().to_string()),
            ("HOOKBOX_MASTER__ACCOUNT_ID".to_owned(), MASTER.to_owned()),
            ("HOOKBOX_MASTER__API_KEY".to_owned(), MASTER_KEY.to_owned()),
            ("HOOKBOX_FIRING__ALLOW_ADDRESSES".to_owned(), "[\"127.0.0.0/8\"]".to_owned()),
            ("HOOKBOX_AMQP__RECONNECT_PAUSE_MS_MAX".to_owned(), "500".to_owned()),
            ("HOOKBOX_SUPERVISOR__PAUSE_MS".to_owned(), "10".to_owned()),
            ("HOOKBOX_KAZOO__CLUSTER_ID".to_owned(), "test-cluster".to_owned()),
        ];
        if let Some(url) = &url {
            settings.push(("HOOKBOX_AMQP__URL".to_owned(), url.clone()));
        }
        if !self.modules.is_empty() {
            let dir = folder.path().join("modules");
            std::fs::create_dir(&dir).unwrap_or_else(|error| panic!("{error}"));
            for (name, component) in &self.modules {
                let file = dir.join(format!("{name}.wasm"));
                std::fs::write(file, component).unwrap_or_else(|error| panic!("{error}"));
            }
            settings.push(("HOOKBOX_MODULES__DIR".to_owned(), dir.display().to_string()));
        }
        settings.append(&mut self.settings);
        let settings = Settings::from_parts(None, settings.into_iter()).unwrap_or_else(|error| panic!("{error}"));
        self.fill(&settings).await;
        let options = HostOptions {
            clock: self.clock,
            with_skel: self.with_skel,
            compile_program: Some(hookbox()),
            ..HostOptions::default()
        };
        let running = host::start(settings.clone(), options).await.unwrap_or_else(|error| panic!("{error:?}"));
        running.ready().await;
        let amqp = match &vhost {
            Some(vhost) => Some(Amqp::connect(vhost).await),
            None => None,
        };
        TestHost { running, amqp, vhost, settings, folder }
    }

    /// Writes accounts, hooks and documents before the host starts, as `hookbox import kazoo` does.
    async fn fill(&self, settings: &Settings) {
        let account = |id: &str, tree: &[&str]| json!({"_id": id, "pvt_type": "account", "name": id, "pvt_tree": tree, "pvt_reseller_id": RESELLER});
        let mut documents = vec![
            json!({"_id": RESELLER, "pvt_type": "account", "name": "reseller", "pvt_tree": []}),
            account(ACCOUNT, &[RESELLER]),
            account(SIBLING, &[RESELLER]),
        ];
        documents.extend(self.documents.iter().cloned());
        documents.extend(self.hooks.iter().map(HookDraft::document));
        import(settings, &documents).await;
        let store = host::open_store(settings).await.unwrap_or_else(|error| panic!("{error}"));
        let key = hookbox::account::KeyRecord::new(TENANT_KEY, AccountId::from(ACCOUNT), "test", now_ms());
        store.put_key(&key).await.unwrap_or_else(|error| panic!("{error}"));
        store.close().await;
    }
}

/// Loads documents into the store of these settings, as `hookbox import kazoo` does; none may be refused.
pub async fn import(settings: &Settings, documents: &[Value]) {
    let text = Value::Array(documents.to_vec()).to_string();
    let report = hookbox::command::import_call::load(settings, &text).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(report.refused.is_empty(), "documents were refused:\n{report}");
}

/// An account in the tree, for tests that work on the store directly.
pub fn account(id: &str, tree: &[&str]) -> Account {
    let tree = tree.iter().map(|id| AccountId::from(*id)).collect();
    Account { id: id.into(), name: id.into(), tree, reseller: None }
}

/// What time it is.
pub fn now_ms() -> UnixMs {
    Clock::System.now_ms()
}

/// A client of the host's REST.
pub fn http() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap_or_else(|error| panic!("no client: {error}"))
    })
}

/// What all test hosts share, so that the modules are compiled once: compiled code, and the key that it is signed with.
pub fn shared_folder() -> PathBuf {
    let folder = std::env::temp_dir().join("hookbox-tests");
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}
