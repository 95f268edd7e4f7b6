//! The store's behaviours on SQLite, and what is SQLite's own: opening, upgrading, which indexes are read.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::*;
use crate::store::{
    FiringChange, SharedStore,
    behaviour::{self, every_behaviour},
};

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("hookbox.db").display())
}

async fn open() -> (SharedStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    (Arc::new(store), folder)
}

every_behaviour!(open);

/// The error with its causes, as the log shows it.
async fn problem(url: &str) -> String {
    match SqliteStore::open(url).await {
        Ok(_) => "it opens".into(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display();
    for (url, remedy) in [
        ("sqlite:".to_owned(), "the path is missing"),
        ("sqlite::memory:".to_owned(), "name a file"),
        ("sqlite:x.db?mode=ro".to_owned(), "options after ?"),
        (format!("sqlite:{place}"), "is a folder"),
        (format!("sqlite:{place}/missing/x.db"), "make it"),
    ] {
        let problem = problem(&url).await;
        assert!(problem.contains(&url) && problem.contains(remedy), "{problem}");
    }
    let other = problem("mysql:s3cret").await;
    assert!(other.contains("mysql") && other.contains("write sqlite:PATH") && !other.contains("s3cret"), "{other}");
    std::fs::write(folder.path().join("text.db"), "no database, but long enough to look at. ".repeat(100))
        .expect("it can be written");
    let problem = problem(&format!("sqlite:{place}/text.db")).await;
    assert!(problem.contains("is not an SQLite database"), "{problem}");
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', 1, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .expect("it is written");
    store.close().await;
    let problem = problem(&url(&folder)).await;
    assert!(problem.contains("schema 99"), "{problem}");
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    store.put_account(&behaviour::account("a1", &[]), 1).await.expect("written");
    store.close().await;
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens again");
    assert_eq!(store.accounts().await.expect("read").len(), 1);
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.writer).await.expect("it is told");
    assert_eq!(synchronous, 2, "FULL: what is answered survives a power cut");
}

#[tokio::test]
async fn a_store_of_the_first_schema_keeps_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hookbox.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let old = SqlitePool::connect_with(options).await.expect("it is made");
    crate::store::migrations::SQLITE.run_to(1, &old).await.expect("the first schema");
    for statement in [
        r#"INSERT INTO accounts (id, name, tree, reseller, deleted, change) VALUES
             ('m', 'Master "M"', '[]', NULL, 0, 1), ('r', 'R', '["m"]', 'm', 0, 2), ('a', 'A', '["m","r"]', 'r', 0, 5),
             ('gone', 'G', '["m","a"]', 'a', 1, 4)"#,
        "INSERT INTO numbers VALUES ('+1', 'a'), ('+2', 'r')",
        "INSERT INTO keys VALUES ('hash1', 'a', 'laptop', 7), ('hash2', 'a', 'phone', 8)",
        r#"INSERT INTO hooks VALUES ('h1', 'a', '{"enabled":false}', '410', '[]', 3, 9, 0, 1)"#,
        r#"INSERT INTO attempts (id, account, hook, at_ms, document) VALUES
             ('0000000000640000000000000000000a', 'a', 'h1', 100, '{"id":"x","result":"success"}')"#,
        r#"INSERT INTO dead_letters (at_ms, module, module_version, reason, message) VALUES
             (1, 'm1', '1', 'r', '{"source":"http","exchange":"","routing_key":"","message_id":null,"category":"",
               "name":"","account":"a","within":"r","received_ms":1,"body":"{}"}')"#,
    ] {
        sqlx::query(statement).execute(&old).await.expect("written");
    }
    old.close().await;

    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    let account = async |id: &str| store.account(&id.into()).await.expect("read");
    let master = account("m").await.expect("it is there");
    assert_eq!(master.document["name"], master.account.name);
    assert_eq!((master.account.name.as_str(), master.revision, master.is_reseller), (r#"Master "M""#, 1, true));
    assert!(master.created_ms > 1_600_000_000_000, "as of the upgrade");
    let flags = [account("r").await, account("a").await].map(|record| record.map(|record| record.is_reseller));
    assert_eq!((flags, account("gone").await), ([Some(true), Some(false)], None));
    let below = store.accounts_below(&"m".into(), false, None, 10).await.expect("read");
    assert_eq!(below.iter().map(|record| record.account.id.as_str()).collect::<Vec<_>>(), ["a", "r"]);
    let numbers = store.numbers_since(0, 10).await.expect("read").changes;
    assert_eq!(numbers, [("+1".to_owned(), Some("a".into())), ("+2".to_owned(), Some("r".into()))]);
    let keys = store.keys(&"a".into()).await.expect("read");
    assert_eq!((keys.len(), keys[0].hash.as_str(), keys[0].created_ms, keys[0].last_used_ms), (2, "hash1", 7, None));
    assert!(keys[0].id.len() == 32 && keys[0].id != keys[1].id, "{keys:?}");
    let off = store.switched_off_hooks(&"a".into(), None, 10).await.expect("read");
    assert_eq!((off.len(), off[0].revision), (1, 3));
    let attempts = store.attempts(&AttemptQuery::newest("a".into(), None, 10)).await.expect("read");
    assert_eq!((attempts.len(), &attempts[0].payload), (1, &None));
    let letters = store.dead_letters(&DeadLetterQuery::newest(10)).await.expect("read");
    assert_eq!((letters.len(), &letters[0].owner), (1, &Some("r".into())));
}

#[tokio::test]
async fn two_programs_share_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = [SqliteStore::open(&url(&folder)).await, SqliteStore::open(&url(&folder)).await];
    let (first, second) = (first.expect("it opens"), second.expect("it opens"));
    let write = |store: SqliteStore, half: u64| async move {
        for n in 0..50 {
            let hook = behaviour::hook(&format!("h{half}-{n}"), "a1");
            store.put_hook(&hook, 1).await.expect("written");
        }
    };
    tokio::join!(write(first.clone(), 1), write(second, 2));
    let seen = first.hooks_since(0, 1000).await.expect("read");
    assert_eq!((seen.changes.len(), seen.cursor), (100, 100));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_holds_nothing_up() {
    let (folder, good, bad) =
        (tempfile::tempdir().expect("a folder"), behaviour::firing(1, "h1", None), behaviour::firing(2, "h1", None));
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    let group = [good, bad].map(|firing| Entry {
        attempt: None,
        counts_as_failure: false,
        change: FiringChange::Wait { firing, due_ms: 1 },
    });
    store.commit(&group).await.expect("committed");
    sqlx::query("UPDATE firings SET event = '{' WHERE seq = 2").execute(&store.writer).await.expect("damaged");
    let claim = Claim { account: "a1".into(), hook: "h1".into(), rows_max: 10 };
    assert_eq!(store.claim_due(&[claim], 1, 2).await.expect("claimed").len(), 1);
    let counts = store.firing_counts(None).await.expect("counted");
    assert_eq!((counts.waiting, counts.undelivered), (1, 1));
    // It hides none of those that ended before it, not even from a page of one.
    let readable = behaviour::firing(3, "h1", None);
    let change = FiringChange::Undelivered { firing: readable, reason: "404".into(), at_ms: 0 };
    store.commit(&[Entry { attempt: None, counts_as_failure: false, change }]).await.expect("committed");
    for hook in [None, Some("h1".into())] {
        let listed = store.undelivered(&UndeliveredQuery::newest("a1".into(), hook, 1)).await.expect("read");
        assert_eq!((listed.len(), listed[0].reason.as_str()), (1, "404"));
    }
}

#[tokio::test]
async fn attempts_are_found_whether_they_are_indexed_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    let record = |n: u64| Entry {
        attempt: Some(behaviour::attempt(n, "h1", n)),
        counts_as_failure: false,
        change: FiringChange::None,
    };
    let (account, hook) = (AccountId::from("a1"), HookId::from("h1"));
    // More than are indexed at once, and then some by a process that ends before it has indexed them.
    store.commit(&(1..=5000).map(record).collect::<Vec<_>>()).await.expect("committed");
    store.commit(&(5001..=5010).map(record).collect::<Vec<_>>()).await.expect("committed");
    for _ in 0..2 {
        for hook in [None, Some(&hook)] {
            let query = AttemptQuery::newest(account.clone(), hook.cloned(), 6000);
            let found = store.attempts(&query).await.expect("read");
            assert_eq!(
                (found.len(), &found[0].document["id"]),
                (5010, &behaviour::attempt(5010, "h1", 5010).id.into())
            );
        }
        store.close().await;
        store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    }
    assert_eq!(store.prune_attempts(10_000).await.expect("pruned"), 5010);
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM attempt_index").fetch_one(&store.writer).await.expect("counted");
    assert_eq!(left, 0);
    store.commit(&[record(6000)]).await.expect("committed");
    assert_eq!(
        store.attempts(&AttemptQuery::newest(account, Some(hook), 10)).await.expect("read").len(),
        1,
        "numbers never go back"
    );
}

#[tokio::test]
async fn attempts_are_pruned_to_the_millisecond() {
    let (store, _folder) = open().await;
    let record = |n: u64| Entry {
        attempt: Some(behaviour::attempt(n, "h1", 1000 + n)),
        counts_as_failure: false,
        change: FiringChange::None,
    };
    store.commit(&(0..1200).map(record).collect::<Vec<_>>()).await.expect("committed");
    assert_eq!(store.prune_attempts(1000 + 1100).await.expect("pruned"), 1100);
    assert_eq!(store.attempts(&AttemptQuery::newest("a1".into(), None, 1000)).await.expect("read").len(), 100);
}

/// A look at a time long ago costs what is there, not what came since.
#[tokio::test]
async fn a_time_far_back_is_found_without_looking_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    let entry = |n: u64| Entry {
        attempt: Some(behaviour::attempt(n, "h1", n * 1000)),
        counts_as_failure: false,
        change: FiringChange::None,
    };
    for group in 0..40_u64 {
        let entries: Vec<Entry> = (group * 500..group * 500 + 500).map(entry).collect();
        store.commit(&entries).await.expect("committed");
    }
    let of = |success| AttemptQuery { success, ..AttemptQuery::newest("a1".into(), Some("h1".into()), 100) };
    let minute = AttemptQuery { from_ms: 1_000_000, to_ms: 1_059_999, ..of(Some(false)) };
    assert_eq!(store.attempts(&minute).await.expect("read").len(), 60);
    assert_eq!(store.attempts(&AttemptQuery { success: Some(true), ..minute.clone() }).await.expect("read").len(), 0);
    let (above, below) = store.bounds(&minute).await.expect("read");
    assert_eq!(below - above - 1, 660, "the minute with five minutes before and after it, of 20,000 rows");
    let (above, below) = store.bounds(&of(None)).await.expect("read");
    assert_eq!((above, below), (0, i64::MAX));
}

