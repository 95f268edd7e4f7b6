//! How commands talk to a host's REST: [`Connection`] are the flags that all of them take, [`Host`] makes calls and
//! reads lists to their end, [`Refusal`] says why something was not done.
//!
//! A key or token travels in headers (and once in the body of `api_auth`, to learn whose it is); it is never printed,
//! nor part of a [`Refusal`]. Nor is a password that stands in the address.

mod refusal;

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use clap::Args;
use futures_util::TryStream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tower::BoxError;
use url::Url;

pub(super) use self::refusal::{Flags, Refusal};
use crate::{api::token::Tokens, error_chain::chain};

/// Longer than the host itself takes over a request (`api.request_timeout_ms`).
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a host takes over an upload as a rule (`modules.upload_timeout_ms`).
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// A host that is there takes a connection sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Entries asked for in one page; the host gives fewer when `api.list_rows_max` says so.
const PAGE_ROWS: usize = 200;
/// What stands in a path as it is; everything else is percent-encoded.
const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'+');

/// A client for the host's own API: unlike the one that fires, it may go to any address.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
    builder.redirect(reqwest::redirect::Policy::none()).build()
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
    /// The address as it may be printed.
    shown_url: String,
    token: String,
    named_account: Option<String>,
    own_account: OnceCell<String>,
    /// Whether what was answered is printed as it is.
    pub(super) json: bool,
}

impl Host {
    fn of(connection: &Connection) -> Result<Self, Refusal> {
        let token = connection.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        let token = token.ok_or(Refusal::NoKey)?;
        if HeaderValue::from_str(token).is_err() {
            let message =
                "the key has a line end or the like in it, as no key has: check HOOKBOX_CLI_TOKEN, or --token";
            return Err(Refusal::Unable(message.to_owned()));
        }
        let shown_url = shown_url(&connection.url).ok_or_else(|| {
            Refusal::Unable("--url, or HOOKBOX_CLI_URL, is no address; write http://HOST:PORT, or https://…".to_owned())
        })?;
        Ok(Self {
            client: client().map_err(|error| Refusal::Unable(chain(&error)))?,
            url: connection.url.trim_end_matches('/').to_owned(),
            shown_url,
            token: token.to_owned(),
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

    /// Sends a body that is no JSON, in pieces; the envelope's data, and whether something was made of it.
    pub(super) async fn upload(
        &self,
        path: &str,
        content_type: &str,
        bytes: usize,
        pieces: impl TryStream<Ok = Bytes, Error: Into<BoxError>> + Send + 'static,
    ) -> Result<(Value, bool), Refusal> {
        stays_where_it_is(path)?;
        let request = self.client.put(format!("{}{path}", self.url)).header("x-auth-token", &self.token);
        let request = request.header("content-type", content_type).header("content-length", bytes);
        let request = request.timeout(UPLOAD_TIMEOUT).body(reqwest::Body::wrap_stream(pieces));
        let (status, envelope) = self.answered(path, request).await?;
        Ok((data(envelope), status == StatusCode::CREATED))
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
        stays_where_it_is(path)?;
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).header("x-auth-token", &self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(json!({"data": body}).to_string());
        }
        self.answered(path, request).await.map(|(_, envelope)| envelope)
    }

    /// Sends the request; the status and the whole envelope of a success.
    async fn answered(&self, path: &str, request: RequestBuilder) -> Result<(StatusCode, Value), Refusal> {
        let answer = request.send().await.map_err(|error| self.unanswered(error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unanswered(error))?;
        match serde_json::from_str::<Value>(&text) {
            Ok(envelope) if envelope.get("data").is_some() => match status.is_success() {
                true => Ok((status, envelope)),
                false => Err(Refusal::Refused { status, path: path.to_owned(), data: data(envelope) }),
            },
            _ if status == StatusCode::UNAUTHORIZED => {
                Err(Refusal::Refused { status, path: path.to_owned(), data: Value::Null })
            }
            _ => Err(Refusal::NoHost { url: self.shown_url.clone(), status }),
        }
    }

    /// Why there is no answer: nobody was asked, or somebody was, who may have done it.
    fn unanswered(&self, error: reqwest::Error) -> Refusal {
        let (url, was_asked) = (self.shown_url.clone(), !error.is_connect() && !error.is_builder());
        // Without its address, which is said already.
        let cause = chain(&error.without_url());
        if was_asked { Refusal::Unanswered { url, cause } } else { Refusal::Unreachable { url, cause } }
    }
}

/// An http or https address without what opens it; `None` when it is none.
fn shown_url(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Refuses a path that would become another one on its way: an id that is `..` would make of a hook's path its account's.
/// Percent-encoding does not help against that (WHATWG URL, "double-dot path segment").
fn stays_where_it_is(path: &str) -> Result<(), Refusal> {
    let parts = path.split('?').next().unwrap_or_default().split('/').skip(1);
    match parts.into_iter().find(|part| matches!(*part, "" | "." | "..")) {
        None => Ok(()),
        Some("") => Err(Refusal::Unable("an id is empty; is a variable not set?".to_owned())),
        Some(part) => Err(Refusal::Unable(format!("{part} is not an id"))),
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

    #[test]
    fn what_would_lead_elsewhere_is_not_asked() {
        for id in ["", ".", ".."] {
            assert!(stays_where_it_is(&path(&["accounts", "a", "webhooks", id])).is_err(), "{id:?}");
            assert!(stays_where_it_is(&path(&["accounts", "a", "webhooks", id, "failures"])).is_err(), "{id:?}");
        }
        for id in ["...", "a.b", "%2e", "../x", "a"] {
            assert!(
                stays_where_it_is(&with_query(&path(&["accounts", id]), &[("q", "/../".to_owned())])).is_ok(),
                "{id}"
            );
        }
    }

    #[test]
    fn an_address_is_shown_without_what_opens_it() {
        assert_eq!(shown_url("http://u:hunter2@127.0.0.1:1/").as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(shown_url("https://hooks.example.com/below/").as_deref(), Some("https://hooks.example.com/below"));
        for none in ["", "localhost:8000", "127.0.0.1:8000", "ftp://x"] {
            assert_eq!(shown_url(none), None, "{none}");
        }
    }

    fn host(url: &str, token: &str) -> Result<Host, Refusal> {
        Host::of(&Connection {
            url: url.to_owned(),
            token: Some(token.to_owned()),
            account: Some("a".to_owned()),
            json: false,
        })
    }

    #[test]
    fn what_cannot_be_a_key_is_not_repeated() {
        let refusal = host("http://127.0.0.1:1", "ab\ncd").err().expect("it is refused");
        assert!(matches!(&refusal, Refusal::Unable(words) if !words.contains("ab")), "{refusal:?}");
    }

    #[tokio::test]
    async fn a_host_that_was_asked_may_have_done_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let host = host(&url, "key").expect("a host");
        let breaks_off = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut stream, &mut asked).await.expect("a request");
        };
        let (asked, ()) = tokio::join!(host.delete("/v2/accounts/a/webhooks/h"), breaks_off);
        assert!(matches!(&asked, Err(Refusal::Unanswered { url: said, .. }) if *said == url), "{asked:?}");
        drop(listener);
        let asked = host.delete("/v2/accounts/a/webhooks/h").await;
        assert!(matches!(&asked, Err(Refusal::Unreachable { url: said, .. }) if *said == url), "{asked:?}");
    }
}
