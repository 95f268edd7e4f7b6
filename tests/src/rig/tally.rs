//! The process behind [`CountingReceiver`](super::CountingReceiver): answers 200 to everything and counts. It must be much
//! faster than what it measures, so it runs on one thread and keeps numbers only.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::receiver::{Inbound, Outbound};

/// In a body, this stands before the time of publishing in microseconds since 1970, a `-`, and the message's number.
pub(super) const MARK: &str = "bench-";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Whether this process was started to be the receiver: then [`receive`] is all that it does.
pub fn is_receiver() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == "receiver")
}

/// Prints two addresses, `target` for requests and `figures`, and serves until it is killed.
#[allow(clippy::print_stdout)]
pub fn receive() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let figures = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("target {}", target.local_addr().expect("a bound port"));
        println!("figures {}", figures.local_addr().expect("a bound port"));
        let tally = Rc::new(RefCell::new(Tally::default()));
        loop {
            tokio::select! {
                Ok((stream, _)) = target.accept() => { tokio::task::spawn_local(count(stream, Rc::clone(&tally))); }
                Ok((mut stream, _)) = figures.accept() => {
                    let figures = tally.borrow_mut().figures();
                    stream.write_all(figures.as_bytes()).await.ok();
                }
            }
        }
    });
}

#[derive(Default)]
struct Tally {
    /// By message number.
    seen: Vec<bool>,
    count: u64,
    repeated: u64,
    first_us: u64,
    last_us: u64,
    latencies_us: Vec<u64>,
}

impl Tally {
    fn note(&mut self, body: &[u8], now_us: u64) {
        let Some((published_us, number)) = mark(body) else { return };
        if self.seen.len() <= number {
            self.seen.resize(number + 1, false);
        }
        if std::mem::replace(&mut self.seen[number], true) {
            self.repeated += 1;
            return;
        }
        if self.count == 0 {
            self.first_us = now_us;
        }
        self.count += 1;
        self.last_us = now_us;
        self.latencies_us.push(now_us.saturating_sub(published_us));
    }

    fn figures(&mut self) -> String {
        self.latencies_us.sort_unstable();
        let at = |share: f64| {
            let index = (self.latencies_us.len() as f64 * share) as usize;
            self.latencies_us.get(index).copied().unwrap_or_default()
        };
        json!({
            "count": self.count,
            "repeated": self.repeated,
            "span_us": self.last_us - self.first_us,
            "latency_p50_us": at(0.50),
            "latency_p99_us": at(0.99),
        })
        .to_string()
    }
}

async fn count(stream: TcpStream, tally: Rc<RefCell<Tally>>) {
    stream.set_nodelay(true).ok();
    let (reader, writer) = stream.into_split();
    let (mut inbound, mut outbound) = (Inbound::new(reader), Outbound::new(writer));
    while let Ok(Some(body)) = inbound.next_body().await {
        tally.borrow_mut().note(body, now_us());
        if !outbound.write(ANSWER).await {
            return;
        }
    }
}

/// Microseconds since 1970, as the publisher and the receiver on this machine both tell them.
#[expect(clippy::disallowed_methods, reason = "two processes are measured against one clock")]
pub(super) fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    u64::try_from(now.as_micros()).expect("a clock of this age")
}

/// The number of the message in this body.
pub(crate) fn message_number(body: &[u8]) -> Option<u64> {
    mark(body).map(|(_, number)| number as u64)
}

/// When the message in this body was published, and its number.
fn mark(body: &[u8]) -> Option<(u64, usize)> {
    let start = body.windows(MARK.len()).position(|window| window == MARK.as_bytes())? + MARK.len();
    let mut numbers = body[start..].split(|byte| !byte.is_ascii_digit());
    let mut number = || std::str::from_utf8(numbers.next()?).ok()?.parse().ok();
    let published_us: u64 = number()?;
    Some((published_us, usize::try_from(number()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_message_once() {
        let mut tally = Tally::default();
        tally.note(b"{\"call_id\":\"bench-1000-0@203.0.113.7\"}", 1500);
        tally.note(b"{\"call_id\":\"bench-1000-7@203.0.113.7\"}", 4500);
        tally.note(b"{\"call_id\":\"bench-1000-7@203.0.113.7\"}", 9500);
        tally.note(b"no mark", 9900);
        assert_eq!((tally.count, tally.repeated, tally.last_us - tally.first_us), (2, 1, 3000));
        assert!(tally.figures().contains("\"latency_p99_us\":3500"));
    }
}
