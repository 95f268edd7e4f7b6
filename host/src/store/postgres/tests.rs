//! The store's behaviours on PostgreSQL, and what is PostgreSQL's own: opening, and several nodes at once.

// The harness of the integration tests, which depend on this crate.
#[path = "../../../../tests/src/database.rs"]
#[allow(dead_code, unreachable_pub, clippy::panic, reason = "the other users of it need more of it, and see it")]
mod database;

mod opening;
mod races;

use std::{sync::Arc, time::Duration};

use self::database::Database;
use super::*;
use crate::{
    attempt::Attempt,
    settings::Settings,
    store::{
        FiringChange, SharedStore,
        behaviour::{self, every_behaviour},
    },
};

fn settings(database: &Database) -> StoreSettings {
    StoreSettings { url: database.url(), connections_max: 4, ..Settings::default().store }
}

async fn opened(database: &Database) -> PostgresStore {
    PostgresStore::open(&settings(database)).await.expect("it opens")
}

async fn open() -> (SharedStore, Database) {
    let database = Database::new().await;
    (Arc::new(opened(&database).await), database)
}

every_behaviour!(open);

fn wait(id: u64, due_ms: UnixMs) -> Entry {
    let change = FiringChange::Wait { firing: behaviour::firing(id, "h1", None), due_ms };
    Entry { attempt: None, counts_as_failure: false, change }
}

/// Claims what is due of the hook; how many there were.
async fn claimed(store: &PostgresStore) -> usize {
    let claim = Claim { account: "a1".into(), hook: "h1".into(), rows_max: 10 };
    store.claim_due(&[claim], 1, 2).await.expect("claimed").len()
}

fn recorded(id: u64, at_ms: UnixMs) -> Entry {
    let attempt: Attempt = behaviour::attempt(id, "h1", at_ms);
    Entry { attempt: Some(attempt), counts_as_failure: false, change: FiringChange::None }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_holds_nothing_up() {
    let database = Database::new().await;
    let store = opened(&database).await;
    store.commit(&[wait(1, 1), wait(2, 1)]).await.expect("committed");
    sqlx::query("UPDATE firings SET event = '{' WHERE seq = 2").execute(&store.pool).await.expect("damaged");
    assert_eq!(claimed(&store).await, 1);
    let counts = store.firing_counts(None).await.expect("counted");
    assert_eq!((counts.waiting, counts.undelivered), (1, 1));
}

#[tokio::test]
async fn attempts_lie_by_the_day_and_a_day_goes_whole() {
    const DAY_MS: u64 = 86_400_000;
    let database = Database::new().await;
    let [one, other] = [opened(&database).await, opened(&database).await];
    let days = async || {
        let mut days = one.listed_days().await.expect("listed");
        days.sort_unstable();
        days
    };
    // Both make the same days at the same time.
    let groups = [1, 2].map(|half| (0..300).map(|n| recorded(half * 1000 + n, n % 3 * DAY_MS)).collect::<Vec<_>>());
    let (first, second) = tokio::join!(one.commit(&groups[0]), other.commit(&groups[1]));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    assert_eq!(days().await, [0, 1, 2]);
    assert_eq!(one.prune_attempts(DAY_MS + 5).await.expect("pruned"), 200);
    assert_eq!(days().await, [1, 2], "the day that is not over stays");
    // The other one still believes that the day is there.
    other.commit(&[recorded(9, 7)]).await.expect("committed");
    assert_eq!(days().await, [0, 1, 2]);
    let left = one.attempts(&AttemptQuery::newest("a1".into(), None, 1000)).await.expect("read");
    assert_eq!(left.len(), 401);
}

#[tokio::test]
async fn what_one_node_stores_another_hears_of() {
    let database = Database::new().await;
    let [one, other] = [opened(&database).await, opened(&database).await];
    let heard = async |store: &PostgresStore| {
        tokio::time::timeout(Duration::from_secs(20), store.hint()).await.expect("a hint comes")
    };
    // Beginning to listen is a reason to look at everything.
    for store in [&one, &other] {
        assert_ne!(heard(store).await, heard(store).await, "one of each");
    }
    one.commit(&[wait(1, 1)]).await.expect("committed");
    assert_eq!(heard(&other).await, Hint::Firings);
    one.put_hook(&behaviour::hook("h1", "a1"), 1).await.expect("written");
    assert_eq!(heard(&other).await, Hint::Changes);
    // By then its own words have come back to it too, and it has not taken them for another's.
    other.put_hook(&behaviour::hook("h2", "a1"), 1).await.expect("written");
    assert_eq!(heard(&one).await, Hint::Changes);
    let more = tokio::time::timeout(Duration::from_millis(1), one.hint()).await;
    assert!(more.is_err(), "{more:?}");
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn lost_connections_are_made_anew() {
    let database = Database::new().await;
    let store = opened(&database).await;
    // It listens.
    assert_ne!(store.hint().await, store.hint().await);
    store.commit(&[wait(1, 1)]).await.expect("committed");
    let mut administrator =
        <sqlx::PgConnection as sqlx::Connection>::connect(&database.url()).await.expect("connected");
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
    )
    .bind(&database.name)
    .execute(&mut administrator)
    .await
    .expect("ended");
    assert_eq!(claimed(&store).await, 1);
    // It listens again, and says so.
    let heard = tokio::time::timeout(Duration::from_secs(20), async { while store.hint().await != Hint::Changes {} });
    heard.await.expect("it listens");
}
