//! An egress proxy as an operator has one: it takes CONNECT, passes bytes, and records what it was asked. It can be told
//! to want a password, and to misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A proxy on a free port of 127.0.0.1. Dropped, it cuts everything.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: AbortHandle,
}

/// What a proxy does when it is asked for a way.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Connects, and passes everything on.
    Passes,
    /// The same, for whoever sends this `Proxy-Authorization`; 407 to everybody else.
    Wants(String),
    /// Answers with these bytes, and closes.
    Says(&'static [u8]),
    /// Says nothing, and holds the connection.
    Hangs,
}

/// One request to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// E.g. `CONNECT 203.0.113.7:443 HTTP/1.1`.
    pub line: String,
    /// In their own order and case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl ConnectProxy {
    /// Listens on a free port.
    pub async fn start(manner: Manner) -> ConnectProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let asked = Arc::default();
        let journal = Arc::clone(&asked);
        let accepting = tokio::spawn(async move {
            // In the set, so that they are cut with this task.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                connections.spawn(serve(stream, manner.clone(), Arc::clone(&journal)));
                while connections.try_join_next().is_some() {}
            }
        });
        ConnectProxy { address, asked, accepting: accepting.abort_handle() }
    }

    /// For `firing.proxy_url`; with `user:password@` before the address, or nothing.
    pub fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut near: TcpStream, manner: Manner, journal: Arc<Mutex<Vec<Asked>>>) {
    let Some(asked) = read_head(&mut near).await else { return };
    lock(&journal).push(asked.clone());
    let target = asked.line.strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    match (manner, target) {
        (Manner::Hangs, _) => std::future::pending().await,
        (Manner::Says(bytes), _) => drop(near.write_all(bytes).await),
        (Manner::Wants(authorization), _) if asked.header("proxy-authorization") != Some(&authorization) => {
            drop(near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await);
        }
        (_, None) => drop(near.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n").await),
        (_, Some(target)) => match TcpStream::connect(target).await {
            Ok(mut far) => {
                drop(near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await);
                drop(copy_bidirectional(&mut near, &mut far).await);
            }
            Err(_) => drop(near.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await),
        },
    }
}

/// The head of a request, byte for byte, so that nothing behind it is taken. None when the connection ends in it.
async fn read_head(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    Some(Asked { line, headers: headers.collect() })
}

fn lock(journal: &Mutex<Vec<Asked>>) -> MutexGuard<'_, Vec<Asked>> {
    journal.lock().expect("no holder panicked")
}
