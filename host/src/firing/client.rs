//! The edge to receivers: one HTTP client for all hooks.
//!
//! What it sees to, and the rest relies on:
//! - Every address is judged ([`super::address_policy`]), and the judged address is the one that is dialled: names are
//!   resolved here, one bad address refuses all, and the connector gets no other. Literal addresses are judged before
//!   each request. No proxy is used, whatever the environment says, and no redirect is followed.
//! - The deadline covers everything from the look-up to the last byte of the body.
//! - At most `firing.response_bytes_max` of the body are read, counted after decompression. What goes on after that is
//!   dropped, and its connection with it. Of the headers, as many are kept as fit into 16 KiB.
//! - Whatever goes wrong is an [`Outcome`], found by the types of errors, with a detail that names no secret (no path,
//!   query, user or password of the URI).
//!
//! *Not* guaranteed: `content-length` and `content-encoding` of a compressed answer, which the decompression takes away.

use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy, net::NetError};
use ipnet::IpNet;
use reqwest::{
    Method, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::{
    address_policy::{self, AddressRefused},
    request::PreparedRequest,
};
use crate::{
    attempt::{Fault, Outcome},
    hook::Verb,
    settings::FiringSettings,
};

/// Idle connections kept to one receiver: as many as a busy hook has under way.
const IDLE_PER_HOST_MAX: usize = 1024;
/// How long an idle connection is kept; shorter than most servers do, so that few are found closed.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Bytes of an answer's headers that are kept, names and values together. An HTTP client takes many times as much.
const RESPONSE_HEADERS_BYTES_MAX: usize = 16 * 1024;
/// The longest that a name's addresses are remembered, whatever their TTL says.
const LOOKUP_TTL_MAX: Duration = Duration::from_secs(300);

/// The client cannot be made; our fault or the machine's.
#[derive(Debug, Error)]
#[error("the HTTP client cannot be made; check the system's TLS certificates")]
pub struct ClientError(#[from] reqwest::Error);

/// Sends requests to receivers. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    allow: Arc<[IpNet]>,
    response_bytes_max: usize,
}

impl Client {
    /// A client under the operator's settings. Call it inside the tokio runtime that sends.
    pub fn new(settings: &FiringSettings) -> Result<Self, ClientError> {
        // Fails only when one was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allow: Arc<[IpNet]> = settings.allow_addresses.clone().into();
        let resolver = Arc::new(JudgingResolver::new(Arc::clone(&allow)));
        let builder = || {
            reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .pool_idle_timeout(IDLE_TIME)
                .tcp_nodelay(true)
                .dns_resolver(Arc::clone(&resolver))
        };
        let http = builder().build().or_else(|error| {
            warn!(%error, "no TLS certificates can be loaded from the system, so every https receiver is refused");
            builder().tls_certs_only([]).build()
        })?;
        let response_bytes_max = usize::try_from(settings.response_bytes_max).unwrap_or(usize::MAX);
        Ok(Self { http, allow, response_bytes_max })
    }

    /// Sends the request and reads the answer, within `timeout`. Gives what came of it and how long it took.
    pub async fn send(&self, request: PreparedRequest, timeout: Duration) -> (Outcome, Duration) {
        let start = Instant::now();
        let outcome = match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(Failure { fault, detail })) => Outcome::Failed { fault, detail },
            Err(_) => Outcome::Failed {
                fault: Fault::Timeout,
                detail: format!("no whole answer within {} ms", timeout.as_millis()),
            },
        };
        (outcome, start.elapsed())
    }

    async fn exchange(&self, request: PreparedRequest) -> Result<Outcome, Failure> {
        let uri = Url::parse(&request.uri)
            .map_err(|error| Failure::new(Fault::BadRequest, format!("the hook's URI is none: {error}")))?;
        address_policy::judge_literal(&uri, &self.allow)
            .map_err(|refused| Failure::new(Fault::AddressRefused, refused.to_string()))?;
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
        let response = builder.send().await.map_err(|error| Failure::of(&error, &receiver))?;
        self.read(response).await
    }

    async fn read(&self, mut response: Response) -> Result<Outcome, Failure> {
        let status = response.status().as_u16();
        let headers = kept_headers(response.headers());
        let mut body = Vec::new();
        let mut body_cut = false;
        while let Some(chunk) = response.chunk().await.map_err(|error| broke_off(status, &error))? {
            let room = self.response_bytes_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                body_cut = true;
                break;
            }
        }
        // Dropping an answer that was not read to its end closes its connection.
        drop(response);
        Ok(Outcome::Answered { status, headers, body: String::from_utf8_lossy(&body).into_owned(), body_cut })
    }
}

/// Why there is no answer: what becomes an [`Outcome::Failed`].
struct Failure {
    fault: Fault,
    detail: String,
}

