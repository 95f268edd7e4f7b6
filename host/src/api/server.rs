//! The edge to callers of REST: connections, and what they may cost.
//!
//! A caller can be slow at four things, and is cut off at each: sending its headers (`api.header_timeout_ms`), sending its
//! body or waiting for the answer (`api.request_timeout_ms`, see [`super::front`]), and taking the answer (a write that
//! does not come on for `api.request_timeout_ms`). Headers have bounds; connections have one too.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::settings::ApiSettings;

/// After an error of `accept` that is not the caller's (no more files), it is tried again after this pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopping`, then lets requests under way end. Each connection is a task of `tracker`.
pub fn serve(
    listener: TcpListener,
    router: Router,
    settings: &ApiSettings,
    stopping: CancellationToken,
    tracker: &TaskTracker,
) {
    let bounds = Bounds::of(settings);
    let connections = tracker.clone();
    tracker.spawn(async move {
        let places = Arc::new(Semaphore::new(bounds.connections_max));
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => return,
                accepted = next(&listener, &places) => accepted,
            };
            let (stream, from, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (router, stopping) = (router.clone(), stopping.clone());
            connections.spawn(async move {
                one(stream, from, router, &bounds, stopping).await;
                drop(place);
            });
        }
    });
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    let (stream, from) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, from, place))
}

#[derive(Clone, Copy)]
struct Bounds {
    header_bytes_max: usize,
    headers_max: usize,
    header_timeout: Duration,
    write_timeout: Duration,
    connections_max: usize,
}

impl Bounds {
    fn of(settings: &ApiSettings) -> Self {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            header_bytes_max: size(settings.header_bytes_max),
            headers_max: size(settings.headers_max),
            header_timeout: Duration::from_millis(settings.header_timeout_ms),
            write_timeout: Duration::from_millis(settings.request_timeout_ms),
            connections_max: size(settings.connections_max).min(Semaphore::MAX_PERMITS),
        }
    }
}

/// One connection, to its end. What goes wrong with it is the caller's.
async fn one(stream: TcpStream, from: SocketAddr, router: Router, bounds: &Bounds, stopping: CancellationToken) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        router.clone().oneshot(request)
    });
    let io = TokioIo::new(Impatient::new(stream, bounds.write_timeout));
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.header_timeout)
            .max_buf_size(bounds.header_bytes_max)
            .max_headers(bounds.headers_max)
            .serve_connection(io, service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "a caller's connection broke off");
    }
}

/// A stream whose writes must come on within a time.
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while a write waits for the other side.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    /// What a write gave, or that it has waited too long.
    fn or_too_slow<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.or_too_slow(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.or_too_slow(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
