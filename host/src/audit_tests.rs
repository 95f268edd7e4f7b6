//! Audits of small stores, with and without what they look for.

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    attempt::{Attempt, Outcome},
    store::{Entry, FiringChange, behaviour, sqlite::SqliteStore},
};

const NOW: UnixMs = 1_714_100_000_000;
const HOUR_MS: u64 = 3_600_000;

const BOUNDS: Bounds = Bounds {
    from_ms: NOW - DAY_MS,
    now_ms: NOW + HOUR_MS,
    wait_ms_max: DAY_MS,
    late_after_ms: 60_000,
    successes_recorded: true,
    remembered_max: 1000,
    page_rows: 7,
};

async fn store() -> (SharedStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
    let store: SharedStore = std::sync::Arc::new(SqliteStore::open(&url).await.expect("it opens"));
    store.put_hook(&behaviour::hook("h1", "a1"), NOW).await.expect("written");
    (store, folder)
}

/// A try that fails; retried unless it was the last.
fn failed(id: u64, last: bool) -> Attempt {
    Attempt { next_try_ms: (!last).then_some(NOW + 5), ..behaviour::attempt(id, "h1", NOW) }
}

fn delivered(id: u64) -> Attempt {
    let outcome = Outcome::Answered { status: 200, headers: vec![], body: String::new(), body_cut: false };
    // Another id than that of the try that failed, of the same firing.
    Attempt { outcome, id: format!("{:012x}{:020x}", NOW + 1, id), ..behaviour::attempt(id, "h1", NOW + 1) }
}

async fn commit(store: &SharedStore, attempt: Option<Attempt>, change: FiringChange) {
    store.commit(&[Entry { attempt, counts_as_failure: false, change }]).await.expect("committed");
}

fn waits(id: u64, hook: &str, due_ms: UnixMs) -> FiringChange {
    FiringChange::Wait { firing: behaviour::firing(id, hook, None), due_ms }
}

fn listed(id: u64, reason: &str) -> FiringChange {
    FiringChange::Undelivered { firing: behaviour::firing(id, "h1", None), reason: reason.into(), at_ms: NOW }
}

fn kinds(report: &Report) -> Vec<(u64, &ViolationKind)> {
    let number = |violation: &Violation| u64::from_str_radix(violation.webhook_id.as_str(), 16).expect("a number");
    let mut kinds: Vec<_> = report.violations.iter().map(|found| (number(found), &found.kind)).collect();
    kinds.sort_by_key(|(id, _)| *id);
    kinds
}

/// What becomes of firings when nothing goes wrong.
async fn fill(store: &SharedStore) {
    commit(store, Some(delivered(1)), FiringChange::None).await;
    commit(store, Some(failed(2, false)), waits(2, "h1", NOW + HOUR_MS)).await;
    commit(store, Some(failed(3, true)), listed(3, "404")).await;
    commit(store, Some(failed(4, false)), FiringChange::None).await;
    commit(store, Some(delivered(4)), FiringChange::None).await;
    commit(store, Some(Attempt { outcome: Outcome::Dropped, ..delivered(5) }), FiringChange::None).await;
    // One that was slow to say that it had failed, after another had delivered.
    commit(store, Some(delivered(6)), FiringChange::None).await;
    commit(store, Some(failed(6, false)), FiringChange::None).await;
    let test = Attempt { webhook_id: WebhookId::of_test(), ..failed(7, true) };
    commit(store, Some(test), FiringChange::None).await;
    let old = Attempt { at_ms: BOUNDS.from_ms - 1, ..failed(8, true) };
    commit(store, Some(old), FiringChange::None).await;
}

#[tokio::test]
async fn a_store_in_order_has_no_violation() {
    let (store, _folder) = store().await;
    fill(&store).await;
    let report = audit(&store, &BOUNDS).await.expect("read");
    let counts =
        Report { delivered: 3, dropped: 1, failed: 6, outside: 2, waiting: 1, undelivered: 1, ..Report::default() };
    assert_eq!(report, counts);
}

