//! Each supervised part, killed by a fault that the test puts in, comes back, and the rest never notices; a part that
//! cannot be kept alive ends the host, with the reason.

use std::{collections::BTreeSet, time::Duration};

use hookbox_tests::{
    amqp::Inbox,
    bad_modules,
    collector::{Collector, Seen},
    eventually::eventually,
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, bad, channel_created, hook_changed, mms_received, sms_received},
    store_fault::StoreFault,
    test_host::{MASTER_KEY, TestHost, a_hook, import},
};

/// All parts of a host with a broker, a folder of modules and a collector of traces.
const PARTS: [&str; 23] = [
    "bulk requests",
    "call scheduler",
    "change follower",
    "change listener",
    "disabler",
    "fair shares",
    "gauges",
    "idle instances",
    "ingress",
    "module follower",
    "module watcher",
    "notice publisher",
    "resend jobs",
    "retry scheduler",
    "store hints",
    "waiting counts",
    "dead letters",
    "lease keeper",
    "module costs",
    "module faults",
    "recorder",
    "span exporter",
    "stored calls",
];

/// A host with all parts, and what shows that each does its work.
struct Scene {
    host: TestHost,
    /// Where calls are fired at.
    well: Receiver,
    /// Where texts are fired at: fails once for each.
    flaky: Receiver,
    /// What the platform hears of disabled hooks.
    disabled: Inbox,
    /// What is told of each message.
    collector: Collector,
}

impl Scene {
    async fn start() -> Scene {
        let (well, flaky) = (Receiver::start().await, Receiver::start().await);
        let collector = Collector::start().await;
        let host = TestHost::builder()
            .module("echo", bad_modules::bytes(bad_modules::ECHO))
            .hook(a_hook("channel_create").to(&well))
            .hook(a_hook("sms").to(&flaky))
            .hook(a_hook("echo").to(&well))
            // Nothing is found by looking; the one exception is the folder of modules, which has no other way.
            .setting("store.poll_ms", 3_600_000)
            .setting("modules.watch_ms", 50)
            .setting("webhooks.attempt_failure_count", 100)
            .setting("telemetry.otlp_url", collector.url())
            .setting("telemetry.otlp_wait_ms", 10)
            .setting("telemetry.trace_ratio", 1.0)
            .start()
            .await;
        let disabled = host.amqp.as_ref().unwrap().listen("notifications", "notifications.webhook.disabled").await;
        Scene { host, well, flaky, disabled, collector }
    }

    /// Kills a part, and waits until it is back.
    async fn kill(&self, part: &str) {
        let before = self.host.running.restarts(part);
        assert!(self.host.running.inject_fault(part), "there is no {part}");
        eventually(&format!("{part} to be started anew"), async || match self.host.running.restarts(part) {
            restarts if restarts == before + 1 => Ok(()),
            restarts => Err(restarts),
        })
        .await;
    }

    /// Everything that a host does, once.
    async fn expect_work(&self) {
        // A message is delivered, recorded, and told of.
        let calls = self.well.requests().len();
        self.host.publish(channel_created(ACCOUNT)).await;
        let traced = self.well.expect_requests(calls + 1).await[calls].header("traceparent").map(str::to_owned);
        eventually("the span of the attempt", async || {
            let spans = self.collector.spans();
            let is_it = |span: &&Seen| traced.as_ref().is_some_and(|traced| traced.contains(&span.span_id));
            spans.iter().find(is_it).map(drop).ok_or((traced.clone(), spans.len()))
        })
        .await;
        // A retry happens.
        let tries = self.flaky.requests().len();
        self.flaky.answer_from_now_on([500, 200].map(Answer::status));
        self.host.publish(sms_received(ACCOUNT)).await;
        let requests = self.flaky.expect_requests(tries + 2).await;
        assert_eq!(requests[tries].header("webhook-id"), requests[tries + 1].header("webhook-id"));
        // A hook that was made elsewhere is heard of, and when its receiver is gone the platform is told.
        let gone = Receiver::start().await.answering([410]);
        let hook = a_hook("mms").to(&gone);
        import(&self.host.settings, &[hook.document()]).await;
        self.host.amqp.as_ref().unwrap().publish(&hook_changed("doc_created", ACCOUNT, &hook.id())).await;
        eventually("the new hook to be known", async || {
            self.host.running.hooks.get(&ACCOUNT.into(), &hook.id().as_str().into()).map(drop).ok_or("it is not")
        })
        .await;
        self.host.publish(mms_received(ACCOUNT)).await;
        gone.expect_requests(1).await;
        // A publisher that died before it noted that a notice was taken publishes it again.
        while self.disabled.next().await.json()["Hook-ID"] != hook.id() {}
        assert!(self.host.disabled_message(&hook.id()).await.unwrap().contains("410"));
    }
}

#[tokio::test]
async fn these_are_the_supervised_parts() {
    let scene = Scene::start().await;
    assert_eq!(scene.host.running.part_names(), PARTS);
    assert!(!scene.host.running.inject_fault("no such part"));
    scene.host.finish().await;
}

