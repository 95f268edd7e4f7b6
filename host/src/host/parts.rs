//! The long-running parts, each handed to the supervisor as a way to start it (again).

use std::{convert::Infallible, sync::Arc};

use tokio::sync::{Mutex, Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::stages::Stages;
use crate::{
    broker::Broker,
    changes::{Heard, Listener, Publisher, bulk_requests::BulkRequests},
    clock::Clock,
    firing::{Firer, scheduler::Scheduler},
    ingress::{
        amqp::{AmqpIngress, BrokerState},
        own_notices::OwnNotices,
    },
    settings::{Settings, TelemetrySettings},
    store::{Hint, SharedStore},
    supervisor::Supervisor,
    telemetry::gauges::Gauges,
};

/// The supervisors: what records outlives the rest, so that the last rows are written when everything else has ended.
pub(super) struct Supervisors {
    pub(super) parts: Supervisor,
    pub(super) recorder: Supervisor,
    pub(super) stopping: CancellationToken,
    pub(super) recording: CancellationToken,
}

impl Supervisors {
    pub(super) fn new(settings: &Settings) -> Self {
        let (stopping, recording) = (CancellationToken::new(), CancellationToken::new());
        Self {
            parts: Supervisor::new(settings.supervisor.clone(), stopping.clone()),
            recorder: Supervisor::new(settings.supervisor.clone(), recording.clone()),
            stopping,
            recording,
        }
    }
}

/// Starts what works without a broker.
pub(super) fn start(stages: &mut Stages, supervisors: &Supervisors) {
    let Supervisors { parts, recorder, .. } = supervisors;
    let (log, recording) = (Arc::clone(&stages.log), supervisors.recording.clone());
    recorder.start_to_its_end("recorder", move || {
        let (log, recording) = (Arc::clone(&log), recording.clone());
        async move { log.run(recording).await }
    });
    let (ledger, store) = (Arc::clone(stages.modules.ledger()), Arc::clone(&stages.store));
    let recording = supervisors.recording.clone();
    recorder.start_to_its_end("module costs", move || Arc::clone(&ledger).run(Arc::clone(&store), recording.clone()));
    let (quarantining, recording) = (Arc::clone(&stages.quarantining), supervisors.recording.clone());
    recorder.start_to_its_end("module faults", move || Arc::clone(&quarantining).run(recording.clone()));
    let (calls, recording) = (Arc::clone(&stages.calls), supervisors.recording.clone());
    recorder.start_to_its_end("stored calls", move || {
        let (calls, recording) = (Arc::clone(&calls), recording.clone());
        async move { calls.run(recording).await }
    });
    let (dead_letters, recording) = (Arc::clone(&stages.dead_letters), supervisors.recording.clone());
    recorder.start_to_its_end("dead letters", move || {
        let (dead_letters, recording) = (Arc::clone(&dead_letters), recording.clone());
        async move { dead_letters.run(recording).await }
    });
    let call_scheduler = Arc::clone(&stages.call_scheduler);
    parts.start("call scheduler", move || {
        let call_scheduler = Arc::clone(&call_scheduler);
        async move { call_scheduler.run().await }
    });
    let idle_instances = Arc::clone(&stages.idle_instances);
    parts.start("idle instances", move || {
        let idle_instances = Arc::clone(&idle_instances);
        async move { idle_instances.run().await }
    });
    // Beats as long as anything is under way, also while the host stops.
    let (firer, store) = (Arc::clone(&stages.firer), Arc::clone(&stages.store));
    recorder.start("lease keeper", move || {
        let (firer, store) = (Arc::clone(&firer), Arc::clone(&store));
        async move { firer.leases.run(&store, &firer.clock, firer.settings.lease_ms).await }
    });
    let (firer, store) = (Arc::clone(&stages.firer), Arc::clone(&stages.store));
    parts.start("waiting counts", move || {
        let (firer, store) = (Arc::clone(&firer), Arc::clone(&store));
        async move { firer.quota.run(&store, firer.settings.waiting_read_ms).await }
    });
    let lanes = stages.firer.lanes.clone();
    parts.start("fair shares", move || {
        let lanes = lanes.clone();
        async move { lanes.watch_shares().await }
    });
    let disabler = Arc::clone(&stages.disabler);
    parts.start("disabler", move || {
        let disabler = Arc::clone(&disabler);
        async move { disabler.run().await }
    });
    let scheduler = Arc::new(Scheduler { store: Arc::clone(&stages.store), firer: Arc::clone(&stages.firer) });
    parts.start("retry scheduler", move || {
        let scheduler = Arc::clone(&scheduler);
        async move { scheduler.run().await }
    });
    let resend_jobs = Arc::clone(&stages.resend_jobs);
    parts.start("resend jobs", move || {
        let resend_jobs = Arc::clone(&resend_jobs);
        async move { resend_jobs.run().await }
    });
    let follower = Arc::clone(&stages.follower);
    parts.start("change follower", move || {
        let follower = Arc::clone(&follower);
        async move { follower.run().await }
    });
    let stored_modules = Arc::clone(&stages.stored_modules);
    parts.start("module follower", move || {
        let stored_modules = Arc::clone(&stored_modules);
        async move { stored_modules.run().await }
    });
    let hints = Arc::new(StoreHints {
        store: Arc::clone(&stages.store),
        firings: Arc::clone(&stages.firer),
        changes: [Arc::clone(&stages.changed), Arc::clone(&stages.stored_modules.wake)],
    });
    parts.start("store hints", move || {
        let hints = Arc::clone(&hints);
        async move { hints.run().await }
    });
    if let Some(kazoo) = &stages.kazoo {
        let reader = Arc::clone(&kazoo.reader);
        parts.start("kazoo reader", move || {
            let reader = Arc::clone(&reader);
            async move { reader.run().await }
        });
    }
    if let Some(watcher) = stages.watcher.take() {
        let (watcher, modules) = (Arc::new(Mutex::new(watcher)), Arc::clone(&stages.modules));
        parts.start("module watcher", move || {
            let (watcher, modules) = (Arc::clone(&watcher), Arc::clone(&modules));
            async move { watcher.lock().await.run(&modules).await }
        });
    }
}

/// Starts what tells of the rest.
pub(super) fn start_telemetry(
    settings: &TelemetrySettings,
    stages: &Stages,
    supervisors: &Supervisors,
    broker: watch::Receiver<BrokerState>,
    alarm: watch::Receiver<Option<String>>,
) {
    // Ends after whatever has spans to send.
    if let Some(exporter) = &stages.span_exporter {
        let (exporter, recording) = (Arc::clone(exporter), supervisors.recording.clone());
        supervisors.recorder.start_to_its_end("span exporter", move || {
            let (exporter, recording) = (Arc::clone(&exporter), recording.clone());
            async move { exporter.run(recording).await }
        });
    }
    let gauges = Arc::new(Gauges {
        pipeline: Arc::clone(&stages.pipeline),
        firer: Arc::clone(&stages.firer),
        store: Arc::clone(&stages.store),
        broker,
        alarm,
    });
    let sample_ms = settings.sample_ms;
    supervisors.parts.start("gauges", move || {
        let gauges = Arc::clone(&gauges);
        async move { gauges.run(sample_ms).await }
    });
}

/// Passes on what other nodes say over the store.
struct StoreHints {
    store: SharedStore,
    firings: Arc<Firer>,
    changes: [Arc<Notify>; 2],
}

impl StoreHints {
    async fn run(&self) -> Result<(), Infallible> {
        loop {
            match self.store.hint().await {
                Hint::Firings => self.firings.stored.notify_one(),
                Hint::Changes => self.changes.iter().for_each(|wake| wake.notify_one()),
            }
        }
    }
}

/// Starts what works with the broker: hearing of changes, telling, and the shared listener.
pub(super) fn start_amqp(
    broker: &Arc<Broker>,
    settings: &Settings,
    stages: &Stages,
    supervisors: &Supervisors,
    clock: &Clock,
    state: watch::Sender<BrokerState>,
) {
    let parts = &supervisors.parts;
    let (pause_ms_max, rebind_ms) = (settings.amqp.reconnect_pause_ms_max, settings.amqp.rebind_ms);
    let heard = stages
        .kazoo
        .as_ref()
        .map(|kazoo| Heard { notices: kazoo.notices.clone(), missed: Arc::clone(&kazoo.reader.missed) });
    let wake = [Arc::clone(&stages.changed), Arc::clone(&stages.stored_modules.wake)];
    let listener = Arc::new(Listener { broker: Arc::clone(broker), wake, heard, pause_ms_max, rebind_ms });
    parts.start("change listener", move || {
        let listener = Arc::clone(&listener);
        async move { listener.run().await }
    });
    let publisher = Arc::new(Publisher {
        broker: Arc::clone(broker),
        ingress: state.subscribe(),
        store: Arc::clone(&stages.store),
        wake: Arc::clone(&stages.to_tell),
        poll_ms: settings.store.poll_ms,
        pause_ms_max,
    });
    parts.start("notice publisher", move || {
        let publisher = Arc::clone(&publisher);
        async move { publisher.run().await }
    });
    let bulk_requests = Arc::new(BulkRequests {
        broker: Arc::clone(broker),
        queue: settings.amqp.queue.clone(),
        store: Arc::clone(&stages.store),
        accounts: Arc::clone(&stages.accounts),
        follower: Arc::clone(&stages.follower),
        to_tell: Arc::clone(&stages.to_tell),
        node: stages.node.clone(),
        clock: clock.clone(),
        pause_ms_max,
        rebind_ms,
    });
    parts.start("bulk requests", move || {
        let bulk_requests = Arc::clone(&bulk_requests);
        async move { bulk_requests.run().await }
    });
    let ingress = Arc::new(AmqpIngress {
        broker: Arc::clone(broker),
        settings: settings.amqp.clone(),
        decoder: stages.decoder.clone(),
        accounts: Arc::clone(&stages.accounts),
        newcomers: stages.kazoo.as_ref().map(|kazoo| Arc::clone(&kazoo.newcomers)),
        modules: Arc::clone(&stages.modules),
        pipeline: Arc::clone(&stages.pipeline),
        store: Arc::clone(&stages.store),
        clock: clock.clone(),
        state,
        deliveries: TaskTracker::new(),
        stopping: supervisors.stopping.clone(),
    });
    let reader = stages.kazoo.as_ref().map(|kazoo| Arc::clone(&kazoo.reader));
    parts.start_to_its_end("ingress", move || {
        let (ingress, reader) = (Arc::clone(&ingress), reader.clone());
        async move {
            // What waits in the queue is for the hooks that there are now.
            if let Some(reader) = reader {
                tokio::select! {
                    () = reader.first_reading() => {}
                    () = ingress.stopping.cancelled() => {}
                }
            }
            ingress.run().await
        }
    });
}

/// Starts what stands in for the broker when there is none: the host hears its own notices.
pub(super) fn start_own_notices(settings: &Settings, stages: &Stages, supervisors: &Supervisors, clock: &Clock) {
    let own_notices = Arc::new(OwnNotices {
        store: Arc::clone(&stages.store),
        wake: Arc::clone(&stages.to_tell),
        poll_ms: settings.store.poll_ms,
        decoder: stages.decoder.clone(),
        accounts: Arc::clone(&stages.accounts),
        pipeline: Arc::clone(&stages.pipeline),
        clock: clock.clone(),
        stopping: supervisors.stopping.clone(),
    });
    supervisors.parts.start_to_its_end("own notices", move || {
        let own_notices = Arc::clone(&own_notices);
        async move { own_notices.run().await }
    });
}
