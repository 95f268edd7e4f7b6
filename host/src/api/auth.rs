//! Who calls: an API key, by `X-Auth-Token` or `Authorization: Bearer`. A key opens its account and that account's
//! descendants, nothing else.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use dashmap::DashMap;

use super::{Shared, problem::Problem};
use crate::{account::hash_key, message::AccountId};

/// Addresses whose guesses are counted at once; over it the count starts anew, which bounds memory.
const ADDRESSES_MAX: usize = 100_000;
const WINDOW_MS: u64 = 60_000;

/// The account whose key came with the request.
#[derive(Clone, Debug)]
pub struct Caller(pub AccountId);

impl Caller {
    /// Whether the caller may act for the account; 404 for one that there is not, 403 for one that is not theirs. Only
    /// who may see an account learns whether there is one.
    pub fn may_act_for(&self, account: &AccountId, api: &Shared) -> Result<(), Problem> {
        let is_master = self.0 == api.master;
        match api.accounts.contains(account) {
            true if is_master || api.accounts.is_within(account, &self.0) => Ok(()),
            false if is_master => Err(Problem::not_found("there is no such account")),
            _ => Err(Problem::forbidden()),
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let now_ms = api.clock.now_ms();
        if from.is_some_and(|from| api.guesses.are_too_many(from, now_ms)) {
            return Err(Problem::too_many_guesses());
        }
        let key = key(&parts.headers).ok_or_else(Problem::no_credentials)?;
        // Looked up by hash: what is compared is not the secret, so how long it takes tells nothing about it.
        let record = api.store.key(&hash_key(key)).await.map_err(|error| {
            tracing::error!(%error, "a key could not be looked up");
            Problem::unavailable()
        })?;
        match record {
            Some(record) => Ok(Self(record.account)),
            None => {
                if let Some(from) = from {
                    api.guesses.count(from, now_ms);
                }
                Err(Problem::bad_credentials())
            }
        }
    }
}

fn key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-auth-token").or_else(|| text(header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ")).map(str::trim)
}

/// Wrong keys of the last minute, by address.
pub struct Guesses {
    by_address: Arc<DashMap<IpAddr, (u64, u32)>>,
    most: NonZeroU32,
}

impl Guesses {
    /// At most this many a minute.
    pub fn new(most_per_min: u32) -> Self {
        Self { by_address: Arc::default(), most: NonZeroU32::new(most_per_min).unwrap_or(NonZeroU32::MIN) }
    }

    fn are_too_many(&self, from: IpAddr, now_ms: u64) -> bool {
        self.by_address
            .get(&from)
            .is_some_and(|entry| now_ms.saturating_sub(entry.0) < WINDOW_MS && entry.1 >= self.most.get())
    }

    fn count(&self, from: IpAddr, now_ms: u64) {
        if self.by_address.len() >= ADDRESSES_MAX {
            self.by_address.clear();
        }
        let mut entry = self.by_address.entry(from).or_insert((now_ms, 0));
        if now_ms.saturating_sub(entry.0) >= WINDOW_MS {
            *entry = (now_ms, 0);
        }
        entry.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_address_and_minute() {
        let guesses = Guesses::new(2);
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        guesses.count(one, 0);
        assert!(!guesses.are_too_many(one, 1));
        guesses.count(one, 1);
        assert!(guesses.are_too_many(one, 59_999));
        assert!(!guesses.are_too_many(other, 1));
        assert!(!guesses.are_too_many(one, 60_000));
    }
}