#[tokio::test]
async fn each_part_that_dies_comes_back_and_the_rest_never_notices() {
    let scene = Scene::start().await;
    scene.expect_work().await;
    for (at, part) in PARTS.into_iter().enumerate() {
        scene.kill(part).await;
        scene.expect_work().await;
        let restarts = PARTS.map(|part| scene.host.running.restarts(part));
        let expected: Vec<_> = (0..PARTS.len()).map(|index| u64::from(index <= at)).collect();
        assert_eq!(restarts.as_slice(), expected, "after {part} of {PARTS:?}");
    }
    scene.host.finish().await;
}

#[tokio::test]
async fn a_watcher_that_died_still_sees_a_changed_folder() {
    let scene = Scene::start().await;
    scene.kill("module watcher").await;
    let folder = scene.host.folder.path().join("modules");
    std::fs::remove_file(folder.join("echo.wasm")).unwrap();
    eventually("the module to be unloaded", async || {
        if scene.host.running.modules.get(&"echo".into()).is_none() { Ok(()) } else { Err("it is there") }
    })
    .await;
    std::fs::write(folder.join("echo.wasm"), bad_modules::bytes(bad_modules::ECHO)).unwrap();
    eventually("the module to be loaded", async || {
        scene.host.running.modules.get(&"echo".into()).map(drop).ok_or("it is not there")
    })
    .await;
    let (status, envelope) = scene.host.post(ACCOUNT, MASTER_KEY, &bad(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
    scene.well.expect_requests(1).await;
    scene.host.finish().await;
}

#[tokio::test]
async fn messages_in_flight_are_not_lost_whatever_part_dies() {
    const MESSAGES: usize = 240;
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_millis(30)));
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .setting("amqp.prefetch", 8)
        .setting("amqp.requeue_pause_ms", 10)
        .start()
        .await;
    let amqp = host.amqp.as_ref().unwrap();
    let messages: Vec<_> = (0..MESSAGES).map(|_| channel_created(ACCOUNT)).collect();
    amqp.publish_all(&messages).await;

    for (nth, part) in host.running.part_names().into_iter().enumerate() {
        eventually("messages on their way", async || match receiver.requests().len() {
            arrived if arrived > nth * 10 => Ok(()),
            arrived => Err(arrived),
        })
        .await;
        assert!(host.running.inject_fault(part));
    }

    let distinct = |key: fn(&hookbox_tests::receiver::Request) -> String| {
        receiver.requests().iter().map(key).collect::<BTreeSet<_>>().len()
    };
    eventually("all messages", async || match distinct(|request| request.json()["call_id"].to_string()) {
        MESSAGES => Ok(()),
        arrived => Err(arrived),
    })
    .await;
    let ids = distinct(|request| request.header("webhook-id").unwrap().to_owned());
    assert_eq!(ids, MESSAGES, "a message that came again has the same id");
    for part in host.running.part_names() {
        eventually(&format!("{part} to have died"), async || match host.running.restarts(part) {
            1 => Ok(()),
            restarts => Err(restarts),
        })
        .await;
    }
    host.finish().await;
}

#[tokio::test]
async fn a_part_that_cannot_be_kept_alive_ends_the_host_with_the_reason() {
    let host = TestHost::builder().without_broker().start().await;
    for restart in 1..=5 {
        assert!(host.running.inject_fault("disabler"));
        eventually("a restart", async || match host.running.restarts("disabler") {
            restarts if restarts == restart => Ok(()),
            restarts => Err(restarts),
        })
        .await;
    }
    let soon = |wait_ms| tokio::time::timeout(Duration::from_millis(wait_ms), host.running.fatal());
    soon(50).await.expect_err("five are not too many");
    assert!(host.running.inject_fault("disabler"));
    let reason = soon(15_000).await.unwrap();
    assert_eq!(
        reason,
        "disabler failed more than 5 times within 10 s (supervisor.restarts_max), last: it panicked: a fault put in by a test"
    );
    host.finish().await;
}

/// A store that fails is waited for: parts that died of it again and again would end the host within seconds.
#[tokio::test]
async fn a_store_that_fails_for_a_while_kills_no_part() {
    let receiver = Receiver::start().await.answering([500, 200]);
    let hook = a_hook("channel_create").to(&receiver);
    let host = TestHost::builder().hook(hook).setting("firing.claim_poll_ms", 50).start().await;
    let fault = StoreFault::refuse_claims(&host.settings).await;
    host.publish(channel_created(ACCOUNT)).await;
    receiver.expect_requests(1).await;
    host.expect_settled().await;
    receiver.expect_silence(Duration::from_millis(300)).await;
    fault.mend().await;
    receiver.expect_requests(2).await;
    host.expect_no_waiting().await;
    assert_eq!(host.running.restarts("retry scheduler"), 0);
    host.finish().await;
}