#[tokio::test]
async fn a_firing_of_which_nothing_is_left_is_found() {
    let (store, _folder) = store().await;
    fill(&store).await;
    commit(&store, Some(failed(20, true)), FiringChange::None).await;
    commit(&store, Some(failed(21, false)), FiringChange::None).await;
    let report = audit(&store, &BOUNDS).await.expect("read");
    let vanished = |id, for_good| ViolationKind::Vanished { attempt: failed(id, true).id, for_good };
    assert_eq!(kinds(&report), [(20, &vanished(20, true)), (21, &vanished(21, false))]);
    assert_eq!((report.violations[0].hook.as_str(), report.violations[0].account.as_str()), ("h1", "a1"));
    // Where successes are not recorded, nobody can tell.
    let silent = Bounds { successes_recorded: false, ..BOUNDS };
    let report = audit(&store, &silent).await.expect("read");
    assert_eq!((report.violation_count, report.outside), (0, 12));
}

#[tokio::test]
async fn a_firing_that_nobody_will_ever_take_is_found() {
    let (store, _folder) = store().await;
    commit(&store, None, waits(1, "h1", NOW + HOUR_MS + DAY_MS)).await;
    commit(&store, None, waits(2, "h1", NOW + HOUR_MS + DAY_MS + 1)).await;
    commit(&store, None, listed(3, "")).await;
    let report = audit(&store, &BOUNDS).await.expect("read");
    let never = ViolationKind::NeverFree { free_ms: NOW + HOUR_MS + DAY_MS + 1 };
    assert_eq!(kinds(&report), [(2, &never), (3, &ViolationKind::NoReason)]);
}

#[tokio::test]
async fn what_waits_of_a_hook_that_is_off_is_late_only_when_hosts_have_worked_since() {
    let (store, _folder) = store().await;
    let mut off = behaviour::hook("off", "a1");
    off.document.insert("enabled".into(), json!(false));
    store.put_hook(&off, NOW).await.expect("written");
    for (id, hook) in [(1, "h1"), (2, "off"), (3, "gone")] {
        commit(&store, None, waits(id, hook, NOW)).await;
    }
    let report = audit(&store, &BOUNDS).await.expect("read");
    assert_eq!((report.violation_count, report.waiting, report.late), (0, 3, 3), "no host has been at work");
    commit(&store, Some(Attempt { at_ms: NOW + 60_001, ..delivered(9) }), FiringChange::None).await;
    let report = audit(&store, &BOUNDS).await.expect("read");
    let not_on = ViolationKind::HookNotOn;
    assert_eq!(kinds(&report), [(2, &not_on(HookStands::Off)), (3, &not_on(HookStands::Gone))]);
}

#[tokio::test]
async fn with_little_memory_it_finds_the_same() {
    let (store, _folder) = store().await;
    let digest = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let of = |n: u64, attempt: Attempt| Attempt {
        // Ids as they are: digests.
        webhook_id: format!("{:016x}{n:048x}", digest(n)).into(),
        ..attempt
    };
    for n in 100..400 {
        commit(&store, Some(of(n, failed(n, false))), FiringChange::None).await;
    }
    for n in (100..400).filter(|n| n % 50 != 0) {
        commit(&store, Some(of(n, delivered(n))), FiringChange::None).await;
    }
    let whole = audit(&store, &BOUNDS).await.expect("read");
    assert_eq!((whole.violation_count, whole.delivered, whole.failed), (6, 294, 300));
    let mut small = audit(&store, &Bounds { remembered_max: 20, ..BOUNDS }).await.expect("read");
    small.violations.sort_by(|one, other| one.webhook_id.as_str().cmp(other.webhook_id.as_str()));
    let mut named = whole.violations.clone();
    named.sort_by(|one, other| one.webhook_id.as_str().cmp(other.webhook_id.as_str()));
    assert_eq!(small, Report { violations: named, ..whole });
}
