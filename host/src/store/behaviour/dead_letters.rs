//! Messages that modules failed on.

use super::*;
use crate::message::Source;

pub(super) fn letter(module: Option<&str>, owner: Option<&str>, at_ms: UnixMs) -> DeadLetter {
    let message = Message {
        source: Source::Amqp,
        exchange: "callevt".into(),
        routing_key: "call.x.y".into(),
        message_id: None,
        category: "call_event".into(),
        name: "x".into(),
        account: Some("a1".into()),
        within: owner.map(AccountId::from),
        received_ms: NOW,
        trace: None,
        body: "{}".into(),
    };
    DeadLetter {
        id: 0,
        at_ms,
        module: module.map(ModuleId::from),
        module_version: "1.0.0".into(),
        reason: "traps".into(),
        owner: owner.map(AccountId::from),
        message,
    }
}

async fn ids(store: &SharedStore, query: &DeadLetterQuery) -> Vec<i64> {
    store.dead_letters(query).await.expect("read").into_iter().map(|letter| letter.id).collect()
}

pub(crate) async fn keeps_dead_letters(store: SharedStore) {
    let kept = letter(Some("m1"), Some("a1"), NOW);
    let id = store.put_dead_letter(&kept).await.expect("kept");
    let found = store.dead_letter(id).await.expect("read").expect("it is there");
    assert_eq!((found.id, &found.message, found.owner, found.module), (id, &kept.message, kept.owner, kept.module));
    assert_eq!((found.at_ms, found.reason, found.module_version), (NOW, kept.reason, kept.module_version));
    assert_eq!(store.dead_letter_count(&"m1".into()).await.expect("counted"), 1);
    assert_eq!(store.dead_letter_count(&"m2".into()).await.expect("counted"), 0);
    assert!(store.delete_dead_letter(id).await.expect("removed"));
    assert!(!store.delete_dead_letter(id).await.expect("removed"));
    assert!(store.dead_letter(id).await.expect("read").is_none());
    assert!(store.dead_letter(-1).await.expect("read").is_none());
}

pub(crate) async fn lists_dead_letters_in_pages(store: SharedStore) {
    let mut kept = Vec::new();
    for (module, owner) in
        [(Some("m1"), None), (Some("m1"), Some("a1")), (Some("m2"), Some("a1")), (None, None), (Some("m1"), Some("a2"))]
    {
        kept.push(store.put_dead_letter(&letter(module, owner, NOW)).await.expect("kept"));
    }
    let query = |owner: Option<&str>, module: Option<&str>| DeadLetterQuery {
        owner: owner.map(AccountId::from),
        module: module.map(ModuleId::from),
        ..DeadLetterQuery::newest(10)
    };
    for (owner, module, found) in [
        (None, None, vec![4, 3, 2, 1, 0]),
        (None, Some("m1"), vec![4, 1, 0]),
        (Some("a1"), None, vec![2, 1]),
        (Some("a1"), Some("m1"), vec![1]),
        (Some("nobody"), None, vec![]),
    ] {
        let mut query = query(owner, module);
        let found: Vec<i64> = found.into_iter().map(|place: usize| kept[place]).collect();
        assert_eq!(ids(&store, &query).await, found, "{owner:?} {module:?}");
        let mut seen: Vec<i64> = Vec::new();
        query.limit = 1;
        while let Some(last) = ids(&store, &query).await.last() {
            query.before = Some(*last);
            seen.push(*last);
        }
        assert_eq!(seen, found, "{owner:?} {module:?}");
    }
}

pub(crate) async fn prunes_dead_letters_by_age_and_number(store: SharedStore) {
    let mut kept = Vec::new();
    for n in 0..1100 {
        kept.push(store.put_dead_letter(&letter(Some("m1"), None, NOW + n)).await.expect("kept"));
    }
    let all = DeadLetterQuery::newest(2000);
    assert_eq!(store.prune_dead_letters(NOW, 1100).await.expect("pruned"), 0);
    assert_eq!(store.prune_dead_letters(NOW + 600, 1100).await.expect("pruned"), 600);
    assert_eq!(store.prune_dead_letters(NOW + 605, 450).await.expect("pruned"), 50, "the same are old and too many");
    assert_eq!(ids(&store, &all).await.last(), Some(&kept[650]), "the oldest went");
    assert_eq!(store.prune_dead_letters(0, 0).await.expect("pruned"), 450);
    let next = store.put_dead_letter(&letter(None, None, NOW)).await.expect("kept");
    assert!(next > kept[1099], "numbers never go back");
}

pub(crate) async fn trims_the_dead_letters_of_each_module_and_owner(store: SharedStore) {
    let mut kept = Vec::new();
    for (module, owner, letters) in [
        (Some("m1"), Some("a1"), 2),
        (Some("m1"), None, 3),
        (Some("a2/flood"), Some("a2"), 1205),
        (Some("m2"), None, 4),
        (None, None, 5),
    ] {
        let mut ids = Vec::new();
        for n in 0..letters {
            ids.push(store.put_dead_letter(&letter(module, owner, NOW + n)).await.expect("kept"));
        }
        kept.push(ids);
    }
    assert_eq!(store.trim_dead_letters(1205).await.expect("trimmed"), 0);
    assert_eq!(store.trim_dead_letters(3).await.expect("trimmed"), 1202 + 1);
    let mut left = [&kept[0][..], &kept[1], &kept[2][1202..], &kept[3][1..], &kept[4]].concat();
    left.reverse();
    assert_eq!(ids(&store, &DeadLetterQuery::newest(2000)).await, left, "the oldest of each, and of nobody else");
}
