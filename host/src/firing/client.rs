//! The edge to receivers: one HTTP client for all hooks.
//!
//! What it sees to, and the rest relies on:
//! - Every address is judged ([`super::address_policy`]), and the judged address is the one that is dialled: names are
//!   resolved here ([`resolver`]), one bad address refuses all, and the connector gets no other. Literal addresses are
//!   judged before each request. No redirect is followed.
//! - Requests go straight to their receivers, or all of them through the operator's proxy ([`tunnel`]), which is handed
//!   judged addresses and no names. Whatever the environment says of proxies is not heard.
//! - TLS trusts the system's certificates and those of `firing.ca_files` ([`trust`]).
//! - The deadline covers everything from the look-up to the last byte of the body.
//! - The answer is read within bounds ([`answer`]), the same on both ways. What goes on after them is dropped, and its
//!   connection with it.
//! - Whatever goes wrong is an [`Outcome`], found by the types of errors ([`failure`]), with a detail that names no secret
//!   (no path, query, user or password of the URI, nor of the proxy's).

mod answer;
mod failure;
mod phases;
mod resolver;
pub mod trust;
mod tunnel;

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use reqwest::{
    Certificate, Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use url::Url;

use self::{
    failure::Failure,
    phases::{TimeConnecting, Watch},
    resolver::JudgingResolver,
    trust::CaFileError,
    tunnel::Tunnel,
};
use super::{address_policy, request::PreparedRequest};
use crate::{
    attempt::{Fault, Outcome, Phases},
    hook::Verb,
    settings::FiringSettings,
};

/// The client cannot be made; the operator's fault or the machine's.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A file of `firing.ca_files`.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// TLS, or the machine.
    #[error("the HTTP client cannot be made; check the system's TLS certificates")]
    Http(#[from] reqwest::Error),
}

/// Sends requests to receivers. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    tunnel: Option<Arc<Tunnel>>,
    allow: Arc<[IpNet]>,
    answers: answer::Bounds,
}

/// What came of a request.
#[derive(Debug)]
pub struct Exchanged {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// From the beginning to the last byte that was read.
    pub took: Duration,
    /// How that is made up, as far as it came.
    pub phases: Phases,
}

impl Client {
    /// A client under the operator's settings. Call it inside the tokio runtime that sends.
    pub fn new(settings: &FiringSettings) -> Result<Self, ClientError> {
        // Fails only when one was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allow: Arc<[IpNet]> = settings.allow_addresses.clone().into();
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        let idle_max = usize::try_from(settings.idle_connections_max).unwrap_or(usize::MAX);
        let idle_time = Duration::from_millis(settings.idle_connection_ms);
        let resolver = JudgingResolver::new(Arc::clone(&allow));
        let trusted = trust::read_ca_files("firing.ca_files", &settings.ca_files)?;
        let own: Vec<_> = trusted.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?;
        let builder = || {
            reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                // Answers are unpacked where they are bounded.
                .no_gzip()
                .connect_timeout(connect_timeout)
                .pool_max_idle_per_host(idle_max)
                .pool_idle_timeout(idle_time)
                .tcp_nodelay(true)
                .dns_resolver(Arc::new(resolver.clone()))
                .connector_layer(TimeConnecting)
        };
        let http = builder().tls_certs_merge(own.iter().cloned()).build().or_else(|error| {
            warn!(%error, "no TLS certificates can be loaded from the system, so every https receiver is refused");
            builder().tls_certs_only(own.iter().cloned()).build()
        })?;
        let tunnel = settings
            .proxy_url
            .as_ref()
            .map(|proxy| Arc::new(Tunnel::new(proxy, connect_timeout, resolver.clone(), trust::tls_config(&trusted))));
        Ok(Self { http, tunnel, allow, answers: answer::Bounds::new(settings) })
    }

    /// Sends the request and reads the answer, within `timeout`.
    pub async fn send(&self, request: PreparedRequest, timeout: Duration) -> Exchanged {
        let start = Instant::now();
        let deadline = start + timeout;
        let watch = Watch::start();
        let exchanged = match (self.request(request), &self.tunnel) {
            (Err(failure), _) => Some(Err(failure)),
            (Ok(request), None) => timeout_at(deadline, self.exchange(request, &watch)).await.ok(),
            (Ok(request), Some(tunnel)) => self.exchange_through(tunnel, request, deadline, &watch).await,
        };
        let outcome = match exchanged {
            Some(exchanged) => exchanged.unwrap_or_else(Outcome::from),
            None => Outcome::Failed {
                fault: Fault::Timeout,
                detail: format!("no whole answer within {} ms", timeout.as_millis()),
            },
        };
        Exchanged { outcome, took: start.elapsed(), phases: watch.phases() }
    }

    /// The request, the same for both ways.
    fn request(&self, request: PreparedRequest) -> Result<Request, Failure> {
        let uri = Url::parse(&request.uri)
            .map_err(|error| Failure::new(Fault::BadRequest, format!("the hook's URI is none: {error}")))?;
        if !matches!(uri.scheme(), "http" | "https") {
            return Err(Failure::new(Fault::BadRequest, "the hook's URI is neither http nor https"));
        }
        address_policy::judge_literal(&uri, &self.allow)?;
        let receiver = receiver_name(&uri);
        let headers = header_map(&request.headers)?;
        let method = match request.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        };
        let mut builder = self.http.request(method, uri).headers(headers);
        if request.verb != Verb::Get {
            builder = builder.body(request.body);
        }
        builder.build().map_err(|error| Failure::of(&error, &receiver))
    }

    /// Straight to the receiver.
    async fn exchange(&self, request: Request, watch: &Arc<Watch>) -> Result<Outcome, Failure> {
        let receiver = receiver_name(request.url());
        let response =
            watch.during(self.http.execute(request)).await.map_err(|error| Failure::of(&error, &receiver))?;
        watch.answered();
        let response: hyper::Response<reqwest::Body> = response.into();
        let read = answer::read(response, self.answers).await;
        watch.ended();
        read
    }

    /// Through the proxy. `None` when the deadline passed while it was not the proxy that was waited for.
    async fn exchange_through(
        &self,
        tunnel: &Tunnel,
        request: Request,
        deadline: Instant,
        watch: &Watch,
    ) -> Option<Result<Outcome, Failure>> {
        let way = match tunnel.open(request.url(), deadline).await? {
            Ok(way) => way,
            Err(failure) => return Some(Err(failure)),
        };
        watch.connected();
        let exchange = async {
            let answering = tunnel.send(way, request).await?;
            watch.answered();
            let read = answer::read(answering.response, self.answers).await;
            watch.ended();
            read
        };
        timeout_at(deadline, exchange).await.ok()
    }
}

/// Host and port, which is all that a detail says of a URI.
fn receiver_name(uri: &Url) -> String {
    let host = uri.host_str().unwrap_or_default();
    uri.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The headers of a request; those of the connection come later.
fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        let bad =
            || Failure::new(Fault::BadRequest, format!("the header {name:?} cannot be sent; mend the hook's headers"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(
            name,
            HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())).map_err(|_| bad())?,
        );
    }
    map.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(map)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
