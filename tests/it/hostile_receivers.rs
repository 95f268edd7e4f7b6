//! Receivers that misbehave: whatever they do is an attempt with its record, never a requeue, and hurts nobody else.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hookbox::{message::Object, store::AttemptQuery};
use hookbox_tests::{
    real_program::Place,
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER, MASTER_KEY, TestHost, a_hook},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// A hook whose firings are tried once.
fn once() -> HookDraft {
    a_hook("channel_create").with("retry_schedule_s", json!([]))
}

fn quick() -> Builder {
    TestHost::builder().without_broker().setting("firing.request_timeout_ms", 300)
}

/// Posts a message, which must be taken whatever the receiver does, and gives the only attempt of its firing.
async fn only_attempt(host: &TestHost, hook: &HookDraft) -> Object {
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!((status, &envelope["data"][0]["settlement"]), (202, &json!("ack")), "{envelope}");
    let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
    host.expect_no_waiting().await;
    attempt
}

async fn attempt_at(uri: &str) -> Object {
    let hook = once().to_uri(uri);
    let host = quick().hook(hook.clone()).start().await;
    let attempt = only_attempt(&host, &hook).await;
    host.finish().await;
    attempt
}

async fn attempt_answered(answer: Answer) -> Object {
    let receiver = Receiver::start().await.answering_with(answer);
    attempt_at(&receiver.url("/")).await
}

/// The record of a try without an answer, as KAZOO's readers find it.
fn assert_no_answer(attempt: &Object, fault: &str, words: &str) {
    assert_eq!(attempt["result"], "failure");
    assert_eq!(attempt["reason"], "kazoo http client error");
    let error = attempt["client_error"].as_str().unwrap();
    assert!(error.starts_with(&format!("{fault}: ")) && error.contains(words), "{error}");
    assert_eq!((&attempt["retries"], &attempt["retries_left"]), (&json!(0), &json!("retries exceeded")));
    assert_eq!((&attempt["try"], attempt["id"].as_str().map(str::len)), (&json!(1), Some(32)));
    assert!(!attempt.contains_key("resp_status_code") && !attempt.contains_key("resp_body"), "{attempt:?}");
    assert!(attempt["req_body"].as_str().unwrap().contains("channel_create"));
}

