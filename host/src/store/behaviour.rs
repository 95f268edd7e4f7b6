//! What every backend of the store has to do: one function a behaviour, given an empty store. Each backend's tests run
//! them all.

pub(crate) mod accounts;
pub(crate) mod attempts;
pub(crate) mod bound_bindings;
pub(crate) mod dead_letters;
pub(crate) mod firings;
pub(crate) mod hooks;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod numbers;
pub(crate) mod module_costs;
pub(crate) mod module_faults;
pub(crate) mod origins;
pub(crate) mod registered_modules;
pub(crate) mod traffic;
pub(crate) mod undelivered;
pub(crate) mod upkeep;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    attempt::{Fault, Outcome, SentRequest},
    hook::SealedSecret,
    message::{Event, Target},
};

/// Runs each behaviour, named with the thing that it is of, as a test on a store of its own.
macro_rules! behaves {
    ($open:path: $($thing:ident::$name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (store, _guard) = $open().await;
                $crate::store::behaviour::$thing::$name(store).await;
            }
        )*
    };
}
pub(crate) use behaves;

const NOW: UnixMs = 1_714_100_000_000;

pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => unreachable!("{other} is no object"),
    }
}

pub(crate) fn account(id: &str, tree: &[&str]) -> Account {
    Account {
        id: id.into(),
        name: format!("Account {id}"),
        tree: tree.iter().map(|id| AccountId::from(*id)).collect(),
        reseller: tree.last().map(|id| AccountId::from(*id)),
    }
}

pub(crate) fn hook(id: &str, account: &str) -> HookRecord {
    HookRecord {
        id: id.into(),
        account: account.into(),
        document: object(json!({"name": "n", "uri": "https://h.example/", "hook": "object", "enabled": true})),
        disabled_message: None,
        secrets: vec![SealedSecret { sealed: "c2VhbGVk".into(), until_ms: None }],
        revision: 1,
        created_ms: NOW,
    }
}

pub(crate) fn attempt(id: u64, hook: &str, at_ms: UnixMs) -> Attempt {
    Attempt {
        id: format!("{at_ms:012x}{id:020x}"),
        webhook_id: format!("{id:064x}").into(),
        account: "a1".into(),
        hook: hook.into(),
        hook_event: "object".into(),
        module: "object".into(),
        at_ms,
        try_number: 1,
        uri: "https://h.example/".into(),
        request: SentRequest { method: "POST", headers: vec![], body: "{}".into() },
        outcome: Outcome::Failed { fault: Fault::Connection, detail: "refused".into() },
        duration_ms: 3,
        phases: crate::attempt::Phases::default(),
        next_try_ms: None,
        retries_left: 0,
        payload: None,
        transform: None,
    }
}

pub(crate) fn firing(id: u64, hook: &str, lease: Option<&str>) -> Box<Firing> {
    let event = Event {
        module: "object".into(),
        hook_event: "object".into(),
        account: "a1".into(),
        payload: object(json!({"id": "d1", "n": 1})),
        facets: vec![("type".into(), "user".into())],
        selectors: Arc::from(vec!["type".to_owned()]),
        internal_leg: false,
        within: None,
        hooks_of: None,
    };
    Box::new(Firing {
        id: format!("{id:064x}").into(),
        target: Target::Stored("a1".into(), hook.into()),
        event: Arc::new(event),
        tries: 1,
        created_ms: NOW,
        lease: lease.map(|token| LeaseToken(token.into())),
    })
}

pub(crate) fn record(id: &str, tree: &[&str]) -> AccountRecord {
    let account = Account { reseller: None, ..account(id, tree) };
    let document = object(json!({"name": account.name, "realm": format!("{id}.example")}));
    AccountRecord { account, is_reseller: false, document, revision: 0, created_ms: NOW }
}

fn notice(key: &str) -> Notice {
    Notice { id: 0, exchange: "configuration".into(), routing_key: key.into(), body: object(json!({"a": 1})) }
}

/// The routing keys of the notices that are kept.
async fn notices(store: &SharedStore) -> Vec<String> {
    let kept = store.notices(100).await.expect("they are read");
    kept.into_iter().map(|notice| notice.routing_key).collect()
}

fn given_up(firing: Box<Firing>, at_ms: UnixMs) -> [Entry; 1] {
    change(FiringChange::Undelivered { firing, reason: "404".into(), at_ms })
}

fn change(change: FiringChange) -> [Entry; 1] {
    [Entry { attempt: None, counts_as_failure: false, change }]
}

fn wait(firing: Box<Firing>, due_ms: UnixMs) -> [Entry; 1] {
    change(FiringChange::Wait { firing, due_ms })
}

fn failure(attempt: Attempt) -> Entry {
    Entry { attempt: Some(attempt), counts_as_failure: true, change: FiringChange::None }
}

async fn counts(store: &SharedStore) -> (u64, u64) {
    let FiringCounts { waiting, undelivered } = store.firing_counts(None).await.expect("they are counted");
    (waiting, undelivered)
}

async fn undelivered(store: &SharedStore, hook: &str, limit: u32) -> Vec<UndeliveredRow> {
    let query = UndeliveredQuery::newest("a1".into(), Some(hook.into()), limit);
    store.undelivered(&query).await.expect("they are read")
}

async fn claim(store: &SharedStore, now_ms: UnixMs) -> Vec<Firing> {
    store.claim_due(now_ms, now_ms + 1000, 100).await.expect("they are claimed")
}
