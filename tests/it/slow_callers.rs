//! Callers of REST who are slow, or send too much of what comes before a body: each is cut off, and nobody else waits.

use std::time::Duration;

use hookbox_tests::test_host::{Builder, MASTER_KEY, TestHost};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// For a host that cuts off after a fraction of a second. A passing test does not wait it out.
const PATIENCE: Duration = Duration::from_secs(20);

async fn a_host(settings: impl FnOnce(Builder) -> Builder) -> TestHost {
    settings(TestHost::builder().without_broker()).start().await
}

async fn connected(host: &TestHost) -> TcpStream {
    TcpStream::connect(host.running.api_address).await.unwrap()
}

/// What comes until the host closes the connection.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset ends it too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the host closes the connection");
    said
}

fn status(said: &[u8]) -> &str {
    let line = said.split(|byte| *byte == b'\r').next().unwrap_or_default();
    std::str::from_utf8(line).unwrap_or_default()
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    let host = a_host(|host| host.setting("api.header_timeout_ms", 200)).await;
    let mut stream = connected(&host).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.is_empty() || status(&said) == "HTTP/1.1 408 Request Timeout", "{}", status(&said));
    assert_eq!(host.get("/healthz").await.0, 200);
    host.finish().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_408() {
    let host = a_host(|host| host.setting("api.request_timeout_ms", 300)).await;
    let mut stream = connected(&host).await;
    let head = format!(
        "PUT /v2/accounts/x/webhooks HTTP/1.1\r\nhost: a\r\nx-auth-token: {MASTER_KEY}\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(status(&until_closed(&mut stream).await), "HTTP/1.1 408 Request Timeout");
    host.finish().await;
}

#[tokio::test]
async fn too_many_headers_and_too_long_ones_are_refused() {
    let host = a_host(|host| host.setting("api.headers_max", 20).setting("api.header_bytes_max", 8192)).await;
    for headers in ["x: 1\r\n".repeat(30), format!("x: {}\r\n", "1".repeat(10_000))] {
        let mut stream = connected(&host).await;
        stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await.unwrap();
        let said = until_closed(&mut stream).await;
        assert!(status(&said).starts_with("HTTP/1.1 431"), "{}", status(&said));
    }
    host.finish().await;
}

#[tokio::test]
async fn who_does_not_take_the_answer_is_cut_off() {
    const REQUESTS: usize = 400;
    let host = a_host(|host| host.setting("api.request_timeout_ms", 300)).await;
    let (_, whole) = host.get("/openapi.json").await;
    let mut stream = connected(&host).await;
    let request = "GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(REQUESTS);
    // The answers fill all buffers on the way; the host stops reading, then closes.
    let _ = timeout(PATIENCE, stream.write_all(request.as_bytes())).await.expect("they are taken, or refused");
    let closed = hookbox_tests::eventually::eventually("the host to close the connection", async || {
        match stream.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await {
            Err(_) => Ok(()),
            Ok(written) => Err(written),
        }
    });
    closed.await;
    let said = until_closed(&mut stream).await.len();
    assert!(said < whole.len() * REQUESTS, "{said} bytes came: all of it");
    host.finish().await;
}

#[tokio::test]
async fn connections_over_the_bound_wait_for_one_to_end() {
    let host = a_host(|host| host.setting("api.connections_max", 2)).await;
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut said = [0; 15];
        stream.read_exact(&mut said).await.unwrap();
        said
    };
    let (mut first, mut second) = (connected(&host).await, connected(&host).await);
    ask(&mut first).await;
    ask(&mut second).await;
    let mut third = connected(&host).await;
    timeout(Duration::from_millis(100), ask(&mut third)).await.expect_err("there is no place for it");
    drop(first);
    let mut answered = [0; 15];
    timeout(PATIENCE, third.read_exact(&mut answered)).await.expect("its turn has come").unwrap();
    assert_eq!(&answered, b"HTTP/1.1 200 OK");
    drop((second, third));
    host.finish().await;
}
