//! Opening the database: what can be wrong with `store.url`, the connections' settings, and the schema.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use url::Url;

use super::{Days, Hints, PostgresStore};
use crate::{
    settings::StoreSettings,
    store::{StoreError, StoreResult, columns::failed, migrations},
};

/// What `store.url` takes after `?`. All else is refused, because the driver would pass over it.
const OPTIONS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];
/// How to write the URL.
const FORM: &str = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full for TLS";
/// What is there from PostgreSQL 13 on is made use of.
const VERSION_LEAST: i32 = 130_000;

/// What is wrong with a URL of this kind; says nothing of its password.
pub fn problem_of_url(url: &str) -> Option<String> {
    let Ok(parsed) = Url::parse(url) else { return Some("no URL".to_owned()) };
    if parsed.host_str().is_none_or(str::is_empty) {
        return Some("without a host".to_owned());
    }
    if parsed.path().trim_matches('/').is_empty() {
        return Some("without a database".to_owned());
    }
    if let Some((key, _)) = parsed.query_pairs().find(|(key, _)| !OPTIONS.contains(&key.as_ref())) {
        return Some(format!("with the option {key}; use {} alone", OPTIONS.join(", ")));
    }
    // Read once here, so that a word that the driver does not know is said with the key's name.
    PgConnectOptions::from_str(url).err().map(|_| {
        "with an option that has no such value; sslmode is disable, prefer, require, verify-ca or verify-full"
            .to_owned()
    })
}

/// The URL as it may be shown: without user, password and options.
pub fn shown_url(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let shown = parsed.as_ref().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}{}", url.scheme(), url.host_str()?, url.path()))
    });
    shown.unwrap_or_else(|| "(no URL of a database)".to_owned())
}

pub(super) async fn open(settings: &StoreSettings) -> StoreResult<PostgresStore> {
    let url = &settings.url;
    let refuse = |remedy: String, source| StoreError::Open { url: shown_url(url), remedy, source };
    if let Some(problem) = problem_of_url(url) {
        return Err(refuse(format!("it is {problem}; {FORM}"), None));
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(|source| refuse(FORM.to_owned(), Some(source)))?
        .application_name("hookbox")
        .disable_statement_logging();
    let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
    let connection = tokio::time::timeout(connect_timeout, options.connect()).await;
    let mut connection = match connection {
        Ok(connected) => connected.map_err(|source| refuse(remedy_of(&source), Some(source)))?,
        Err(_) => {
            let remedy = format!(
                "nothing answered within {} ms (store.connect_timeout_ms); check the host, the port and the way there",
                settings.connect_timeout_ms
            );
            return Err(refuse(remedy, None));
        }
    };
    // Without a time limit of its own: one that waits for another node to bring the schema up to date has to.
    migrate(&mut connection).await.map_err(|error| match error {
        StoreError::Database { source, .. } => refuse(remedy_of(&source), Some(source)),
        other => other,
    })?;
    let durable = durability(&mut connection).await?;
    connection.close().await.map_err(failed("close a connection"))?;

    let timeout = settings.statement_timeout_ms.to_string();
    let mut limits = vec![
        ("statement_timeout", timeout.as_str()),
        ("idle_in_transaction_session_timeout", timeout.as_str()),
        // Compiling a statement takes longer than any of these run.
        ("jit", "off"),
        // Lists go along an index in their order, and stop when the page is full. Of a table that is not analysed yet, as the
        // attempts of a new day, the planner believes that it is small, and would gather and sort all that an account has.
        ("enable_bitmapscan", "off"),
    ];
    if !durable {
        limits.push(("synchronous_commit", "on"));
    }
    let listening = options.clone();
    let pool = PgPoolOptions::new()
        .max_connections(u32::try_from(settings.connections_max).unwrap_or(u32::MAX))
        .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
        .connect_lazy_with(options.options(limits));
    let hints = Hints::start(pool.clone(), listening, Duration::from_millis(settings.acquire_timeout_ms));
    let store = PostgresStore { pool, days: Arc::new(Days::default()), hints: Arc::new(hints) };
    Ok(store)
}

/// Brings the schema up to date, unless a newer program has been here. Of several that start at once one does it, under
/// an advisory lock of the migrator's, and the others find it done.
async fn migrate(connection: &mut PgConnection) -> StoreResult<()> {
    let doing = failed("bring its schema up to date");
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await
        .map_err(&doing)?;
    if version < VERSION_LEAST {
        return Err(StoreError::Unsuitable {
            reason: format!("PostgreSQL {} is too old; use PostgreSQL 13 or later", version / 10_000),
        });
    }
    let encoding: String =
        sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut *connection).await.map_err(&doing)?;
    if encoding != "UTF8" {
        return Err(StoreError::Unsuitable {
            reason: format!("its encoding is {encoding}; make the database with ENCODING 'UTF8'"),
        });
    }
    if is_there(connection).await? {
        let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await
            .map_err(&doing)?;
        let known = migrations::POSTGRES.iter().map(|migration| migration.version).max().unwrap_or(0);
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
    }
    // Not `run`, which makes a future that cannot be sent to another thread.
    migrations::POSTGRES.run_direct(None, connection, false).await.map_err(|error| doing(error.into()))
}

async fn is_there(connection: &mut PgConnection) -> StoreResult<bool> {
    sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(connection)
        .await
        .map_err(failed("look for its schema"))
}

/// Whether what is committed is on the disk without further asking. What a server without `fsync` loses, nobody can keep.
async fn durability(connection: &mut PgConnection) -> StoreResult<bool> {
    let (fsync, commit): (String, String) =
        sqlx::query_as("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
            .fetch_one(connection)
            .await
            .map_err(failed("read the server's settings"))?;
    if fsync == "off" {
        tracing::warn!("the database server runs with fsync = off: a power cut loses what was stored; set it on");
    }
    Ok(commit != "off")
}

/// What the operator can do.
fn remedy_of(source: &sqlx::Error) -> String {
    let code = source.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    let remedy = match (code.as_ref(), source) {
        ("28P01" | "28000", _) => "the server refuses this user or password; correct them in store.url",
        ("3D000", _) => "there is no such database; make it, with ENCODING 'UTF8'",
        ("42501", _) => "this user may not make tables there; let it own the database",
        ("53300", _) => "the server has no connection left; raise its max_connections, or lower store.connections_max",
        ("57P03", _) => "the server is starting or stopping; try again",
        (_, sqlx::Error::Io(_)) => {
            "the server cannot be reached; check that it runs, and the host and port of store.url"
        }
        (_, sqlx::Error::Tls(_)) => {
            "no TLS with the server; check sslmode and sslrootcert in store.url, and the server's certificate"
        }
        _ => "see whether it is a database of Hookbox",
    };
    remedy.to_owned()
}
