//! Why a request got no answer, found by the types of errors and never by their words.
//!
//! A detail names host and port of the receiver (or of the proxy), and no secret: no path, query, user or password.

use std::{error::Error, io};

use super::resolver::LookupError;
use crate::{
    attempt::{Fault, Outcome},
    firing::address_policy::AddressRefused,
};

/// What becomes an [`Outcome::Failed`].
#[derive(Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into() }
    }

    /// The first error of the chain whose type says what happened.
    pub(super) fn of(error: &(dyn Error + 'static), receiver: &str) -> Self {
        for cause in causes(error) {
            if let Some(lookup) = cause.downcast_ref::<LookupError>() {
                return lookup.into();
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
        let last = last_cause(error);
        if let Some(error) = error.downcast_ref::<reqwest::Error>() {
            if error.is_timeout() {
                let detail = format!("no connection to {receiver} within firing.connect_timeout_ms");
                return Self::new(Fault::Timeout, detail);
            }
            if error.is_builder() {
                return Self::new(Fault::BadRequest, format!("the request cannot be made: {last}"));
            }
        }
        Self::new(Fault::Connection, format!("no answer from {receiver}: {last}"))
    }

    /// The answer began and did not end as it should.
    pub(super) fn broke_off(status: u16, error: &(dyn Error + 'static)) -> Self {
        let last = last_cause(error);
        Self::new(Fault::BadAnswer, format!("the answer {status} broke off or cannot be decompressed: {last}"))
    }
}

impl From<&LookupError> for Failure {
    fn from(lookup: &LookupError) -> Self {
        let fault = match lookup {
            LookupError::Refused { .. } => Fault::AddressRefused,
            LookupError::Failed { .. } | LookupError::NoAddress { .. } | LookupError::NoResolver { .. } => {
                Fault::NameLookup
            }
        };
        Self::new(fault, lookup.with_source())
    }
}

impl From<AddressRefused> for Failure {
    fn from(refused: AddressRefused) -> Self {
        Self::new(Fault::AddressRefused, refused.to_string())
    }
}

impl From<Failure> for Outcome {
    fn from(Failure { fault, detail }: Failure) -> Self {
        Outcome::Failed { fault, detail }
    }
}

/// What is at the bottom of an error.
pub(super) fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
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
