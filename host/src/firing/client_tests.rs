//! Tests of the client against scripted receivers: sockets that answer with given bytes.

use std::{
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
};

use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use reqwest::dns::Resolve;

use super::{resolver::LookupError, *};
use crate::settings::Settings;

fn settings() -> FiringSettings {
    FiringSettings {
        allow_addresses: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        response_bytes_max: 1000,
        ..Settings::default().firing
    }
}

fn post(uri: &str) -> PreparedRequest {
    let headers = vec![("X-Hook-ID".to_owned(), "h".to_owned()), ("content-type".to_owned(), "text/plain".to_owned())];
    PreparedRequest { verb: Verb::Post, uri: uri.to_owned(), headers, body: "hello".to_owned() }
}

async fn send(uri: &str) -> Outcome {
    Client::new(&settings()).unwrap().send(post(uri), Duration::from_secs(2)).await.outcome
}

fn failed(outcome: Outcome) -> (Fault, String) {
    match outcome {
        Outcome::Failed { fault, detail } => (fault, detail),
        answered => (Fault::TransformFailed, format!("{answered:?}")),
    }
}

fn answered(outcome: Outcome) -> (u16, Vec<(String, String)>, String, bool) {
    match outcome {
        Outcome::Answered { status, headers, body, body_cut } => (status, headers, body, body_cut),
        Outcome::Failed { fault, detail } => (0, Vec::new(), format!("{fault:?} {detail}"), false),
        Outcome::Dropped => (0, Vec::new(), "dropped".to_owned(), false),
    }
}

/// A receiver that reads one request head with its five bytes of body and writes `answer`, on every connection, until
/// the other side is gone. Gives its port and how many connections it took.
async fn receiver(answer: &'static [u8], stay: bool) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, answer, stay));
        }
    });
    (port, connections)
}

async fn serve(mut stream: TcpStream, answer: &'static [u8], stay: bool) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or_default();
        if count == 0 {
            return;
        }
        read.extend_from_slice(&buffer[..count]);
        if read.ends_with(b"\r\n\r\nhello") {
            read.clear();
            if stream.write_all(answer).await.is_err() || !stay {
                return;
            }
        }
    }
}

#[tokio::test]
async fn an_answer_comes_as_it_is_and_connections_are_used_again() {
    let (port, connections) = receiver(
        b"HTTP/1.1 202 Accepted\r\nX-Case: MiXed\r\nX-Twice: 1\r\nX-Twice: 2\r\ncontent-length: 3\r\n\r\n\xffok",
        true,
    )
    .await;
    let client = Client::new(&settings()).unwrap();
    for _ in 0..3 {
        let Exchanged { outcome, took: duration, .. } =
            client.send(post(&format!("http://127.0.0.1:{port}/")), Duration::from_secs(2)).await;
        let (status, headers, body, cut) = answered(outcome);
        assert_eq!((status, body.as_str(), cut), (202, "\u{fffd}ok", false));
        assert!(headers.contains(&("x-case".to_owned(), "MiXed".to_owned())));
        assert_eq!(headers.iter().filter(|(name, _)| name == "x-twice").count(), 2);
        assert!(duration < Duration::from_secs(2));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, connections) = receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).await;
    let answer = format!("HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{target}/\r\ncontent-length: 0\r\n\r\n");
    let (port, _) = receiver(Box::leak(answer.into_boxed_str()).as_bytes(), true).await;
    assert_eq!(answered(send(&format!("http://127.0.0.1:{port}/")).await).0, 307);
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    });
    let (status, _, body, cut) = answered(send(&format!("http://127.0.0.1:{port}/")).await);
    assert_eq!((status, body.len(), cut), (200, 1000, true));
    tokio::time::timeout(Duration::from_secs(5), endless).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_of_just_the_bound_is_whole() {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
    let (port, _) = receiver(Box::leak(answer.into_boxed_str()).as_bytes(), true).await;
    let (_, _, body, cut) = answered(send(&format!("http://127.0.0.1:{port}/")).await);
    assert_eq!((body.len(), cut), (1000, false));
}

fn gzipped(bytes: usize) -> &'static [u8] {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b'x'; bytes]).unwrap();
    let body = encoder.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    Box::leak([head.into_bytes(), body].concat().into_boxed_slice())
}

#[tokio::test]
async fn the_bound_counts_after_decompression() {
    let (port, _) = receiver(gzipped(100_000_000), true).await;
    let (_, _, body, cut) = answered(send(&format!("http://127.0.0.1:{port}/")).await);
    assert_eq!((body.len(), cut), (1000, true));
    let (port, _) = receiver(gzipped(10), true).await;
    assert_eq!(answered(send(&format!("http://127.0.0.1:{port}/")).await).2, "xxxxxxxxxx");
}

