//! The edge to CouchDB: one HTTP client, and the few calls that are needed.
//!
//! | call | for |
//! |---|---|
//! | `GET /_all_dbs?startkey=…&endkey=…&limit=…` | the databases of numbers |
//! | `GET /DB/_all_docs?include_docs=true&startkey=…&limit=…` | everything, in pages |
//! | `POST /DB/_all_docs?include_docs=true` with `keys` | some documents by their ids |
//! | `GET /DB/ID` | one document, fresh |
//! | `GET /DB/_design/D/_view/V?startkey=…&endkey=…&include_docs=true&reduce=false&limit=…` | what a view finds |
//!
//! A page asks for one row more than it gives, so that the next one begins where it is and not after what may have gone
//! in between. Each call has a deadline that covers the body, each body a bound, and the calls under way one as well.
//! No proxy is used and no redirect followed. Neither user nor password is in any error.

use std::{error::Error, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode, redirect};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Semaphore;
use url::Url;

use crate::{message::Object, settings::KazooSettings};

/// What stays as it is in a path or a query. Not `+`, which CouchDB reads as a space.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a call to CouchDB failed. Each says what to look at.
#[derive(Debug, Error)]
pub enum CouchDbError {
    /// `kazoo.couchdb_url` is none. The settings have been checked for it.
    #[error("kazoo.couchdb_url is no URL with a host")]
    NoUrl,
    /// The client cannot be made; the machine's fault.
    #[error("the HTTP client cannot be made: {0}; check the system's TLS certificates")]
    Client(String),
    /// No connection, or no whole answer.
    #[error("CouchDB at {host} does not answer: {reason}; check that it runs, and kazoo.couchdb_url")]
    Away {
        /// Host and port.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// No whole answer in time.
    #[error("CouchDB at {host} does not answer within {timeout_ms} ms (kazoo.couchdb_timeout_ms)")]
    Slow {
        /// Host and port.
        host: String,
        /// The deadline.
        timeout_ms: u64,
    },
    /// 401 or 403.
    #[error("CouchDB at {host} refuses us ({status}); check user and password in kazoo.couchdb_url")]
    Refused {
        /// Host and port.
        host: String,
        /// 401 or 403.
        status: u16,
    },
    /// There is no such database.
    #[error("CouchDB at {host} has no database {database}; is it KAZOO's?")]
    NoDatabase {
        /// Host and port.
        host: String,
        /// The database.
        database: String,
    },
    /// Another answer that is none to the question.
    #[error("CouchDB at {host} answers {what}")]
    Unexpected {
        /// Host and port.
        host: String,
        /// Its status, or what is wrong with the body.
        what: String,
    },
    /// The answer is over the bound.
    #[error(
        "an answer of CouchDB at {host} has over {bytes_max} bytes (kazoo.couchdb_body_bytes_max); lower \
         kazoo.couchdb_page_rows"
    )]
    TooLarge {
        /// Host and port.
        host: String,
        /// The bound.
        bytes_max: usize,
    },
    /// More was to be looked through than the settings allow.
    #[error("{what} would take more than {pages} pages (kazoo.couchdb_user_pages_max)")]
    TooMany {
        /// What was looked for.
        what: &'static str,
        /// The bound.
        pages: u64,
    },
}

/// Some documents, and where the next ones begin.
#[derive(Debug, Default)]
pub struct Page {
    /// The documents. Rows without one (deleted, design documents aside) are left out.
    pub documents: Vec<Object>,
    /// What the next page begins with; `None` when this is the last.
    pub next: Option<Next>,
}

/// Where a page begins: a document's id, which in a view is one of those under the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

/// KAZOO's CouchDB.
#[derive(Debug)]
pub struct CouchDb {
    http: reqwest::Client,
    base: String,
    /// For errors.
    host: String,
    user: Option<(String, String)>,
    page_rows: usize,
    body_bytes_max: usize,
    timeout_ms: u64,
    places: Semaphore,
}

