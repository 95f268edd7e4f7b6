//! Two nodes that do the same at the same time: one of them does it.

use super::*;
use crate::{
    module::Kind,
    store::{
        HookChange, JobState, ResendOutcome,
        registered_modules::{Kept, ModuleVersion, Quarantine, RegisteredModules, VersionBounds},
    },
};

const ROUNDS: u64 = 20;

async fn two() -> (PostgresStore, PostgresStore, Database) {
    let database = Database::new().await;
    (opened(&database).await, opened(&database).await, database)
}

fn notice(key: &str) -> [Notice; 1] {
    [Notice { id: 0, exchange: "configuration".into(), routing_key: key.into(), body: Object::new() }]
}

/// Which of the two it was.
fn only_one(one: bool, other: bool) {
    assert!(one != other, "{one} {other}");
}

#[tokio::test]
async fn one_of_two_saves_over_a_revision() {
    let (one, other, _database) = two().await;
    one.put_account(&behaviour::account("a1", &[]), 1).await.expect("written");
    one.put_hook(&behaviour::hook("h1", "a1"), 1).await.expect("written");
    for round in 1..=ROUNDS as i64 {
        let edit = |by: &str| {
            let mut record = behaviour::hook("h1", "a1");
            record.document.insert("name".into(), format!("{by} {round}").into());
            record
        };
        let (record_one, record_other, notices) = (edit("one"), edit("other"), notice("x"));
        let (first, second) = tokio::join!(
            one.save_hook(&record_one, Some(round), &notices, 1),
            other.save_hook(&record_other, Some(round), &notices, 1)
        );
        let (first, second) = (first.expect("asked"), second.expect("asked"));
        only_one(first == Saved::Done(round + 1), second == Saved::Done(round + 1));
        let name = one.hook(&"h1".into()).await.expect("read").expect("it is there").document["name"].clone();
        let winner = if first == Saved::Conflict { record_other } else { record_one };
        assert_eq!(name, winner.document["name"]);
    }
    assert_eq!(one.notices(1000).await.expect("read").len() as u64, ROUNDS, "one for each");
}

#[tokio::test]
async fn one_of_two_makes_disables_warns_and_deletes() {
    let (one, other, _database) = two().await;
    one.put_account(&behaviour::account("a1", &[]), 1).await.expect("written");
    for round in 0..ROUNDS {
        let record = behaviour::hook(&format!("h{round}"), "a1");
        let id = &record.id;
        let notices = notice("x");
        let (first, second) =
            tokio::join!(one.save_hook(&record, None, &notices, 1), other.save_hook(&record, None, &notices, 1));
        only_one(first.expect("asked") == Saved::Done(1), second.expect("asked") == Saved::Done(1));
        let failure = Entry {
            attempt: Some(behaviour::attempt(round, id.as_str(), 1000 + round)),
            counts_as_failure: true,
            change: FiringChange::None,
        };
        one.commit(&[failure]).await.expect("committed");
        let (first, second) = tokio::join!(one.warn_of_hook(id, &notices[0]), other.warn_of_hook(id, &notices[0]));
        only_one(first.expect("asked"), second.expect("asked"));
        let (first, second) =
            tokio::join!(one.disable_hook(id, "too bad", &notices, 1), other.disable_hook(id, "too bad", &notices, 1));
        only_one(first.expect("asked"), second.expect("asked"));
        assert_eq!(one.hook(id).await.expect("read").expect("it is there").revision, 2);
        let (first, second) = tokio::join!(one.delete_hook(id, &notices, 1), other.delete_hook(id, &notices, 1));
        only_one(first.expect("asked"), second.expect("asked"));
    }
    assert_eq!(one.notices(1000).await.expect("read").len() as u64, 4 * ROUNDS);
}

#[tokio::test]
async fn a_hook_does_not_outlive_its_account() {
    let (one, other, _database) = two().await;
    for round in 0..ROUNDS {
        let account = format!("a{round}");
        one.put_account(&behaviour::account(&account, &[]), 1).await.expect("written");
        let record = behaviour::hook(&format!("h{round}"), &account);
        let account = AccountId::from(account);
        let (saved, deleted) = tokio::join!(one.save_hook(&record, None, &[], 1), other.delete_account(&account, 1));
        assert!(deleted.expect("deleted"));
        let saved = saved.expect("asked");
        assert_eq!(one.hook(&record.id).await.expect("read"), None, "{saved:?}");
    }
}

#[tokio::test]
async fn children_are_not_made_below_an_account_that_goes_or_moves() {
    let (one, other, _database) = two().await;
    one.put_account(&behaviour::account("m", &[]), 1).await.expect("written");
    for round in 0..ROUNDS {
        let parent = behaviour::record(&format!("p{round}"), &["m"]);
        one.save_account(&parent, None, &[], 1).await.expect("written");
        let child = behaviour::record(&format!("c{round}"), &["m", parent.account.id.as_str()]);
        let mut moved = one.account(&parent.account.id).await.expect("read").expect("it is there");
        moved.account.tree = Vec::new();
        let (made, moved) = tokio::join!(
            one.save_account(&child, None, &[], 1),
            other.save_accounts(std::slice::from_ref(&moved), &[], 1)
        );
        only_one(made.expect("asked") == Saved::Done(1), moved.expect("asked"));
    }
}

#[tokio::test]
async fn all_keep_the_value_that_was_kept_first() {
    let (one, other, _database) = two().await;
    for round in 0..ROUNDS {
        let key = format!("key {round}");
        let (first, second) = tokio::join!(one.keep_value(&key, "one"), other.keep_value(&key, "other"));
        assert_eq!(first.expect("kept"), second.expect("kept"));
    }
}