#[tokio::test]
async fn what_goes_wrong_has_its_fault() {
    let (port, _) = receiver(b"SSH-2.0-OpenSSH_9.2\r\n", false).await;
    assert_eq!(failed(send(&format!("http://127.0.0.1:{port}/")).await).0, Fault::BadAnswer);
    let (port, _) = receiver(b"", false).await;
    assert_eq!(failed(send(&format!("http://127.0.0.1:{port}/")).await).0, Fault::Connection);
    let (port, _) = receiver(b"HTTP/1.1 200 OK\r\ncontent-le", false).await;
    assert_eq!(failed(send(&format!("http://127.0.0.1:{port}/")).await).0, Fault::Connection);
    let (port, _) = receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", false).await;
    assert_eq!(failed(send(&format!("http://127.0.0.1:{port}/")).await).0, Fault::BadAnswer);
    let (port, _) =
        receiver(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nnogzi", true).await;
    assert_eq!(failed(send(&format!("http://127.0.0.1:{port}/")).await).0, Fault::BadAnswer);
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    assert_eq!(failed(send(&format!("https://127.0.0.1:{port}/")).await).0, Fault::Tls);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (fault, detail) = failed(send(&format!("http://user:s3cret@127.0.0.1:{free}/path?token=s3cret")).await);
    assert_eq!(fault, Fault::Connection);
    assert_eq!(detail, format!("no connection to 127.0.0.1:{free}: Connection refused (os error 111)"));
}

#[tokio::test]
async fn what_cannot_be_sent_is_a_bad_request() {
    assert_eq!(failed(send("no uri").await).0, Fault::BadRequest);
    assert_eq!(failed(send("ftp://127.0.0.1/").await).0, Fault::BadRequest);
    let mut request = post("http://127.0.0.1:1/");
    request.headers.push(("X-A".to_owned(), "a\r\nb: c".to_owned()));
    let outcome = Client::new(&settings()).unwrap().send(request, Duration::from_secs(1)).await.outcome;
    assert_eq!(
        failed(outcome),
        (Fault::BadRequest, "the header \"X-A\" cannot be sent; mend the hook's headers".to_owned())
    );
}

#[tokio::test]
async fn the_deadline_covers_head_and_body() {
    let client = Client::new(&settings()).unwrap();
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nslow"] {
        let (port, _) = receiver(answer, true).await;
        let Exchanged { outcome, took: duration, .. } =
            client.send(post(&format!("http://127.0.0.1:{port}/")), Duration::from_millis(200)).await;
        assert_eq!(failed(outcome), (Fault::Timeout, "no whole answer within 200 ms".to_owned()));
        assert!(duration >= Duration::from_millis(200) && duration < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn literal_addresses_are_judged_in_all_forms() {
    let closed = FiringSettings { allow_addresses: Vec::new(), ..settings() };
    let client = Client::new(&closed).unwrap();
    let (port, connections) = receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).await;
    for host in [
        "127.0.0.1",
        "0",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
    ] {
        let Exchanged { outcome, .. } =
            client.send(post(&format!("http://{host}:{port}/")), Duration::from_secs(2)).await;
        assert_eq!(failed(outcome).0, Fault::AddressRefused, "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn names_are_resolved_here_and_judged() {
    // `localhost` is the one name that resolves without a name server. Past the check of literals, the resolver judges.
    let resolver = JudgingResolver::new(Arc::from([]));
    let Err(error) = resolver.resolve("localhost".parse().unwrap()).await else { unreachable!("it is refused") };
    assert!(matches!(error.downcast_ref::<LookupError>(), Some(LookupError::Refused { .. })), "{error}");

    let allowing = JudgingResolver::new(Arc::from(settings().allow_addresses));
    let dialled: Vec<_> = allowing.resolve("localhost".parse().unwrap()).await.unwrap().collect();
    assert!(!dialled.is_empty() && dialled.iter().all(|address| address.ip().is_loopback()));
    let (port, _) = receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).await;
    assert_eq!(answered(send(&format!("http://localhost:{port}/")).await).0, 200);
}

#[tokio::test]
async fn a_refusal_by_the_resolver_is_found_by_its_type() {
    let builder = reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(JudgingResolver::new(Arc::from([]))));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = builder.tls_certs_only([]).build().unwrap();
    let error = http.get("http://localhost:9/").send().await.unwrap_err();
    let failure = Failure::of(&error, "localhost:9");
    assert_eq!(failure.fault, Fault::AddressRefused);
    assert!(failure.detail.starts_with("localhost is refused: 127.0.0.1 is a loopback address"), "{}", failure.detail);
}

#[tokio::test]
async fn a_name_with_a_bad_address_is_refused_before_the_proxy_hears_of_it() {
    // Past the check of literals, as for any other name.
    let (port, connections) = receiver(b"HTTP/1.1 200 OK\r\n\r\n", true).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let proxy = format!("http://127.0.0.1:{port}").try_into().unwrap();
    let resolver = JudgingResolver::new(Arc::from([]));
    let tunnel = Tunnel::new(&proxy, Duration::from_secs(2), resolver, trust::tls_config(&[]));
    let uri = Url::parse("http://localhost:9/").unwrap();
    let opened = tunnel.open(&uri, Instant::now() + Duration::from_secs(2)).await.unwrap();
    let failure = opened.err().unwrap();
    assert_eq!(failure.fault, Fault::AddressRefused);
    assert!(failure.detail.starts_with("localhost is refused: 127.0.0.1 is a loopback address"), "{}", failure.detail);
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_without_address_says_so() {
    assert_eq!(
        failed(send("http://nowhere.invalid/").await),
        (Fault::NameLookup, "nowhere.invalid has no address".to_owned())
    );
}

#[tokio::test]
async fn user_and_password_of_the_uri_are_sent_as_authorization() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&buffer[..count]).to_lowercase()
    });
    send(&format!("http://u:p@127.0.0.1:{port}/in?a=b")).await;
    let seen = seen.await.unwrap();
    assert!(seen.starts_with("post /in?a=b http/1.1\r\n"), "{seen}");
    assert!(seen.contains("authorization: basic dtpw\r\n"), "{seen}");
    assert!(seen.contains("x-hook-id: h\r\n") && !seen.contains("user-agent: reqwest"), "{seen}");
}
