//! The program itself, killed with SIGKILL at any moment, loses nothing: what was not settled comes back from the broker,
//! what was stored comes back from the store.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, time::Duration};

use hookbox::store::{AttemptQuery, SharedStore};
use hookbox_tests::{
    amqp::Amqp,
    broker::{Broker, Vhost},
    database::Database,
    eventually::{eventually, eventually_within},
    receiver::{Answer, Receiver},
    rig::Program,
    samples::{ACCOUNT, channel_created},
    test_host::{HookDraft, a_hook, shared_folder},
};
use serde_json::json;
use tempfile::TempDir;

/// Cargo builds it with these tests, from the source of `hookbox` itself.
const HOOKBOX: &str = env!("CARGO_BIN_EXE_hookbox-under-test");

/// A folder with settings, a store that `hookbox import kazoo` has filled, and a vhost.
pub(super) struct Place {
    folder: TempDir,
    /// `store.url`.
    url: String,
    pub(super) vhost: Vhost,
}

impl Place {
    pub(super) async fn with(hook: HookDraft, settings: &str) -> Place {
        let vhost = Broker::shared().await.vhost().await;
        let port = vhost.amqp_port;
        Place::behind(port, vhost, hook, settings)
    }

    /// With its store in a database of the shared PostgreSQL.
    async fn on_postgres(hook: HookDraft, settings: &str) -> Place {
        let vhost = Broker::shared().await.vhost().await;
        let (port, database) = (vhost.amqp_port, Database::new().await);
        Place::filled(port, vhost, Some(database.url()), hook, settings)
    }

    /// With its broker reached at this port.
    pub(super) fn behind(port: u16, vhost: Vhost, hook: HookDraft, settings: &str) -> Place {
        Place::filled(port, vhost, None, hook, settings)
    }

    fn filled(port: u16, vhost: Vhost, url: Option<String>, hook: HookDraft, settings: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("hookbox.db").display()));
        let place = Place { folder, url, vhost };
        let text = format!(
            "api.listen = \"127.0.0.1:0\"\n\
             telemetry.log = \"error\"\n\
             store.url = {:?}\n\
             store.key_file = {:?}\n\
             modules.cache_dir = {:?}\n\
             amqp.url = {:?}\n\
             firing.allow_addresses = [\"127.0.0.0/8\"]\n\
             webhooks.disable_disabler = true\n\
             {settings}\n",
            place.url,
            shared_folder().join("host.key"),
            shared_folder().join("module-cache"),
            place.vhost.url_through(port),
        );
        fs::write(place.path("hookbox.toml"), text).unwrap();
        let documents =
            json!([{"_id": ACCOUNT, "pvt_type": "account", "name": "acme", "pvt_tree": []}, hook.document()]);
        fs::write(place.path("kazoo.json"), documents.to_string()).unwrap();
        let mut import = Command::new(HOOKBOX);
        import.args(["import", "kazoo"]).arg(place.path("kazoo.json")).arg("--config").arg(place.path("hookbox.toml"));
        let imported = import.output().unwrap();
        assert!(imported.status.success(), "{imported:?}");
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the host, and waits until it takes messages.
    pub(super) async fn serve(&self) -> Program {
        let (mut program, _) = self.begin().await;
        program.line_starting_with("ready").await;
        program
    }

    /// Starts the host; it has bound its port, and says where.
    pub(super) async fn begin(&self) -> (Program, String) {
        let config = self.path("hookbox.toml").display().to_string();
        let mut program = Program::start(HOOKBOX, &["serve", "--config", &config]);
        let api = program.line_starting_with("api http").await;
        (program, api["api ".len()..].to_owned())
    }

    /// The store, as another process sees it.
    pub(super) async fn store(&self) -> SharedStore {
        hookbox::store::open(&self.url).await.unwrap()
    }
}

#[tokio::test]
async fn killed_between_attempt_and_retry_the_retry_comes() {
    the_retry_comes_after_a_kill(async |hook| Place::with(hook, "").await).await;
}

#[tokio::test]
async fn killed_between_attempt_and_retry_the_retry_comes_from_postgres() {
    the_retry_comes_after_a_kill(async |hook| Place::on_postgres(hook, "").await).await;
}

