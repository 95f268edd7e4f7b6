//! A host: its stages wired, its ports bound, its parts started; and how it stops.
//!
//! What listens is bound before anything runs, so that the addresses are known and a port in use is said at once.

mod first_start;
mod parts;
mod stages;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{parts::Supervisors, stages::Stages};
use crate::{
    account::user_directory::UserDirectory,
    api::{self, Api, auth::Guesses, live::Listeners, token::Tokens},
    broker::Broker,
    changes::Follower,
    clock::Clock,
    error_chain::chain,
    firing::{Firer, client::ClientError},
    hook::table::HookTable,
    ingress::amqp::BrokerState,
    kazoo::{couchdb::CouchDbError, reader::ReaderState, users::KazooUsers},
    message::AccountId,
    module::{Modules, check::Checker},
    pipeline::Pipeline,
    settings::{Settings, ShutdownSettings},
    store::{SharedStore, StoreError, secrets::HostKey},
    telemetry,
};

pub use self::first_start::master_account;

/// Why a host does not start; the operator's to mend. What, where, what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// A port that is taken, an address that is not ours.
    #[error("{setting} {address}: cannot listen; choose a free port, or 0 for any")]
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
    #[error("modules.cache_dir {dir}: cannot be made or written; name a folder that can")]
    CacheDir {
        /// The folder.
        dir: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// wasmtime, or the system's limits.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    /// `firing.ca_files`, TLS, or the machine.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What sends traces.
    #[error("telemetry.otlp_url: no client can be made for it ({0}); mend the URL, or delete the line")]
    Traces(String),
    /// The client of KAZOO's CouchDB.
    #[error(transparent)]
    CouchDb(#[from] CouchDbError),
}

/// What makes a host, besides its settings.
#[derive(Clone, Default)]
pub struct HostOptions {
    /// What time it is.
    pub clock: Clock,
    /// Loads skel too, which `serve` never does.
    pub with_skel: bool,
    /// Loads everything and does nothing: no part runs, nothing is served. For `doctor`.
    pub at_rest: bool,
    /// The program that is started as the compile helper; none for the one that runs. For tests, which run a host in a
    /// program of their own.
    pub compile_program: Option<PathBuf>,
}

/// A host at work.
pub struct RunningHost {
    /// Where REST listens.
    pub api_address: SocketAddr,
    /// The account above all others.
    pub master: AccountId,
    /// The key of the master account, when this start has made it.
    pub new_master_key: Option<String>,
    /// The store.
    pub store: SharedStore,
    /// The modules.
    pub modules: Arc<Modules>,
    /// Checks what is uploaded.
    pub checker: Arc<Checker>,
    /// The hooks.
    pub hooks: Arc<HookTable>,
    /// Messages can be handed to it directly.
    pub pipeline: Arc<Pipeline>,
    /// Reads what changed in the store.
    pub follower: Arc<Follower>,
    /// Finds who logs in; none when KAZOO is not beside.
    pub kazoo_users: Option<KazooUsers>,
    supervisors: Supervisors,
    /// Cancelled when the host is about to stop; `/readyz` says so from then on.
    announced: CancellationToken,
    broker: watch::Receiver<BrokerState>,
    couchdb: watch::Receiver<ReaderState>,
    under_way: TaskTracker,
    firer: Arc<Firer>,
    shutdown: ShutdownSettings,
}

/// What was still at work when `shutdown.grace_ms` was over, or what could not be written in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("; "))]
pub struct NotInTime(Vec<String>);

/// Opens the store that the settings name. Commands that work on the store alone use it too.
pub async fn open_store(settings: &Settings) -> Result<SharedStore, StoreError> {
    crate::store::open_as(&settings.store).await
}

/// The host's key, made on first start.
pub fn host_key(settings: &Settings) -> Result<HostKey, StartError> {
    HostKey::load_or_make(&settings.key_file()).map_err(|error| StartError::Key(chain(&error)))
}

/// Starts everything.
pub async fn start(settings: Settings, options: HostOptions) -> Result<RunningHost, StartError> {
    telemetry::start_metrics(&settings.telemetry);
    let listener = listen("api.listen", settings.api.listen).await?;
    let metrics_listener = match settings.telemetry.listen {
        Some(address) => Some(listen("telemetry.listen", address).await?),
        None => None,
    };
    let api_address = listener.local_addr().unwrap_or(settings.api.listen);

    let mut stages = Stages::make(&settings, &options).await?;
    let supervisors = Supervisors::new(&settings);
    let announced = CancellationToken::new();
    let connections = Broker::new(&settings.amqp, &stages.node);
    let (state, broker) = watch::channel(match &connections {
        Some(_) => BrokerState::Away("not reached yet".into()),
        None => BrokerState::Off,
    });
    let couchdb = match &stages.kazoo {
        Some(kazoo) => kazoo.reader.state.subscribe(),
        None => watch::channel(ReaderState::Off).1,
    };
    let HostOptions { clock, at_rest, .. } = options;
    if !at_rest {
        parts::start(&mut stages, &supervisors);
        match &connections {
            Some(connections) => parts::start_amqp(connections, &settings, &stages, &supervisors, &clock, state),
            None => parts::start_own_notices(&settings, &stages, &supervisors, &clock),
        }
        let alarm = connections.map_or_else(|| watch::channel(None).1, |connections| connections.alarm());
        parts::start_telemetry(&settings.telemetry, &stages, &supervisors, broker.clone(), alarm.clone());
        let api = api(
            &settings,
            &stages,
            Outside { broker: broker.clone(), alarm, couchdb: couchdb.clone() },
            Ends { announced: announced.clone(), stopping: supervisors.stopping.clone() },
            clock,
        );
        let stopping = &supervisors.stopping;
        api::server::serve(listener, api::router(api), &settings.api, stopping.clone(), &stages.under_way);
        if let Some(listener) = metrics_listener {
            let router = axum::Router::new().route("/metrics", axum::routing::get(api::health::metrics));
            api::server::serve(listener, router, &settings.api, stopping.clone(), &stages.under_way);
        }
    }
    Ok(RunningHost {
        api_address,
        master: stages.master,
        new_master_key: stages.new_master_key,
        store: stages.store,
        modules: stages.modules,
        checker: stages.checker,
        hooks: stages.hooks,
        pipeline: stages.pipeline,
        follower: stages.follower,
        kazoo_users: stages.kazoo.map(|kazoo| kazoo.users),
        supervisors,
        announced,
        broker,
        couchdb,
        under_way: stages.under_way,
        firer: stages.firer,
        shutdown: settings.shutdown,
    })
}

impl RunningHost {
    /// Waits until messages are taken, at once when AMQP is off, and until KAZOO's documents have been read, or could not be.
    pub async fn ready(&self) {
        let mut couchdb = self.couchdb.clone();
        let _ = couchdb.wait_for(|state| *state != ReaderState::Reading).await;
        let mut broker = self.broker.clone();
        let _ = broker.wait_for(|state| !matches!(state, BrokerState::Away(_))).await;
    }

    /// How it stands with the broker.
    pub fn broker(&self) -> BrokerState {
        self.broker.borrow().clone()
    }

    /// How it stands with KAZOO's CouchDB.
    pub fn couchdb(&self) -> ReaderState {
        self.couchdb.borrow().clone()
    }

    /// The names of the supervised parts.
    pub fn part_names(&self) -> Vec<&'static str> {
        let Supervisors { parts, recorder, .. } = &self.supervisors;
        [parts.part_names(), recorder.part_names()].concat()
    }

    /// Makes a part panic where it stands, for tests that show that it comes back.
    pub fn inject_fault(&self, part: &str) -> bool {
        self.supervisors.parts.inject_fault(part) || self.supervisors.recorder.inject_fault(part)
    }

    /// How often a part was started anew.
    pub fn restarts(&self, part: &str) -> u64 {
        self.supervisors.parts.restarts(part) + self.supervisors.recorder.restarts(part)
    }

    /// Waits for a failure that cannot be mended from within.
    pub async fn fatal(&self) -> String {
        tokio::select! {
            reason = self.supervisors.parts.fatal() => reason,
            reason = self.supervisors.recorder.fatal() => reason,
        }
    }

    /// Stops, as [`Self::drain`] says. Whether all of it ended in time.
    pub async fn stop(self) -> bool {
        self.drain().await.is_ok()
    }

    /// Stops. `/readyz` says so at once, and for `shutdown.unready_ms` everything goes on; then no more is taken, and what
    /// is under way ends within `shutdown.grace_ms`, or is stored under its lease; then the last rows are written and the
    /// store is closed, within `shutdown.record_ms`. Each of these has its end, whatever broker, store or receivers do, and
    /// what does not come to its own is safe: messages that were not settled come back from the broker, stored firings from
    /// the store.
    pub async fn drain(self) -> Result<(), NotInTime> {
        let ShutdownSettings { unready_ms, grace_ms, record_ms } = self.shutdown;
        let Supervisors { parts, recorder, stopping, recording } = &self.supervisors;
        self.announced.cancel();
        tokio::time::sleep(Duration::from_millis(unready_ms)).await;
        stopping.cancel();
        self.under_way.close();
        let mut late = Vec::new();
        let drained = async {
            parts.ended().await;
            self.under_way.wait().await;
        };
        if tokio::time::timeout(Duration::from_millis(grace_ms), drained).await.is_err() {
            late.extend(parts.at_work().into_iter().map(|part| format!("{part} has not ended")));
            late.push(format!("{} tries or connections are open", self.under_way.len()));
        }
        recording.cancel();
        let recorded = async {
            recorder.ended().await;
            // What is still being tried may be taken up at once by another, or by who comes next; this process is about to end.
            match self.firer.leases.give_back(&self.store, &self.firer.clock).await {
                Ok(0) => {}
                Ok(firings) => tracing::info!(firings, "what is still under way is left to whoever comes next"),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "leases could not be given back; they end by themselves");
                }
            }
            self.store.close().await;
        };
        if tokio::time::timeout(Duration::from_millis(record_ms), recorded).await.is_err() {
            late.extend(recorder.at_work().into_iter().map(|part| format!("{part} has not ended")));
            late.push("the store was not closed".to_owned());
        }
        if late.is_empty() { Ok(()) } else { Err(NotInTime(late)) }
    }
}