impl Failure {
    fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into() }
    }

    /// The first error of the chain whose type says what happened.
    fn of(error: &reqwest::Error, receiver: &str) -> Self {
        for cause in causes(error) {
            if let Some(lookup) = cause.downcast_ref::<LookupError>() {
                let fault = match lookup {
                    LookupError::Refused { .. } => Fault::AddressRefused,
                    LookupError::Failed { .. } | LookupError::NoAddress { .. } | LookupError::NoResolver { .. } => {
                        Fault::NameLookup
                    }
                };
                return Self::new(fault, with_source(lookup));
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::new(Fault::Tls, format!("no TLS with {receiver}: {tls}"));
            }
            if let Some(http) = cause.downcast_ref::<hyper::Error>() {
                if http.is_incomplete_message() || http.is_closed() || http.is_canceled() {
                    return Self::new(
                        Fault::Connection,
                        format!("{receiver} closed the connection before it answered"),
                    );
                }
                if http.is_parse() || http.is_parse_too_large() || http.is_parse_status() {
                    return Self::new(Fault::BadAnswer, format!("{receiver} did not answer in HTTP: {http}"));
                }
            }
            if let Some(io) = cause.downcast_ref::<io::Error>().filter(|io| io.get_ref().is_none()) {
                if io.kind() == io::ErrorKind::TimedOut {
                    return Self::new(Fault::Timeout, format!("no connection to {receiver} in time: {io}"));
                }
                return Self::new(Fault::Connection, format!("no connection to {receiver}: {io}"));
            }
        }
        if error.is_timeout() {
            return Self::new(Fault::Timeout, format!("no connection to {receiver} within firing.connect_timeout_ms"));
        }
        let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
        if error.is_builder() {
            return Self::new(Fault::BadRequest, format!("the request cannot be made: {last}"));
        }
        Self::new(Fault::Connection, format!("no answer from {receiver}: {last}"))
    }
}

/// What is kept of an answer's headers: whole ones, in their order, as many as fit into the bound. `Retry-After` is
/// always among them.
fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut room = RESPONSE_HEADERS_BYTES_MAX;
    let fits = |(name, value): &(&HeaderName, &HeaderValue)| {
        let bytes = name.as_str().len() + value.len();
        let fits = bytes <= room;
        room -= if fits { bytes } else { 0 };
        fits || (*name == RETRY_AFTER && bytes <= RESPONSE_HEADERS_BYTES_MAX)
    };
    headers
        .iter()
        .filter(fits)
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// The answer began and did not end as it should.
fn broke_off(status: u16, error: &reqwest::Error) -> Failure {
    let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
    Failure::new(Fault::BadAnswer, format!("the answer {status} broke off or cannot be decompressed: {last}"))
}

/// Host and port, which is all that a detail says of a URI.
fn receiver_name(uri: &Url) -> String {
    let host = uri.host_str().unwrap_or_default();
    uri.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An error and what is behind it. `io::Error` hides its inner error from `source`, so it is asked for it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn with_source(error: &LookupError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        let bad =
            || Failure::new(Fault::BadRequest, format!("the header {name:?} cannot be sent; mend the hook's headers"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(
            name,
            HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())).map_err(|_| bad())?,
        );
    }
    Ok(map)
}

/// Why a name gives no address to dial.
#[derive(Debug, Error)]
enum LookupError {
    #[error("{name} is refused: {refused}")]
    Refused { name: String, refused: AddressRefused },
    #[error("{name} has no address")]
    NoAddress { name: String },
    #[error("{name} cannot be looked up")]
    Failed { name: String, source: NetError },
    #[error(
        "{name} cannot be looked up, because the machine's resolver settings (/etc/resolv.conf) cannot be read: {reason}"
    )]
    NoResolver { name: String, reason: String },
}

/// Resolves names and judges all their addresses.
struct JudgingResolver {
    resolver: Result<TokioResolver, String>,
    allow: Arc<[IpNet]>,
}

impl JudgingResolver {
    fn new(allow: Arc<[IpNet]>) -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            // Both families, so that every address is judged.
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            options.positive_max_ttl = Some(LOOKUP_TTL_MAX);
            options.negative_max_ttl = Some(LOOKUP_TTL_MAX);
            builder.build()
        });
        if let Err(error) = &resolver {
            warn!(%error, "the machine's resolver settings cannot be read, so no name can be looked up");
        }
        Self { resolver: resolver.map_err(|error| error.to_string()), allow }
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.resolver.clone();
        let allow = Arc::clone(&self.allow);
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let resolver = resolver.map_err(|reason| LookupError::NoResolver { name: name.clone(), reason })?;
            // The dot at the end keeps the machine's search domains out: a receiver's name is a whole one.
            let whole = if name.ends_with('.') { name.clone() } else { format!("{name}.") };
            let addresses: Vec<_> = match resolver.lookup_ip(whole).await {
                Ok(lookup) => lookup.iter().collect(),
                Err(error) if error.is_no_records_found() || error.is_nx_domain() => Vec::new(),
                Err(source) => return Err(LookupError::Failed { name, source }.into()),
            };
            if addresses.is_empty() {
                return Err(LookupError::NoAddress { name }.into());
            }
            address_policy::judge_all(addresses.iter().copied(), &allow)
                .map_err(|refused| LookupError::Refused { name, refused })?;
            // Port 0 stands for the URI's.
            let dialled: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(dialled)
        })
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