#[tokio::test]
async fn a_byte_a_second_runs_into_the_deadline() {
    let attempt = attempt_answered(Answer::drip(1000, Duration::from_secs(1))).await;
    assert_no_answer(&attempt, "timeout", "no whole answer within 300 ms");
    let took = attempt["duration_ms"].as_u64().unwrap();
    assert!((300..3000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn no_answer_runs_into_the_deadline() {
    assert_no_answer(&attempt_answered(Answer::hang()).await, "timeout", "no whole answer within 300 ms");
}

#[tokio::test]
async fn a_hooks_own_deadline_counts_up_to_the_ceiling() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let (own, high) = (once().to(&receiver).with("timeout_ms", 100), once().to(&receiver).with("timeout_ms", 20_000));
    let host = quick().setting("firing.request_timeout_ms_max", 400).hook(own.clone()).hook(high.clone()).start().await;
    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    let of = async |hook: &HookDraft| host.expect_attempts(&hook.id(), 1).await.remove(0);
    assert_no_answer(&of(&own).await, "timeout", "within 100 ms");
    assert_no_answer(&of(&high).await, "timeout", "within 400 ms");
    host.finish().await;
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
    let receiver = Receiver::start().await.answering_with(Answer::endless());
    let hook = once().to(&receiver);
    let host = quick().setting("firing.request_timeout_ms", 10_000).hook(hook.clone()).start().await;

    let attempt = only_attempt(&host, &hook).await;
    assert_eq!((&attempt["result"], &attempt["resp_status_code"]), (&json!("success"), &json!("200")));
    assert_eq!(attempt["resp_body"].as_str().map(str::len), Some(65_536));
    assert_eq!(attempt["resp_body_cut"], true);

    host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    let requests = receiver.expect_requests(2).await;
    assert_ne!(requests[0].connection, requests[1].connection, "the first connection is not used again");
    host.finish().await;
}

#[tokio::test]
async fn a_gzip_bomb_is_bounded_after_decompression() {
    let receiver = Receiver::start().await.answering_with(Answer::gzip_bomb(2000));
    // Memory is that of a process, so this host has one of its own.
    let place = Place::with_settings("");
    let hook = once().of(MASTER).to(&receiver);
    place.write("hooks.json", Value::Array(vec![hook.document()]).to_string());
    let said = place.call(&["import", "kazoo", "hooks.json", "--config", "hookbox.toml"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let host = place.serve().await;
    let (_, before) = host.memory();

    let (status, envelope) = host.post(MASTER, &channel_created(MASTER).to_json()).await;

    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(1)), "{envelope}");
    let (_, most) = host.memory();
    assert!(most < before + (64 << 20), "from {before} to {most} bytes for a body of 2 MiB, 2 GiB unpacked");
    assert_eq!(host.stop().await, 0);
    let store = hookbox::store::open(&format!("sqlite:{}", place.path("hookbox.db").display())).await.unwrap();
    let attempts = store.attempts(&AttemptQuery::newest(MASTER.into(), None, 10)).await.unwrap();
    assert_eq!(attempts[0].document["resp_body"].as_str().map(str::len), Some(65_536));
    assert_eq!((attempts.len(), &attempts[0].document["resp_body_cut"]), (1, &json!(true)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inner = Receiver::start().await;
    let attempt = attempt_answered(Answer::redirect(&inner.url("/inside"))).await;
    assert_eq!((&attempt["result"], &attempt["reason"]), (&json!("failure"), &json!("bad response code")));
    assert_eq!(attempt["resp_status_code"], "302");
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn addresses_of_the_inside_are_refused_in_every_spelling() {
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.8.8.8",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST.",
        "deep.localhost",
        "%6c%6fcalhost",
        "①②⑦.⓪.⓪.①",
    ];
    let hooks = hosts.map(|host| once().to_uri(&format!("http://{host}:{port}/")));
    let mut builder = quick().setting("firing.allow_addresses", json!([]));
    for hook in &hooks {
        builder = builder.hook(hook.clone());
    }
    let host = builder.start().await;

    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;

    assert_eq!((status, &envelope["data"][0]["firings"]), (202, &json!(hosts.len())), "{envelope}");
    for hook in &hooks {
        let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
        assert_eq!(attempt["uri"], hook.document()["uri"]);
        assert_no_answer(&attempt, "address-refused", "have the operator add it to firing.allow_addresses");
    }
    assert_eq!(receiver.connections(), 0, "nothing was ever connected to");
    host.finish().await;
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_a_failure() {
    let attempt = attempt_answered(Answer::close()).await;
    assert_no_answer(&attempt, "connection", "closed the connection before it answered");
}

#[tokio::test]
async fn a_refused_port_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let attempt = attempt_at(&format!("http://{address}/secret-path?token=1")).await;
    assert_no_answer(&attempt, "connection", &format!("no connection to {address}: Connection refused"));
    assert!(!attempt["client_error"].as_str().unwrap().contains("secret"), "a detail names no path");
}

/// Answers every connection with these bytes, whatever it is asked.
async fn answering_bytes(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(bytes).await.ok();
            tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
        }
    });
    address
}

#[tokio::test]
async fn what_is_not_http_is_a_failure() {
    let address = answering_bytes(b"220 mail.example.net ESMTP\r\n").await;
    let attempt = attempt_at(&format!("http://{address}/")).await;
    assert_no_answer(&attempt, "bad-answer", "did not answer in HTTP");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    let address = answering_bytes(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope").await;
    let attempt = attempt_at(&format!("http://{address}/")).await;
    assert_no_answer(&attempt, "bad-answer", "the answer 200 broke off or cannot be decompressed");
}

#[tokio::test]
async fn headers_of_a_mebibyte_are_refused() {
    let answer = Answer::status(200).header("X-Big", &"x".repeat(1 << 20));
    assert_no_answer(&attempt_answered(answer).await, "bad-answer", "did not answer in HTTP");
}

#[tokio::test]
async fn long_headers_are_cut_in_the_record() {
    let answer =
        Answer::status(200).header("X-First", "kept").header("X-Long", &"x".repeat(200_000)).header("X-Last", "1");
    let attempt = attempt_answered(answer).await;
    assert_eq!((&attempt["result"], &attempt["resp_headers"]["x-first"]), (&json!("success"), &json!("kept")));
    let bytes = attempt["resp_headers"].to_string().len();
    assert!(bytes < 20_000, "{bytes} bytes of headers are in the record");
}

#[tokio::test]
async fn any_2xx_is_a_success_and_nothing_else_is() {
    let statuses = [200, 201, 202, 204, 206, 299, 300, 304, 400, 404, 418, 451, 501];
    let receiver = Receiver::start().await.answering(statuses);
    let hook = once().to(&receiver);
    let host = quick().setting("webhooks.disable_disabler", true).hook(hook.clone()).start().await;
    for (nth, status) in statuses.into_iter().enumerate() {
        host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
        let attempts = host.expect_attempts(&hook.id(), nth + 1).await;
        let shown = json!(status.to_string());
        let of_status = attempts.iter().find(|attempt| attempt["resp_status_code"] == shown).unwrap();
        assert_eq!(of_status["result"], if status < 300 { "success" } else { "failure" }, "{status}");
    }
    host.finish().await;
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody() {
    const MESSAGES: usize = 40;
    let slow = Receiver::start().await.answering_with(Answer::hang());
    let healthy = Receiver::start().await;
    let hanging = a_hook("channel_create").to(&slow);
    let host = TestHost::builder()
        .hook(hanging.clone())
        .hook(a_hook("channel_create").to(&healthy))
        .setting("amqp.prefetch", 10)
        .setting("firing.park_after_ms", 20)
        .start()
        .await;

    for _ in 0..MESSAGES {
        host.publish(channel_created(ACCOUNT)).await;
    }

    healthy.expect_requests(MESSAGES).await;
    host.expect_settled().await;
    let parked = host.running.store.firing_counts(Some(&hanging.id().as_str().into())).await.unwrap();
    assert_eq!(parked.waiting, MESSAGES as u64, "each hanging firing is stored");
    assert_eq!(slow.requests().len(), MESSAGES, "and still under way");
    // What hangs ends with its receiver.
    let id = hanging.id();
    host.running.store.delete_hook(&id.as_str().into(), &[], hookbox_tests::test_host::now_ms()).await.unwrap();
    drop(slow);
    host.finish().await;
}

#[tokio::test]
async fn a_hook_has_so_many_requests_under_way_and_no_more() {
    const PAUSE: Duration = Duration::from_millis(150);
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(PAUSE));
    let hook = a_hook("channel_create").to(&receiver).with("max_in_flight", 1);
    let host =
        TestHost::builder().without_broker().hook(hook.clone()).setting("firing.full_pause_ms", 10).start().await;
    let over = "hookbox_firings_over_limit_total";
    let before = host.counted(over).await;
    let messages: Vec<Value> = (0..4).map(|_| channel_created(ACCOUNT).to_json()).collect();

    let body = json!({"data": messages}).to_string();
    let (status, envelope) = host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), MASTER_KEY, body).await;

    assert_eq!(status, 202, "{envelope}");
    assert!(host.counted(over).await >= before + 3, "three of four were stored, not waited for");
    let requests = receiver.expect_requests(4).await;
    for pair in requests.windows(2) {
        assert!(pair[1].arrived - pair[0].arrived >= PAUSE, "two were under way at once");
    }
    host.expect_no_waiting().await;
    host.finish().await;
}

#[tokio::test]
async fn a_hook_is_fired_at_its_rate() {
    let receiver = Receiver::start().await;
    let hook = a_hook("channel_create").to(&receiver).with("rate_limit_per_s", 10);
    let host = TestHost::builder().without_broker().hook(hook).setting("firing.full_pause_ms", 10).start().await;
    let messages: Vec<Value> = (0..20).map(|_| channel_created(ACCOUNT).to_json()).collect();
    host.put(&format!("/v2/accounts/{ACCOUNT}/messages"), MASTER_KEY, json!({"data": messages}).to_string()).await;
    let arrived: Vec<Instant> = receiver.expect_requests(20).await.iter().map(|request| request.arrived).collect();
    // At most a quarter of a second's worth ahead of time.
    let span = arrived[19] - arrived[0];
    assert!(span >= Duration::from_millis(1500), "20 requests at 10 a second came within {span:?}");
    host.finish().await;
}
