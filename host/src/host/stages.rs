//! The stages, made and wired, nothing running yet. In the order in which KAZOO's tree starts them: store, hook table,
//! modules, what records and judges attempts, what fires.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, AtomicUsize},
};

use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::task::TaskTracker;

use super::{HostOptions, StartError, first_start, host_key, open_store};
use crate::{
    account::AccountTree,
    attempt::{
        disabler::{Disabled, Disabler},
        log::AttemptLog,
    },
    audit::EXACT_FROM,
    changes::{Cursors, Follower},
    clock::{Clock, gregorian_s},
    firing::{Firer, client::Client, lanes::Lanes, leases::Leases, quota::Quota, resend_jobs::ResendJobs},
    hook::table::HookTable,
    ingress::decode::Decoder,
    kazoo::{applying::Applier, couchdb::CouchDb, newcomers::Newcomers, reader::Reader, users::KazooUsers},
    live::{self, Live},
    message::{AccountId, Object},
    module::{
        Modules,
        built_in::settings_for_modules,
        check::Checker,
        compile_helper::CompileHelper,
        compiler::Compiler,
        dead_letter::DeadLetterLog,
        engine::Engines,
        loaded::Loader,
        quarantining::{Quarantining, Told},
        recent_messages::RecentMessages,
        reuse::IdleInstances,
        stored::StoredModules,
        stored_calls::CallLog,
        watcher::Watcher,
        workers::Workers,
    },
    pipeline::{Pipeline, call_scheduler::CallScheduler},
    settings::Settings,
    store::{ModuleRecord, SharedStore, secrets::HostKey},
    telemetry::{span_exporter::SpanExporter, spans::Spans},
};

/// The stages and what they share.
pub(super) struct Stages {
    pub(super) store: SharedStore,
    pub(super) master: AccountId,
    pub(super) new_master_key: Option<String>,
    pub(super) accounts: Arc<AccountTree>,
    pub(super) hooks: Arc<HookTable>,
    pub(super) follower: Arc<Follower>,
    pub(super) modules: Arc<Modules>,
    pub(super) checker: Arc<Checker>,
    pub(super) stored_modules: Arc<StoredModules>,
    pub(super) quarantining: Arc<Quarantining>,
    pub(super) watcher: Option<Watcher>,
    pub(super) log: Arc<AttemptLog>,
    pub(super) disabler: Arc<Disabler>,
    pub(super) firer: Arc<Firer>,
    pub(super) resend_jobs: Arc<ResendJobs>,
    pub(super) calls: Arc<CallLog>,
    pub(super) dead_letters: Arc<DeadLetterLog>,
    pub(super) call_scheduler: Arc<CallScheduler>,
    pub(super) idle_instances: Arc<IdleInstances>,
    /// Rung when a bulk resend was made.
    pub(super) job_made: Arc<Notify>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) decoder: Decoder,
    /// Where those who look on are told what happens.
    pub(super) live: Live,
    /// Set when KAZOO is beside.
    pub(super) kazoo: Option<Kazoo>,
    /// Rung when something changed that is to be read from the store.
    pub(super) changed: Arc<Notify>,
    /// Rung when a notice was written that is to be published.
    pub(super) to_tell: Arc<Notify>,
    /// Sends traces, when they go anywhere.
    pub(super) span_exporter: Option<Arc<SpanExporter>>,
    /// Tries that go on after their message was settled.
    pub(super) under_way: TaskTracker,
    /// How notices and answers name this node.
    pub(super) node: String,
}

/// KAZOO beside: who reads its documents, and who asks for them.
pub(super) struct Kazoo {
    pub(super) reader: Arc<Reader>,
    /// Where the reader's notices are put.
    pub(super) notices: mpsc::Sender<Object>,
    pub(super) newcomers: Arc<Newcomers>,
    pub(super) users: KazooUsers,
}

