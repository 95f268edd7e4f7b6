//! What a module says while it runs: through the `log` import, to stdout, to stderr. Bounded a call; what is over the
//! bound is counted, and never a trap.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// What one write of a guest to stdout may hold.
const PERMIT_BYTES: usize = 64 * 1024;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the WIT enum")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// All, the least first.
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The word of the WIT enum.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// Without control characters.
    pub text: String,
}

/// What a call said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogLines {
    /// The lines that were within the bound.
    pub lines: Vec<LogLine>,
    /// Bytes over it.
    pub dropped_bytes: u64,
}

/// The log of one call. Clones write to the same one.
#[derive(Clone)]
pub struct GuestLog(Arc<Mutex<Buffer>>);

struct Buffer {
    said: LogLines,
    bytes_left: usize,
}

impl GuestLog {
    /// A log that keeps this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Buffer { said: LogLines::default(), bytes_left: bytes_max })))
    }

    /// Adds what it may of a text; each of its lines is a line.
    pub fn write(&self, level: Level, text: &str) {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let kept = &line[..floor_char_boundary(line, buffer.bytes_left)];
            buffer.said.dropped_bytes += (line.len() - kept.len()) as u64;
            if !kept.is_empty() {
                buffer.bytes_left -= kept.len();
                let text = kept.chars().filter(|c| !c.is_control()).collect();
                buffer.said.lines.push(LogLine { level, text });
            }
        }
    }

    /// Forgets what was said, and keeps as many bytes again.
    pub fn renew(&self, bytes_max: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Buffer { said: LogLines::default(), bytes_left: bytes_max };
    }

    /// Takes out what was said.
    pub fn take(&self) -> LogLines {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).said)
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() { text.len() } else { (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0) }
}

/// The guest's stdout or stderr, leading into its log.
#[derive(Clone)]
pub struct LogPipe {
    log: GuestLog,
    level: Level,
}

impl LogPipe {
    /// Lines at level `info`.
    pub fn stdout(log: &GuestLog) -> Self {
        Self { log: log.clone(), level: Level::Info }
    }

    /// Lines at level `warn`.
    pub fn stderr(log: &GuestLog) -> Self {
        Self { log: log.clone(), level: Level::Warn }
    }
}

impl IsTerminal for LogPipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogPipe {
    /// Never asked for: guests speak WASI 0.2, which takes the stream below.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for LogPipe {
    async fn ready(&mut self) {}
}

impl OutputStream for LogPipe {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.log.write(self.level, &String::from_utf8_lossy(&bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_bound_is_counted() {
        let log = GuestLog::new(8);
        log.write(Level::Info, "12345\n");
        log.write(Level::Error, "678äbc");
        let said = log.take();
        assert_eq!(said.lines[1], LogLine { level: Level::Error, text: "678".into() });
        assert_eq!(said.dropped_bytes, 4, "ä would be cut in the middle, so it goes as a whole");
    }

    #[test]
    fn control_characters_are_taken_out() {
        let log = GuestLog::new(100);
        log.write(Level::Info, "a\u{1b}[31mred\u{7}\r\nb");
        let texts: Vec<_> = log.take().lines.into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["a[31mred", "b"]);
    }
}
