//! KAZOO's CouchDB, as far as the host asks it: a small server that keeps databases in memory, answers the calls that
//! `host/src/kazoo/couchdb.rs` lists, and notes each of them. A test writes documents into it as the platform would, takes
//! it down, makes it slow, or lets it show an old revision, as a cluster does for a moment.
//!
//! It is no CouchDB: there is no package of one on the machines that these tests run on. What it knows of the real one
//! stands in the comments, so that it can be held against CouchDB's own documentation.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::receiver::{Inbound, Outbound, Request};

/// User and password that it wants.
const USER: (&str, &str) = ("kazoo", "p@ss/word");

/// A server on a free port of 127.0.0.1. Dropped, it closes everything.
pub struct CouchDb {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    accepting: Mutex<Option<AbortHandle>>,
}

/// What it keeps.
#[derive(Default)]
struct Kept {
    databases: BTreeMap<String, BTreeMap<String, Document>>,
    /// `GET /path?query`, decoded.
    calls: Vec<String>,
    without_views: bool,
    delay: Duration,
    view_delay: Duration,
    /// How often a document is still shown as it was before its last change.
    lagging: HashMap<(String, String), usize>,
}

/// A document and what it was before its last change; none when it is not there.
#[derive(Clone, Default)]
struct Document {
    now: Option<Value>,
    before: Option<Value>,
    generation: u64,
}

impl CouchDb {
    /// One with KAZOO's databases, empty.
    pub async fn start() -> CouchDb {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let kept = Arc::new(Mutex::new(Kept::default()));
        for database in ["accounts", "webhooks", "numbers/+1312"] {
            lock(&kept).databases.insert(database.to_owned(), BTreeMap::new());
        }
        let accepting = tokio::spawn(accept(listener, Arc::clone(&kept))).abort_handle();
        CouchDb { address, kept, accepting: Mutex::new(Some(accepting)) }
    }

    /// `kazoo.couchdb_url`, with user and password.
    pub fn url(&self) -> String {
        format!("http://kazoo:p%40ss%2Fword@{}", self.address)
    }

    /// … with a wrong password.
    pub fn url_with_wrong_password(&self) -> String {
        format!("http://kazoo:guess@{}", self.address)
    }

    /// Writes a document, and makes its database when it is missing. Gives the new revision.
    pub fn put(&self, database: &str, document: Value) -> String {
        self.change(database, document["_id"].as_str().expect("an _id").to_owned().as_str(), Some(document))
    }

    /// Sets a field of a document. Gives the new revision.
    pub fn edit(&self, database: &str, id: &str, field: &str, value: impl Into<Value>) -> String {
        let now = self.kept().databases[database][id].now.clone();
        let mut document = now.unwrap_or_else(|| panic!("there is no {id} in {database}"));
        document[field] = value.into();
        self.put(database, document)
    }

    /// Takes a document away, as CouchDB's DELETE does. Gives the revision of what is left.
    pub fn delete(&self, database: &str, id: &str) -> String {
        self.change(database, id, None)
    }

    fn change(&self, database: &str, id: &str, document: Option<Value>) -> String {
        let mut kept = self.kept();
        let kept = kept.databases.entry(database.to_owned()).or_default().entry(id.to_owned()).or_default();
        kept.generation += 1;
        let revision = format!("{}-abcd", kept.generation);
        kept.before = kept.now.take();
        kept.now = document.map(|mut document| {
            document["_rev"] = json!(revision);
            document
        });
        revision
    }

    /// The next `times` fetches of this document show it as it was before its last change.
    pub fn lag(&self, database: &str, id: &str, times: usize) {
        self.kept().lagging.insert((database.to_owned(), id.to_owned()), times);
    }

    /// Has no views from now on.
    pub fn without_views(self) -> CouchDb {
        self.kept().without_views = true;
        self
    }

    /// Answers after so long.
    pub fn slow(&self, delay: Duration) {
        self.kept().delay = delay;
    }

    /// Answers from views after so long; a real one is slow when a view has much to catch up with.
    pub fn slow_views(&self, delay: Duration) {
        self.kept().view_delay = delay;
    }