impl Stages {
    /// Makes them. Opens the store and loads everything.
    pub(super) async fn make(settings: &Settings, options: &HostOptions) -> Result<Self, StartError> {
        let clock = &options.clock;
        let key = Arc::new(host_key(settings)?);
        let store = open_store(settings).await?;
        let now_ms = clock.now_ms();
        let master = first_start::master_account(settings, &store, now_ms).await?;
        // Shown once: it is left to be made by a start that can show it.
        let new_master_key = match options.at_rest {
            true => None,
            false => first_start::master_key(settings, &store, &master, now_ms).await?,
        };
        let cluster_id = first_start::cluster_id(settings, &store).await?;
        if !options.at_rest {
            store.keep_value(EXACT_FROM, &now_ms.to_string()).await?;
        }
        tracing::info!("store open");

        let node = node_name();
        let firing = Arc::new(settings.firing.clone());
        let accounts = Arc::new(AccountTree::default());
        let hooks = Arc::new(HookTable::new());
        let (changed, to_tell) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let follower = Arc::new(Follower {
            store: Arc::clone(&store),
            accounts: Arc::clone(&accounts),
            hooks: Arc::clone(&hooks),
            firing: Arc::clone(&firing),
            cursors: Mutex::new(Cursors::default()),
            asked: AtomicU64::new(0),
            wake: Arc::clone(&changed),
            poll_ms: settings.store.poll_ms,
        });
        follower.catch_up().await?;
        tracing::info!(hooks = hooks.len(), accounts = accounts.len(), "hook table loaded");

        let loader = Arc::new(loader(settings, &key, options)?);
        let idle_instances = Arc::clone(&loader.idle);
        let checker = Arc::new(Checker::new(Arc::clone(&loader), clock.clone()));
        let modules = Arc::new(modules(settings, loader, &accounts, clock)?);
        modules.load_built_in().await;
        if options.with_skel {
            modules.load_skel().await;
        }
        let mut watcher = settings.modules.dir.clone().map(|dir| Watcher::new(dir, settings.modules.watch_ms));
        if let Some(watcher) = &mut watcher {
            watcher.look(&modules).await;
        }
        write_metadata(&modules, &store).await?;
        let stored_modules =
            Arc::new(StoredModules::new(Arc::clone(&store), Arc::clone(&modules), settings.modules.watch_ms));
        stored_modules.catch_up().await?;
        let quarantining = Arc::new(Quarantining::new(
            Arc::clone(&store),
            Arc::clone(&modules),
            &settings.modules,
            clock.clone(),
            Told { master: master.clone(), node: node.clone(), to_tell: Arc::clone(&to_tell) },
        ));
        // Before the first call.
        quarantining.look().await?;
        tracing::info!(modules = modules.active().len(), "modules ready");

        let log = Arc::new(AttemptLog::new(
            Arc::clone(&store),
            &settings.store,
            &settings.attempts,
            &settings.dead_letters,
            &settings.webhooks,
            clock.clone(),
        ));
        let live = Live::new(usize::try_from(settings.api.live_events_kept).unwrap_or(usize::MAX));
        modules.tell(&live);
        let disabler = Disabler::new(
            Arc::clone(&store),
            Arc::clone(&accounts),
            settings.webhooks.clone(),
            clock.clone(),
            node.clone(),
            Arc::clone(&to_tell),
        );
        let disabler = Arc::new(disabler.on_disabled({
            let (hooks, live, clock) = (Arc::clone(&hooks), live.clone(), clock.clone());
            move |Disabled { account, hook, reason, by_us }| {
                drop(hooks.remove(account, hook));
                if *by_us {
                    live.tell(|| live::hook_disabled(account, hook.as_str(), reason, gregorian_s(clock.now_ms())));
                }
            }
        }));
        let applier = || Applier {
            store: Arc::clone(&store),
            key: Arc::clone(&key),
            master: master.clone(),
            accounts: Arc::clone(&accounts),
            follower: Arc::clone(&follower),
            firing: Arc::clone(&firing),
            clock: clock.clone(),
            round: AtomicI64::default(),
        };
        let decoder = Decoder {
            body_bytes_max: usize::try_from(settings.ingress.body_bytes_max).unwrap_or(usize::MAX),
            account_pointers: settings.amqp.account_pointers.clone(),
            send_passwords: settings.kazoo.send_passwords,
        };
        let kazoo = CouchDb::new(&settings.kazoo)?.map(|couchdb| kazoo(settings, couchdb, applier(), &decoder));
        let (spans, ended) = Spans::new(&settings.telemetry, clock);
        let span_exporter = match (ended, &settings.telemetry.otlp_url) {
            (Some(ended), Some(url)) => {
                let exporter = SpanExporter::new(&settings.telemetry, url, ended, &node).map_err(StartError::Traces)?;
                Some(Arc::new(exporter))
            }
            _ => None,
        };
        let under_way = TaskTracker::new();
        let stored = Arc::new(Notify::new());
        let firer = Arc::new(Firer {
            settings: Arc::clone(&firing),
            hooks: Arc::clone(&hooks),
            modules: Arc::clone(&modules),
            key,
            client: Client::new(&firing)?,
            lanes: Lanes::new(&firing, Arc::clone(&stored)),
            leases: Leases::default(),
            quota: Quota::new(firing.waiting_per_account_max),
            log: Arc::clone(&log),
            disabler: Arc::clone(&disabler),
            live: live.clone(),
            spans: spans.clone(),
            log_body_bytes_max: usize::try_from(settings.telemetry.log_body_bytes_max).unwrap_or(usize::MAX),
            cluster_id: cluster_id.into(),
            patient_messages: usize::from(settings.amqp.prefetch) / 4,
            clock: clock.clone(),
            stored,
            under_way: under_way.clone(),
        });
        let job_made = Arc::new(Notify::new());
        let poll_ms = settings.store.poll_ms;
        let resend_jobs = ResendJobs::new(Arc::clone(&store), Arc::clone(&firer), Arc::clone(&job_made), poll_ms);
        let calls = Arc::new(CallLog::new(Arc::clone(&store), &settings.store, &settings.modules));
        let dead_letters = Arc::new(DeadLetterLog::new(Arc::clone(&store), &settings.store));
        let pipeline = Arc::new(Pipeline {
            modules: Arc::clone(&modules),
            accounts: Arc::clone(&accounts),
            hooks: Arc::clone(&hooks),
            firer: Arc::clone(&firer),
            store: Arc::clone(&store),
            calls: Arc::clone(&calls),
            dead_letters: Arc::clone(&dead_letters),
            spans,
            clock: clock.clone(),
            recent: Arc::new(RecentMessages::new(&settings.messages)),
            in_flight: AtomicUsize::new(0),
            in_flight_max: usize::try_from(settings.ingress.in_flight_max).unwrap_or(usize::MAX),
        });
        let call_scheduler = CallScheduler::new(
            Arc::clone(&pipeline),
            Arc::clone(&stored_modules),
            under_way.clone(),
            &settings.modules,
        );
        Ok(Self {
            store,
            master,
            new_master_key,
            accounts,
            hooks,
            follower,
            modules,
            checker,
            stored_modules,
            quarantining,
            watcher,
            log,
            disabler,
            firer,
            resend_jobs: Arc::new(resend_jobs),
            calls,
            dead_letters,
            call_scheduler: Arc::new(call_scheduler),
            idle_instances,
            job_made,
            pipeline,
            decoder,
            live,
            kazoo,
            changed,
            to_tell,
            span_exporter,
            under_way,
            node,
        })
    }
}