impl CouchDb {
    /// The one that the settings name; `None` when they name none.
    pub fn new(settings: &KazooSettings) -> Result<Option<Self>, CouchDbError> {
        let Some(url) = &settings.couchdb_url else { return Ok(None) };
        let url = Url::parse(url.as_str()).map_err(|_| CouchDbError::NoUrl)?;
        let host = url.host_str().ok_or(CouchDbError::NoUrl)?;
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = (!url.username().is_empty())
            .then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        // Fails only when one was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .timeout(Duration::from_millis(settings.couchdb_timeout_ms))
        };
        // Without the system's certificates, http still works.
        let http = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|error| CouchDbError::Client(error.to_string()))?;
        Ok(Some(Self {
            http,
            base: format!("{}://{host}", url.scheme()),
            host,
            user,
            page_rows: usize::try_from(settings.couchdb_page_rows).unwrap_or(usize::MAX),
            body_bytes_max: usize::try_from(settings.couchdb_body_bytes_max).unwrap_or(usize::MAX),
            timeout_ms: settings.couchdb_timeout_ms,
            places: Semaphore::new(usize::try_from(settings.couchdb_requests_max).unwrap_or(Semaphore::MAX_PERMITS)),
        }))
    }

    /// Rows of a page.
    pub fn page_rows(&self) -> usize {
        self.page_rows
    }

    /// The names of the databases that begin so, in order.
    pub async fn databases(&self, prefix: &str) -> Result<Vec<String>, CouchDbError> {
        let mut names: Vec<String> = Vec::new();
        let mut from = prefix.to_owned();
        loop {
            let end = json!(format!("{prefix}\u{fff0}")).to_string();
            let query = [("startkey", json!(from).to_string()), ("endkey", end), ("limit", self.rows_asked())];
            let answer = self.call(Method::GET, "", &["_all_dbs"], &query, None).await?;
            let Some(Value::Array(page)) = answer else { return Err(self.unexpected("/_all_dbs without a list")) };
            let page: Vec<&str> = page.iter().filter_map(Value::as_str).collect();
            names.extend(
                page.iter().take(self.page_rows).filter(|name| name.starts_with(prefix)).map(|&name| name.to_owned()),
            );
            match page.get(self.page_rows) {
                // A server that does not look at `startkey` would begin anew for ever.
                Some(next) if next.starts_with(prefix) && **next > *from => from = (*next).to_owned(),
                _ => return Ok(names),
            }
        }
    }

    /// A page of all documents of a database.
    pub async fn documents(&self, database: &str, from: Option<&Next>) -> Result<Page, CouchDbError> {
        let mut query = vec![("include_docs", "true".to_owned()), ("limit", self.rows_asked())];
        query.extend(from.map(|Next(id)| ("startkey", json!(id).to_string())));
        let answer = self.call(Method::GET, database, &["_all_docs"], &query, None).await?;
        self.page(answer.unwrap_or_default())
    }

    /// These documents of a database, as many of them as there are.
    pub async fn documents_of(&self, database: &str, ids: &[String]) -> Result<Vec<Object>, CouchDbError> {
        let query = [("include_docs", "true".to_owned())];
        let body = json!({"keys": ids}).to_string();
        let answer = self.call(Method::POST, database, &["_all_docs"], &query, Some(body)).await?;
        let rows = self.rows(answer.unwrap_or_default())?;
        Ok(rows.into_iter().filter_map(document_of).collect())
    }

    /// One document, as it is now; `None` when it is not there (any more).
    pub async fn document(&self, database: &str, id: &str) -> Result<Option<Object>, CouchDbError> {
        match self.call(Method::GET, database, &[id], &[], None).await? {
            None => Ok(None),
            Some(Value::Object(document)) => Ok(Some(document)),
            Some(_) => Err(self.unexpected("a document that is no object")),
        }
    }

    /// A page of the documents that a view (`design/view`) finds under a key; `None` when there is no such view.
    pub async fn found_by(
        &self,
        database: &str,
        view: (&str, &str),
        key: &str,
        from: Option<&Next>,
    ) -> Result<Option<Page>, CouchDbError> {
        let key = json!(key).to_string();
        let mut query = vec![
            ("startkey", key.clone()),
            ("endkey", key),
            ("include_docs", "true".to_owned()),
            ("reduce", "false".to_owned()),
            ("limit", self.rows_asked()),
        ];
        // The id itself, not JSON.
        query.extend(from.map(|Next(id)| ("startkey_docid", id.clone())));
        let path = ["_design", view.0, "_view", view.1];
        let answer = self.call(Method::GET, database, &path, &query, None).await?;
        answer.map(|answer| self.page(answer)).transpose()
    }

    fn rows_asked(&self) -> String {
        self.page_rows.saturating_add(1).to_string()
    }

    fn page(&self, answer: Value) -> Result<Page, CouchDbError> {
        let mut rows = self.rows(answer)?;
        let next = match rows.len() > self.page_rows {
            true => rows.get(self.page_rows).and_then(|row| row["id"].as_str()).map(|id| Next(id.to_owned())),
            false => None,
        };
        rows.truncate(self.page_rows);
        Ok(Page { documents: rows.into_iter().filter_map(document_of).collect(), next })
    }

    fn rows(&self, mut answer: Value) -> Result<Vec<Value>, CouchDbError> {
        match answer.get_mut("rows").map(Value::take) {
            Some(Value::Array(rows)) => Ok(rows),
            _ => Err(self.unexpected("a list without rows")),
        }
    }

    /// One call, once; `None` for what is not there.
    async fn call(
        &self,
        method: Method,
        database: &str,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<String>,
    ) -> Result<Option<Value>, CouchDbError> {
        let _place = self.places.acquire().await;
        let mut url = self.base.clone();
        for part in Some(database).filter(|name| !name.is_empty()).iter().chain(path) {
            url.push('/');
            url.extend(utf8_percent_encode(part, PLAIN));
        }
        for (number, (name, value)) in query.iter().enumerate() {
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, PLAIN));
        }
        let mut request = self.http.request(method, url).header("accept", "application/json");
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| self.away(error))?;
        let status = response.status();
        let body = self.body(response).await?;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(CouchDbError::Refused { host: self.host.clone(), status: status.as_u16() })
            }
            StatusCode::NOT_FOUND => {
                let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                match answer["reason"].as_str() {
                    Some("Database does not exist." | "no_db_file") => {
                        Err(CouchDbError::NoDatabase { host: self.host.clone(), database: database.to_owned() })
                    }
                    // What is no CouchDB has not said that something is not there.
                    None => Err(self.unexpected("404 without a reason")),
                    Some(_) => Ok(None),
                }
            }
            status if status.is_success() => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| self.unexpected(&format!("what is not JSON ({error})"))),
            status => Err(self.unexpected(&format!("with status {}", status.as_u16()))),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, CouchDbError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.away(error))? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(CouchDbError::TooLarge { host: self.host.clone(), bytes_max: self.body_bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn away(&self, error: reqwest::Error) -> CouchDbError {
        let host = self.host.clone();
        if error.is_timeout() {
            return CouchDbError::Slow { host, timeout_ms: self.timeout_ms };
        }
        let error = error.without_url();
        CouchDbError::Away { host, reason: first_cause(&error).to_string() }
    }

    fn unexpected(&self, what: &str) -> CouchDbError {
        CouchDbError::Unexpected { host: self.host.clone(), what: what.to_owned() }
    }
}

/// The error behind all others.
fn first_cause(error: &reqwest::Error) -> &dyn Error {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// The document of a row.
fn document_of(mut row: Value) -> Option<Object> {
    match row.get_mut("doc").map(Value::take) {
        Some(Value::Object(document)) => Some(document),
        _ => None,
    }
}
