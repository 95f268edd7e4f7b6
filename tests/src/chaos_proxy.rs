//! A TCP link that can fail: put between host and broker (or host and receiver) to cut, refuse, stall, delay and restore
//! it, while both ends stay up.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A proxy on a port of its own, kept over all outages. Dropped, it cuts.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    link: watch::Sender<Link>,
    /// None while connections are refused.
    accepting: Option<AbortHandle>,
}

/// How what passes is treated.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Before each piece is passed on, in both directions.
    delay: Duration,
    /// Nothing passes, nothing closes.
    stalled: bool,
}

impl ChaosProxy {
    /// Passes everything to a port of this machine until told otherwise.
    pub async fn start(upstream_port: u16) -> ChaosProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut proxy = ChaosProxy {
            address: listener.local_addr().expect("a bound port"),
            upstream: (Ipv4Addr::LOCALHOST, upstream_port).into(),
            link: watch::Sender::new(Link::default()),
            accepting: None,
        };
        proxy.accept(listener);
        proxy
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts every connection and takes new ones: a short fault.
    pub async fn cut(&mut self) {
        self.refuse().await;
        self.restore().await;
    }

    /// Cuts every connection and refuses new ones, until restored: the far end is gone.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            while !accepting.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Holds everything back and closes nothing, until restored: the network is gone.
    pub fn stall(&self) {
        self.link.send_modify(|link| link.stalled = true);
    }

    /// Passes everything on so much later.
    pub fn delay(&self, delay: Duration) {
        self.link.send_modify(|link| link.delay = delay);
    }

    /// Ends every fault; what was held back goes on.
    pub async fn restore(&mut self) {
        self.link.send_replace(Link::default());
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).await;
            self.accept(listener.expect("the proxy's port to be free still"));
        }
    }

    fn accept(&mut self, listener: TcpListener) {
        let (upstream, link) = (self.upstream, self.link.subscribe());
        self.accepting = Some(
            tokio::spawn(async move {
                // In the set, so that they are cut with this task.
                let mut connections = JoinSet::new();
                loop {
                    let Ok((near, _)) = listener.accept().await else { continue };
                    connections.spawn(join(near, upstream, link.clone()));
                    while connections.try_join_next().is_some() {}
                }
            })
            .abort_handle(),
        );
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

/// One connection; either end's close closes the other.
async fn join(near: TcpStream, upstream: SocketAddr, link: watch::Receiver<Link>) {
    let Ok(far) = TcpStream::connect(upstream).await else { return };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    tokio::join!(pass(near_reader, far_writer, link.clone()), pass(far_reader, near_writer, link));
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Link>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut piece).await.unwrap_or(0);
        let Ok(state) = link.wait_for(|link| !link.stalled).await.map(|link| *link) else { return };
        tokio::time::sleep(state.delay).await;
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::eventually::eventually;

    /// A line and its echo.
    async fn echoed(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"!").await?;
        stream.read_exact(&mut [0]).await.map(|_| ())
    }

    #[tokio::test]
    async fn faults_come_and_go_on_one_port() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let echo = listener.local_addr().expect("a bound port").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut reader, mut writer) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut reader, &mut writer).await });
            }
        });
        let mut proxy = ChaosProxy::start(echo).await;
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut stream = connect().await.expect("a connection");
        echoed(&mut stream).await.expect("an echo");

        proxy.delay(Duration::from_millis(20));
        let started = Instant::now();
        echoed(&mut stream).await.expect("an echo");
        assert!(started.elapsed() >= Duration::from_millis(40), "{:?}", started.elapsed());

        proxy.stall();
        let held = tokio::time::timeout(Duration::from_millis(30), echoed(&mut stream)).await;
        held.expect_err("nothing passes");
        proxy.restore().await;
        stream.read_exact(&mut [0]).await.expect("what was held back");

        proxy.refuse().await;
        echoed(&mut stream).await.expect_err("the connection is cut");
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        connect().await.expect_err("new ones are refused");

        proxy.restore().await;
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("a connection");
        echoed(&mut stream).await.expect("an echo");
        proxy.cut().await;
        echoed(&mut stream).await.expect_err("the connection is cut");
        eventually("another connection", async || {
            let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.map_err(|problem| problem.kind())?;
            echoed(&mut stream).await.map_err(|problem| problem.kind())
        })
        .await;
    }
}
