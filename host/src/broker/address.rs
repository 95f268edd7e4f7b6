//! One broker of `amqp.url`.

use std::fmt;

use lapin::uri::{AMQPScheme, AMQPUri};
use url::Host;

/// Where a broker is and who we are there. Shown without user and password.
#[derive(Clone)]
pub struct Address {
    uri: AMQPUri,
}

impl Address {
    /// Reads a URI; `None` when it is none, which the settings have refused before. Heartbeats are every `heartbeat_s`
    /// unless the URI says otherwise.
    pub fn read(url: &str, heartbeat_s: u16) -> Option<Self> {
        let mut uri: AMQPUri = url.parse().ok()?;
        // The library takes a host in brackets for none at all, and goes to localhost.
        if let Ok(Some(Host::Ipv6(v6))) = url::Url::parse(url).map(|url| url.host().map(|host| host.to_owned())) {
            uri.authority.host = v6.to_string();
        }
        uri.query.heartbeat.get_or_insert(heartbeat_s);
        Some(Self { uri })
    }

    /// As the library wants it.
    pub(super) fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// Whether it is `amqps://`.
    pub fn is_tls(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        let host = &authority.host;
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{}", authority.port)?,
            false => write!(f, "{scheme}://{host}:{}", authority.port)?,
        }
        match vhost.as_str() {
            "/" => Ok(()),
            vhost => write!(f, "/{vhost}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_without_its_password() {
        for (url, shown) in [
            ("amqp://u:hunter2@broker", "amqp://broker:5672"),
            ("amqps://u:hunter2@broker:99/%2f", "amqps://broker:99"),
            ("amqp://u:hunter2@[::1]:7/v", "amqp://[::1]:7/v"),
            ("amqp://127.0.0.1/kazoo", "amqp://127.0.0.1:5672/kazoo"),
        ] {
            let address = Address::read(url, 15).unwrap();
            assert_eq!((address.to_string(), format!("{address:?}")), (shown.to_owned(), format!("Address({shown})")));
        }
    }

    #[test]
    fn heartbeats_are_the_settings_unless_the_uri_says_otherwise() {
        let heartbeat = |url| Address::read(url, 15).unwrap().uri.query.heartbeat;
        assert_eq!((heartbeat("amqp://b"), heartbeat("amqp://b?heartbeat=3")), (Some(15), Some(3)));
    }
}
