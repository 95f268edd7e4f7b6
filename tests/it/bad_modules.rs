//! Modules that fail on messages: each is charged, what it failed on is kept for it, and nobody else notices.

use hookbox::{
    clock::Clock,
    store::{DeadLetter, DeadLetterQuery},
};
use hookbox_tests::{
    bad_modules::{self, BAD_OUTPUT, CLOCK, ECHO, FLOOD, HOG, HUGE_OUTPUT, SLEEPER, SPIN, TRAP},
    eventually::eventually,
    real_program::Place,
    receiver::Receiver,
    samples::{ACCOUNT, Message, bad, channel_created},
    test_host::{Builder, MASTER, MASTER_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};

/// Settings under which a module is called again and again, however often it fails.
const PATIENT: (&str, u64) = ("modules.fault_count", 10_000);
/// So much that time ends first, also on a machine that is kept busy by others.
const NO_FUEL_LIMIT: (&str, u64) = ("modules.fuel_max", 100_000_000_000);

/// A host with a good module beside a bad one, and hooks for the good one and for a built-in.
fn beside_a_good_one(receiver: &Receiver, name: &str, path: &str) -> Builder {
    TestHost::builder()
        .module("echo", bad_modules::bytes(ECHO))
        .module(name, bad_modules::bytes(path))
        .hook(a_hook("echo").to_uri(&receiver.url("/echo")))
        .hook(a_hook("channel_create").to_uri(&receiver.url("/channel_create")))
}

async fn dead_letters(host: &TestHost, count: usize) -> Vec<DeadLetter> {
    eventually(&format!("{count} dead letters"), async || {
        let letters = host.running.store.dead_letters(&DeadLetterQuery::newest(1000)).await.unwrap();
        if letters.len() == count {
            Ok(letters)
        } else {
            Err(letters.iter().map(|letter| letter.reason.clone()).collect::<Vec<_>>())
        }
    })
    .await
}

/// The module fails on each message in this way and with these words; the good one and the built-in serve theirs, and
/// every message is settled.
async fn fails_alone(name: &str, path: &str, kind: &str, words: &str, settings: &[(&str, u64)]) {
    let receiver = Receiver::start().await;
    let mut builder = beside_a_good_one(&receiver, name, path).setting(PATIENT.0, PATIENT.1);
    for (key, value) in settings {
        builder = builder.setting(key, *value);
    }
    let host = builder.start().await;
    let series = format!("hookbox_module_faults_total{{module=\"{name}\",kind=\"{kind}\"}}");
    let kept = format!("hookbox_dead_letters_total{{module=\"{name}\"}}");
    let before = (host.counted(&series).await, host.counted(&kept).await);

    let messages = [bad(ACCOUNT), bad(ACCOUNT)];
    for message in &messages {
        host.publish(message.clone()).await;
        host.publish(channel_created(ACCOUNT)).await;
    }

    let served = receiver.expect_requests(4).await;
    for path in ["/echo", "/channel_create"] {
        assert_eq!(served.iter().filter(|request| request.path() == path).count(), 2, "{path}");
    }
    let letters = dead_letters(&host, 2).await;
    for letter in &letters {
        assert_eq!(letter.module.as_ref().map(ToString::to_string).as_deref(), Some(name));
        assert_eq!(letter.module_version, "1.0.0");
        assert!(letter.reason.contains(words), "{}", letter.reason);
        assert_eq!(letter.message.routing_key, "bad.message");
    }
    let bodies: Vec<Value> = letters.iter().map(|letter| serde_json::from_str(&letter.message.body).unwrap()).collect();
    assert!(messages.iter().all(|message| bodies.contains(&message.json())), "the messages are kept whole");
    // Other tests of this process may use the same module.
    assert!(host.counted(&series).await >= before.0 + 2, "{series}");
    assert!(host.counted(&kept).await >= before.1 + 2, "{kept}");
    assert_eq!(host.get("/readyz").await.0, 200, "a fault alone makes no host unready");
    host.finish().await;
}

#[tokio::test]
async fn a_looping_module_is_stopped_by_its_time() {
    let words = "it ran past 20 ms; raise modules.time_limit_ms or mend the module";
    fails_alone("spin", SPIN, "time", words, &[("modules.time_limit_ms", 20), NO_FUEL_LIMIT]).await;
}

#[tokio::test]
async fn a_looping_module_is_stopped_by_its_fuel() {
    let words = "it burnt its 10000000 units of fuel; raise modules.fuel_max or mend the module";
    let settings = [("modules.fuel_max", 10_000_000), ("modules.time_limit_ms", 5000)];
    fails_alone("spin", SPIN, "fuel", words, &settings).await;
}

#[tokio::test]
async fn a_memory_eating_module_is_stopped_by_its_bound() {
    let words = "33554432 are allowed; raise modules.memory_bytes_max or mend the module";
    // The machine may be slow at giving memory; here the bound on memory is what has to stop it.
    fails_alone("hog", HOG, "memory", words, &[("modules.time_limit_ms", 5000)]).await;
}

#[tokio::test]
async fn a_trapping_module_fails_with_its_own_last_words() {
    fails_alone("trap", TRAP, "trap", "this module always traps", &[]).await;
}

#[tokio::test]
async fn a_log_flooding_module_is_stopped_and_its_log_is_cut() {
    let settings = [("modules.time_limit_ms", 20), NO_FUEL_LIMIT];
    fails_alone("flood", FLOOD, "time", "it ran past 20 ms", &settings).await;
}

#[tokio::test]
async fn a_huge_output_is_refused() {
    let words = "its output cannot be used: 2097163 bytes of payload; 1048576 are allowed (modules.output_bytes_max)";
    fails_alone("huge_output", HUGE_OUTPUT, "output", words, &[("modules.time_limit_ms", 5000)]).await;
}

#[tokio::test]
async fn an_output_that_is_not_json_is_refused() {
    fails_alone("bad_output", BAD_OUTPUT, "output", "a payload is not a JSON object", &[]).await;
}

#[tokio::test]
async fn a_module_that_fails_too_often_is_put_in_quarantine() {
    let receiver = Receiver::start().await;
    let host = beside_a_good_one(&receiver, "trap", TRAP)
        .setting("modules.fault_count", 3)
        .setting("modules.watch_ms", 50)
        .start()
        .await;

    for sent in 1..=5 {
        host.publish(bad(ACCOUNT)).await;
        dead_letters(&host, sent).await;
    }

    receiver.expect_requests(5).await;
    let mut letters = dead_letters(&host, 5).await;
    letters.reverse();
    let (called, kept) = letters.split_at(3);
    assert!(called.iter().all(|letter| letter.reason.starts_with("it trapped: ")), "{called:?}");
    let why = "it was not called: it is in quarantine: failed 3 times within 60000 ms, last: it trapped: ";
    assert!(kept.iter().all(|letter| letter.reason.starts_with(why) && letter.module_version == "1.0.0"), "{kept:?}");
    let (status, answer) = host.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(answer.contains("module trap is in quarantine: failed 3 times within 60000 ms"), "{answer}");

    std::fs::write(host.module_file("trap"), bad_modules::bytes(BAD_OUTPUT)).unwrap();

    eventually("the quarantine to be lifted", async || match host.get("/readyz").await {
        (200, _) => Ok(()),
        other => Err(other),
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn a_looping_module_does_not_hold_up_others() {
    const CALLS: usize = 40;
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("spin", bad_modules::bytes(SPIN))
        .hook(a_hook("channel_create").to(&receiver))
        .setting(PATIENT.0, PATIENT.1)
        .setting("modules.workers", 2)
        // Fuel, because a loop that is kept from the processor is given more time.
        .setting("modules.fuel_max", 50_000_000)
        .setting("modules.time_limit_ms", 5000)
        .start()
        .await;
    // A second's work, or more, for the one worker that a module may keep busy.
    let looping: Vec<Message> = (0..CALLS).map(|_| bad(ACCOUNT)).collect();
    host.amqp.as_ref().unwrap().publish_all(&looping).await;

    for _ in 0..5 {
        host.publish(channel_created(ACCOUNT)).await;
    }

    receiver.expect_requests(5).await;
    let done = host.running.store.dead_letters(&DeadLetterQuery::newest(1000)).await.unwrap().len();
    assert!(done < CALLS / 2, "the calls were served after {done} of {CALLS} loops");
    dead_letters(&host, CALLS).await;
    host.finish().await;
}

#[tokio::test]
async fn clocks_stand_still_and_random_numbers_repeat_for_the_same_message() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_800_000_000_123);
    let host = TestHost::builder()
        .module("clock", bad_modules::bytes(CLOCK))
        .hook(a_hook("clock").to(&receiver))
        .without_broker()
        .clock(clock.clone())
        .start()
        .await;
    let told = async |message: &Message, nth: usize| {
        assert_eq!(host.post(ACCOUNT, MASTER_KEY, message).await.0, 202);
        receiver.expect_requests(nth).await[nth - 1].json()
    };

    let message = bad(ACCOUNT);
    let first = told(&message, 1).await;
    let again = told(&message, 2).await;
    let other = told(&bad(ACCOUNT), 3).await;
    clock.advance(5000);
    let later = told(&message, 4).await;

    assert_eq!(first["now_ms"], 1_800_000_000_123_u64);
    assert_eq!(first["received_ms"], 1_800_000_000_123_u64);
    assert_eq!((&first["wall_moved_ns"], &first["moved_ns"]), (&json!(0), &json!(0)));
    assert_eq!(first, again, "the same message at the same time gives the same bytes");
    assert_ne!(first["random"][0], first["random"][1]);
    assert_ne!(first["random"], other["random"], "another message gives other numbers");
    assert_eq!(later["now_ms"], 1_800_000_005_123_u64);
    host.finish().await;
}

#[tokio::test]
async fn a_sleeping_module_holds_no_worker() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .module("sleeper", bad_modules::bytes(SLEEPER))
        .hook(a_hook("sleeper").to(&receiver))
        .setting("modules.workers", 1)
        .without_broker()
        .start()
        .await;
    for nth in 1..=3 {
        let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &bad(ACCOUNT)).await;
        assert_eq!((status, &envelope["data"][0]["events"]), (202, &json!(1)), "{envelope}");
        receiver.expect_requests(nth).await;
    }
    host.finish().await;
}

