//! Calls of modules that wait to be made.

use std::collections::HashSet;

use super::*;
use crate::{
    message::Source,
    store::stored_calls::{CallBounds, CallChange, CallLine, StoredCall},
};

const ROOM: CallBounds = CallBounds { calls_max: 1000, bytes_max: 1_000_000 };

fn call(n: u64, account: Option<&str>, module: &str) -> StoredCall {
    let message = Message {
        source: Source::Http,
        exchange: "callevt".into(),
        routing_key: format!("call.{n}"),
        message_id: Some(format!("m{n}")),
        category: "call_event".into(),
        name: "x".into(),
        account: Some("a1".into()),
        within: account.map(AccountId::from),
        received_ms: NOW - 5,
        trace: None,
        body: "{\"n\": \"äöü\"}".into(),
    };
    StoredCall {
        id: format!("{n:064x}"),
        module: module.into(),
        account: account.map(AccountId::from),
        message,
        created_ms: NOW + n,
        lease: None,
    }
}

fn line(account: Option<&str>, module: &str) -> CallLine {
    CallLine { module: module.into(), account: account.map(AccountId::from), calls: 0 }
}

async fn change(store: &SharedStore, changes: Vec<CallChange>) -> Vec<bool> {
    store.change_stored_calls(&changes, &ROOM).await.expect("changed")
}

async fn keep(store: &SharedStore, calls: Vec<StoredCall>) -> Vec<bool> {
    change(store, calls.into_iter().map(|call| CallChange::Keep(Box::new(call))).collect()).await
}

async fn claim(store: &SharedStore, line: &CallLine, now_ms: UnixMs, limit: u32) -> Vec<StoredCall> {
    store.claim_stored_calls(line, now_ms, now_ms + 1000, limit).await.expect("claimed")
}

fn held(call: &StoredCall) -> (String, LeaseToken) {
    (call.id.clone(), call.lease.clone().expect("it is under a lease"))
}

async fn lines(store: &SharedStore) -> Vec<(String, u64)> {
    let lines = store.stored_call_lines().await.expect("read");
    lines.into_iter().map(|line| (line.module.to_string(), line.calls)).collect()
}

pub(crate) async fn a_stored_call_is_given_back_whole(store: SharedStore) {
    let (own, operators) = (call(1, Some("a1"), "a1/crm"), call(2, None, "crm"));
    assert_eq!(keep(&store, vec![own.clone(), operators.clone()]).await, [true, true]);
    assert_eq!(lines(&store).await, [("a1/crm".into(), 1), ("crm".into(), 1)]);
    assert_eq!(store.stored_call_count(&"crm".into()).await.expect("counted"), 1);
    assert_eq!(store.stored_call_count(&"none".into()).await.expect("counted"), 0);
    for (line, stored) in [(line(Some("a1"), "a1/crm"), own), (line(None, "crm"), operators)] {
        let claimed = claim(&store, &line, NOW + 10, 10).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(StoredCall { lease: None, ..claimed[0].clone() }, stored);
        let (id, lease) = held(&claimed[0]);
        assert_eq!(change(&store, vec![CallChange::Made { id, lease }]).await, [true]);
    }
    assert_eq!(lines(&store).await, []);
}

pub(crate) async fn a_call_is_stored_once(store: SharedStore) {
    let of = line(Some("a1"), "a1/crm");
    assert_eq!(keep(&store, vec![call(1, Some("a1"), "a1/crm"); 2]).await, [true, true]);
    let claimed = claim(&store, &of, NOW + 10, 10).await;
    assert_eq!(keep(&store, vec![call(1, Some("a1"), "a1/crm")]).await, [true], "it is safe: it is stored");
    assert_eq!(lines(&store).await, [("a1/crm".into(), 1)]);
    let (id, lease) = held(&claimed[0]);
    assert_eq!(change(&store, vec![CallChange::Made { id, lease }]).await, [true], "whoever held it still does");
    assert_eq!(claim(&store, &of, NOW + 100_000, 10).await, []);
}

pub(crate) async fn claims_are_held_until_their_leases_end(store: SharedStore) {
    keep(&store, (1..=5).map(|n| call(n, None, "crm")).collect()).await;
    let of = line(None, "crm");
    assert_eq!(claim(&store, &of, NOW, 10).await, [], "stored a moment later");
    let first = claim(&store, &of, NOW + 10, 3).await;
    let ids: Vec<_> = first.iter().map(|call| call.message.routing_key.as_str()).collect();
    assert_eq!(ids, ["call.1", "call.2", "call.3"], "the oldest first");
    assert_eq!(claim(&store, &of, NOW + 10, 10).await.len(), 2);
    assert_eq!(claim(&store, &of, NOW + 1009, 10).await, []);
    assert_eq!(claim(&store, &of, NOW + 1010, 10).await.len(), 5, "their holders have died");
    assert_eq!(lines(&store).await, [("crm".into(), 5)], "those under a lease are counted too");
}

