//! The way out: authorities of the operator's own, and an egress proxy, behind which the same addresses are refused.

use std::time::Duration;

use hookbox::{
    attempt::{Fault, Outcome},
    firing::{client::Client, request::PreparedRequest},
    hook::Verb,
    message::Object,
    settings::Settings,
};
use hookbox_tests::{
    connect_proxy::{ConnectProxy, Manner},
    eventually::eventually,
    real_program::Place,
    receiver::{Answer, Receiver},
    samples::{ACCOUNT, channel_created},
    test_host::{Builder, HookDraft, MASTER, MASTER_KEY, TestHost, a_hook},
    tls_receiver::{TlsReceiver, authority_file},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// `Proxy-Authorization` of the user `me` with the password `hunter2!`, and how they are written in the setting.
const CREDENTIALS: (&str, &str) = ("Basic bWU6aHVudGVyMiE=", "me:hunter2%21@");

/// `localhost` is the one name that resolves without a name server, to one address of each family.
fn host() -> Builder {
    TestHost::builder().without_broker().setting("firing.allow_addresses", json!(["127.0.0.0/8", "::1/128"]))
}

fn once(uri: &str) -> HookDraft {
    a_hook("channel_create").to_uri(uri).with("retry_schedule_s", json!([]))
}

/// The only attempt of one firing at this URI.
async fn attempt(builder: Builder, uri: &str) -> Object {
    let hook = once(uri);
    let host = builder.hook(hook.clone()).start().await;
    let (status, envelope) = host.post(ACCOUNT, MASTER_KEY, &channel_created(ACCOUNT)).await;
    assert_eq!(status, 202, "{envelope}");
    let attempt = host.expect_attempts(&hook.id(), 1).await.remove(0);
    host.finish().await;
    attempt
}

fn error(attempt: &Object) -> &str {
    attempt.get("client_error").and_then(Value::as_str).unwrap_or_else(|| panic!("no error in {attempt:?}"))
}

fn trusting(builder: Builder) -> Builder {
    builder.setting("firing.ca_files", json!([authority_file()]))
}

#[tokio::test]
async fn a_receiver_of_a_private_authority_is_refused_until_the_authority_is_trusted() {
    let receiver = TlsReceiver::start();
    let uri = format!("https://localhost:{}/", receiver.address().port());
    let proxy = ConnectProxy::start(Manner::Passes).await;
    for builder in [host(), host().setting("firing.proxy_url", proxy.url(""))] {
        let refused = attempt(builder, &uri).await;
        assert!(error(&refused).starts_with("tls: no TLS with localhost:"), "{refused:?}");
    }
    assert_eq!(proxy.asked().len(), 1);
    assert_eq!(receiver.requests().len(), 0);

    let taken = attempt(trusting(host()), &uri).await;
    assert_eq!(taken.get("resp_status_code"), Some(&json!("200")), "{taken:?}");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn an_authority_file_that_cannot_be_used_ends_the_start_and_doctor_says_so() {
    for (file, problem) in [("none.pem", "cannot be read"), ("hookbox.toml", "has no certificate")] {
        let place = Place::with_settings(&format!("firing.ca_files = [{file:?}]"));
        let said = place.call(&["serve", "--config", "hookbox.toml"]).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
        assert!(said.stderr.contains(&format!("hookbox: firing.ca_files: {file} {problem}")), "{said:?}");
        assert!(said.stderr.contains("; name a readable PEM file"), "{said:?}");

        let said = place.call(&["doctor", "--config", "hookbox.toml"]).await;
        let wrong: Vec<_> = said.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
        assert!(
            matches!(&wrong[..], [line] if line.contains(&format!("certificates: firing.ca_files: {file}"))),
            "{said:?}"
        );
        assert_eq!(said.code, 1);
    }
}

#[tokio::test]
async fn requests_go_through_the_proxy_to_addresses_and_keep_their_receivers_names() {
    let proxy = ConnectProxy::start(Manner::Wants(CREDENTIALS.0.to_owned())).await;
    let through = || trusting(host()).setting("firing.proxy_url", proxy.url(CREDENTIALS.1));
    let (plain, tls) = (Receiver::start().await, TlsReceiver::start());
    let (port, tls_port) = (plain.address().port(), tls.address().port());

    let first = attempt(through(), &format!("http://localhost:{port}/in?a=b")).await;
    let second = attempt(through(), &format!("https://localhost:{tls_port}/")).await;
    let third = attempt(through(), &format!("https://127.0.0.1:{tls_port}/")).await;

    for attempt in [&first, &second, &third] {
        assert_eq!(attempt.get("resp_status_code"), Some(&json!("200")), "{attempt:?}");
        assert!(!format!("{attempt:?}").contains("hunter2"));
    }
    let asked = proxy.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    let connect = |port: u16| format!("CONNECT 127.0.0.1:{port} HTTP/1.1");
    assert_eq!(lines, [connect(port), connect(tls_port), connect(tls_port)]);
    assert!(asked.iter().all(|asked| asked.header("host").is_some_and(|host| host.starts_with("127.0.0.1:"))));

    let request = plain.expect_requests(1).await.remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in?a=b"));
    assert_eq!(request.header("host"), Some(format!("localhost:{port}").as_str()));
    assert_eq!(request.header("proxy-authorization"), None, "the password is the proxy's alone");
    let names: Vec<_> = tls.requests().into_iter().map(|greeted| greeted.server_name).collect();
    assert_eq!(names, [Some("localhost".to_owned()), None]);
    assert!(tls.requests()[0].text.contains(&format!("\r\nhost: localhost:{tls_port}\r\n")));
}

#[tokio::test]
async fn a_request_is_the_same_with_and_without_the_proxy() {
    let proxy = ConnectProxy::start(Manner::Passes).await;
    let receiver = Receiver::start().await.answering_with(Answer::status(200).header("X-Case", "MiXed").body("yes"));
    let uri = receiver.url("/in");
    let direct = sent(None, &["127.0.0.0/8"], &uri).await;
    assert_eq!(direct, sent(Some(proxy.url("")), &["127.0.0.0/8"], &uri).await);

    let requests = receiver.expect_requests(2).await;
    let headers = |request: &hookbox_tests::receiver::Request| {
        let mut headers = request.headers.clone();
        headers.retain(|(name, _)| name != "connection");
        headers.sort();
        headers
    };
    assert_eq!(headers(&requests[0]), headers(&requests[1]));
    assert_eq!((requests[0].text(), &requests[0].target), (requests[1].text(), &requests[1].target));
}

#[tokio::test]
async fn answers_through_the_proxy_are_bounded_alike() {
    let proxy = ConnectProxy::start(Manner::Passes).await;
    for answer in [Answer::endless(), Answer::gzip_bomb(100)] {
        let receiver = Receiver::start().await.answering_with(answer);
        let attempt = attempt(host().setting("firing.proxy_url", proxy.url("")), &receiver.url("/")).await;
        assert_eq!(attempt["resp_body"].as_str().map(str::len), Some(65_536));
        assert_eq!(attempt["resp_body_cut"], true);
    }
    let silent = Receiver::start().await.answering_with(Answer::hang());
    let builder = host().setting("firing.proxy_url", proxy.url("")).setting("firing.request_timeout_ms", 300);
    assert_eq!(error(&attempt(builder, &silent.url("/")).await), "timeout: no whole answer within 300 ms");
    let closing = Receiver::start().await.answering_with(Answer::close());
    let attempt = attempt(host().setting("firing.proxy_url", proxy.url("")), &closing.url("/")).await;
    assert!(error(&attempt).ends_with("closed the connection before it answered"), "{attempt:?}");
}

/// What comes of one request of a client with this proxy, which may dial these networks.
async fn sent(proxy: Option<String>, allow: &[&str], uri: &str) -> Outcome {
    let allow = ("HOOKBOX_FIRING__ALLOW_ADDRESSES".to_owned(), json!(allow).to_string());
    let proxy = proxy.map(|url| ("HOOKBOX_FIRING__PROXY_URL".to_owned(), url));
    let settings = Settings::from_parts(None, [allow].into_iter().chain(proxy)).unwrap();
    let headers = vec![("X-Hook-ID".to_owned(), "h".to_owned())];
    let request = PreparedRequest { verb: Verb::Post, uri: uri.to_owned(), headers, body: "hello".to_owned() };
    Client::new(&settings.firing).unwrap().send(request, Duration::from_secs(10)).await.outcome
}

#[tokio::test]
async fn addresses_of_the_inside_are_refused_before_the_proxy_hears_of_them() {
    let proxy = ConnectProxy::start(Manner::Passes).await;
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    for name in ["127.0.0.1", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254"] {
        let outcome = sent(Some(proxy.url("")), &[], &format!("http://{name}:{port}/")).await;
        assert!(matches!(outcome, Outcome::Failed { fault: Fault::AddressRefused, .. }), "{name}: {outcome:?}");
    }
    assert_eq!((proxy.asked(), receiver.connections()), (vec![], 0));
}

#[tokio::test]
async fn what_the_proxy_does_wrong_is_an_attempt_that_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = format!("http://{}{free}", CREDENTIALS.1);
    let receiver = Receiver::start().await;
    let (uri, target) = (receiver.url("/"), receiver.address());
    let quick = |url: String| host().setting("firing.proxy_url", url).setting("firing.request_timeout_ms", 300);

    let said = attempt(quick(down), &uri).await;
    let expected = format!("connection: the proxy {free} cannot be reached: Connection refused (os error 111)");
    assert_eq!(error(&said), expected);

    for (manner, fault, words) in [
        (Manner::Wants("Basic other".to_owned()), "connection", format!("answered 407 to CONNECT {target}")),
        (Manner::Says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "connection", format!("answered 502 to CONNECT {target}")),
        (Manner::Says(b"HTTP/1.0 302 Found\r\n\r\n"), "connection", format!("answered 302 to CONNECT {target}")),
        (Manner::Says(b"SSH-2.0-OpenSSH_9.2\r\n"), "connection", format!("did not answer CONNECT {target} in HTTP: ")),
        (Manner::Says(b""), "connection", format!("broke off after CONNECT {target}: ")),
        (Manner::Hangs, "timeout", format!("did not answer CONNECT {target} in time")),
    ] {
        let proxy = ConnectProxy::start(manner.clone()).await;
        let attempt = attempt(quick(proxy.url(CREDENTIALS.1)), &uri).await;
        let expected = format!("{fault}: the proxy {} {words}", proxy.address());
        assert!(error(&attempt).starts_with(&expected), "{manner:?}: {}", error(&attempt));
        let shown = format!("{attempt:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
        assert_eq!(proxy.asked().len(), 1);
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_proxys_password_is_in_no_log() {
    let proxy = ConnectProxy::start(Manner::Says(b"HTTP/1.1 407 No\r\n\r\n")).await;
    let more = format!("firing.proxy_url = {:?}\ntelemetry.log = \"trace\"", proxy.url(CREDENTIALS.1));
    let place = Place::with_settings(&more);
    let hook = once("http://127.0.0.1:9/").of(MASTER);
    place.write("hooks.json", Value::Array(vec![hook.document()]).to_string());
    let imported = place.call(&["import", "kazoo", "hooks.json", "--config", "hookbox.toml"]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    let doctor = place.call(&["doctor", "--config", "hookbox.toml"]).await;
    assert!(doctor.stdout.contains(&format!("ok    proxy: {} reached", proxy.address())), "{doctor:?}");
    let host = place.serve().await;
    host.post(MASTER, &channel_created(MASTER).to_json()).await;
    let log = eventually("the attempt to be logged", async || {
        let log = host.stderr();
        if log.contains("answered 407 to CONNECT 127.0.0.1:9") { Ok(log) } else { Err(log) }
    })
    .await;
    for said in [log, format!("{doctor:?}"), format!("{imported:?}")] {
        assert!(!said.contains("hunter2") && !said.contains("bWU6"), "{said}");
    }
    assert_eq!(host.stop().await, 0);
}
