//! A receiver behind TLS, with a certificate for `localhost` and 127.0.0.1 that the tests' own authority has signed
//! (`tests/certificates`). It answers 200 and records what came and for whom.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The file for `firing.ca_files`.
pub fn authority_file() -> PathBuf {
    certificates().join("authority.pem")
}

/// A server on a free port of 127.0.0.1, on threads of its own, for as long as the test program runs.
#[derive(Debug)]
pub struct TlsReceiver {
    address: SocketAddr,
    greeted: Arc<Mutex<Vec<Greeted>>>,
}

/// One request over TLS.
#[derive(Clone, Debug)]
pub struct Greeted {
    /// The server name that the client asked for in TLS; none when it dialled an address.
    pub server_name: Option<String>,
    /// Head and body, as they came.
    pub text: String,
}

impl TlsReceiver {
    /// Listens on a free port.
    pub fn start() -> TlsReceiver {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = CertificateDer::pem_file_iter(certificates().join("receiver.pem")).and_then(Iterator::collect);
        let key = PrivateKeyDer::from_pem_file(certificates().join("receiver.key")).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(chain.expect("a certificate"), key).expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let greeted = Arc::default();
        let journal = Arc::clone(&greeted);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (config, journal) = (Arc::clone(&config), Arc::clone(&journal));
                std::thread::spawn(move || serve(stream, config, &journal));
            }
        });
        TlsReceiver { address, greeted }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Greeted> {
        self.greeted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request and its answer. A client that breaks off, as one does that does not trust the certificate, ends it.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, journal: &Mutex<Vec<Greeted>>) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut read = Vec::new();
    while !is_whole(&read) {
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => read.extend_from_slice(&piece[..count]),
        }
    }
    let server_name = stream.conn.server_name().map(str::to_owned);
    let text = String::from_utf8_lossy(&read).into_owned();
    journal.lock().unwrap_or_else(PoisonError::into_inner).push(Greeted { server_name, text });
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Whether the bytes are a head and as much body as it promises.
fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head.lines().filter_map(|line| line.split_once(": "));
    let length =
        lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, n)| n.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certificates")
}