pub(crate) async fn claims_of_many_never_take_the_same_call(store: SharedStore) {
    keep(&store, (0..200).map(|n| call(n, None, "crm")).collect()).await;
    let claimers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                loop {
                    let more = claim(&store, &line(None, "crm"), NOW + 500, 7).await;
                    if more.is_empty() {
                        return claimed;
                    }
                    claimed.extend(more.into_iter().map(|call| call.id));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.expect("it ran"));
    }
    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 200);
}

pub(crate) async fn a_stale_lease_changes_no_call(store: SharedStore) {
    keep(&store, vec![call(1, None, "crm")]).await;
    let of = line(None, "crm");
    let (id, slow) = held(&claim(&store, &of, NOW + 10, 1).await[0]);
    let (_, lease) = held(&claim(&store, &of, NOW + 2000, 1).await[0]);
    let letter = Box::new(super::dead_letters::letter(Some("crm"), None, NOW));
    for stale in [
        CallChange::Made { id: id.clone(), lease: slow.clone() },
        CallChange::PutBack { id: id.clone(), lease: slow.clone(), free_ms: 0 },
        CallChange::GivenUp { id: id.clone(), lease: slow.clone(), letter },
    ] {
        assert_eq!(change(&store, vec![stale]).await, [false]);
    }
    assert_eq!(store.dead_letter_count(&"crm".into()).await.expect("counted"), 0);
    let free_ms = NOW + 2500;
    assert_eq!(change(&store, vec![CallChange::PutBack { id: id.clone(), lease, free_ms }]).await, [true]);
    assert_eq!(claim(&store, &of, free_ms - 1, 1).await, []);
    assert_eq!(claim(&store, &of, free_ms, 1).await.len(), 1);
}

pub(crate) async fn a_call_that_is_given_up_leaves_its_dead_letter(store: SharedStore) {
    keep(&store, vec![call(1, None, "crm"), call(2, None, "crm")]).await;
    let claimed = claim(&store, &line(None, "crm"), NOW + 10, 10).await;
    let given_up = |call: &StoredCall| {
        let (id, lease) = held(call);
        CallChange::GivenUp { id, lease, letter: Box::new(super::dead_letters::letter(Some("crm"), None, NOW)) }
    };
    assert_eq!(change(&store, claimed.iter().map(given_up).collect()).await, [true, true]);
    assert_eq!(change(&store, vec![given_up(&claimed[0])]).await, [false], "once only");
    assert_eq!(store.dead_letter_count(&"crm".into()).await.expect("counted"), 2);
    assert_eq!(lines(&store).await, []);
}

pub(crate) async fn what_waits_is_bounded_by_account(store: SharedStore) {
    let calls = |from: u64, account: Option<&str>, module: &str, count: u64| {
        (from..from + count).map(|n| CallChange::Keep(Box::new(call(n, account, module)))).collect::<Vec<_>>()
    };
    let keep = async |changes: Vec<CallChange>, bounds: CallBounds| {
        store.change_stored_calls(&changes, &bounds).await.expect("changed")
    };
    let bounds = CallBounds { calls_max: 3, ..ROOM };
    assert_eq!(keep(calls(10, Some("a1"), "a1/crm", 2), bounds).await, [true, true]);
    assert_eq!(keep(calls(20, Some("a1"), "a1/log", 2), bounds).await, [true, false], "all modules of the account");
    assert_eq!(keep(calls(30, Some("a2"), "a2/crm", 1), bounds).await, [true], "others have room of their own");
    assert_eq!(keep(calls(40, None, "sms", 4), bounds).await, [true, true, true, false]);
    assert_eq!(keep(calls(50, None, "mms", 1), bounds).await, [true], "each of the operator's modules has its own");
    let bytes = call(0, None, "x").message.body.len() as u64;
    let bounds = CallBounds { bytes_max: 3 * bytes - 1, ..ROOM };
    assert_eq!(keep(calls(60, Some("a3"), "a3/crm", 3), bounds).await, [true, true, false]);

    let claimed = claim(&store, &line(Some("a1"), "a1/crm"), NOW + 100, 1).await;
    let (id, lease) = held(&claimed[0]);
    let (made, more) = (CallChange::Made { id, lease }, calls(70, Some("a1"), "a1/crm", 1));
    let bounds = CallBounds { calls_max: 3, ..ROOM };
    assert_eq!(keep(vec![made], bounds).await, [true]);
    assert_eq!(keep(more, bounds).await, [true], "there is room again");
}

pub(crate) async fn the_stored_calls_of_a_deleted_account_go(store: SharedStore) {
    store.put_account(&account("a1", &[]), NOW).await.expect("written");
    keep(&store, vec![call(1, Some("a1"), "a1/crm"), call(2, Some("a1"), "sms"), call(3, Some("a2"), "sms")]).await;
    assert!(store.delete_account(&"a1".into(), NOW).await.expect("deleted"));
    assert_eq!(lines(&store).await, [("sms".into(), 1)]);
    assert_eq!(claim(&store, &line(Some("a1"), "a1/crm"), NOW + 10, 10).await, []);
    assert_eq!(claim(&store, &line(Some("a2"), "sms"), NOW + 10, 10).await.len(), 1);
}
