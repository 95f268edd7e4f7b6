//! One connection to a broker.
//!
//! The library does its reading and writing on a thread of its own, which waits for as long as the socket is open. So we
//! keep a handle of the socket: what does not answer in time, or cannot be closed in good order, is shut down by it, and
//! its thread ends.

use std::{
    fmt, io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::Stream;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event, tcp::RustlsConnector};
use rustls::ClientConfig;
use thiserror::Error;
use tokio::time::timeout;

use super::{address::Address, fault::Fault, tls::TlsError};

/// Why there is none.
#[derive(Debug, Error)]
pub enum NoLink {
    /// The broker, or the way there.
    #[error(transparent)]
    Fault(Fault),
    /// It does not answer.
    #[error(
        "no answer within {0:?} (amqp.connect_timeout_ms); check amqp.url, that the broker runs, and the way there"
    )]
    Silent(Duration),
    /// The files for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A connection that was opened. Dropped, it is closed.
pub struct Link {
    connection: Connection,
    cord: Cord,
    address: String,
}

impl Link {
    /// Connects within `patience`, handshakes included.
    pub(super) async fn open(
        address: &Address,
        tls: Option<Arc<ClientConfig>>,
        properties: ConnectionProperties,
        patience: Duration,
    ) -> Result<Self, NoLink> {
        let broken = |error: lapin::Error| NoLink::Fault(error.into());
        let runtime = lapin::runtime::default_runtime().map_err(broken)?;
        let cord = Cord::default();
        let (tied, connector) = (cord.clone(), tls.map(RustlsConnector::from));
        let connecting = Connection::connector(
            address.uri().clone(),
            runtime,
            async move |uri, runtime| {
                let (host, port) = (uri.authority.host.clone(), uri.authority.port);
                let dialling = async {
                    let addresses = runtime.to_socket_addrs((host.clone(), port));
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        tied.tie(plain.get_ref())?;
                    }
                    match &connector {
                        Some(connector) => stream.into_rustls(connector, &host).await,
                        None => Ok(stream),
                    }
                };
                // Once more here, so that the thread ends even when nobody waits for it any longer.
                let dialled = timeout(patience, dialling).await;
                dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
            },
            properties,
        );
        let failed = match timeout(patience, connecting).await {
            Ok(Ok(connection)) => return Ok(Self { connection, cord, address: address.to_string() }),
            Ok(Err(error)) => broken(error),
            Err(_) => NoLink::Silent(patience),
        };
        cord.cut();
        Err(failed)
    }

    /// Opens a channel.
    pub async fn channel(&self) -> Result<Channel, lapin::Error> {
        self.connection.create_channel().await
    }

    /// Whether it is open as far as we know.
    pub fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the broker takes nothing that is published on it, for a resource alarm.
    pub fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// What the broker says of the connection, from now on.
    pub fn events(&self) -> impl Stream<Item = Event> + Send + 'static {
        self.connection.events_listener()
    }

    /// Closes it in good order.
    pub async fn close(&self) -> Result<(), lapin::Error> {
        self.connection.close(200, "bye".into()).await
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // While it is blocked the library writes nothing, not even that it closes.
        if self.is_blocked() {
            self.cord.cut();
        }
    }
}

/// A handle of the socket, when there is one.
#[derive(Clone, Debug, Default)]
struct Cord(Arc<Mutex<Option<TcpStream>>>);

impl Cord {
    fn tie(&self, socket: &impl AsFd) -> io::Result<()> {
        let handle = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        Ok(())
    }

    fn cut(&self) {
        if let Some(handle) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may be gone already.
            let _ = handle.shutdown(Shutdown::Both);
        }
    }
}
