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
    accounts::keeps_accounts_and_tells_what_changed,
    accounts::a_deleted_account_takes_what_is_its_own,
    accounts::an_imported_account_has_a_document,
    accounts::an_account_is_saved_over_its_revision,
    accounts::a_deleted_account_can_be_made_again,
    accounts::a_new_account_needs_its_parent,
    accounts::lists_accounts_below_in_pages,
    accounts::finds_accounts_by_a_field,
    accounts::accounts_move_together_or_not_at_all,
    accounts::accounts_are_deleted_in_one_step,
    accounts::keeps_what_documents_say_of_accounts,
    numbers::keeps_numbers,
    numbers::tells_of_numbers_that_change_hands,
    origins::origins_are_noted_found_and_forgotten,
    module_costs::costs_are_added_up_by_account_module_and_day,
    module_faults::faults_of_a_version_are_counted_over_a_window,
    module_faults::an_operators_component_goes_into_quarantine_once_and_comes_out_by_hand,
    traffic::figures_are_of_one_account_or_of_all,
    registered_modules::versions_are_kept_within_bounds,
    registered_modules::a_registered_module_is_saved_over_its_revision,
    registered_modules::only_the_active_version_goes_into_quarantine,
    registered_modules::faults_are_forgotten_when_another_version_is_active_or_the_quarantine_is_lifted,
    registered_modules::versions_and_modules_go_with_what_nobody_else_has,
    registered_modules::followers_read_what_changed,
    bound_bindings::what_is_bound_is_noted_and_forgotten,
    keys::keeps_keys,
    keys::notes_when_a_key_was_used,
    hooks::keeps_hooks_and_tells_what_changed,
    hooks::disables_a_hook_in_one_step,
    hooks::a_deleted_hook_leaves_no_firings,
    hooks::a_hook_is_saved_over_its_revision,
    hooks::a_deleted_hook_can_be_made_again,
    hooks::lists_hooks_of_an_account_in_pages,
    firings::gives_back_what_was_stored,
    firings::a_claim_is_held_until_its_lease_ends,
    firings::claims_of_many_never_overlap,
    firings::a_stale_lease_changes_nothing,
    firings::the_holder_may_do_all,
    firings::one_group_may_change_a_firing_twice,
    firings::a_message_that_came_twice_is_stored_once,
    firings::a_try_under_way_may_end_well_after_disabling,
    undelivered::what_was_not_delivered_can_be_sent_again,
    undelivered::lists_undelivered_firings_in_pages,
    undelivered::firings_can_be_stored_to_be_sent_again,
    attempts::records_attempts_with_their_firings,
    attempts::an_empty_group_is_fine,
    attempts::prunes_what_is_old,
    attempts::lists_attempts_in_pages,
    attempts::lists_attempts_of_a_time_and_of_a_kind,
    attempts::finds_an_attempt_with_its_payload,
    jobs::keeps_jobs,
    jobs::a_job_is_claimed_by_one_at_a_time,
    jobs::a_job_comes_on_with_what_it_sends,
    jobs::a_job_ends_with_its_last_page,
    dead_letters::keeps_dead_letters,
    dead_letters::lists_dead_letters_in_pages,
    dead_letters::prunes_dead_letters_by_age_and_number,
    dead_letters::trims_the_dead_letters_of_each_module_and_owner,
    upkeep::counts_failures_exactly,
    upkeep::lists_failing_hooks_of_an_account_in_pages,
    upkeep::warns_of_a_hook_once_a_spell,
    upkeep::keeps_modules_values_and_settings,
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
async fn a_store_of_the_first_schema_keeps_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hookbox.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let old = SqlitePool::connect_with(options).await.expect("it is made");
    opening::MIGRATIONS.run_to(1, &old).await.expect("the first schema");
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
    assert_eq!(store.claim_due(1, 2, 10).await.expect("claimed").len(), 1);
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

/// What looking for accounts costs among many: `cargo test -p hookbox --lib -- --ignored --nocapture a_hundred_thousand`.
#[tokio::test]
#[ignore = "measures, does not judge"]
async fn a_hundred_thousand_accounts() {
    let (store, _folder) = open().await;
    let accounts: Vec<_> = (0..100_000_u32)
        .map(|n| match n {
            0 => behaviour::account("m", &[]),
            1..1000 => behaviour::account(&format!("r{n}"), &["m"]),
            _ => behaviour::account(&format!("a{n}"), &["m", &format!("r{}", n % 999 + 1)]),
        })
        .collect();
    let begun = Instant::now();
    for some in accounts.chunks(500) {
        store.put_accounts(some, 1).await.expect("written");
    }
    eprintln!("written: {:.1} us an account", begun.elapsed().as_micros() as f64 / 1e5);
    for (root, children_only) in [("m", false), ("m", true), ("r7", false), ("a5000", false)] {
        let begun = Instant::now();
        let (after, root) = (AccountId::from("a99"), AccountId::from(root));
        let found = store.accounts_below(&root, children_only, Some(&after), 50).await.expect("read");
        eprintln!("below {root}, children only {children_only}: {} in {:?}", found.len(), begun.elapsed());
    }
    for (field, text) in [("name", "Account a5000"), ("realm", "x"), ("other", "x")] {
        let begun = Instant::now();
        let found = store.accounts_named(field, text).await.expect("read");
        eprintln!("by {field}: {} in {:?}", found.len(), begun.elapsed());
    }
    let begun = Instant::now();
    let gone: Vec<AccountId> = accounts.iter().map(|account| account.id.clone()).skip(50_000).collect();
    assert_eq!(store.delete_accounts(&gone, &[], 1).await.expect("deleted"), 50_000);
    eprintln!("half of them deleted: {:?}", begun.elapsed());
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
