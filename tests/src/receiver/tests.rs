use std::time::Duration;

use reqwest::{Client, redirect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, Receiver};

fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().redirect(redirect::Policy::none()).build().expect("a client")
}

#[tokio::test]
async fn records_requests_as_they_came_and_answers_in_turn() {
    let receiver = Receiver::start().await.answering([500, 204]);
    let client = client();
    let mut statuses = Vec::new();
    for body in ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"] {
        let request = client.post(receiver.url("/hook?a=b")).header("X-Hook-ID", "h1").body(body);
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [500, 204, 204]);
    let requests = receiver.expect_requests(3).await;
    assert_eq!(requests[1].json()["n"], 2);
    assert_eq!((requests[0].path(), requests[0].query()), ("/hook", Some("a=b")));
    assert_eq!(requests[0].header("x-hook-id"), Some("h1"));
    assert_eq!(requests[0].connection, requests[2].connection);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn reads_chunks_keeps_the_case_of_headers_and_notes_what_is_not_http() {
    let receiver = Receiver::start().await;
    let mut stream = TcpStream::connect(receiver.address()).await.expect("a connection");
    let request =
        b"PUT /x HTTP/1.1\r\nX-mIxEd: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n!\0";
    stream.write_all(request).await.expect("the request to be sent");
    let requests = receiver.expect_requests(1).await;
    assert_eq!(requests[0].text(), "abcde");
    assert_eq!(requests[0].headers[0].0, "X-mIxEd");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(receiver.faults().len(), 1, "{:?}", receiver.faults());
}

#[tokio::test]
async fn answers_badly_as_told() {
    let receiver = Receiver::start().await.answering_in_turn([
        Answer::redirect("http://127.0.0.1:1/"),
        Answer::retry_after(429, 7).body("slow down"),
        Answer::close(),
        Answer::gzip_bomb(64),
        Answer::endless(),
        Answer::drip(3, Duration::from_millis(1)),
        Answer::hang(),
    ]);
    let client = client();
    let get = || client.get(receiver.url("/")).send();

    let redirect = get().await.expect("an answer");
    assert_eq!(
        (redirect.status().as_u16(), &redirect.headers()["location"]),
        (302, &"http://127.0.0.1:1/".parse().expect("a value"))
    );
    let limited = get().await.expect("an answer");
    assert_eq!(limited.headers()["retry-after"], "7");
    assert_eq!(limited.text().await.expect("a body"), "slow down");
    get().await.expect_err("closed without an answer");

    let mut bomb = get().await.expect("an answer");
    let packed: u64 = bomb
        .headers()
        .get("content-length")
        .map_or(0, |length| length.to_str().expect("digits").parse().expect("a number"));
    let mut unpacked = 0;
    while let Ok(Some(chunk)) = bomb.chunk().await {
        assert!(chunk.iter().all(|byte| *byte == 0));
        unpacked += chunk.len();
    }
    assert!(unpacked >= 63 << 20, "{unpacked} bytes unpacked");
    assert!(packed < 256 << 10, "{packed} bytes packed");

    let mut endless = get().await.expect("an answer");
    let mut read = 0;
    while read < 1 << 20 {
        read += endless.chunk().await.expect("more").expect("no end").len();
    }
    drop(endless);
    assert_eq!(get().await.expect("an answer").bytes().await.expect("a body").len(), 3);
    let hanging = client.get(receiver.url("/")).timeout(Duration::from_millis(50)).send().await;
    assert!(hanging.expect_err("no answer").is_timeout());
    receiver.expect_requests(7).await;
}

#[tokio::test]
async fn drops_what_hangs_with_itself() {
    let receiver = Receiver::start().await.answering_with(Answer::hang());
    let request = tokio::spawn(client().get(receiver.url("/")).send());
    receiver.expect_requests(1).await;
    receiver.expect_silence(Duration::from_millis(10)).await;
    drop(receiver);
    request.await.expect("no panic").expect_err("the connection to close");
}
