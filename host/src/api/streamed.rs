//! A request's body that its handler reads itself, piece by piece into bounded memory: components, which are larger than
//! what other calls may send, and which nobody is to send in vain: who calls is known before the first piece is read.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::FromRequestParts,
    http::{Method, header, request::Parts},
};
use futures_util::StreamExt;
use tokio::sync::Mutex;

use super::{Shared, problem::Problem};

/// The body.
#[derive(Clone, Default)]
pub struct StreamedBody {
    pieces: Arc<Mutex<Option<BodyDataStream>>>,
    /// What the caller says that it has, bytes.
    announced: Option<u64>,
    /// Whether the caller waits for a word before it sends anything.
    waits: bool,
}

impl StreamedBody {
    /// Whether a request is one whose body is not to be read before its handler.
    pub fn is_of(parts: &Parts) -> bool {
        let path: Vec<_> = parts.uri.path().trim_end_matches('/').split('/').collect();
        parts.method == Method::PUT && matches!(path[..], ["", "v2", "accounts", _, "webhook_modules", _, "versions"])
    }

    /// The body of this request.
    pub fn new(parts: &Parts, body: Body) -> Self {
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Self {
            pieces: Arc::new(Mutex::new(Some(body.into_data_stream()))),
            announced: length.and_then(|text| text.parse().ok()),
            waits: parts.headers.contains_key(header::EXPECT),
        }
    }

    /// All of it; 413 when it has more bytes than may be, which `setting` bounds.
    pub async fn read(&self, bytes_max: u64, setting: &str) -> Result<Vec<u8>, Problem> {
        let too_large = || Problem::too_large_for(bytes_max, setting);
        if self.announced.is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_large());
        }
        let mut pieces = self.pieces.lock().await;
        let mut read: Vec<u8> = Vec::new();
        while let Some(piece) = match pieces.as_mut() {
            Some(pieces) => pieces.next().await,
            None => None,
        } {
            let piece = piece.map_err(|_| Problem::invalid("component", "invalid", "the body broke off"))?;
            if (read.len() + piece.len()) as u64 > bytes_max {
                return Err(too_large());
            }
            read.extend_from_slice(&piece);
        }
        *pieces = None;
        Ok(read)
    }

    /// Takes what was not read and throws it away, up to so many bytes: a caller who is still sending when the connection
    /// is closed would not see the answer.
    pub async fn drain(&self, bytes_max: u64, patience: Duration) {
        let mut pieces = self.pieces.lock().await;
        let Some(mut rest) = pieces.take().filter(|_| !self.waits) else { return };
        let draining = async {
            let mut drained = 0;
            while let Some(Ok(piece)) = rest.next().await {
                drained += piece.len() as u64;
                if drained > bytes_max {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, draining).await;
    }
}

impl FromRequestParts<Shared> for StreamedBody {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<StreamedBody>().cloned().unwrap_or_default())
    }
}
