//! `firing.proxy_url`: read once, and shown without its user and password.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

/// `http://[user:password@]host:port`. What is shown of it is host and port.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl {
    url: Url,
    host: String,
}

/// It is no such URL. Says nothing of what was written, which may hold a password.
#[derive(Debug, Error)]
#[error("no proxy's URL; use http://USER:PASSWORD@HOST:PORT")]
pub struct NoProxyUrl;

impl ProxyUrl {
    /// Its name or address, as it is dialled.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// User and password, percent-encoded as they were written.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        let (user, password) = (self.url.username(), self.url.password().unwrap_or_default());
        (!user.is_empty() || !password.is_empty()).then_some((user, password))
    }
}

impl TryFrom<String> for ProxyUrl {
    type Error = NoProxyUrl;

    fn try_from(text: String) -> Result<Self, NoProxyUrl> {
        let url = Url::parse(&text).map_err(|_| NoProxyUrl)?;
        let nothing_more = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(v4)) => v4.to_string(),
            Some(Host::Ipv6(v6)) => v6.to_string(),
            None => return Err(NoProxyUrl),
        };
        if url.scheme() == "http" && nothing_more { Ok(Self { url, host }) } else { Err(NoProxyUrl) }
    }
}

impl From<ProxyUrl> for String {
    fn from(proxy: ProxyUrl) -> Self {
        proxy.url.into()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(v6)) => write!(f, "[{v6}]:{}", self.port()),
            _ => write!(f, "{}:{}", self.host, self.port()),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn read(text: &str) -> Option<ProxyUrl> {
        ProxyUrl::try_from(text.to_owned()).ok()
    }

    #[test]
    fn host_port_and_credentials_are_read() {
        let proxy = read("http://me:p%40ss@proxy.example.net:3128").unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy.example.net", 3128));
        assert_eq!(proxy.credentials(), Some(("me", "p%40ss")));
        assert_eq!(format!("{proxy} {proxy:?}"), "proxy.example.net:3128 ProxyUrl(proxy.example.net:3128)");
        let plain = read("http://[::1]/").unwrap();
        assert_eq!((plain.host(), plain.port(), plain.credentials()), ("::1", 80, None));
        assert_eq!(plain.to_string(), "[::1]:80");
    }

    #[test]
    fn what_is_no_proxys_url_is_refused_and_not_shown() {
        for text in ["", "proxy:3128", "https://proxy:3128", "socks5://proxy:1080", "http://proxy/path", "http://p/?q"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        let variable = ("HOOKBOX_FIRING__PROXY_URL".to_owned(), "https://me:hunter2@proxy:3128".to_owned());
        let said = Settings::from_parts(None, std::iter::once(variable)).unwrap_err().to_string();
        assert_eq!(said, "environment: HOOKBOX_FIRING__PROXY_URL cannot be read; hookbox.example.toml shows the form");
        let variable = ("HOOKBOX_FIRING__PROXY_URL".to_owned(), "http://me:hunter2@proxy:3128".to_owned());
        let settings = Settings::from_parts(None, std::iter::once(variable)).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
