//! Wires the stages, in the order in which KAZOO's tree starts them; binds ports; gives back the running host.
//!
//! Store and keys, then failure window and hook table, modules, disabler, change listener, shared listener: each says
//! in the log when it is ready. What listens is bound before anything runs, so that the addresses are known.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account::{Account, AccountTree, KeyRecord, key_hash, new_key},
    api::{self, Api, auth::Guesses},
    attempt::{disabler::Disabler, log::AttemptLog},
    changes::{Cursors, Follower, Listener, Publisher},
    clock::Clock,
    firing::{Firer, client::Client, lanes::Lanes, scheduler::Scheduler},
    hook::table::HookTable,
    ingress::{
        amqp::{AmqpIngress, BrokerState},
        decode::Decoder,
    },
    message::AccountId,
    module::{
        Modules, compiler::Compiler, engine::Engines, loaded::Loader, registry::settings_for_modules,
        watcher::Watcher, workers::Workers,
    },
    pipeline::Pipeline,
    settings::Settings,
    store::{
        ModuleRecord, SharedStore, StoreError,
        secrets::{HookSecrets, HostKey},
    },
    supervisor::Supervisor,
    telemetry,
};

/// Why a host does not start; the operator's to mend. What, where, what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// A port that is taken, an address that is not ours.
    #[error("{setting} {address}: cannot listen ({source}); choose a free port, or 0 for any")]
    Listen {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key file.
    #[error("{0}")]
    Key(String),
    /// `modules.cache_dir`.
    #[error("modules.cache_dir {dir}: cannot be made or written ({source}); name a folder that can")]
    CacheDir {
        /// The folder.
        dir: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// wasmtime, or the system's limits.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    /// The resolver, or TLS.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// What makes a host, besides its settings.
#[derive(Clone, Default)]
pub struct HostOptions {
    /// What time it is.
    pub clock: Clock,
    /// Loads skel too, which `serve` never does.
    pub with_skel: bool,
}

/// A host at work.
pub struct RunningHost {
    /// Where REST listens.
    pub api_address: SocketAddr,
    /// The account above all others.
    pub master: AccountId,
    /// The key of the master account, when this start has made it.
    pub new_master_key: Option<String>,
    /// The parts.
    pub supervisor: Supervisor,
    /// The store.
    pub store: SharedStore,
    /// The modules.
    pub modules: Arc<Modules>,
    /// The hooks.
    pub hooks: Arc<HookTable>,
    /// Messages can be handed to it directly.
    pub pipeline: Arc<Pipeline>,
    /// Reads what changed in the store.
    pub follower: Arc<Follower>,
    broker: watch::Receiver<BrokerState>,
    under_way: TaskTracker,
    stopping: CancellationToken,
    recording: CancellationToken,
    recorder: Supervisor,
    grace: Duration,
}

/// Opens the store that the settings name. Commands that work on the store alone use it too.
pub async fn open_store(settings: &Settings) -> Result<SharedStore, StoreError> {
    crate::store::open(&settings.store).await
}

/// The host's key, made on first start.
pub fn host_key(settings: &Settings) -> Result<HostKey, StartError> {
    HostKey::load_or_make(&settings.key_file()).map_err(|error| StartError::Key(error.to_string()))
}

/// `master.account_id`, or the one that was made on the first start. The account is written when it is missing.
pub async fn master_account(settings: &Settings, store: &SharedStore, now_ms: u64) -> Result<AccountId, StoreError> {
    let id = match &settings.master.account_id {
        Some(id) => id.clone(),
        None => store.keep_value("master.account_id", &hex::encode(rand::random::<[u8; 16]>())).await?,
    };
    let id = AccountId::from(id);
    let known = store.accounts().await?.into_iter().any(|account| account.id == id);
    if !known {
        let master = Account { id: id.clone(), name: "master".into(), tree: Vec::new(), reseller: None };
        store.put_account(&master, now_ms).await?;
    }
    Ok(id)
}

/// The master account's key: the one of the settings, or one made now if there has never been any.
async fn master_key(
    settings: &Settings,
    store: &SharedStore,
    master: &AccountId,
    now_ms: u64,
) -> Result<Option<String>, StoreError> {
    let (key, made) = match &settings.master.api_key {
        Some(key) => (key.clone(), false),
        None if store.kept_value("master.api_key_made").await?.is_some() => return Ok(None),
        None => (new_key(), true),
    };
    let record = KeyRecord {
        hash: key_hash(&key),
        account: master.clone(),
        name: "master".into(),
        created_ms: now_ms,
    };
    store.put_key(&record).await?;
    if made {
        store.keep_value("master.api_key_made", "yes").await?;
    }
    Ok(made.then_some(key))
}

/// Starts everything.
pub async fn start(settings: Settings, options: HostOptions) -> Result<RunningHost, StartError> {
    let HostOptions { clock, with_skel } = options;
    telemetry::counters();
    let listener = listen("api.listen", settings.api.listen).await?;
    let metrics_listener = match settings.telemetry.listen {
        Some(address) => Some(listen("telemetry.listen", address).await?),
        None => None,
    };
    let key = host_key(&settings)?;
    let store = open_store(&settings).await?;
    let now_ms = clock.now_ms();
    let master = master_account(&settings, &store, now_ms).await?;
    let new_master_key = master_key(&settings, &store, &master, now_ms).await?;
    let cluster_id = match &settings.kazoo.cluster_id {
        Some(id) => id.clone(),
        None => store.keep_value("kazoo.cluster_id", &hex::encode(rand::random::<[u8; 16]>())).await?,
    };
    tracing::info!(url = settings.store.url, "store open");

    let stopping = CancellationToken::new();
    let supervisor = Supervisor::new(settings.supervisor.clone(), stopping.clone());
    // What records outlives the rest: the last rows are written when everything else has ended.
    let recording = CancellationToken::new();
    let recorder = Supervisor::new(settings.supervisor.clone(), recording.clone());

    let firing = Arc::new(settings.firing.clone());
    let accounts = Arc::new(AccountTree::default());
    let hooks = Arc::new(HookTable::default());
    let (changed, told, stored) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let follower = Arc::new(Follower {
        store: Arc::clone(&store),
        accounts: Arc::clone(&accounts),
        hooks: Arc::clone(&hooks),
        firing: Arc::clone(&firing),
        cursors: Mutex::new(Cursors::default()),
        wake: Arc::clone(&changed),
        poll_ms: settings.store.poll_ms,
    });
    follower.catch_up().await?;
    tracing::info!(hooks = hooks.len(), accounts = accounts.len(), "hook table loaded");

    let modules = Arc::new(modules(&settings, &key, &firing, &accounts, &clock)?);
    modules.load_built_in().await;
    if with_skel {
        modules.load_skel().await;
    }
    let mut watcher = settings.modules.dir.clone().map(|dir| Watcher::new(dir, settings.modules.watch_ms));
    if let Some(watcher) = &mut watcher
        && let Err(error) = watcher.look(&modules).await
    {
        tracing::error!(%error, "modules.dir cannot be read; trying on");
    }
    for module in modules.active().iter() {
        let record = ModuleRecord {
            id: module.id().clone(),
            version: module.metadata.version.clone(),
            digest: module.digest.clone(),
            metadata: module.metadata.document(),
            quarantine: None,
        };
        store.put_module(&record).await?;
    }
    tracing::info!(modules = modules.active().len(), "modules ready");

    let log = Arc::new(AttemptLog::new(
        Arc::clone(&store),
        &settings.store,
        settings.attempts.keep_days,
        settings.webhooks.log_successful_attempts,
        clock.clone(),
    ));
    let disabler = Arc::new(Disabler::new(
        Arc::clone(&store),
        Arc::clone(&accounts),
        Arc::clone(&hooks),
        settings.webhooks.clone(),
        clock.clone(),
        Arc::clone(&told),
    ));
    let under_way = TaskTracker::new();
    let firer = Arc::new(Firer {
        settings: Arc::clone(&firing),
        hooks: Arc::clone(&hooks),
        secrets: HookSecrets::new(&key),
        client: Client::new(&firing).map_err(|error| StartError::Client(error.to_string()))?,
        lanes: Lanes::new(&firing),
        log: Arc::clone(&log),
        disabler: Arc::clone(&disabler),
        cluster_id: cluster_id.into(),
        clock: clock.clone(),
        stored: Arc::clone(&stored),
        under_way: under_way.clone(),
    });
    let pipeline = Arc::new(Pipeline {
        modules: Arc::clone(&modules),
        accounts: Arc::clone(&accounts),
        hooks: Arc::clone(&hooks),
        firer: Arc::clone(&firer),
        store: Arc::clone(&store),
        clock: clock.clone(),
        in_flight: AtomicUsize::new(0),
        in_flight_max: usize::try_from(settings.ingress.in_flight_max).unwrap_or(usize::MAX),
    });

    recorder.start("recorder", move || Arc::clone(&log).run());
    supervisor.start("disabler", move || Arc::clone(&disabler).run());
    let scheduler = Arc::new(Scheduler { store: Arc::clone(&store), firer });
    supervisor.start("retry scheduler", move || {
        let scheduler = Arc::clone(&scheduler);
        async move { scheduler.run().await }
    });
    supervisor.start("change follower", {
        let follower = Arc::clone(&follower);
        move || {
            let follower = Arc::clone(&follower);
            async move { follower.run().await }
        }
    });
    if let Some(watcher) = watcher {
        let (watcher, modules) = (Arc::new(Mutex::new(watcher)), Arc::clone(&modules));
        supervisor.start("module watcher", move || {
            let (watcher, modules) = (Arc::clone(&watcher), Arc::clone(&modules));
            async move { watcher.lock().await.run(&modules).await }
        });
    }

    let decoder = Decoder {
        body_bytes_max: usize::try_from(settings.ingress.body_bytes_max).unwrap_or(usize::MAX),
        account_pointers: settings.amqp.account_pointers.clone(),
        send_passwords: settings.kazoo.send_passwords,
    };
    let (state, broker) = watch::channel(match &settings.amqp.url {
        Some(_) => BrokerState::Away("not reached yet".into()),
        None => BrokerState::Off,
    });
    if let Some(url) = settings.amqp.url.clone() {
        let listener = Arc::new(Listener { url: url.clone(), wake: Arc::clone(&changed) });
        supervisor.start("change listener", move || {
            let listener = Arc::clone(&listener);
            async move { listener.run().await }
        });
        let (store_, poll_ms) = (Arc::clone(&store), settings.store.poll_ms);
        let publisher = Arc::new(Publisher { url: url.clone(), store: store_, wake: told, poll_ms });
        supervisor.start("notice publisher", move || {
            let publisher = Arc::clone(&publisher);
            async move { publisher.run().await }
        });
        let ingress = Arc::new(AmqpIngress {
            settings: settings.amqp.clone(),
            decoder: decoder.clone(),
            accounts: Arc::clone(&accounts),
            modules: Arc::clone(&modules),
            pipeline: Arc::clone(&pipeline),
            store: Arc::clone(&store),
            clock: clock.clone(),
            state,
            deliveries: TaskTracker::new(),
            stopping: stopping.clone(),
        });
        supervisor.start("ingress", move || {
            let (ingress, url) = (Arc::clone(&ingress), url.clone());
            async move { ingress.run(&url).await }
        });
    }

    let api_address = listener.local_addr().unwrap_or(settings.api.listen);
    let api = Arc::new(Api {
        guesses: Guesses::new(settings.api.auth_failures_per_min),
        settings: settings.api.clone(),
        accounts,
        master: master.clone(),
        store: Arc::clone(&store),
        pipeline: Arc::clone(&pipeline),
        decoder,
        modules: Arc::clone(&modules),
        broker: broker.clone(),
        clock,
    });
    serve(listener, api::router(api), stopping.clone(), &under_way);
    if let Some(listener) = metrics_listener {
        let router = axum::Router::new().route("/metrics", axum::routing::get(api::health::metrics));
        serve(listener, router, stopping.clone(), &under_way);
    }
    let grace = Duration::from_millis(settings.shutdown.grace_ms);
    Ok(RunningHost {
        api_address,
        master,
        new_master_key,
        supervisor,
        store,
        modules,
        hooks,
        pipeline,
        follower,
        broker,
        under_way,
        stopping,
        recording,
        recorder,
        grace,
    })
}

impl RunningHost {
    /// Waits until messages are taken; at once when AMQP is off.
    pub async fn ready(&self) {
        let mut broker = self.broker.clone();
        let _ = broker.wait_for(|state| !matches!(state, BrokerState::Away(_))).await;
    }

    /// How it stands with the broker.
    pub fn broker(&self) -> BrokerState {
        self.broker.borrow().clone()
    }

    /// Waits for a failure that cannot be mended from within.
    pub async fn fatal(&self) -> String {
        tokio::select! {
            reason = self.supervisor.fatal() => reason,
            reason = self.recorder.fatal() => reason,
        }
    }

    /// Stops: takes no more, lets what is under way end within `shutdown.grace_ms` (what does not is stored under its
    /// lease), writes the last rows, closes the store. Whether all of it ended in time.
    pub async fn stop(self) -> bool {
        self.stopping.cancel();
        self.under_way.close();
        let ended = tokio::time::timeout(self.grace, async {
            self.supervisor.ended().await;
            self.under_way.wait().await;
        })
        .await
        .is_ok();
        self.recording.cancel();
        self.recorder.ended().await;
        self.store.close().await;
        ended
    }
}

fn modules(
    settings: &Settings,
    key: &HostKey,
    firing: &Arc<crate::settings::FiringSettings>,
    accounts: &Arc<AccountTree>,
    clock: &Clock,
) -> Result<Modules, StartError> {
    let sandbox = |error: &dyn std::fmt::Display| StartError::Sandbox(error.to_string());
    let engines = Engines::new(&settings.modules).map_err(|error| sandbox(&error))?;
    let workers = Workers::start(&engines, &settings.modules).map_err(|error| sandbox(&error))?;
    let dir = settings.cache_dir();
    let component_bytes_max = usize::try_from(settings.modules.component_bytes_max).unwrap_or(usize::MAX);
    let compiler = Compiler::new(&dir, &key.derive("module-cache"), component_bytes_max)
        .map_err(|source| StartError::CacheDir { dir: dir.display().to_string(), source })?;
    let given: BTreeMap<_, _> = settings_for_modules(&settings.kazoo, &settings.webhooks.object_types);
    let loader = Loader { engines, compiler, modules: settings.modules.clone(), firing: Arc::clone(firing) };
    Ok(Modules::new(loader, workers, Arc::clone(accounts), given, clock.clone()))
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { setting, address, source })
}

fn serve(listener: TcpListener, router: axum::Router, stopping: CancellationToken, tracker: &TaskTracker) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tracker.spawn(async move {
        let server = axum::serve(listener, service).with_graceful_shutdown(stopping.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the REST server ended");
        }
    });
}