/// Memory is that of a process, so this host has one of its own; and what it logs can be read whole.
#[tokio::test]
async fn memory_and_log_stay_bounded_in_a_host_of_bad_modules() {
    let place = Place::with_settings(
        "modules.dir = \"modules\"\nmodules.fault_count = 10000\nmodules.time_limit_ms = 1000\n\
         modules.fuel_max = 50000000\nmodules.log_bytes_max = 2000\nmodules.wait_ms_max = 60000",
    );
    for (name, path) in [("hog", HOG), ("huge_output", HUGE_OUTPUT), ("trap", TRAP), ("flood", FLOOD)] {
        place.write(&format!("modules/{name}.wasm"), bad_modules::bytes(path));
    }
    let host = place.serve().await;
    let batch = || Value::Array((0..10).map(|_| bad(MASTER).to_json()).collect());
    assert_eq!(host.post(MASTER, &batch()).await.0, 202);
    let (warm, _) = host.memory();
    for _ in 0..5 {
        assert_eq!(host.post(MASTER, &batch()).await.0, 202);
    }

    eventually("memory to be back where it was", async || match host.memory() {
        (now, most) if now < warm + (48 << 20) => Ok(most),
        other => Err((warm, other)),
    })
    .await;
    let stderr = host.stderr();
    assert!(!stderr.contains('\u{1b}'), "control characters are taken out of what modules say");
    let flooded: usize = stderr.lines().filter(|line| line.contains("flood flood")).map(str::len).sum();
    assert!((60 * 1000..60 * 4000).contains(&flooded), "{flooded} bytes of 60 calls were logged");
    let metrics = hookbox_tests::test_host::http().get(format!("{}/metrics", host.url)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("hookbox_module_log_dropped_bytes_total{module=\"flood\"}"), "{metrics}");
    assert_eq!(host.stop().await, 0);
}