    /// Closes the port and all connections.
    pub fn go_down(&self) {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        accepting.expect("a server that is up").abort();
    }

    /// Listens again, at the same port.
    pub async fn come_up(&self) {
        // The old socket is closed when its task has been dropped, which is soon.
        let listener = crate::eventually::eventually("the port of CouchDB to be free", async || {
            TcpListener::bind(self.address).await.map_err(|error| error.to_string())
        })
        .await;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&self.kept))).abort_handle();
        *self.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepting);
    }

    /// The calls so far whose path begins so, e.g. `GET /accounts/`; with their queries, decoded.
    pub fn calls(&self, beginning: &str) -> Vec<String> {
        self.kept().calls.iter().filter(|call| call.starts_with(beginning)).cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Drop for CouchDb {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            accepting.abort();
        }
    }
}

/// The connections are in the set, so that they end with this task.
async fn accept(listener: TcpListener, kept: Arc<Mutex<Kept>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(serve(stream, Arc::clone(&kept)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, kept: Arc<Mutex<Kept>>) {
    stream.set_nodelay(true).ok();
    let (reader, writer) = stream.into_split();
    let (mut inbound, mut outbound) = (Inbound::new(reader), Outbound::new(writer));
    while let Ok(Some(request)) = inbound.next().await {
        let delay = lock(&kept).delay;
        tokio::time::sleep(delay).await;
        let (status, answer) = lock(&kept).answer(&request);
        if request.path().contains("/_view/") {
            let delay = lock(&kept).view_delay;
            tokio::time::sleep(delay).await;
        }
        let body = answer.to_string();
        let head =
            format!("HTTP/1.1 {status} .\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if !outbound.write(format!("{head}{body}").as_bytes()).await {
            return;
        }
    }
}

impl Kept {
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        // Like CouchDB, it takes a `+` in a path for a space.
        let path: Vec<String> =
            request.path().trim_start_matches('/').split('/').map(|part| decoded(&part.replace('+', " "))).collect();
        let query: HashMap<String, String> = request
            .query()
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let text = request.query().map(|query| format!("?{}", decoded(query))).unwrap_or_default();
        self.calls.push(format!("{} /{}{text}", request.method, path.join("/")));
        if request.header("authorization") != Some(&authorization()) {
            return (401, json!({"error": "unauthorized", "reason": "Name or password is incorrect."}));
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["_all_dbs"]) => (200, self.all_dbs(&query)),
            (_, [database, ..]) if !self.databases.contains_key(*database) => {
                (404, json!({"error": "not_found", "reason": "Database does not exist."}))
            }
            ("GET", [database, "_all_docs"]) => (200, self.rows(self.all(database), &query)),
            ("POST", [database, "_all_docs"]) => (200, self.rows_of(database, &request.json(), &query)),
            ("GET", [database, "_design", design, "_view", view]) => match self.found_by(database, design, view) {
                Some(rows) => (200, self.rows(rows, &query)),
                None => (404, json!({"error": "not_found", "reason": "missing"})),
            },
            ("GET", [database, id]) => self.document(database, id),
            _ => (405, json!({"error": "method_not_allowed", "reason": "not one of the calls that are known"})),
        }
    }

    fn all_dbs(&self, query: &HashMap<String, String>) -> Value {
        let bound = |name: &str| query.get(name).and_then(|json| serde_json::from_str::<String>(json).ok());
        let (first, last) = (bound("startkey"), bound("endkey"));
        let names = self.databases.keys().filter(|name| first.as_ref().is_none_or(|first| *name >= first));
        let names = names.filter(|name| last.as_ref().is_none_or(|last| *name <= last));
        names.take(limit(query)).cloned().collect()
    }

    /// A document's row is under its id.
    fn all(&self, database: &str) -> Vec<(String, Value)> {
        self.live(database)
            .map(|document| (document["_id"].as_str().unwrap_or_default().to_owned(), document))
            .collect()
    }

    fn live(&self, database: &str) -> impl Iterator<Item = Value> {
        self.databases[database].values().filter_map(|document| document.now.clone())
    }

    /// What KAZOO's own views find; they leave out what is marked as deleted.
    fn found_by(&self, database: &str, design: &str, view: &str) -> Option<Vec<(String, Value)>> {
        let (kind, key) = match (design, view) {
            ("webhooks", "accounts_listing") => ("webhook", "pvt_account_id"),
            ("users", "creds_by_md5") => ("user", "pvt_md5_auth"),
            ("users", "creds_by_sha") => ("user", "pvt_sha1_auth"),
            _ => return None,
        };
        let live =
            self.live(database).filter(|document| document["pvt_type"] == kind && document["pvt_deleted"] != true);
        let rows = live.filter_map(|document| Some((document[key].as_str()?.to_owned(), document)));
        (!self.without_views).then(|| rows.collect())
    }

    /// Rows in the order of key and id, between the bounds; `startkey_docid` counts among those of the first key.
    fn rows(&self, mut rows: Vec<(String, Value)>, query: &HashMap<String, String>) -> Value {
        let id = |document: &Value| document["_id"].as_str().unwrap_or_default().to_owned();
        let bound =
            |name: &str| query.get(name).map(|json| serde_json::from_str::<String>(json).expect("a key in JSON"));
        let (first, last) = (bound("startkey"), bound("endkey"));
        let first_id = query.get("startkey_docid").cloned().unwrap_or_default();
        rows.sort_by_key(|(key, document)| (key.clone(), id(document)));
        rows.retain(|(key, document)| {
            first.as_ref().is_none_or(|first| (key, id(document)) >= (first, first_id.clone()))
                && last.as_ref().is_none_or(|last| key <= last)
        });
        let total = rows.len();
        let row = |(key, document): (String, Value)| {
            let mut row = json!({"id": id(&document), "key": key, "value": {"rev": document["_rev"]}});
            if query.get("include_docs").is_some_and(|include| include == "true") {
                row["doc"] = document;
            }
            row
        };
        let rows: Vec<Value> = rows.into_iter().take(limit(query)).map(row).collect();
        json!({"total_rows": total, "offset": 0, "rows": rows})
    }

    /// The rows of a list of ids, in its order.
    fn rows_of(&self, database: &str, body: &Value, query: &HashMap<String, String>) -> Value {
        let rows = body["keys"].as_array().expect("keys").iter().map(|key| {
            let id = key.as_str().unwrap_or_default();
            let found = self.databases[database].get(id).and_then(|document| document.now.clone());
            match found {
                Some(document) => self.rows(vec![(id.to_owned(), document)], query)["rows"][0].take(),
                None => json!({"key": key, "error": "not_found"}),
            }
        });
        json!({"total_rows": 0, "offset": 0, "rows": rows.collect::<Vec<_>>()})
    }

    fn document(&mut self, database: &str, id: &str) -> (u16, Value) {
        let Some(document) = self.databases[database].get(id) else {
            return (404, json!({"error": "not_found", "reason": "missing"}));
        };
        let lag = self.lagging.get_mut(&(database.to_owned(), id.to_owned())).filter(|times| **times > 0);
        let shown = match lag {
            Some(times) => {
                *times -= 1;
                &document.before
            }
            None => &document.now,
        };
        match shown {
            Some(document) => (200, document.clone()),
            None => (404, json!({"error": "not_found", "reason": "deleted"})),
        }
    }
}

fn limit(query: &HashMap<String, String>) -> usize {
    query.get("limit").map_or(usize::MAX, |limit| limit.parse().expect("a limit"))
}

/// What a client with the right user and password sends.
fn authorization() -> String {
    let request = crate::test_host::http().get("http://127.0.0.1/").basic_auth(USER.0, Some(USER.1)).build();
    let request = request.expect("a request");
    request.headers()["authorization"].to_str().expect("ASCII").to_owned()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits = (byte == b'%').then(|| [bytes.next(), bytes.next()].into_iter().flatten().collect::<Vec<u8>>());
        let coded = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok());
        plain.push(coded.unwrap_or(byte));
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
