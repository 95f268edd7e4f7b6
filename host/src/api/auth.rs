//! Who calls: an API key or a token, by `X-Auth-Token` or `Authorization: Bearer`. A key opens its account and that
//! account's descendants, nothing else.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    RequestPartsExt,
    extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts, RawPathParams},
    http::{HeaderMap, Method, header, request::Parts},
};
use dashmap::DashMap;

use super::{
    Shared,
    front::{AUTH_TOKEN, LoggedIn},
    problem::Problem,
    token::{Holder, Tokens},
};
use crate::{
    account::{KeyRecord, hash_key},
    error_chain::chain,
    message::AccountId,
};

/// Addresses whose guesses are counted at once; over it the count starts anew, which bounds memory.
const ADDRESSES_MAX: usize = 100_000;
const WINDOW_MS: u64 = 60_000;
/// A key's last use is noted to a minute.
const LAST_USE_MS: u64 = 60_000;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account that the key or token opens, with all descendants.
    pub account: AccountId,
    /// By what.
    pub holder: Holder,
    /// Whether it is the operator: a key of the master account, or an administrator there.
    pub is_super: bool,
}

impl Caller {
    /// Whether the caller may act for the account; 404 for one that there is not, 403 for one that is not theirs. Only
    /// who may see an account learns whether there is one.
    pub fn may_act_for(&self, account: &AccountId, api: &Shared) -> Result<(), Problem> {
        match api.accounts.contains(account) {
            true if self.is_super || api.accounts.is_within(account, &self.account) => Ok(()),
            false if self.is_super => Err(Problem::unknown(account.as_str())),
            _ => Err(Problem::forbidden()),
        }
    }

    /// 403 for everybody but the operator.
    pub fn must_be_super(&self) -> Result<(), Problem> {
        if self.is_super { Ok(()) } else { Err(Problem::forbidden()) }
    }

    /// Users who are no administrators look at things, and change nothing.
    fn may(&self, method: &Method) -> Result<(), Problem> {
        match &self.holder {
            Holder::User { is_admin: false, .. } if !method.is_safe() => Err(Problem::forbidden()),
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let shown = shown(&parts.headers).ok_or_else(Problem::no_credentials)?;
        api.guesses.may_go_on(parts, api.clock.now_ms())?;
        let found = match Tokens::is_one(shown) {
            true => by_token(api, shown).await?,
            // Looked up by hash: what is compared is not the secret, so how long it takes tells nothing about it.
            false => api.store.key(&hash_key(shown)).await?.map(|key| by_key(api, key)),
        };
        let Some(caller) = found else {
            api.guesses.count(parts, api.clock.now_ms());
            return Err(Problem::bad_credentials());
        };
        caller.may(&parts.method)?;
        if let Some(LoggedIn(logged_in)) = parts.extensions.get::<LoggedIn>() {
            let _ = logged_in.set(Tokens::is_one(shown).then(|| shown.to_owned()));
        }
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

/// For what anonymous callers may see too. One who shows a key that is none is refused all the same.
impl OptionalFromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Option<Self>, Problem> {
        match shown(&parts.headers) {
            None => Ok(None),
            Some(_) => <Self as FromRequestParts<Shared>>::from_request_parts(parts, api).await.map(Some),
        }
    }
}

/// The account of a path `/v2/accounts/{account_id}/…`, for which the caller may act.
#[derive(Clone, Debug)]
pub struct InAccount {
    /// Whose things are asked for.
    pub account: AccountId,
    /// By whom.
    pub caller: Caller,
}

impl FromRequestParts<Shared> for InAccount {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<Shared>>::from_request_parts(parts, api).await?;
        let params = parts.extract::<RawPathParams>().await.map_err(|_| Problem::no_such_path())?;
        let id = params.iter().find(|(name, _)| *name == "account_id").map(|(_, id)| id.to_owned());
        let account = AccountId::from(id.unwrap_or_default());
        caller.may_act_for(&account, api)?;
        Ok(Self { account, caller })
    }
}

fn by_key(api: &Shared, key: KeyRecord) -> Caller {
    let now_ms = api.clock.now_ms();
    if key.last_used_ms.is_none_or(|last| now_ms.saturating_sub(last) >= LAST_USE_MS) {
        let (store, id) = (Arc::clone(&api.store), key.id.clone());
        tokio::spawn(async move {
            if let Err(error) = store.touch_key(&id, now_ms).await {
                tracing::warn!(error = chain(&error), "a key's last use could not be noted");
            }
        });
    }
    Caller { is_super: key.account == api.master, account: key.account, holder: Holder::Key(key.id) }
}

async fn by_token(api: &Shared, text: &str) -> Result<Option<Caller>, Problem> {
    let Some(token) = api.tokens.check(text, api.clock.now_ms()) else { return Ok(None) };
    Ok(match &token.holder {
        Holder::Key(id) => match api.store.key_by_id(id).await? {
            Some(key) if key.account == token.account => Some(by_key(api, key)),
            _ => None,
        },
        Holder::User { is_admin, .. } => {
            let is_super = *is_admin && token.account == api.master;
            let known = api.accounts.contains(&token.account);
            known.then_some(Caller { is_super, account: token.account, holder: token.holder })
        }
    })
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text(AUTH_TOKEN.as_str()).or_else(|| text(header::AUTHORIZATION.as_str())?.strip_prefix("Bearer "));
    token.map(str::trim).filter(|token| !token.is_empty())
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

    /// 429 when too many wrong keys came from where this request comes from.
    pub fn may_go_on(&self, parts: &Parts, now_ms: u64) -> Result<(), Problem> {
        match from(parts).is_some_and(|from| self.are_too_many(from, now_ms)) {
            true => Err(Problem::too_many_guesses()),
            false => Ok(()),
        }
    }

    /// Counts a wrong one.
    pub fn count(&self, parts: &Parts, now_ms: u64) {
        if let Some(from) = from(parts) {
            self.count_from(from, now_ms);
        }
    }

    fn are_too_many(&self, from: IpAddr, now_ms: u64) -> bool {
        self.by_address
            .get(&from)
            .is_some_and(|entry| now_ms.saturating_sub(entry.0) < WINDOW_MS && entry.1 >= self.most.get())
    }

    fn count_from(&self, from: IpAddr, now_ms: u64) {
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

fn from(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_address_and_minute() {
        let guesses = Guesses::new(2);
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        guesses.count_from(one, 0);
        assert!(!guesses.are_too_many(one, 1));
        guesses.count_from(one, 1);
        assert!(guesses.are_too_many(one, 59_999));
        assert!(!guesses.are_too_many(other, 1));
        assert!(!guesses.are_too_many(one, 60_000));
    }
}
