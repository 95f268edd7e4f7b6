//! What opening finds, and says.

use super::*;
use crate::error_chain::chain;

/// The error with its causes, as the log shows it.
async fn problem(url: &str) -> String {
    let settings = StoreSettings { url: url.to_owned(), connect_timeout_ms: 2000, ..Settings::default().store };
    match PostgresStore::open(&settings).await {
        Ok(_) => unreachable!("{url} was opened"),
        Err(error) => chain(&error),
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_make_the_schema_once() {
    let database = Database::new().await;
    let settings = settings(&database);
    let starts = futures_util::future::join_all((0..8).map(|_| PostgresStore::open(&settings))).await;
    let stores: Vec<PostgresStore> = starts.into_iter().map(|start| start.expect("it opens")).collect();
    for (n, store) in (1_u32..).zip(&stores) {
        let value = store.keep_value("first", &n.to_string()).await.expect("kept");
        assert_eq!(value, "1", "they share one database");
    }
    let made: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&stores[0].pool).await.expect("read");
    assert_eq!(made as usize, crate::store::migrations::POSTGRES.iter().count());
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let database = Database::new().await;
    let store = opened(&database).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', TRUE, '\\x00', 0)",
    )
    .execute(&store.pool)
    .await
    .expect("written");
    store.close().await;
    let problem = problem(&database.url()).await;
    assert!(problem.contains("schema 99") && problem.contains("start the newer program"), "{problem}");
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let database = Database::new().await;
    let store = opened(&database).await;
    store.put_account(&behaviour::account("a1", &[]), 1).await.expect("written");
    store.close().await;
    assert_eq!(opened(&database).await.accounts().await.expect("read").len(), 1);
}

#[tokio::test]
async fn says_what_is_wrong_and_no_password() {
    let database = Database::new().await;
    let (port, name) = (database.port, &database.name);
    for (url, said) in [
        (format!("postgres://hookbox:s3cret@127.0.0.1:{port}/{name}"), "refuses this user or password"),
        (format!("postgres://nobody:s3cret@127.0.0.1:{port}/{name}"), "refuses this user or password"),
        (format!("postgres://hookbox:hookbox@127.0.0.1:{port}/no_such"), "there is no such database"),
        ("postgres://hookbox:s3cret@127.0.0.1:1/x".to_owned(), "cannot be reached"),
        (format!("{}?sslmode=require", database.url()), "no TLS with the server"),
        (format!("{}?sslmode=s3cret", database.url()), "no such value"),
        (format!("{}?password=s3cret", database.url()), "with the option password"),
        ("postgres://hookbox:s3cret@127.0.0.1".to_owned(), "without a database"),
        ("postgres:s3cret".to_owned(), "without a host"),
    ] {
        let problem = problem(&url).await;
        assert!(problem.contains(said), "{url}: {problem}");
        assert!(!problem.contains("s3cret") && !problem.contains("hookbox:hookbox"), "{problem}");
    }
}

#[test]
fn a_url_is_shown_without_what_is_secret() {
    for (url, shown) in [
        ("postgres://u:s3cret@db.example:5433/hookbox?sslkey=/s3cret", "postgres://db.example:5433/hookbox"),
        ("postgresql://u@[::1]/h", "postgresql://[::1]/h"),
        ("postgres:s3cret", "(no URL of a database)"),
        ("s3cret", "(no URL of a database)"),
    ] {
        assert_eq!(shown_url(url), shown);
    }
}

#[tokio::test]
async fn a_node_that_stands_still_in_a_transaction_is_put_out() {
    let database = Database::new().await;
    let short = StoreSettings { statement_timeout_ms: 1000, ..settings(&database) };
    let stopped = PostgresStore::open(&short).await.expect("it opens");
    let transaction = stopped.begin_change("stand still").await.expect("it has the lock");
    let other = opened(&database).await;
    other.put_hook(&behaviour::hook("h1", "a1"), 1).await.expect("written once the other was put out");
    assert!(transaction.commit().await.is_err(), "it was put out");
}
