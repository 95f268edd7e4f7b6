//! Modules that take their time: their calls are stored and made later, and nobody else waits for them.

use std::{collections::BTreeSet, fs, time::Duration};

use hookbox::{
    message::ModuleId,
    store::{DeadLetterQuery, SharedStore},
};
use hookbox_tests::{
    amqp::Amqp,
    bad_modules::{self, BUSY, ECHO},
    eventually::{eventually, eventually_within},
    receiver::{Receiver, Request},
    samples::{ACCOUNT, Message, bad},
    test_host::{Builder, MASTER_KEY, TENANT_KEY, TestHost, a_hook, http},
};
use serde_json::{Value, json};

use super::kill::Place;

const MINUTE: Duration = Duration::from_secs(60);
/// Thousands of rounds: some tens of milliseconds, more on a machine that is kept busy by others.
const WORK: u64 = 10_000;

/// Hosts on which a busy module may keep one worker of two.
fn a_host() -> Builder {
    TestHost::builder()
        .setting("modules.workers", 2)
        .setting("modules.wait_ms_max", 100)
        .setting("modules.time_limit_ms", 10_000)
        .setting("modules.fuel_max", 100_000_000_000_u64)
        .setting("modules.fault_count", 10_000)
}

fn work(count: usize) -> Vec<Message> {
    (0..count).map(|_| bad(ACCOUNT).with("Work", WORK)).collect()
}

fn msg_ids<'a>(bodies: impl IntoIterator<Item = &'a [u8]>) -> BTreeSet<String> {
    let id = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["Msg-ID"].as_str().unwrap().to_owned();
    bodies.into_iter().map(id).collect()
}

fn sent(messages: &[Message]) -> BTreeSet<String> {
    msg_ids(messages.iter().map(|message| &*message.body))
}

fn arrived(requests: &[Request], path: &str) -> BTreeSet<String> {
    msg_ids(requests.iter().filter(|request| request.path() == path).map(|request| &*request.body))
}

async fn stored_calls(store: &SharedStore, module: &str) -> u64 {
    store.stored_call_count(&ModuleId::from(module)).await.unwrap()
}

async fn until_stored(store: &SharedStore, module: &str, least: u64) {
    eventually(&format!("{least} stored calls"), async || match stored_calls(store, module).await {
        count if count >= least => Ok(()),
        count => Err(count),
    })
    .await;
}

async fn until_none_stored(store: &SharedStore, module: &str) {
    eventually_within(MINUTE, "no stored calls", async || match stored_calls(store, module).await {
        0 => Ok(()),
        count => Err(count),
    })
    .await;
}

#[tokio::test]
async fn a_busy_module_holds_up_neither_the_ingress_nor_others_and_all_its_calls_are_made() {
    const SENT: usize = 300;
    let receiver = Receiver::start().await;
    // Fewer places than messages: if those that wait for the busy module could hold them all, the good one would get its
    // last message only when nearly all calls of the busy one were made.
    let host = a_host()
        .setting("amqp.prefetch", 32)
        .module("echo", bad_modules::bytes(ECHO))
        .module("busy", bad_modules::bytes(BUSY))
        .hook(a_hook("echo").to_uri(&receiver.url("/echo")))
        .hook(a_hook("busy").to_uri(&receiver.url("/busy")))
        .start()
        .await;
    let messages = work(SENT);
    host.amqp.as_ref().unwrap().publish_all(&messages).await;

    let served = eventually_within(MINUTE, "the good module's hooks to get theirs", async || {
        let requests = receiver.requests();
        if arrived(&requests, "/echo").len() == SENT { Ok(requests) } else { Err(requests.len()) }
    })
    .await;
    assert_eq!(arrived(&served, "/echo"), sent(&messages));
    let early = arrived(&served, "/busy").len();
    assert!(early < SENT / 2, "{early} of the busy module's calls were waited for");
    host.expect_settled().await;
    let left = stored_calls(&host.running.store, "busy").await;
    assert!(left > 0, "the ingress is empty while calls are still to be made");

    until_none_stored(&host.running.store, "busy").await;
    let requests = receiver.expect_requests(2 * SENT).await;
    assert_eq!(arrived(&requests, "/busy"), sent(&messages));
    let ids: BTreeSet<_> = requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 2 * SENT, "each firing has an id of its own");
    assert_eq!(host.running.store.dead_letters(&DeadLetterQuery::newest(10)).await.unwrap().len(), 0);
    host.finish().await;
}

#[tokio::test]
async fn a_call_made_later_fires_under_the_id_of_the_first_handing() {
    let receiver = Receiver::start().await;
    let host = a_host()
        .without_broker()
        .module("busy", bad_modules::bytes(BUSY))
        .hook(a_hook("busy").to(&receiver))
        .start()
        .await;
    // The same messages twice, the second time from the last to the first: some calls are made at once the first time, and
    // later the second time, or the other way round.
    let mut messages = work(60);
    let mut was_made_at_once = Vec::new();
    for round in 1..=2 {
        let posts: Vec<_> = messages.iter().map(Message::to_json).collect();
        let body = json!({"data": posts}).to_string();
        let (status, envelope) = host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), MASTER_KEY, body).await;
        assert_eq!(status, 202, "{envelope}");
        let settled = envelope["data"].as_array().unwrap();
        was_made_at_once.push(settled.iter().map(|message| message["events"] == 1).collect::<Vec<_>>());
        until_none_stored(&host.running.store, "busy").await;
        receiver.expect_requests(60 * round).await;
        messages.reverse();
    }
    was_made_at_once[1].reverse();
    assert_ne!(was_made_at_once[0], was_made_at_once[1]);
    let requests = receiver.requests();
    let ids: BTreeSet<_> = requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 60, "the receiver can tell that it has seen each of them");
    host.finish().await;
}

