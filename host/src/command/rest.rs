//! How commands talk to a host's REST: [`Connection`] are the flags that all of them take, [`Host`] makes calls and
//! reads lists to their end, [`Refusal`] says why something was not done.
//!
//! A key or token travels in headers (and once in the body of `api_auth`, to learn whose it is); it is never printed,
//! nor part of a [`Refusal`].

mod refusal;

use std::{process::ExitCode, time::Duration};

use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub(super) use self::refusal::{Flags, Refusal};
use crate::{api::token::Tokens, error_chain::chain};

/// Longer than the host itself takes over a request (`api.request_timeout_ms`).
const TIMEOUT: Duration = Duration::from_secs(60);
/// Entries asked for in one page; the host gives fewer when `api.list_rows_max` says so.
const PAGE_ROWS: usize = 200;
/// What stands in a path as it is; everything else is percent-encoded.
const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'+');

/// A client for the host's own API: unlike the one that fires, it may go to any address.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which host, and as whom")]
pub(super) struct Connection {
    /// The host's address.
    #[arg(long, global = true, env = "HOOKBOX_CLI_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// An API key, or a token of api_auth. Other users of this machine can see a command line: better set
    /// HOOKBOX_CLI_TOKEN in the environment.
    #[arg(long, global = true, env = "HOOKBOX_CLI_TOKEN", hide_env_values = true, value_name = "KEY")]
    token: Option<String>,
    /// Whose things; the key's own account when absent.
    #[arg(long, global = true, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// Print what the host answered as JSON, and nothing else.
    #[arg(long, global = true)]
    json: bool,
}

impl Connection {
    /// Does the work with the host, says on stderr why when it could not be done, and gives the exit code. `flags` are
    /// how this command's flags are called, to name them in what is wrong.
    pub(super) async fn run(&self, flags: Flags, work: impl AsyncFnOnce(&Host) -> Result<(), Refusal>) -> ExitCode {
        let done = match Host::of(self) {
            Ok(host) => work(&host).await,
            Err(refusal) => Err(refusal),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(refusal) => refusal.said(flags),
        }
    }
}

/// A host, and who asks it.
pub(super) struct Host {
    client: reqwest::Client,
    url: String,
    token: String,
    named_account: Option<String>,
    own_account: OnceCell<String>,
    /// Whether what was answered is printed as it is.
    pub(super) json: bool,
}

impl Host {
    fn of(connection: &Connection) -> Result<Self, Refusal> {
        let token = connection.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        Ok(Self {
            client: client().map_err(|error| Refusal::Unable(chain(&error)))?,
            url: connection.url.trim_end_matches('/').to_owned(),
            token: token.ok_or(Refusal::NoKey)?.to_owned(),
            named_account: connection.account.clone(),
            own_account: OnceCell::new(),
            json: connection.json,
        })
    }

    /// The account that is meant: the one that was named, else the key's own, which the host is asked for once.
    pub(super) async fn account(&self) -> Result<&str, Refusal> {
        if let Some(account) = &self.named_account {
            return Ok(account);
        }
        if Tokens::is_one(&self.token) {
            return Err(Refusal::Unable(
                "a token does not say whose it is: name the account with --account".to_owned(),
            ));
        }
        let learn = async || {
            let data = self.put(&path(&["api_auth"]), json!({"api_key": self.token})).await?;
            let account = data["account_id"].as_str().map(str::to_owned);
            account.ok_or_else(|| Refusal::Unable("the host does not say whose the key is: use --account".to_owned()))
        };
        self.own_account.get_or_try_init(learn).await.map(String::as_str)
    }

    /// The account, when one was named.
    pub(super) fn named_account(&self) -> Option<&str> {
        self.named_account.as_deref()
    }

    /// A path below the account that is meant.
    pub(super) async fn in_account(&self, rest: &[&str]) -> Result<String, Refusal> {
        let account = self.account().await?;
        Ok(path(&[&["accounts", account], rest].concat()))
    }

    /// Reads; the envelope's data.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.call(Method::GET, path, None).await.map(data)
    }

    /// Makes; the envelope's data.
    pub(super) async fn put(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call(Method::PUT, path, Some(body)).await.map(data)
    }

    /// Does, or replaces; the envelope's data.
    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call(Method::POST, path, Some(body)).await.map(data)
    }

    /// Does with one page of things; the envelope's data, and the key of the next page when there is one.
    pub(super) async fn post_page(&self, path: &str, body: Value) -> Result<(Value, Option<String>), Refusal> {
        let envelope = self.call(Method::POST, path, Some(body)).await?;
        let next = envelope["next_start_key"].as_str().map(str::to_owned);
        Ok((data(envelope), next))
    }

    /// Changes; the envelope's data.
    pub(super) async fn patch(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call(Method::PATCH, path, Some(body)).await.map(data)
    }

    /// Deletes; the envelope's data.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, Refusal> {
        self.call(Method::DELETE, path, None).await.map(data)
    }

    /// Reads a list, page after page, to its end or to the first `most` entries.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        most: Option<usize>,
    ) -> Result<Vec<Value>, Refusal> {
        let most = most.unwrap_or(usize::MAX);
        let mut entries: Vec<Value> = Vec::new();
        let mut start_key: Option<String> = None;
        loop {
            let mut pairs = query.to_vec();
            pairs.push(("page_size", PAGE_ROWS.min(most).max(1).to_string()));
            pairs.extend(start_key.take().map(|key| ("start_key", key)));
            let mut envelope = self.call(Method::GET, &with_query(path, &pairs), None).await?;
            if let Value::Array(page) = envelope["data"].take() {
                entries.extend(page);
            }
            start_key = envelope["next_start_key"].as_str().map(str::to_owned);
            if entries.len() >= most || start_key.is_none() {
                entries.truncate(most);
                return Ok(entries);
            }
        }
    }

    /// One call; the whole envelope of a success.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Refusal> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method, &url).header("x-auth-token", &self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(json!({"data": body}).to_string());
        }
        let unreachable = |error: reqwest::Error| {
            // Without its address, which is said already.
            Refusal::Unreachable { url: self.url.clone(), cause: chain(&error.without_url()) }
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        match serde_json::from_str::<Value>(&text) {
            Ok(envelope) if envelope.get("data").is_some() => match status.is_success() {
                true => Ok(envelope),
                false => Err(Refusal::Refused { status, path: path.to_owned(), data: data(envelope) }),
            },
            _ if status == StatusCode::UNAUTHORIZED => {
                Err(Refusal::Refused { status, path: path.to_owned(), data: Value::Null })
            }
            _ => Err(Refusal::NoHost { url, status }),
        }
    }
}

fn data(mut envelope: Value) -> Value {
    envelope["data"].take()
}

/// A path under `/v2`, of these parts, each encoded.
pub(super) fn path(parts: &[&str]) -> String {
    parts.iter().fold("/v2".to_owned(), |path, part| format!("{path}/{}", utf8_percent_encode(part, PATH_SEGMENT)))
}

/// A path with a query.
pub(super) fn with_query(path: &str, pairs: &[(&str, String)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_stays_one_part_of_the_path() {
        assert_eq!(
            path(&["accounts", "a_b-1", "webhooks", "x/../y?z#é"]),
            "/v2/accounts/a_b-1/webhooks/x%2F..%2Fy%3Fz%23%C3%A9"
        );
        assert_eq!(with_query("/v2/x", &[]), "/v2/x");
        assert_eq!(with_query("/v2/x", &[("a", "1&2".to_owned()), ("b", "+".to_owned())]), "/v2/x?a=1%262&b=%2B");
    }
}
