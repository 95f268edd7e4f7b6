//! What is wrong with the broker, in words with the remedy. Plain rules over the library's errors; the broker's own words
//! are kept.

use std::{fmt, io};

use lapin::{ErrorKind, protocol::AMQPError};
use rustls::CertificateError;

/// AMQP 0-9-1's reply codes that have a remedy of their own.
const CONNECTION_FORCED: u16 = 320;
const ACCESS_REFUSED: u16 = 403;
/// `PRECONDITION_FAILED`: something is there otherwise than it was asked for, or a delivery waited too long.
pub const PRECONDITION_FAILED: u16 = 406;
/// `NOT_FOUND`: a queue or an exchange that is not there.
pub const NOT_FOUND: u16 = 404;
const NOT_ALLOWED: u16 = 530;

/// An error of the broker or of the way there.
#[derive(Debug, Clone)]
pub struct Fault(lapin::Error);

impl Fault {
    /// The reply code, when the broker gave one.
    pub fn code(&self) -> Option<u16> {
        match self.0.kind() {
            ErrorKind::ProtocolError(error) => Some(error.get_id()),
            _ => None,
        }
    }

    /// The broker's own words, or the library's.
    pub fn said(&self) -> String {
        match self.0.kind() {
            ErrorKind::ProtocolError(error) => error.get_message().to_string(),
            _ => self.0.to_string(),
        }
    }
}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Self {
        Self(error)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            ErrorKind::ProtocolError(error) => f.write_str(&refusal(error)),
            ErrorKind::IOError(error) => f.write_str(&failure(error)),
            ErrorKind::MissingHeartbeatError => f.write_str(
                "nothing was heard for two heartbeats (amqp.heartbeat_s): the broker or the way there is gone; \
                 check that the broker runs, and the way there",
            ),
            _ => write!(f, "{}; check that the broker runs", self.0),
        }
    }
}

/// What the broker itself refuses.
fn refusal(error: &AMQPError) -> String {
    let said = error.get_message().as_str();
    let remedy = match error.get_id() {
        ACCESS_REFUSED if said.contains("Login was refused") || said.contains("login") => {
            "the broker refuses the user or the password; check them in amqp.url"
        }
        ACCESS_REFUSED => "give the user configure, write and read there (rabbitmqctl set_permissions)",
        NOT_ALLOWED if said.contains("not found") => {
            "there is no such vhost; name another in amqp.url, or make it (rabbitmqctl add_vhost)"
        }
        NOT_ALLOWED => "let the user into the vhost (rabbitmqctl set_permissions), or name another in amqp.url",
        PRECONDITION_FAILED if said.contains("timed out") => {
            "a message was worked on for too long; raise the broker's consumer_timeout, or lower firing.park_after_ms"
        }
        PRECONDITION_FAILED => {
            "it is there otherwise than Hookbox asks for; delete it, or set Hookbox to what is there"
        }
        CONNECTION_FORCED => "an operator or a shutdown of the broker did so; check that it runs",
        _ => "the broker's log says more",
    };
    format!("{said}: {remedy}")
}

/// What fails on the way there, TLS included.
fn failure(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => format!("{tls}: {}", tls_remedy(tls)),
        None if breaks_off(error.kind()) => format!(
            "{error}; check amqp.url and that the broker runs; one that wants a certificate of us may break off like this too \
             (amqp.client_cert_file)"
        ),
        None => format!("{error}; check amqp.url and that the broker runs"),
    }
}

/// Whether the other side has ended a connection that was there. With TLS 1.3 the broker judges our certificate when we
/// write already, and its reset may come before its reason is read.
fn breaks_off(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn tls_remedy(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the broker's certificate is of an authority that is not trusted; put the authority's PEM file on the list \
             amqp.ca_files"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the broker's certificate is for another name; use a name of the certificate in amqp.url",
        rustls::Error::InvalidCertificate(_) => {
            "the broker's certificate is not good; have it renewed, and check the clocks of both machines"
        }
        rustls::Error::AlertReceived(_) => {
            "the broker breaks off; check amqp.client_cert_file and amqp.client_key_file, and what certificates it takes"
        }
        rustls::Error::InvalidMessage(_) => {
            "there is no TLS on that port; use the broker's TLS port in amqp.url (5671), or amqp:// instead of amqps://"
        }
        _ => "check amqp.url and the broker's TLS settings",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> String {
        Fault::from(lapin::Error::from(io::Error::new(io::ErrorKind::InvalidData, error))).to_string()
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_the_remedy() {
        let invalid = rustls::Error::InvalidCertificate;
        assert!(said(invalid(CertificateError::UnknownIssuer)).contains("amqp.ca_files"));
        assert!(said(invalid(CertificateError::NotValidForName)).contains("a name of the certificate"));
        assert!(said(invalid(CertificateError::Expired)).contains("renewed"));
        assert!(said("Connection refused").contains("check amqp.url and that the broker runs"));
    }

    #[test]
    fn a_link_that_breaks_off_may_be_for_want_of_a_certificate() {
        for (kind, names_it) in [(io::ErrorKind::ConnectionReset, true), (io::ErrorKind::ConnectionRefused, false)] {
            let fault = Fault::from(lapin::Error::from(io::Error::from(kind))).to_string();
            assert!(fault.contains("check amqp.url") && fault.contains("amqp.client_cert_file") == names_it, "{fault}");
        }
    }

    #[test]
    fn a_silent_link_is_named() {
        let fault = Fault::from(lapin::Error::from(ErrorKind::MissingHeartbeatError));
        assert!(fault.to_string().contains("amqp.heartbeat_s") && fault.code().is_none());
    }
}
