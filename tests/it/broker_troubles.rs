//! What a broker can do to its clients while it stays up: a link that swallows everything, a queue or an exchange that is
//! deleted, a queue that is another one, a channel that is closed, an alarm, certificates. Nothing that was confirmed is
//! lost, and operators are told what to do.

use std::{collections::BTreeSet, time::Duration};

use hookbox_tests::{
    amqp::{Amqp, Published},
    broker::{Broker, certificate_file},
    chaos_proxy::ChaosProxy,
    eventually::{eventually, eventually_within},
    real_program::{Place, Started},
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created, mms_received},
    test_host::{MASTER_KEY, TestHost, a_hook, http},
};
use lapin::{
    ExchangeKind,
    options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};

/// Longer than any test waits that passes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the host is not ready for a reason with these words.
async fn expect_not_ready(host: &TestHost, words: &str) {
    eventually_within(PATIENCE, &format!("a host that is not ready: {words}"), async || {
        match host.get("/readyz").await {
            (503, reasons) if reasons.contains(words) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

async fn publish_calls(amqp: &Amqp, count: usize) {
    let messages: Vec<_> = (0..count).map(|_| channel_created(ACCOUNT)).collect();
    let published = amqp.publish_all(&messages).await;
    assert!(published.iter().all(|published| *published == Published::Routed), "the queue is not bound");
}

/// Waits until so many different calls have arrived.
async fn expect_calls(receiver: &Receiver, count: usize) {
    eventually_within(PATIENCE, &format!("{count} calls"), async || {
        let calls: BTreeSet<_> =
            receiver.requests().iter().map(|request| request.json()["call_id"].to_string()).collect();
        if calls.len() == count { Ok(()) } else { Err(calls.len()) }
    })
    .await;
}

#[tokio::test]
async fn a_link_that_swallows_everything_is_found_by_heartbeats() {
    let vhost = Broker::shared().await.vhost().await;
    let mut proxy = ChaosProxy::start(vhost.amqp_port).await;
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .amqp_url(vhost.url_through(proxy.port()))
        .setting("amqp.heartbeat_s", 1)
        .setting("amqp.connect_timeout_ms", 300)
        .setting("amqp.reconnect_pause_ms_max", 200)
        .start_on(Some(vhost))
        .await;
    proxy.stall();
    expect_not_ready(&host, "amqp.").await;
    publish_calls(host.amqp.as_ref().unwrap(), 5).await;
    // Connections are taken and nothing answers: a try to connect ends too.
    expect_not_ready(&host, "amqp.connect_timeout_ms").await;
    proxy.restore().await;
    host.running.ready().await;
    expect_calls(&receiver, 5).await;
    host.finish().await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_made_and_bound_anew() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .setting("amqp.reconnect_pause_ms_max", 10_000)
        .start()
        .await;
    let amqp = host.amqp.as_ref().unwrap();
    publish_calls(amqp, 3).await;
    expect_calls(&receiver, 3).await;
    amqp.channel().queue_delete("hookbox".into(), QueueDeleteOptions::default()).await.unwrap();
    expect_not_ready(&host, "was the queue deleted?").await;
    host.running.ready().await;
    publish_calls(amqp, 20).await;
    expect_calls(&receiver, 23).await;
    host.finish().await;
}

#[tokio::test]
async fn an_exchange_that_is_deleted_is_bound_anew_when_it_is_there_again() {
    let receiver = Receiver::start().await;
    let host =
        TestHost::builder().hook(a_hook("channel_create").to(&receiver)).setting("amqp.rebind_ms", 100).start().await;
    let amqp = host.amqp.as_ref().unwrap();
    publish_calls(amqp, 1).await;
    let exchange = channel_created(ACCOUNT).exchange;
    let delete = ExchangeDeleteOptions::default();
    amqp.channel().exchange_delete(exchange.as_str().into(), delete).await.unwrap();
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    let call = channel_created(ACCOUNT);
    eventually("the binding to be there again", async || match amqp.publish(&call).await {
        Published::Routed => Ok(()),
        other => Err(other),
    })
    .await;
    expect_calls(&receiver, 2).await;
    host.finish().await;
}

/// Waits until a host that was started says where it listens.
async fn address_of(host: &Started) -> String {
    eventually_within(PATIENCE, "the host's address", async || {
        let said = host.stdout();
        said.lines().find_map(|line| line.strip_prefix("api ")).map(str::to_owned).ok_or(said)
    })
    .await
}

#[tokio::test]
async fn a_queue_of_another_kind_is_said_with_what_to_do_and_ends_no_process() {
    let vhost = Broker::shared().await.vhost().await;
    let amqp = Amqp::connect(&vhost).await;
    amqp.channel()
        .queue_declare("hookbox".into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    let url = vhost.url();
    let place = Place::with_settings(&format!("amqp.url = \"{url}\"\namqp.reconnect_pause_ms_max = 100"));
    let host = place.start(&["serve", "--config", "hookbox.toml"], &[]);
    let ready = format!("{}/readyz", address_of(&host).await);
    let remedy = "set amqp.queue_type and amqp.delivery_limit to what it has, or name another queue in amqp.queue, or let \
                  it run empty and delete it (rabbitmqctl delete_queue hookbox)";
    eventually_within(PATIENCE, "the remedy in /readyz", async || {
        let answer = http().get(&ready).send().await.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        if status == 503 && text.contains(remedy) { Ok(()) } else { Err(text) }
    })
    .await;
    // Seconds, in which the host tries some dozen times.
    let said = place.call(&["doctor", "--config", "hookbox.toml"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    let wrong: Vec<_> = said.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(wrong.len() == 1 && wrong[0].starts_with("WRONG queue: ") && wrong[0].contains(remedy), "{said:?}");

    amqp.channel().queue_delete("hookbox".into(), QueueDeleteOptions::default()).await.unwrap();
    eventually_within(PATIENCE, "the host to be ready", async || {
        let said = host.stdout();
        if said.lines().any(|line| line == "ready") { Ok(()) } else { Err(said) }
    })
    .await;
    host.signal("TERM");
    let said = host.ended().await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.stderr.matches("is there with other arguments").count(), 1, "said once: {said:?}");
}

#[tokio::test]
async fn what_is_refused_at_the_door_is_said_with_what_to_do() {
    let vhost = Broker::shared().await.vhost().await;
    let port = vhost.amqp_port;
    for (url, remedy) in [
        (format!("amqp://hookbox:hunter2@127.0.0.1:{port}/{}", vhost.name), "check them in amqp.url"),
        (format!("amqp://hookbox:hookbox@127.0.0.1:{port}/nowhere"), "there is no such vhost"),
        ("amqp://hookbox:hunter2@127.0.0.1:1".to_owned(), "check amqp.url and that the broker runs"),
    ] {
        let place = Place::with_settings(&format!("amqp.url = \"{url}\""));
        let said = place.call(&["doctor", "--config", "hookbox.toml"]).await;
        assert!(said.code == 1 && said.stdout.contains(remedy), "{remedy}: {said:?}");
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    }
}

#[tokio::test]
async fn behind_tls_with_certificates_of_both_sides_and_the_second_of_two_brokers() {
    let broker = Broker::boot_with_tls().await;
    let vhost = broker.vhost().await;
    let url = broker.tls_url(&vhost, "127.0.0.1");
    let doctor = async |more: &str, url: &str| {
        let place = Place::with_settings(&format!("amqp.url = {url:?}\n{more}"));
        let said = place.call(&["doctor", "--config", "hookbox.toml"]).await;
        (said.code, said.stdout.lines().find(|line| line.contains(" broker: ")).unwrap_or_default().to_owned())
    };
    let authority = format!("amqp.ca_files = [{:?}]\n", certificate_file("authority.pem"));
    let (cert, key) = (certificate_file("client.pem"), certificate_file("client.key"));
    let client = format!("{authority}amqp.client_cert_file = {cert:?}\namqp.client_key_file = {key:?}\n");
    for (more, url, words) in [
        ("", url.as_str(), "put the authority's PEM file on the list amqp.ca_files"),
        (authority.as_str(), url.as_str(), "amqp.client_cert_file"),
        (client.as_str(), &url.replace("127.0.0.1", "127.0.0.2"), "check amqp.url"),
        (client.as_str(), &format!("amqps://hookbox:hookbox@127.0.0.1:{}/", vhost.amqp_port), "no TLS on that port"),
    ] {
        let (code, line) = doctor(more, url).await;
        assert!(code == 1 && line.starts_with("WRONG broker: ") && line.contains(words), "{words}: {line}");
    }
    let (code, line) = doctor(&client, &url).await;
    assert_eq!((code, line.as_str()), (0, "ok    broker: reached"));

    let urls = format!("[\"amqp://hookbox:hunter2@127.0.0.1:1/x\", \"{}\"]", broker.tls_url(&vhost, "localhost"));
    let receiver = Receiver::start().await;
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .amqp_url(urls)
        .setting("amqp.ca_files", format!("[{:?}]", certificate_file("authority.pem")))
        .setting("amqp.client_cert_file", cert.display().to_string())
        .setting("amqp.client_key_file", key.display().to_string())
        .start_on(Some(vhost))
        .await;
    publish_calls(host.amqp.as_ref().unwrap(), 3).await;
    expect_calls(&receiver, 3).await;
    let connections = broker.rabbitmqctl(&["list_connections", "-q", "ssl", "client_properties"]).await;
    for part in ["ingress", "changes", "notices", "bulk requests"] {
        let named = connections.lines().filter(|line| line.contains(&format!("hookbox {part} hookbox@")));
        assert!(
            named.clone().count() == 1 && named.clone().all(|line| line.starts_with("true")),
            "{part}: {connections}"
        );
    }
    host.finish().await;
}

#[tokio::test]
async fn an_alarm_keeps_notices_waiting_and_nothing_else_and_a_channel_that_is_closed_is_opened_anew() {
    let broker = Broker::boot().await;
    let (receiver, gone) = (Receiver::start().await, Receiver::start().await.answering([410]));
    receiver.answer_from_now_on([Answer::status(200).after(Duration::from_millis(100))]);
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .hook(a_hook("mms").to(&gone))
        .setting("amqp.prefetch", 2)
        .setting("firing.park_after_ms", 60_000)
        .start_on(Some(broker.vhost().await))
        .await;
    let amqp = host.amqp.as_ref().unwrap();
    let disabled = amqp.listen("notifications", "notifications.webhook.disabled").await;
    publish_calls(amqp, 60).await;
    broker.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    // What is in the queue goes on; the platform cannot publish either, so the other hook hears over HTTP.
    host.post(ACCOUNT, MASTER_KEY, &mms_received(ACCOUNT)).await;
    eventually("an operator who is told", async || match host.get("/readyz").await {
        (200, text) if text.contains("takes nothing that is published") => Ok(()),
        other => Err(other),
    })
    .await;
    expect_calls(&receiver, 60).await;
    let place = Place::new();
    place.write("one.json", mms_received(ACCOUNT).to_json().to_string());
    let url = host.vhost.as_ref().unwrap().url();
    let soon = [("HOOKBOX_AMQP__CONFIRM_TIMEOUT_MS", "500")];
    let said = place.call_with(&["publish", "one.json", "--amqp", &url], &soon).await;
    assert!(said.code == 1 && said.stdout.contains("(message 1)") && said.stdout.contains("alarm"), "{said:?}");

    broker.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    disabled.next().await;
    eventually("the warning to go", async || match host.get("/readyz").await {
        (200, text) if !text.contains("takes nothing that is published") => Ok(()),
        other => Err(other),
    })
    .await;

    host.finish().await;

    // A delivery that is worked on for longer than the broker stands has its channel closed.
    let impatient = "application:set_env(rabbit, consumer_timeout, 500), \
                     application:set_env(rabbit, channel_tick_interval, 500).";
    broker.rabbitmqctl(&["eval", impatient]).await;
    let receiver = Receiver::start().await.answering_with(Answer::status(200).after(Duration::from_secs(5)));
    let host = TestHost::builder()
        .hook(a_hook("channel_create").to(&receiver))
        .setting("firing.park_after_ms", 60_000)
        .setting("amqp.reconnect_pause_ms_max", 10_000)
        .start_on(Some(broker.vhost().await))
        .await;
    publish_calls(host.amqp.as_ref().unwrap(), 1).await;
    expect_not_ready(&host, "raise the broker's consumer_timeout").await;
    receiver.answer_from_now_on([Answer::status(200)]);
    host.running.ready().await;
    let requests = receiver.expect_requests(2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    host.finish().await;
}
