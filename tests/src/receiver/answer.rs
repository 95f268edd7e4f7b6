//! How a receiver answers, well or badly.

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};

use super::wire::Outbound;

/// One answer of a receiver's script.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    delay: Duration,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Whole(Vec<u8>),
    Drip { bytes: usize, pause: Duration },
    Endless,
    GzipBomb { mebibytes: usize },
    Close,
    Hang,
}

impl Answer {
    /// A status and no body.
    pub fn status(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), delay: Duration::ZERO, body: Body::Whole(Vec::new()) }
    }

    /// 302 to another address.
    pub fn redirect(url: &str) -> Answer {
        Answer::status(302).header("Location", url)
    }

    /// A status (429, 503) with `Retry-After` in seconds.
    pub fn retry_after(status: u16, seconds: u64) -> Answer {
        Answer::status(status).header("Retry-After", &seconds.to_string())
    }

    /// 200, and a body of so many bytes with a pause before each.
    pub fn drip(bytes: usize, pause: Duration) -> Answer {
        Answer::status(200).with(Body::Drip { bytes, pause })
    }

    /// 200, and a body that goes on until the sender closes.
    pub fn endless() -> Answer {
        Answer::status(200).with(Body::Endless)
    }

    /// 200, and a gzip body of about a thousandth of so many mebibytes. It would unpack for as long as that; its end has
    /// a wrong checksum.
    pub fn gzip_bomb(mebibytes: usize) -> Answer {
        Answer::status(200).header("Content-Encoding", "gzip").with(Body::GzipBomb { mebibytes })
    }

    /// No answer: the connection is closed after the request was read.
    pub fn close() -> Answer {
        Answer::status(200).with(Body::Close)
    }

    /// No answer: the connection is held until the sender or the receiver ends.
    pub fn hang() -> Answer {
        Answer::status(200).with(Body::Hang)
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Answer {
        self.with(Body::Whole(body.into()))
    }

    /// With a pause before the first byte.
    pub fn after(mut self, delay: Duration) -> Answer {
        self.delay = delay;
        self
    }

    fn with(mut self, body: Body) -> Answer {
        self.body = body;
        self
    }

    /// Sends it; false when the connection is done with. A `HEAD` request is answered without the body.
    pub(super) async fn send(&self, to: &mut Outbound, head: bool) -> bool {
        tokio::time::sleep(self.delay).await;
        match &self.body {
            Body::Close => false,
            Body::Hang => std::future::pending().await,
            Body::Whole(body) => {
                let mut bytes = self.head(Some(body.len()));
                if !head {
                    bytes.extend_from_slice(body);
                }
                to.write(&bytes).await
            }
            Body::Drip { bytes, pause } => {
                let mut open = to.write(&self.head(Some(*bytes))).await;
                for _ in 0..*bytes {
                    tokio::time::sleep(*pause).await;
                    open = open && to.write(b".").await;
                }
                open
            }
            Body::Endless => {
                let chunk = [b"2000\r\n".as_slice(), &[b'.'; 0x2000], b"\r\n"].concat();
                let mut open = to.write(&self.head(None)).await;
                while open {
                    open = to.write(&chunk).await;
                }
                false
            }
            Body::GzipBomb { mebibytes } => {
                let mebibyte = deflated_mebibyte();
                let length = GZIP_HEAD.len() + mebibyte.len() * mebibytes + GZIP_TAIL.len();
                let mut open = to.write(&self.head(Some(length))).await && to.write(&GZIP_HEAD).await;
                for _ in 0..*mebibytes {
                    open = open && to.write(&mebibyte).await;
                }
                open && to.write(&GZIP_TAIL).await
            }
        }
    }

    /// Status line and headers; without a length the body comes in chunks.
    fn head(&self, length: Option<usize>) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match length {
            Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
            None => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        }
        head.into_bytes()
    }
}

const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty last block, then checksum and length, both wrong.
const GZIP_TAIL: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A mebibyte of zeros as whole deflate blocks that need nothing before them, so that they can be sent again and again.
fn deflated_mebibyte() -> Vec<u8> {
    let mut packed = Vec::with_capacity(64 * 1024);
    let zeros = vec![0; 1024 * 1024];
    let packing = Compress::new(Compression::best(), false).compress_vec(&zeros, &mut packed, FlushCompress::Full);
    packing.expect("zeros to be packed");
    packed
}
