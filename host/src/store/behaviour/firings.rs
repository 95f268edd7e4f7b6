//! Stored firings: claimed under leases, changed by who holds them.

use std::collections::BTreeSet;

use super::*;
use crate::hook::{Format, Hook, Verb};

/// A hook that travels in messages.
pub(crate) fn inline_hook(account: &str) -> Hook {
    Hook {
        id: "63881319201".into(),
        account: account.into(),
        event: "notifications".into(),
        uri: "https://h.example/".into(),
        verb: Verb::Post,
        format: Format::Json,
        retries: 2,
        enabled: true,
        include_internal_legs: true,
        include_subaccounts: false,
        rare: None,
        secrets: Default::default(),
    }
}

pub(crate) async fn gives_back_what_was_stored(store: SharedStore) {
    let inline = inline_hook("a1");
    let stored = firing(1, "h1", None);
    let mut travelled = firing(2, "", None);
    travelled.target = Target::Inline(Arc::new(inline.clone()));
    store.commit(&wait(stored.clone(), NOW)).await.expect("committed");
    store.commit(&wait(travelled, NOW + 1)).await.expect("committed");
    let claimed = claim(&store, NOW + 1).await;
    assert_eq!(claimed[0].event, stored.event);
    assert_eq!(claimed[0].target.hook_id().as_str(), "h1");
    assert_eq!((claimed[0].created_ms, claimed[0].lease.is_some()), (NOW, true));
    match &claimed[1].target {
        Target::Inline(hook) => assert_eq!(**hook, inline),
        Target::Stored(..) => unreachable!("it travelled in the message"),
    }
}

pub(crate) async fn a_claim_is_held_until_its_lease_ends(store: SharedStore) {
    assert_eq!(next_due(&store).await, None);
    store.commit(&wait(firing(1, "h1", None), NOW + 500)).await.expect("committed");
    assert_eq!(next_due(&store).await, Some(NOW + 500));
    assert_eq!(claim(&store, NOW + 499).await.len(), 0, "not due yet");
    let first = claim(&store, NOW + 500).await;
    assert_eq!(next_due(&store).await, Some(NOW + 1500));
    assert_eq!(claim(&store, NOW + 1499).await.len(), 0, "still held");
    let second = claim(&store, NOW + 1500).await;
    assert_ne!(first[0].lease, second[0].lease, "each claim has a token of its own");
}

pub(crate) async fn claims_of_many_never_overlap(store: SharedStore) {
    let group: Vec<Entry> = (0..300).flat_map(|n| wait(firing(n, "h1", None), NOW)).collect();
    store.commit(&group).await.expect("committed");
    let claims = (0..10).map(|_| {
        let store = Arc::clone(&store);
        let claim = Claim { account: "a1".into(), hook: "h1".into(), rows_max: 40 };
        tokio::spawn(async move { store.claim_due(&[claim], NOW, NOW + 1000).await.expect("claimed") })
    });
    let mut ids = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        ids.extend(claim.await.expect("it ran").into_iter().map(|firing| firing.id));
    }
    assert_eq!(ids.len(), 300);
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 300);
}

pub(crate) async fn a_stale_lease_changes_nothing(store: SharedStore) {
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let slow = claim(&store, NOW).await.remove(0);
    let holder = claim(&store, NOW + 1000).await.remove(0);
    let stale = || Box::new(slow.clone());
    let lease = slow.lease.clone().expect("it was claimed");
    let reason = String::from("late");
    for late in [
        FiringChange::Wait { firing: stale(), due_ms: NOW },
        FiringChange::Park { firing: stale(), until_ms: NOW },
        FiringChange::Undelivered { firing: stale(), reason: reason.clone(), at_ms: NOW },
        FiringChange::Delivered { id: slow.id.clone(), lease },
    ] {
        store.commit(&change(late)).await.expect("committed");
        assert_eq!(counts(&store).await, (1, 0));
        assert_eq!(next_due(&store).await, Some(NOW + 2000), "the holder's lease stands");
    }
    let lease = holder.lease.clone().expect("it was claimed");
    store.commit(&change(FiringChange::Delivered { id: holder.id, lease })).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 0));
    for late in [
        FiringChange::Wait { firing: stale(), due_ms: NOW },
        FiringChange::Undelivered { firing: stale(), reason, at_ms: NOW },
    ] {
        store.commit(&change(late)).await.expect("committed");
        assert_eq!(counts(&store).await, (0, 0), "what ended does not come back");
    }
}

pub(crate) async fn the_holder_may_do_all(store: SharedStore) {
    let parked = || firing(1, "h1", Some("mine"));
    let park = |until_ms| change(FiringChange::Park { firing: parked(), until_ms });
    store.commit(&park(NOW + 10)).await.expect("committed");
    store.commit(&park(NOW + 20)).await.expect("committed");
    assert_eq!(next_due(&store).await, Some(NOW + 20), "its own lease stands in nobody's way");
    let mut tried = parked();
    tried.tries = 7;
    store.commit(&wait(tried, NOW + 5)).await.expect("committed");
    let claimed = claim(&store, NOW + 5).await.remove(0);
    assert_eq!(claimed.tries, 7);
    let given_up = FiringChange::Undelivered { firing: Box::new(claimed), reason: "404".into(), at_ms: NOW };
    store.commit(&change(given_up)).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 1));
}

pub(crate) async fn one_group_may_change_a_firing_twice(store: SharedStore) {
    let lease = LeaseToken("mine".into());
    let parked = |id| {
        let firing = firing(id, "h1", Some("mine"));
        Entry { attempt: None, counts_as_failure: false, change: FiringChange::Park { firing, until_ms: NOW + 1000 } }
    };
    let mut group = vec![parked(1), parked(2)];
    group.extend(change(FiringChange::Delivered { id: firing(1, "h1", None).id, lease }));
    group.extend(wait(firing(2, "h1", Some("mine")), NOW));
    store.commit(&group).await.expect("committed");
    assert_eq!(counts(&store).await, (1, 0));
    assert_eq!(next_due(&store).await, Some(NOW));
}

pub(crate) async fn a_message_that_came_twice_is_stored_once(store: SharedStore) {
    store.commit(&wait(firing(1, "h1", None), NOW + 500)).await.expect("committed");
    let mut again = firing(1, "h1", None);
    again.tries = 9;
    store.commit(&wait(again, NOW)).await.expect("committed");
    let parked = FiringChange::Park { firing: firing(1, "h1", Some("other")), until_ms: NOW };
    store.commit(&change(parked)).await.expect("committed");
    let given_up = FiringChange::Undelivered { firing: firing(1, "h1", None), reason: "404".into(), at_ms: NOW };
    store.commit(&change(given_up)).await.expect("committed");
    assert_eq!(counts(&store).await, (1, 0));
    assert_eq!(next_due(&store).await, Some(NOW + 500));
    assert_eq!(claim(&store, NOW + 500).await[0].tries, 1);
}

pub(crate) async fn a_try_under_way_may_end_well_after_disabling(store: SharedStore) {
    store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let claimed = claim(&store, NOW).await.remove(0);
    store.disable_hook(&"h1".into(), "410", &[], NOW).await.expect("disabled");
    store.commit(&wait(Box::new(claimed.clone()), NOW)).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 1), "it does not wait again");
    let lease = claimed.lease.expect("it was claimed");
    store.commit(&change(FiringChange::Delivered { id: claimed.id, lease })).await.expect("committed");
    assert_eq!(counts(&store).await, (0, 0));
}
