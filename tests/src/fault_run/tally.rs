//! A receiver that counts each webhook id, and can be away.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::{
    receiver::{Inbound, Outbound},
    rig::message_number,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Answers 200 to everything, and counts. Dropped, it closes everything.
pub struct Tally {
    address: SocketAddr,
    answers_after: Duration,
    seen: Arc<Mutex<Seen>>,
    /// None while it is away.
    accepting: Option<AbortHandle>,
}

/// What it has seen, in figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Different messages.
    pub messages: u64,
    /// Requests beyond the first of their webhook ids.
    pub duplicates: u64,
    /// Messages that came under more than one webhook id.
    pub under_two_ids: u64,
    /// From the first request to the last.
    pub span: Duration,
}

#[derive(Default)]
struct Seen {
    /// The message of each webhook id, and how often that came.
    by_id: HashMap<String, (u64, u64)>,
    ids_of: BTreeMap<u64, u32>,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Tally {
    /// Listens on a free port.
    pub async fn start(answers_after: Duration) -> Tally {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let mut tally = Tally { address, answers_after, seen: Arc::default(), accepting: None };
        tally.accept(listener);
        tally
    }

    /// Where requests go.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Closes every connection and refuses new ones.
    pub async fn go_away(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            while !accepting.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Listens again.
    pub async fn come_back(&mut self) {
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).await;
            self.accept(listener.expect("the receiver's port to be free still"));
        }
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Counts {
        let seen = lock(&self.seen);
        Counts {
            messages: seen.ids_of.len() as u64,
            duplicates: seen.by_id.values().map(|(_, times)| times - 1).sum(),
            under_two_ids: seen.ids_of.values().filter(|ids| **ids > 1).count() as u64,
            span: seen.first.zip(seen.last).map_or(Duration::ZERO, |(first, last)| last - first),
        }
    }

    /// Which of these messages it has not seen.
    pub fn missing(&self, numbers: &BTreeSet<u64>) -> BTreeSet<u64> {
        let seen = lock(&self.seen);
        numbers.iter().copied().filter(|number| !seen.ids_of.contains_key(number)).collect()
    }

    fn accept(&mut self, listener: TcpListener) {
        let (seen, answers_after) = (Arc::clone(&self.seen), self.answers_after);
        self.accepting = Some(
            tokio::spawn(async move {
                // In the set, so that they end with this task.
                let mut connections = JoinSet::new();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    connections.spawn(serve(stream, answers_after, Arc::clone(&seen)));
                    while connections.try_join_next().is_some() {}
                }
            })
            .abort_handle(),
        );
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl Seen {
    fn note(&mut self, webhook_id: &str, number: u64) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        match self.by_id.get_mut(webhook_id) {
            Some((_, times)) => *times += 1,
            None => {
                self.by_id.insert(webhook_id.to_owned(), (number, 1));
                *self.ids_of.entry(number).or_default() += 1;
            }
        }
    }
}

async fn serve(stream: TcpStream, answers_after: Duration, seen: Arc<Mutex<Seen>>) {
    stream.set_nodelay(true).ok();
    let (reader, writer) = stream.into_split();
    let (mut inbound, mut outbound) = (Inbound::new(reader), Outbound::new(writer));
    while let Ok(Some(request)) = inbound.next().await {
        let id = request.header("webhook-id").unwrap_or_else(|| panic!("a request without webhook-id: {request}"));
        let number = message_number(&request.body).unwrap_or_else(|| panic!("a request of no message: {request}"));
        lock(&seen).note(id, number);
        if !answers_after.is_zero() {
            tokio::time::sleep(answers_after).await;
        }
        if !outbound.write(ANSWER).await {
            return;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("no holder panicked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::http;

    async fn send(tally: &Tally, id: &str, number: u64) -> Result<u16, reqwest::Error> {
        let body = format!("{{\"call_id\":\"bench-1-{number}@203.0.113.7\"}}");
        let sent = http().post(tally.url()).header("webhook-id", id).body(body).send().await;
        sent.map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn counts_each_webhook_id_and_can_be_away() {
        let mut tally = Tally::start(Duration::ZERO).await;
        for (id, number) in [("a", 1), ("b", 2), ("a", 1), ("a", 1), ("c", 2)] {
            assert_eq!(send(&tally, id, number).await.expect("an answer"), 200);
        }
        let counts = tally.counts();
        assert_eq!((counts.messages, counts.duplicates, counts.under_two_ids), (2, 2, 1));
        tally.go_away().await;
        send(&tally, "d", 3).await.expect_err("it is away");
        assert_eq!(tally.missing(&BTreeSet::from([1, 2, 3])), BTreeSet::from([3]));
        tally.come_back().await;
        assert_eq!(send(&tally, "d", 3).await.expect("an answer"), 200);
        assert!(tally.missing(&BTreeSet::from([1, 2, 3])).is_empty());
    }
}
