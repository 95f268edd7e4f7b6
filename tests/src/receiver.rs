//! The customer's server, scripted: it records every request as it came and answers as it is told, also badly.
//!
//! ```no_run
//! # use hookbox_tests::receiver::Receiver;
//! # async fn example() {
//! let receiver = Receiver::start().await.answering([500, 200]);
//! // …let the host fire at receiver.url("/hook")…
//! let requests = receiver.expect_requests(2).await;
//! assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
//! # }
//! ```
//!
//! The script answers requests in the order in which they arrive, whatever the connection; its last answer repeats. A
//! receiver that was told nothing answers 200. Dropped, it closes everything, hanging requests too.

mod answer;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::eventually::eventually;

pub use answer::Answer;
pub use wire::{Inbound, Outbound, Request};

/// A scripted HTTP server on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    journal: Arc<Mutex<Journal>>,
    accepting: AbortHandle,
}

/// What it was told to answer and what it has seen.
#[derive(Debug)]
struct Journal {
    /// Never empty; the last one repeats.
    script: Vec<Answer>,
    /// Of the script, how many are used up.
    answered: usize,
    requests: Vec<Request>,
    connections: usize,
    /// Connections that sent what is not HTTP.
    faults: Vec<String>,
}

impl Receiver {
    /// Listens on a free port and answers 200 until told otherwise.
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let script = vec![Answer::status(200)];
        let journal = Journal { script, answered: 0, requests: Vec::new(), connections: 0, faults: Vec::new() };
        let journal = Arc::new(Mutex::new(journal));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&journal))).abort_handle();
        Receiver { address, journal, accepting }
    }

    /// Answers with these statuses, one a request; the last one repeats.
    pub fn answering(self, statuses: impl IntoIterator<Item = u16>) -> Receiver {
        self.answering_in_turn(statuses.into_iter().map(Answer::status))
    }

    /// Answers every request so.
    pub fn answering_with(self, answer: Answer) -> Receiver {
        self.answering_in_turn([answer])
    }

    /// Answers so, one a request; the last one repeats.
    pub fn answering_in_turn(self, answers: impl IntoIterator<Item = Answer>) -> Receiver {
        self.answer_from_now_on(answers);
        self
    }

    /// Another script, for requests from now on.
    pub fn answer_from_now_on(&self, answers: impl IntoIterator<Item = Answer>) {
        let script: Vec<_> = answers.into_iter().collect();
        assert!(!script.is_empty(), "a receiver's script needs an answer");
        let mut journal = self.journal();
        journal.script = script;
        journal.answered = 0;
    }

    /// An address on this receiver: `url("/a?b=c")` is `http://127.0.0.1:PORT/a?b=c`.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, in the order in which their bodies were complete.
    pub fn requests(&self) -> Vec<Request> {
        self.journal().requests.clone()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.journal().connections
    }

    /// What arrived that is not HTTP, one sentence a connection.
    pub fn faults(&self) -> Vec<String> {
        self.journal().faults.clone()
    }

    /// Waits until `count` requests have arrived and returns them; fails at the deadline, and when more have arrived.
    pub async fn expect_requests(&self, count: usize) -> Vec<Request> {
        let requests = eventually(&format!("{count} requests at {}", self.address), async || {
            let journal = self.journal();
            if journal.requests.len() >= count { Ok(journal.requests.clone()) } else { Err(journal.summary()) }
        })
        .await;
        assert_eq!(requests.len(), count, "more requests than expected: {:?}", self.journal().summary());
        requests
    }

    /// Watches for a while and fails when a request arrives: for what must not be sent. Takes the whole while, so keep
    /// it short.
    pub async fn expect_silence(&self, watch: Duration) {
        let before = self.journal().requests.len();
        tokio::time::sleep(watch).await;
        let journal = self.journal();
        assert_eq!(journal.requests.len(), before, "a request came within {watch:?}: {:?}", journal.summary());
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Journal {
    fn summary(&self) -> Vec<String> {
        self.requests.iter().map(ToString::to_string).chain(self.faults.iter().cloned()).collect()
    }

    fn next_answer(&mut self) -> Answer {
        let answer = self.script[self.answered.min(self.script.len() - 1)].clone();
        self.answered += 1;
        answer
    }
}

/// The connections are in the set, so that they end with this task.
async fn accept(listener: TcpListener, journal: Arc<Mutex<Journal>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = {
            let mut journal = lock(&journal);
            journal.connections += 1;
            journal.connections
        };
        connections.spawn(serve(stream, number, Arc::clone(&journal)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, connection: usize, journal: Arc<Mutex<Journal>>) {
    stream.set_nodelay(true).ok();
    let (reader, writer) = stream.into_split();
    let mut inbound = Inbound::new(reader);
    let mut outbound = Outbound::new(writer);
    loop {
        let request = match inbound.next().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(fault) => {
                lock(&journal).faults.push(format!("connection {connection}: {fault}"));
                return;
            }
        };
        let head = request.method == "HEAD";
        let answer = {
            let mut journal = lock(&journal);
            journal.requests.push(request.on(connection, Instant::now()));
            journal.next_answer()
        };
        if !answer.send(&mut outbound, head).await {
            return;
        }
    }
}

fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().expect("no holder panicked")
}

#[cfg(test)]
mod tests;