/// What the hot questions read: an index each, however many firings wait.
#[tokio::test]
async fn a_backlog_of_fifty_thousand_costs_others_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    let wait = |n: u64, hook: &str, due_ms: u64| Entry {
        attempt: None,
        counts_as_failure: false,
        change: FiringChange::Wait { firing: behaviour::firing(n, hook, None), due_ms },
    };
    for first in (0..50_000).step_by(5000) {
        let group: Vec<Entry> = (first..first + 5000).map(|n| wait(n, "dead", 1)).collect();
        store.commit(&group).await.expect("committed");
    }
    let others: Vec<Entry> = (0..100).map(|n| wait(60_000 + n, &format!("h{n:03}"), 2)).collect();
    store.commit(&others).await.expect("committed");

    for (question, index) in [
        (claiming::DUE_HOOKS, "waiting_hooks_by_free"),
        (claiming::NEXT, "waiting_hooks_by_free"),
        (claiming::TAKE, "firings_by_turn"),
        (claiming::RENEW, "sqlite_autoindex_firings_1"),
        (claiming::RELEASE, "sqlite_autoindex_firings_1"),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {question}")))
                .fetch_all(&store.writer)
                .await
                .expect("it is explained");
        let steps: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
        assert!(steps.iter().any(|step| step.contains(index)), "{question}: {steps:?}");
        let walks = |step: &String| step.starts_with("SCAN firings") || step.starts_with("SCAN f ");
        assert!(!steps.iter().any(walks), "{question}: {steps:?}");
    }

    let due = store.due_hooks(10, None, 1000).await.expect("listed");
    assert_eq!((due.len(), due[0].hook.as_str()), (101, "dead"));
    let claims: Vec<Claim> =
        due.into_iter().map(|due| Claim { account: due.account, hook: due.hook, rows_max: 2 }).collect();
    let claimed = store.claim_due(&claims, 10, 1000).await.expect("claimed");
    assert_eq!(claimed.len(), 102, "two of the dead hook, and all that the others have");
    assert_eq!(store.waiting_by_account(1).await.expect("counted"), [("a1".into(), 50_100)]);
    assert_eq!(store.next_due_ms(10).await.expect("asked"), Some(1000));
}
