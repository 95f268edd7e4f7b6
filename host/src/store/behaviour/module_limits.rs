//! Limits that are set for the modules of accounts.

use super::*;

async fn with_accounts(store: &SharedStore) {
    for id in ["a1", "a2"] {
        store.put_account(&account(id, &[]), NOW).await.expect("written");
    }
}

async fn put(store: &SharedStore, account: &str, limits: Value) -> bool {
    store.put_module_limits(&account.into(), &object(limits), &[notice()]).await.expect("answered")
}

fn notice() -> Notice {
    Notice { id: 0, exchange: "configuration".into(), routing_key: "k".into(), body: Object::new() }
}

async fn set(store: &SharedStore, account: &str) -> Value {
    Value::Object(store.module_limits(&account.into()).await.expect("read"))
}

/// What a follower reads, and where it goes on.
async fn since(store: &SharedStore, cursor: i64, limit: u32) -> (Vec<(String, Value)>, i64) {
    let page = store.module_limits_since(cursor, limit).await.expect("read");
    let shown = |(account, limits): (AccountId, Object)| (account.as_str().to_owned(), Value::Object(limits));
    (page.changes.into_iter().map(shown).collect(), page.cursor)
}

pub(crate) async fn limits_of_accounts_are_kept_and_followed(store: SharedStore) {
    assert!(!put(&store, "a1", json!({"fuel_max": 1})).await, "there is no such account");
    assert_eq!(store.notices(9).await.expect("read").len(), 0, "so nobody is told");
    with_accounts(&store).await;
    assert_eq!(set(&store, "a1").await, json!({}));
    assert!(put(&store, "a1", json!({})).await, "nothing is set, and nothing was");
    assert_eq!(since(&store, 0, 9).await, (vec![], 0));

    assert!(put(&store, "a1", json!({"fuel_max": 1, "time_limit_ms": 2})).await);
    assert!(put(&store, "a2", json!({"fuel_max": 3})).await);
    assert_eq!(store.notices(9).await.expect("read").len(), 3);
    assert_eq!(set(&store, "a1").await, json!({"fuel_max": 1, "time_limit_ms": 2}));
    let (one, cursor) = since(&store, 0, 1).await;
    assert_eq!(one, [("a1".to_owned(), json!({"fuel_max": 1, "time_limit_ms": 2}))]);
    let (other, cursor) = since(&store, cursor, 1).await;
    assert_eq!(other, [("a2".to_owned(), json!({"fuel_max": 3}))]);
    assert_eq!(since(&store, cursor, 1).await, (vec![], cursor));

    assert!(put(&store, "a2", json!({"fuel_max": 3})).await);
    assert_eq!(since(&store, cursor, 9).await, (vec![], cursor), "what was set already is no change");
    assert!(put(&store, "a1", json!({"fuel_max": 4})).await, "in the place of all that was set");
    let (changed, cursor) = since(&store, cursor, 9).await;
    assert_eq!(changed, [("a1".to_owned(), json!({"fuel_max": 4}))]);
    assert!(put(&store, "a1", json!({})).await);
    assert_eq!(since(&store, cursor, 9).await.0, [("a1".to_owned(), json!({}))]);
    assert_eq!((set(&store, "a1").await, set(&store, "a2").await), (json!({}), json!({"fuel_max": 3})));
}

pub(crate) async fn the_limits_of_deleted_accounts_go(store: SharedStore) {
    with_accounts(&store).await;
    store.put_account(&account("a3", &[]), NOW).await.expect("written");
    for account in ["a1", "a2", "a3"] {
        assert!(put(&store, account, json!({"fuel_max": 1})).await);
    }
    let (_, cursor) = since(&store, 0, 9).await;
    let gone = [AccountId::from("a1"), AccountId::from("a2")];
    assert_eq!(store.delete_accounts(&gone, &[], NOW).await.expect("deleted"), 2);
    let (mut changed, _) = since(&store, cursor, 9).await;
    changed.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(changed, [("a1".to_owned(), json!({})), ("a2".to_owned(), json!({}))]);
    assert!(!put(&store, "a1", json!({"fuel_max": 1})).await, "it is gone");
    store.put_account(&account("a1", &[]), NOW).await.expect("written");
    assert_eq!((set(&store, "a1").await, set(&store, "a3").await), (json!({}), json!({"fuel_max": 1})));
}