/// Nothing is read yet.
fn kazoo(settings: &Settings, couchdb: CouchDb, applier: Applier, decoder: &Decoder) -> Kazoo {
    let couchdb = Arc::new(couchdb);
    let users = KazooUsers { couchdb: Arc::clone(&couchdb), pages_max: settings.kazoo.couchdb_user_pages_max };
    let accounts = Arc::clone(&applier.accounts);
    let (reader, notices) = Reader::new(&settings.kazoo, couchdb, applier, settings.amqp.url.is_some());
    let reader = Arc::new(reader);
    let newcomers = Arc::new(Newcomers::new(&settings.kazoo, Arc::clone(&reader), accounts, decoder.clone()));
    Kazoo { reader, notices, newcomers, users }
}

fn loader(settings: &Settings, key: &HostKey, options: &HostOptions) -> Result<Loader, StartError> {
    let engines = Engines::new(&settings.modules).map_err(|error| StartError::Sandbox(format!("{error:#}")))?;
    let dir = settings.cache_dir();
    let component_bytes_max = usize::try_from(settings.modules.component_bytes_max).unwrap_or(usize::MAX);
    let helper = CompileHelper::new(options.compile_program.as_deref(), &settings.modules);
    let compiler = Compiler::new(&dir, &key.derive("module-cache"), component_bytes_max, helper)
        .map_err(|source| StartError::CacheDir { dir: dir.display().to_string(), source })?;
    let (modules, firing) = (settings.modules.clone(), Arc::new(settings.firing.clone()));
    let idle = Arc::new(IdleInstances::new(&modules));
    let (operators, account_limits) = (Arc::default(), Arc::default());
    Ok(Loader { engines, compiler, modules, firing, operators, idle, account_limits })
}

fn modules(
    settings: &Settings,
    loader: Arc<Loader>,
    accounts: &Arc<AccountTree>,
    clock: &Clock,
) -> Result<Modules, StartError> {
    let workers =
        Workers::start(&loader.engines, &settings.modules).map_err(|error| StartError::Sandbox(error.to_string()))?;
    let given = settings_for_modules(&settings.kazoo, &settings.webhooks.object_types);
    Ok(Modules::new(loader, workers, Arc::clone(accounts), given, clock.clone()))
}

/// How notices and answers name this node.
fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("hookbox@{}", if name.trim().is_empty() { "localhost" } else { name.trim() })
}

/// KAZOO's `webhook_meta` documents: written when they are missing or have changed.
async fn write_metadata(modules: &Modules, store: &SharedStore) -> Result<(), StartError> {
    for module in modules.active().iter() {
        let record = ModuleRecord {
            id: module.id().clone(),
            version: module.metadata.version.clone(),
            digest: module.digest.clone(),
            metadata: module.metadata.document(),
        };
        store.put_module(&record).await?;
    }
    Ok(())
}
