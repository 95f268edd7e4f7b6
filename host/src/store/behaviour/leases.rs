//! Leases: kept by heartbeats, lost with their holder.

use super::*;

async fn renew(store: &SharedStore, firing: &Firing, until_ms: UnixMs) -> u64 {
    let held = (firing.id.clone(), firing.lease.clone().expect("it is held"));
    store.renew_leases(&[held], until_ms).await.expect("renewed")
}

pub(crate) async fn a_lease_lasts_as_long_as_it_is_renewed(store: SharedStore) {
    let group: Vec<Entry> = (0..600).flat_map(|n| wait(firing(n, "h1", None), NOW)).collect();
    store.commit(&group).await.expect("committed");
    let claims = [Claim { account: "a1".into(), hook: "h1".into(), rows_max: 600 }];
    let held = store.claim_due(&claims, NOW, NOW + 1000).await.expect("claimed");
    let tokens: Vec<_> =
        held.iter().map(|firing| (firing.id.clone(), firing.lease.clone().expect("it is held"))).collect();
    for beat in 1..5 {
        let now_ms = NOW + beat * 400;
        assert_eq!(store.renew_leases(&tokens, now_ms + 1000).await.expect("renewed"), 600);
        assert_eq!(claim(&store, now_ms + 999).await.len(), 0, "nobody takes it while its holder lives");
    }
    assert_eq!(store.renew_leases(&tokens[..1], NOW).await.expect("renewed"), 1);
    assert_eq!(next_due(&store).await, Some(NOW + 2600), "it became no shorter");
    assert_eq!(claim(&store, NOW + 2600).await.len(), 100, "the holder is dead");
    assert_eq!(store.renew_leases(&[], NOW).await.expect("nothing to do"), 0);
}

pub(crate) async fn only_the_holder_renews_a_lease(store: SharedStore) {
    store
        .commit(&change(FiringChange::Park { firing: firing(1, "h1", Some("mine")), until_ms: NOW }))
        .await
        .expect("committed");
    let other = *firing(1, "h1", Some("other"));
    assert_eq!(renew(&store, &other, NOW + 1000).await, 0);
    assert_eq!(next_due(&store).await, Some(NOW));
    let missing = *firing(2, "h1", Some("mine"));
    assert_eq!(renew(&store, &missing, NOW + 1000).await, 0);
    let mine = *firing(1, "h1", Some("mine"));
    assert_eq!(renew(&store, &mine, NOW + 1000).await, 1);
    assert_eq!(next_due(&store).await, Some(NOW + 1000));
}

pub(crate) async fn renewing_does_not_put_off_what_was_given_back(store: SharedStore) {
    for id in 1..=2 {
        let parked = FiringChange::Park { firing: firing(id, "h1", Some("mine")), until_ms: NOW + 1000 };
        store.commit(&change(parked)).await.expect("committed");
    }
    let mine = |id| firing(id, "h1", Some("mine"));
    store.commit(&wait(mine(1), NOW + 10)).await.expect("committed");
    store.commit(&given_up(mine(2), NOW)).await.expect("committed");
    // A heartbeat that was under way meanwhile.
    assert_eq!(renew(&store, &mine(1), NOW + 9000).await + renew(&store, &mine(2), NOW + 9000).await, 0);
    assert_eq!(next_due(&store).await, Some(NOW + 10));
    assert_eq!(undelivered(&store, "h1", 10).await[0].ended_ms, NOW);
    let lease = LeaseToken("mine".into());
    let late = FiringChange::Delivered { id: mine(1).id, lease };
    store.commit(&change(late)).await.expect("committed");
    store.commit(&wait(mine(1), NOW + 500)).await.expect("committed");
    assert_eq!((counts(&store).await, next_due(&store).await), ((1, 1), Some(NOW + 10)), "it was given back");
}

pub(crate) async fn a_lease_that_is_given_back_is_free_at_once(store: SharedStore) {
    for id in 1..=2 {
        let parked = FiringChange::Park { firing: firing(id, "h1", Some("mine")), until_ms: NOW + 90_000 };
        store.commit(&change(parked)).await.expect("committed");
    }
    let key = |id, lease: &str| (firing(id, "h1", None).id.clone(), LeaseToken(lease.into()));
    assert_eq!(store.release_leases(&[key(1, "other"), key(3, "mine")], NOW).await.expect("released"), 0);
    assert_eq!(claim(&store, NOW).await.len(), 0, "its holder alone gives it back");
    assert_eq!(store.release_leases(&[key(1, "mine")], NOW).await.expect("released"), 1);
    assert_eq!(renew(&store, &firing(1, "h1", Some("mine")), NOW + 9000).await, 0, "it holds nothing any more");
    let late = FiringChange::Delivered { id: key(1, "mine").0, lease: LeaseToken("mine".into()) };
    store.commit(&change(late)).await.expect("committed");
    let claimed = claim(&store, NOW).await;
    assert_eq!((claimed.len(), &claimed[0].id), (1, &key(1, "").0), "another takes it at once");
}

pub(crate) async fn one_that_slept_through_its_lease_undoes_nothing(store: SharedStore) {
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    let sleeper = claim(&store, NOW).await.remove(0);
    let other = claim(&store, NOW + 1000).await.remove(0);
    assert_eq!(renew(&store, &sleeper, NOW + 9000).await, 0, "its lease was taken over");
    assert_eq!(next_due(&store).await, Some(NOW + 2000), "the other's stands");
    // The other found the receiver failing; the sleeper thinks that it delivered, that it is to wait, that it is over.
    let tried = Box::new(Firing { tries: 5, ..other });
    store.commit(&wait(tried, NOW + 3000)).await.expect("committed");
    let lease = sleeper.lease.clone().expect("it was held");
    let slept = || Box::new(sleeper.clone());
    let all = [
        FiringChange::Delivered { id: sleeper.id.clone(), lease },
        FiringChange::Wait { firing: slept(), due_ms: NOW },
        FiringChange::Undelivered { firing: slept(), reason: "late".into(), at_ms: NOW },
    ];
    for late in all {
        store.commit(&change(late)).await.expect("committed");
        assert_eq!((counts(&store).await, next_due(&store).await), ((1, 0), Some(NOW + 3000)));
    }
    assert_eq!(renew(&store, &sleeper, NOW + 9000).await, 0);
    let claimed = claim(&store, NOW + 3000).await;
    assert_eq!((claimed.len(), claimed[0].tries), (1, 5));
}
