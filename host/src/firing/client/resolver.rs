//! From a receiver's name to the addresses that may be dialled: looked up here, all of them judged, one bad one refuses
//! all. Both ways to a receiver ask it, the direct one and the one through a proxy.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy, net::NetError};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tracing::warn;

use crate::firing::address_policy::{self, AddressRefused};

/// The longest that a name's addresses are remembered, whatever their TTL says.
const LOOKUP_TTL_MAX: Duration = Duration::from_secs(300);

/// Why a name gives no address to dial.
#[derive(Debug, Error)]
pub(super) enum LookupError {
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

impl LookupError {
    /// What it is and why, in one sentence.
    pub(super) fn with_source(&self) -> String {
        self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}

/// Resolves names and judges all their addresses. Cheap to clone; what was looked up is shared.
#[derive(Clone)]
pub(super) struct JudgingResolver {
    resolver: Result<TokioResolver, String>,
    allow: Arc<[IpNet]>,
}

impl JudgingResolver {
    pub(super) fn new(allow: Arc<[IpNet]>) -> Self {
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

    /// The addresses of a name, at least one, each of them good.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let name = name.to_owned();
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(reason) => return Err(LookupError::NoResolver { name, reason: reason.clone() }),
        };
        // The dot at the end keeps the machine's search domains out: a receiver's name is a whole one.
        let whole = if name.ends_with('.') { name.clone() } else { format!("{name}.") };
        let addresses: Vec<_> = match resolver.lookup_ip(whole).await {
            Ok(lookup) => lookup.iter().collect(),
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Vec::new(),
            Err(source) => return Err(LookupError::Failed { name, source }),
        };
        if addresses.is_empty() {
            return Err(LookupError::NoAddress { name });
        }
        match address_policy::judge_all(addresses.iter().copied(), &self.allow) {
            Ok(()) => Ok(addresses),
            Err(refused) => Err(LookupError::Refused { name, refused }),
        }
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.addresses(name.as_str()).await?;
            // Port 0 stands for the URI's.
            let dialled: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(dialled)
        })
    }
}
