//! HTTP/1.1 as far as a receiver of webhooks needs it: requests with a known length or in chunks, over connections that
//! are kept. `httparse` reads the heads; the bench's receiver stands on the same two types.

use std::fmt;
use std::io;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const HEADERS_MAX: usize = 128;
const READ_BYTES: usize = 16 * 1024;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, in its own case.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In their own order and case.
    pub headers: Vec<(String, String)>,
    /// Without the chunks' framing; not decompressed.
    pub body: Vec<u8>,
    /// When its last byte was read.
    pub arrived: Instant,
    /// Counts the receiver's connections from 1: equal numbers shared one.
    pub connection: usize,
}

impl Request {
    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The target up to the question mark.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the question mark, as it came.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The body as text; panics when it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("the body of {self} is not UTF-8"))
    }

    /// The body as JSON; panics when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|problem| panic!("the body of {self} is no JSON: {problem}"))
    }

    pub(super) fn on(mut self, connection: usize, arrived: Instant) -> Request {
        self.connection = connection;
        self.arrived = arrived;
        self
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(120).collect();
        write!(f, "{} {} {body}", self.method, self.target)
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub struct Inbound {
    reader: OwnedReadHalf,
    /// Read from the socket; `start..` is not taken yet.
    buffer: Vec<u8>,
    start: usize,
}

/// What the head says about the body.
enum Framing {
    Length(usize),
    Chunked,
}

/// A head, by its places in the buffer.
struct Head {
    bytes: usize,
    framing: Framing,
}

impl Inbound {
    /// Reads from the start of a connection.
    pub fn new(reader: OwnedReadHalf) -> Inbound {
        Inbound { reader, buffer: Vec::with_capacity(READ_BYTES), start: 0 }
    }

    /// The next request, or None when the sender closed the connection between two.
    pub async fn next(&mut self) -> io::Result<Option<Request>> {
        let mut request = None;
        let Some(head) = self.next_head(|found| request = Some(to_request(found))).await? else { return Ok(None) };
        let mut request = request.expect("a head was found");
        self.start += head.bytes;
        match head.framing {
            Framing::Length(length) => request.body = self.take(length).await?,
            Framing::Chunked => loop {
                let size = self.line().await?;
                let digits = size.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(digits, 16).map_err(|_| invalid("the size of a chunk"))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    break;
                }
                request.body.extend(self.take(size).await?);
                self.line().await?;
            },
        }
        Ok(Some(request))
    }

    /// The next request's body alone, for a bench that counts: nothing is copied. Only bodies of a known length.
    pub async fn next_body(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(head) = self.next_head(|_| ()).await? else { return Ok(None) };
        let Framing::Length(length) = head.framing else { return Err(invalid("a body without a length")) };
        self.start += head.bytes;
        self.fill(length).await?;
        let body = self.start..self.start + length;
        self.start = body.end;
        Ok(Some(&self.buffer[body]))
    }

    async fn next_head(&mut self, mut found: impl FnMut(&httparse::Request<'_, '_>)) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = parse_head(&self.buffer[self.start..], &mut found)? {
                return Ok(Some(head));
            }
            let waiting = self.buffer.len() - self.start;
            if self.read().await? == 0 {
                return if waiting == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        self.fill(bytes).await?;
        let taken = self.buffer[self.start..self.start + bytes].to_vec();
        self.start += bytes;
        Ok(taken)
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            let rest = &self.buffer[self.start..];
            if let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.start += end + 2;
                return Ok(line);
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads until so many bytes are waiting.
    async fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.buffer.len() - self.start < bytes {
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(READ_BYTES);
        self.reader.read_buf(&mut self.buffer).await
    }
}

fn parse_head(bytes: &[u8], found: &mut impl FnMut(&httparse::Request<'_, '_>)) -> io::Result<Option<Head>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let mut framing = Framing::Length(0);
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = std::str::from_utf8(header.value).ok().and_then(|digits| digits.trim().parse().ok());
            framing = Framing::Length(digits.ok_or_else(|| invalid("a content-length"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        }
    }
    found(&request);
    Ok(Some(Head { bytes: length, framing }))
}

fn to_request(head: &httparse::Request<'_, '_>) -> Request {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect(),
        body: Vec::new(),
        arrived: Instant::now(),
        connection: 0,
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {what}"))
}

/// The answers of one connection.
#[derive(Debug)]
pub struct Outbound {
    writer: OwnedWriteHalf,
}

impl Outbound {
    /// Writes from the start of a connection.
    pub fn new(writer: OwnedWriteHalf) -> Outbound {
        Outbound { writer }
    }

    /// Writes all of it; false when the other side is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).await.is_ok()
    }
}