#[tokio::test]
async fn over_the_bound_the_message_is_a_dead_letter() {
    let receiver = Receiver::start().await;
    let host = a_host()
        .setting("modules.stored_calls_per_account_max", 3)
        .module("busy", bad_modules::bytes(BUSY))
        .hook(a_hook("busy").to(&receiver))
        .start()
        .await;
    let messages = work(60);
    host.amqp.as_ref().unwrap().publish_all(&messages).await;
    let letters = eventually_within(MINUTE, "every message to be served or kept", async || {
        let letters = host.running.store.dead_letters(&DeadLetterQuery::newest(100)).await.unwrap();
        let served = arrived(&receiver.requests(), "/").len();
        if served + letters.len() == messages.len() { Ok(letters) } else { Err((served, letters.len())) }
    })
    .await;
    assert!(!letters.is_empty());
    let words = "as many of its calls are stored as may (modules.stored_calls_per_account_max";
    for letter in &letters {
        assert!(letter.reason.contains(words) && letter.reason.contains("over its share"), "{}", letter.reason);
        assert_eq!((letter.module.as_ref().unwrap().as_str(), &*letter.module_version), ("busy", "1.0.0"));
    }
    let kept = msg_ids(letters.iter().map(|letter| letter.message.body.as_bytes()));
    let all: BTreeSet<_> = kept.union(&arrived(&receiver.requests(), "/")).cloned().collect();
    assert_eq!(all, sent(&messages));
    host.finish().await;
}

#[tokio::test]
async fn the_stored_calls_of_a_module_that_goes_end_as_dead_letters() {
    let receiver = Receiver::start().await;
    let host =
        a_host().setting("modules.tenant_bindings", json!(["bad"])).hook(a_hook("busy").to(&receiver)).start().await;
    host.upload(ACCOUNT, "busy", "?activate=true", MASTER_KEY, bad_modules::bytes(BUSY)).await.expect(201);
    let path = format!("/v2/accounts/{ACCOUNT}/webhook_modules/busy");
    let module = format!("{ACCOUNT}/busy");
    host.amqp.as_ref().unwrap().publish_all(&work(100)).await;
    until_stored(&host.running.store, &module, 20).await;
    let shown = host.call("GET", &path, TENANT_KEY, None).await.expect(200);
    assert!(shown.data()["stored_calls"].as_u64().unwrap() > 0, "{}", shown.envelope);

    host.call("DELETE", &path, TENANT_KEY, None).await.expect(200);
    until_none_stored(&host.running.store, &module).await;
    let letters = host.running.store.dead_letters(&DeadLetterQuery::newest(200)).await.unwrap();
    assert!(!letters.is_empty());
    for letter in &letters {
        assert_eq!(letter.reason, "it was not called: it is not active any more");
        assert_eq!(letter.owner.as_ref().unwrap().as_str(), ACCOUNT, "its owner may see it");
    }
    host.finish().await;
}

#[tokio::test]
async fn killed_with_stored_calls_none_is_lost_and_both_nodes_make_them() {
    const SENT: usize = 200;
    let receiver = Receiver::start().await;
    let place = Place::with(
        a_hook("busy").to(&receiver),
        "modules.dir = \"modules\"\nmodules.workers = 2\nmodules.wait_ms_max = 50\nmodules.time_limit_ms = 10000\n\
         modules.fuel_max = 100000000000\nmodules.stored_call_lease_ms = 2000\nmodules.stored_call_poll_ms = 50",
    )
    .await;
    fs::create_dir(place.path("modules")).unwrap();
    fs::write(place.path("modules/busy.wasm"), bad_modules::bytes(BUSY)).unwrap();
    let settings = fs::read_to_string(place.path("hookbox.toml")).unwrap();
    let dir = format!("modules.dir = {:?}", place.path("modules"));
    fs::write(place.path("hookbox.toml"), settings.replace("modules.dir = \"modules\"", &dir)).unwrap();
    let store = place.store().await;

    let program = place.serve().await;
    let amqp = Amqp::connect(&place.vhost).await;
    let messages = work(SENT);
    amqp.publish_all(&messages).await;
    until_stored(&store, "busy", 40).await;
    program.kill();
    assert!(stored_calls(&store, "busy").await > 0);

    let ((mut first, first_api), (mut second, second_api)) = tokio::join!(place.begin(), place.begin());
    first.line_starting_with("ready").await;
    second.line_starting_with("ready").await;
    eventually_within(MINUTE, "every message", async || {
        let missing = SENT - arrived(&receiver.requests(), "/").len();
        if missing == 0 { Ok(()) } else { Err(missing) }
    })
    .await;
    assert_eq!(arrived(&receiver.requests(), "/"), sent(&messages));
    until_none_stored(&store, "busy").await;
    amqp.expect_drained("hookbox").await;
    for api in [first_api, second_api] {
        let metrics = http().get(format!("{api}/metrics")).send().await.unwrap().text().await.unwrap();
        let series = "hookbox_stored_calls_made_total{module=\"busy\"} ";
        let made = metrics.lines().find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok());
        assert!(made.is_some_and(|made| made > 0), "a node that made none: {made:?}");
    }
    first.kill();
    second.kill();
    store.close().await;
}