/// How it stands with what is outside.
struct Outside {
    broker: watch::Receiver<BrokerState>,
    alarm: watch::Receiver<Option<String>>,
    couchdb: watch::Receiver<ReaderState>,
}

/// How the end is told of.
struct Ends {
    /// It is told of: the host is not ready any more.
    announced: CancellationToken,
    /// It begins.
    stopping: CancellationToken,
}

fn api(settings: &Settings, stages: &Stages, outside: Outside, ends: Ends, clock: Clock) -> Arc<Api> {
    let Outside { broker, alarm, couchdb } = outside;
    let Ends { announced, stopping } = ends;
    Arc::new(Api {
        settings: settings.api.clone(),
        firing: Arc::clone(&stages.firer.settings),
        webhooks: settings.webhooks.clone(),
        dead_letters: settings.dead_letters.clone(),
        accounts: Arc::clone(&stages.accounts),
        master: stages.master.clone(),
        store: Arc::clone(&stages.store),
        key: Arc::clone(&stages.firer.key),
        tokens: Tokens::new(&stages.firer.key),
        users: stages.kazoo.as_ref().map(|kazoo| Arc::new(kazoo.users.clone()) as Arc<dyn UserDirectory>),
        tree_changes: tokio::sync::Mutex::new(()),
        follower: Arc::clone(&stages.follower),
        to_tell: Arc::clone(&stages.to_tell),
        pipeline: Arc::clone(&stages.pipeline),
        firer: Arc::clone(&stages.firer),
        job_made: Arc::clone(&stages.job_made),
        decoder: stages.decoder.clone(),
        modules: Arc::clone(&stages.modules),
        modules_settings: settings.modules.clone(),
        checker: Arc::clone(&stages.checker),
        stored_modules: Arc::clone(&stages.stored_modules),
        quarantining: Arc::clone(&stages.quarantining),
        uploads: Arc::new(Semaphore::new(usize::try_from(settings.modules.uploads_max).unwrap_or(1))),
        announced,
        broker,
        alarm,
        couchdb,
        guesses: Guesses::new(settings.api.auth_failures_per_min),
        places: Semaphore::new(usize::try_from(settings.api.requests_max).unwrap_or(Semaphore::MAX_PERMITS)),
        live: stages.live.clone(),
        listeners: Listeners::new(&settings.api),
        stopping,
        node: stages.node.clone(),
        clock,
    })
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { setting, address, source })
}