#[tokio::test]
async fn a_job_is_claimed_by_one_of_two() {
    let (one, other, _database) = two().await;
    for round in 0..ROUNDS {
        let job = ResendJob {
            id: format!("{round:032x}"),
            account: "a1".into(),
            hook: None,
            from_ms: 0,
            to_ms: 1,
            outcome: ResendOutcome::All,
            state: JobState::Running,
            progress: String::new(),
            resent: 0,
            skipped: 0,
            reason: None,
            created_ms: 1,
            updated_ms: 1,
        };
        one.put_job(&job).await.expect("kept");
        let (first, second) = tokio::join!(one.claim_job(1, 1_000_000), other.claim_job(1, 1_000_000));
        only_one(first.expect("asked").is_some(), second.expect("asked").is_some());
    }
}

fn version(account: &str, digest: &str, number: &str) -> ModuleVersion {
    ModuleVersion {
        account: account.into(),
        name: "crm".into(),
        digest: digest.into(),
        version: number.into(),
        kind: Kind::Module,
        uploader: account.into(),
        key_id: None,
        uploaded_ms: 1,
        size_bytes: 10,
        imports: Vec::new(),
        metadata: None,
        bindings: Vec::new(),
        report: serde_json::Value::Null,
    }
}

#[tokio::test]
async fn bounds_hold_and_quarantine_comes_once_whoever_asks() {
    let (one, other, _database) = two().await;
    let bounds = VersionBounds { modules_max: 1, versions_max: 2, bytes_max: 1000 };
    for round in 0..ROUNDS {
        let account = format!("a{round}");
        one.put_account(&behaviour::account(&account, &[]), 1).await.expect("written");
        let first = version(&account, "d0", "0.0.1");
        assert_eq!(one.keep_version(&first, b"c", &bounds, &[]).await.expect("asked"), Kept::New);
        let [second, third] = [version(&account, "d1", "0.0.2"), version(&account, "d2", "0.0.3")];
        let (kept, refused) =
            tokio::join!(one.keep_version(&second, b"c", &bounds, &[]), other.keep_version(&third, b"c", &bounds, &[]));
        only_one(kept.expect("asked") == Kept::New, refused.expect("asked") == Kept::New);

        let account = AccountId::from(account);
        let mut module = one.registered_module(&account, "crm").await.expect("read").expect("it is there");
        module.activate("d0", 10);
        assert!(matches!(one.save_registered_module(&module, 1, &[]).await.expect("asked"), Saved::Done(2)));
        let quarantine = Quarantine {
            reason: "it trapped".into(),
            digest: "d0".into(),
            version: "0.0.1".into(),
            since_ms: 1,
            last_message: None,
        };
        let (first, second) = tokio::join!(
            one.set_quarantine(&account, "crm", &quarantine, &[]),
            other.set_quarantine(&account, "crm", &quarantine, &[])
        );
        only_one(first.expect("asked"), second.expect("asked"));
    }
}

/// Groups of two nodes that have the same firings and failures, in opposite orders.
#[tokio::test]
async fn groups_of_two_nodes_do_not_stop_each_other() {
    let (one, other, _database) = two().await;
    let entry = |round: u64, n: u64| Entry {
        attempt: Some(behaviour::attempt(round * 1000 + n, &format!("h{}", n % 7), 1000 + n)),
        counts_as_failure: true,
        change: FiringChange::Wait { firing: behaviour::firing(round * 1000 + n, "h1", None), due_ms: 1 },
    };
    for round in 0..ROUNDS {
        let group: Vec<Entry> = (0..100).map(|n| entry(round, n)).collect();
        let reversed: Vec<Entry> = (0..100).rev().map(|n| entry(round, n)).collect();
        let (first, second) = tokio::join!(one.commit(&group), other.commit(&reversed));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    }
    assert_eq!(one.firing_counts(None).await.expect("counted").waiting, 100 * ROUNDS);
}

/// Whoever takes a lower number is seen first, however slow it is: a follower that has read the higher one would never ask
/// for the lower again.
#[tokio::test]
async fn a_follower_misses_no_change_of_a_slow_writer() {
    let (slow, fast, _database) = two().await;
    slow.put_hook(&behaviour::hook("h1", "a1"), 1).await.expect("written");
    let seen = slow.hooks_since(0, 10).await.expect("read");
    // A change whose number is taken and whose transaction is open.
    let mut open = slow.begin_change("be slow").await.expect("it has the lock");
    sqlx::query("UPDATE hooks SET revision = revision + 1, change = nextval('changes') WHERE id = 'h1'")
        .execute(&mut *open)
        .await
        .expect("changed");
    let writing = {
        let fast = fast.clone();
        tokio::spawn(async move { fast.put_hook(&behaviour::hook("h2", "a1"), 1).await })
    };
    // The other one waits for its number.
    let waiting = async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .fetch_one(&slow.pool)
        .await
        .expect("read")
    };
    while !waiting().await {
        assert!(!writing.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    let meanwhile = fast.hooks_since(seen.cursor, 10).await.expect("read");
    assert_eq!((meanwhile.changes.len(), meanwhile.cursor), (0, seen.cursor));
    open.commit().await.expect("committed");
    writing.await.expect("it ran").expect("written");
    let then = fast.hooks_since(meanwhile.cursor, 10).await.expect("read");
    let ids: Vec<&str> = then
        .changes
        .iter()
        .map(|change| match change {
            HookChange::Saved(record) => record.id.as_str(),
            HookChange::Deleted(_, id) => id.as_str(),
        })
        .collect();
    assert_eq!(ids, ["h1", "h2"]);
}
