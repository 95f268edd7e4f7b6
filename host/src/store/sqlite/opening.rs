//! Opening the file: what can be wrong with `store.url`, the connections' settings, and the schema.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::SqliteStore;
use crate::store::{StoreError, StoreResult, columns::failed, migrations};

/// How long a write waits for that of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;
/// Pages that the write-ahead log may hold before they are moved into the file. Many, because a page that is written
/// a hundred times in between is then moved once.
const LOG_PAGES: &str = "4096";
/// Bytes of a page: about ten attempts each. Every page is a system call of its own, so small ones cost more.
const PAGE_BYTES: u32 = 16384;
/// Prepared statements kept by the writer: each kind of row in five group sizes, and the rest.
const STATEMENTS: usize = 200;

pub(super) async fn open(url: &str) -> StoreResult<SqliteStore> {
    let path = file_of(url)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", LOG_PAGES)
        .pragma("journal_size_limit", "134217728")
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    // One that is closed when idle would lose its prepared statements for nothing.
    let pool = || SqlitePoolOptions::new().idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let writer = pool()
        .max_connections(1)
        .connect_with(options.clone().pragma("cache_size", "-65536"))
        .await
        .map_err(|source| cannot_open(url, &path, source))?;
    let store = SqliteStore {
        readers: pool().max_connections(READERS).connect_lazy_with(options),
        writer,
        unindexed: Arc::default(),
    };
    let prepared = match store.migrate().await {
        Ok(()) => store.index_leftover_attempts().await,
        failed => failed,
    };
    prepared.map_err(|error| match error {
        StoreError::Database { source, .. } => cannot_open(url, &path, source),
        other => other,
    })?;
    Ok(store)
}

impl SqliteStore {
    /// Brings the schema up to date, unless a newer program has been here.
    async fn migrate(&self) -> StoreResult<()> {
        let doing = failed("bring its schema up to date");
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
            .fetch_one(&self.writer)
            .await
            .map_err(&doing)?;
        if tables > 0 {
            let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
                .fetch_one(&self.writer)
                .await
                .map_err(&doing)?;
            let known = migrations::SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0);
            if found > known {
                return Err(StoreError::Newer { found, known });
            }
        }
        migrations::SQLITE.run(&self.writer).await.map_err(|error| doing(error.into()))
    }
}

/// The path in `sqlite:PATH`, when a file can be there.
fn file_of(url: &str) -> StoreResult<PathBuf> {
    let refuse = |remedy: String| StoreError::Open { url: url.to_owned(), remedy, source: None };
    let Some(rest) = url.strip_prefix("sqlite:") else {
        // What is there may hold a password.
        let url = url.split(':').next().unwrap_or_default().to_owned();
        let remedy = "write sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned();
        return Err(StoreError::Open { url, remedy, source: None });
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return Err(refuse("the path is missing; write sqlite:PATH, e.g. sqlite:hookbox.db".into()));
    }
    if path.contains(":memory:") {
        return Err(refuse("a store in memory would lose firings; name a file".into()));
    }
    if path.contains('?') {
        return Err(refuse("options after ? are not taken; write sqlite:PATH alone".into()));
    }
    let path = PathBuf::from(path);
    if path.is_dir() {
        return Err(refuse(format!("{} is a folder; name a file in it", path.display())));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(refuse(format!("there is no folder {}; make it, or name another place", parent.display())));
    }
    Ok(path)
}

/// SQLite's primary result codes that say what the operator can do.
fn cannot_open(url: &str, path: &Path, source: sqlx::Error) -> StoreError {
    let code = source
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok())
        .map_or(0, |code| code & 0xff);
    let remedy = match code {
        26 => format!("{} is not an SQLite database; move it away, or name another file", path.display()),
        11 => format!("{} is damaged; restore it from a copy", path.display()),
        3 | 8 | 14 | 23 => {
            format!("this user may not read and write {} and its folder; change their owner or mode", path.display())
        }
        5 | 6 => format!("another program holds {}; stop it, or name another file", path.display()),
        13 => format!("the disk of {} is full; make room", path.display()),
        _ => format!("see whether {} is a database of Hookbox", path.display()),
    };
    StoreError::Open { url: url.to_owned(), remedy, source: Some(source) }
}
