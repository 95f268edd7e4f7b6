//! The way to receivers through the operator's egress proxy (`firing.proxy_url`): one CONNECT for each request, for https
//! and http alike.
//!
//! The address policy holds as on the direct way. A receiver's name is resolved and judged here, and CONNECT names the
//! judged address, so the proxy looks nothing up and reaches nothing else; `Host` and the TLS server name stay the
//! receiver's name. The proxy itself is the operator's choice and is not judged; the machine's own resolver finds it.
//!
//! Whatever goes wrong before the way is open is the proxy's fault and says so, with no word of its user and password.
//!
//! *Not* done: connections are not used again. Each request costs the proxy one connection.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, HOST, HeaderValue, PROXY_AUTHORIZATION},
    rt::{Read, Write},
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use reqwest::Body;
use rustls::{
    ClientConfig,
    pki_types::{IpAddr, ServerName},
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{
    failure::{Failure, last_cause},
    receiver_name,
    resolver::JudgingResolver,
};
use crate::{attempt::Fault, settings::ProxyUrl};

/// Addresses of one name that the proxy is asked for, when it cannot reach the first.
const ADDRESSES_MAX: usize = 3;

/// The proxy, and what it takes to speak with receivers behind it.
pub(super) struct Tunnel {
    proxy: ProxyUrl,
    /// `Proxy-Authorization`, marked as a secret.
    authorization: Option<HeaderValue>,
    connect_timeout: Duration,
    resolver: JudgingResolver,
    tls: TlsConnector,
}

/// A way to a receiver, open.
pub(super) struct OpenWay(Upgraded);

/// An answer whose head has come. The connection ends when this is dropped.
pub(super) struct Answering {
    pub(super) response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

impl Tunnel {
    pub(super) fn new(
        proxy: &ProxyUrl,
        connect_timeout: Duration,
        resolver: JudgingResolver,
        tls: ClientConfig,
    ) -> Self {
        Self {
            proxy: proxy.clone(),
            authorization: proxy.credentials().and_then(|(user, password)| authorization(user, password)),
            connect_timeout,
            resolver,
            tls: TlsConnector::from(Arc::new(tls)),
        }
    }

    /// Has the proxy connect to the receiver of the URI, whose host was judged when it is an address. `None` when the
    /// deadline passed before the proxy was asked.
    pub(super) async fn open(&self, uri: &Url, deadline: Instant) -> Option<Result<OpenWay, Failure>> {
        let addresses = match timeout_at(deadline, self.addresses(uri)).await.ok()? {
            Ok(addresses) => addresses,
            Err(failure) => return Some(Err(failure)),
        };
        let deadline = deadline.min(Instant::now() + self.connect_timeout);
        let mut last = None;
        for address in addresses {
            let opened = match timeout_at(deadline, self.connect(address)).await {
                Ok(opened) => opened,
                Err(_) => Err(self.failure(Fault::Timeout, format_args!("did not answer CONNECT {address} in time"))),
            };
            match opened {
                Err(Refusal { failure, address_only: true }) => last = Some(failure),
                Err(Refusal { failure, .. }) => return Some(Err(failure)),
                Ok(way) => return Some(Ok(way)),
            }
        }
        last.map(Err)
    }

    /// Sends the request on a way to its receiver, over TLS when its URI asks for it.
    pub(super) async fn send(&self, way: OpenWay, request: reqwest::Request) -> Result<Answering, Failure> {
        let uri = request.url().clone();
        let receiver = receiver_name(&uri);
        let request = in_origin_form(request, &uri).map_err(|detail| Failure::new(Fault::BadRequest, detail))?;
        let OpenWay(way) = way;
        if uri.scheme() != "https" {
            return converse(way, request, &receiver).await;
        }
        let name = server_name(&uri).ok_or_else(|| {
            Failure::new(Fault::Tls, format!("no TLS with {receiver}: no certificate can have its name"))
        })?;
        let stream = self.tls.connect(name, TokioIo::new(way)).await;
        let stream = stream.map_err(|error| Failure::of(&error, &receiver))?;
        converse(TokioIo::new(stream), request, &receiver).await
    }

    /// Where CONNECT goes: the literal address, or those of the name.
    async fn addresses(&self, uri: &Url) -> Result<Vec<SocketAddr>, Failure> {
        let port = uri.port_or_known_default().unwrap_or_default();
        let mut addresses = match uri.host() {
            Some(Host::Ipv4(v4)) => vec![v4.into()],
            Some(Host::Ipv6(v6)) => vec![v6.into()],
            Some(Host::Domain(name)) => self.resolver.addresses(name).await.map_err(|error| Failure::from(&error))?,
            None => Vec::new(),
        };
        if addresses.is_empty() {
            return Err(Failure::new(Fault::BadRequest, "the hook's URI has no host"));
        }
        // The more common family first: a proxy without IPv6 is then asked in vain less often.
        addresses.sort_by_key(std::net::IpAddr::is_ipv6);
        Ok(addresses.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Asks the proxy for a way to one address.
    async fn connect(&self, address: SocketAddr) -> Result<OpenWay, Refusal> {
        let failed = |words: fmt::Arguments<'_>| self.failure(Fault::Connection, words);
        let stream = TcpStream::connect((self.proxy.host(), self.proxy.port())).await;
        let stream = stream.map_err(|error| failed(format_args!("cannot be reached: {error}")))?;
        stream.set_nodelay(true).ok();
        let broken = |error: hyper::Error| match error.is_parse() || error.is_parse_too_large() {
            true => failed(format_args!("did not answer CONNECT {address} in HTTP: {error}")),
            false => failed(format_args!("broke off after CONNECT {address}: {}", last_cause(&error))),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
        let request =
            self.connect_request(address).map_err(|error| failed(format_args!("cannot be asked: {error}")))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if !status.is_success() {
            let said = failed(format_args!("answered {} to CONNECT {address}", status.as_u16()));
            // 5xx is about this address (it cannot be reached from there); another one may do.
            return Err(Refusal { address_only: status.is_server_error(), ..said });
        }
        upgrade::on(response).await.map(OpenWay).map_err(broken)
    }

    fn connect_request(&self, address: SocketAddr) -> Result<Request<Body>, hyper::http::Error> {
        let authority = address.to_string();
        let mut request = Request::connect(authority.as_str()).header(HOST, authority.as_str()).body(Body::from(""))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    fn failure(&self, fault: Fault, words: fmt::Arguments<'_>) -> Refusal {
        let failure = Failure::new(fault, format!("the proxy {} {words}", self.proxy));
        Refusal { failure, address_only: false }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

/// Why the proxy opened no way.
struct Refusal {
    failure: Failure,
    /// Whether another address may be reached all the same.
    address_only: bool,
}

fn authorization(user: &str, password: &str) -> Option<HeaderValue> {
    // In a URL both are percent-encoded.
    let plain = [percent_decode_str(user).collect::<Vec<u8>>(), percent_decode_str(password).collect()].join(&b':');
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The name that the receiver's certificate must have.
fn server_name(uri: &Url) -> Option<ServerName<'static>> {
    Some(match uri.host()? {
        Host::Ipv4(v4) => ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V4(v4))),
        Host::Ipv6(v6) => ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V6(v6))),
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok()?,
    })
}

/// The request as it stands on a connection to its receiver: path and query in the first line, `Host` of its own.
fn in_origin_form(request: reqwest::Request, uri: &Url) -> Result<Request<Body>, String> {
    let host = match (uri.host_str().unwrap_or_default(), uri.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let cannot = |error: &dyn fmt::Display| format!("the request cannot be made: {error}");
    let mut request = Request::<Body>::try_from(request).map_err(|error| cannot(&last_cause(&error)))?;
    let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    *request.uri_mut() = Uri::try_from(path).map_err(|error| cannot(&error))?;
    let host = HeaderValue::try_from(host).map_err(|error| cannot(&error))?;
    request.headers_mut().insert(HOST, host);
    // RFC 9112, 9.6: who uses a connection once says so.
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// One request and the head of its answer.
async fn converse<S>(stream: S, request: Request<Body>, receiver: &str) -> Result<Answering, Failure>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| Failure::of(&error, receiver);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
    // What ends the connection badly is told to whoever waits for the answer.
    let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(Answering { response, _connection: connection })
}