async fn the_retry_comes_after_a_kill(place: impl AsyncFnOnce(HookDraft) -> Place) {
    let receiver = Receiver::start().await.answering([500, 200]);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", [12]);
    let id = hook.id();
    let place = place(hook).await;
    let store = place.store().await;
    let amqp = Amqp::connect(&place.vhost).await;
    let program = place.serve().await;

    amqp.publish(&channel_created(ACCOUNT)).await;
    let query = AttemptQuery::newest(ACCOUNT.into(), Some(id.as_str().into()), 10);
    let attempts = async || store.attempts(&query).await.unwrap().len();
    eventually("the attempt to be recorded", async || match attempts().await {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    eventually("the broker to hear of the settlement", async || match place.vhost.queue("hookbox").await {
        Some(figures) if figures.ready == 0 && figures.unacked == 0 => Ok(()),
        other => Err(other),
    })
    .await;
    program.kill();
    assert_eq!(receiver.requests().len(), 1, "killed before the retry");
    assert_eq!(amqp.ready("hookbox").await, Some(0), "the message was settled: the retry is in the store alone");

    let program = place.serve().await;
    let requests = receiver.expect_requests(2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].body, requests[1].body);
    eventually("the retry to be recorded", async || match attempts().await {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    program.kill();
    store.close().await;
}

#[tokio::test]
async fn killed_in_the_middle_of_an_attempt_it_is_made_again() {
    let receiver = Receiver::start().await.answering_in_turn([Answer::hang(), Answer::hang(), Answer::status(200)]);
    let hook = a_hook("channel_create").to(&receiver);
    // The first start is killed while the message is unsettled, the second while the firing is stored under a lease.
    let place = Place::with(hook, "firing.park_after_ms = 500\nfiring.request_timeout_ms = 900\nfiring.request_timeout_ms_max = 900\nfiring.lease_ms = 2000").await;
    let amqp = Amqp::connect(&place.vhost).await;
    let store = place.store().await;
    let program = place.serve().await;
    amqp.publish(&channel_created(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    program.kill();

    let program = place.serve().await;
    receiver.expect_requests(2).await;
    eventually("the firing to be stored", async || match store.firing_counts(None).await.unwrap().waiting {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    program.kill();

    let program = place.serve().await;
    eventually("the last request", async || match receiver.requests().len() {
        3.. => Ok(()),
        other => Err(other),
    })
    .await;
    eventually("the firing to end", async || match store.firing_counts(None).await.unwrap().waiting {
        0 => Ok(()),
        other => Err(other),
    })
    .await;
    let requests = receiver.requests();
    let ids: BTreeSet<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(amqp.ready("hookbox").await, Some(0));
    program.kill();
    store.close().await;
}

#[tokio::test]
async fn killed_again_and_again_under_load_it_loses_nothing() {
    const ROUNDS: usize = 4;
    const PUBLISHED_A_ROUND: usize = 100;
    // Every third request fails, and is tried again by whoever lives then. All are answered late, so that many are open at
    // each kill.
    let fails = |nth: usize| nth % 3 == 1;
    let answer = |nth| Answer::status(if fails(nth) { 500 } else { 200 }).after(Duration::from_millis(50));
    let script = (0..20_000).map(answer);
    let receiver = Receiver::start().await.answering_in_turn(script);
    let hook = a_hook("channel_create").to(&receiver).with("retry_schedule_s", [0; 8]);
    let place = Place::with(
        hook,
        "firing.request_timeout_ms = 900\nfiring.request_timeout_ms_max = 900\nfiring.lease_ms = 2000",
    )
    .await;
    let amqp = Amqp::connect(&place.vhost).await;
    // Requests and answers are in one order.
    let delivered = || {
        let requests = receiver.requests();
        let well = requests.iter().enumerate().filter(|(nth, _)| !fails(*nth));
        well.map(|(_, request)| request.header("webhook-id").unwrap().to_owned()).collect::<BTreeSet<_>>()
    };

    for _ in 0..ROUNDS {
        let program = place.serve().await;
        let messages: Vec<_> = (0..PUBLISHED_A_ROUND).map(|_| channel_created(ACCOUNT)).collect();
        let before = receiver.requests().len();
        let kill = async {
            eventually("requests in this round", async || match receiver.requests().len() - before {
                arrived if arrived >= PUBLISHED_A_ROUND / 3 => Ok(()),
                arrived => Err(arrived),
            })
            .await;
            program.kill();
        };
        // Killed while messages come in.
        tokio::join!(amqp.publish_all(&messages), kill);
    }

    let program = place.serve().await;
    eventually_within(Duration::from_secs(60), "every message", async || match delivered().len() {
        count if count == ROUNDS * PUBLISHED_A_ROUND => Ok(()),
        count => Err(count),
    })
    .await;
    amqp.expect_drained("hookbox").await;
    program.kill();
}
