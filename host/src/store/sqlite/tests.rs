//! The store's behaviours on SQLite, and what is SQLite's own: opening, upgrading, speed.

use std::{sync::Arc, time::Instant};

use tempfile::TempDir;

use super::*;
use crate::{
    attempt::{Attempt, Outcome, SentRequest},
    store::{
        FiringChange, SharedStore,
        behaviour::{self, behaves},
    },
};

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("hookbox.db").display())
}

async fn open() -> (SharedStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    (Arc::new(store), folder)
}

behaves! {
    open:
    keeps_accounts_and_tells_what_changed,
    a_deleted_account_takes_what_is_its_own,
    keeps_numbers_and_keys,
    keeps_hooks_and_tells_what_changed,
    disables_a_hook_in_one_step,
    a_deleted_hook_leaves_no_firings,
    records_attempts_with_their_firings,
    an_empty_group_is_fine,
    gives_back_what_was_stored,
    a_claim_is_held_until_its_lease_ends,
    claims_of_many_never_overlap,
    a_stale_lease_changes_nothing,
    the_holder_may_do_all,
    one_group_may_change_a_firing_twice,
    a_message_that_came_twice_is_stored_once,
    a_try_under_way_may_end_well_after_disabling,
    what_was_not_delivered_can_be_sent_again,
    prunes_what_is_old,
    counts_failures_exactly,
    warns_of_a_hook_once_a_spell,
    keeps_modules_letters_values_and_settings,
}

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
        ("mysql:x".to_owned(), "write sqlite:PATH"),
        ("sqlite:".to_owned(), "the path is missing"),
        ("sqlite::memory:".to_owned(), "name a file"),
        ("sqlite:x.db?mode=ro".to_owned(), "options after ?"),
        (format!("sqlite:{place}"), "is a folder"),
        (format!("sqlite:{place}/missing/x.db"), "make it"),
    ] {
        let problem = problem(&url).await;
        assert!(problem.contains(&url) && problem.contains(remedy), "{problem}");
    }
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
    assert_eq!(store.claim_due(1, 2, 10).await.expect("claimed").len(), 1);
    let counts = store.firing_counts(None).await.expect("counted");
    assert_eq!((counts.waiting, counts.undelivered), (1, 1));
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
            let found = store.attempts(&account, hook, 6000).await.expect("read");
            assert_eq!((found.len(), &found[0]["id"]), (5010, &behaviour::attempt(5010, "h1", 5010).id.into()));
        }
        store.close().await;
        store = SqliteStore::open(&url(&folder)).await.expect("it opens");
    }
    assert_eq!(store.prune_attempts(10_000).await.expect("pruned"), 5010);
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM attempt_index").fetch_one(&store.writer).await.expect("counted");
    assert_eq!(left, 0);
    store.commit(&[record(6000)]).await.expect("committed");
    assert_eq!(store.attempts(&account, Some(&hook), 10).await.expect("read").len(), 1, "numbers never go back");
}

fn typical_attempt(n: u64) -> Attempt {
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Attempt {
        hook: format!("{:032x}", (n % 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
        account: format!("{:032x}", (n % 200).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
        request: SentRequest {
            method: "POST",
            headers: text(&[
                ("content-type", "application/json"),
                ("webhook-id", &"5a".repeat(32)),
                ("webhook-timestamp", "1714100000"),
                ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
                ("x-hook-id", "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"),
            ]),
            body: r#"{"caller_id_name":"Dana","caller_id_number":"+13125550111"}"#.repeat(10),
        },
        outcome: Outcome::Answered {
            status: 200,
            headers: text(&[("content-length", "2"), ("date", "Mon, 23 Nov 2026 21:40:05 GMT")]),
            body: "ok".into(),
            body_cut: false,
        },
        ..behaviour::attempt(n, "", 1_714_100_000_000 + n / 20)
    }
}

/// What a group costs: `cargo test -p hookbox --lib -- --ignored --nocapture what_a_row_costs`.
#[test]
#[ignore = "measures, does not judge"]
fn what_a_row_costs() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for (kind, rows) in [("attempts", 256), ("attempts", 512), ("attempts", 64), ("waiting", 256)] {
            let (store, folder) = open().await;
            let groups = 60_000 / rows;
            let entry = |n: u64| Entry {
                attempt: Some(typical_attempt(n)),
                counts_as_failure: kind == "waiting",
                change: match kind {
                    "waiting" => FiringChange::Wait { firing: behaviour::firing(n, "h1", None), due_ms: n },
                    _ => FiringChange::None,
                },
            };
            let groups: Vec<Vec<Entry>> =
                (0..groups).map(|group| (0..rows).map(|row| entry(group * rows + row)).collect()).collect();
            let count = groups.len() as f64 * rows as f64;
            let (begun, cpu) = (Instant::now(), cpu_us());
            for group in &groups {
                store.commit(group).await.expect("committed");
            }
            let (wall, cpu) = (begun.elapsed().as_micros() as f64 / count, (cpu_us() - cpu) / count);
            let serialised = Instant::now();
            let bytes: usize = (0..10_000).map(|n| {
                let entry = &groups[n / rows as usize][n % rows as usize];
                entry.attempt.as_ref().map_or(0, |attempt| crate::attempt::record::document(attempt).len())
            }).sum();
            let serialised = serialised.elapsed().as_nanos() as f64 / 1e7;
            let size = std::fs::metadata(folder.path().join("hookbox.db")).map_or(0, |file| file.len());
            eprintln!(
                "{kind} in groups of {rows}: {wall:.1} us wall, {cpu:.1} us of processor a row; document {serialised:.2} us, {} bytes; file {} KiB",
                bytes / 10_000, size / 1024
            );
        }
    });
}

/// Processor time of this process, user and system, in microseconds.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap_or("").split(' ').filter_map(|f| f.parse().ok()).collect();
    // After the state: utime and stime are the 12th and 13th numbers, in hundredths of a second.
    let [user, system] = [10, 11].map(|at| fields.get(at).copied().unwrap_or(0.0));
    (user + system) * 10_000.0
}
