//! Whose turn it is among stored firings: hooks have turns, however much each has waiting.

use super::*;

fn firing_of(id: u64, account: &str, hook: &str) -> Box<Firing> {
    let mut firing = firing(id, hook, None);
    firing.target = Target::Stored(account.into(), hook.into());
    firing
}

async fn due(store: &SharedStore, now_ms: UnixMs) -> Vec<(String, String, UnixMs)> {
    let due = store.due_hooks(now_ms, None, 1000).await.expect("listed");
    due.into_iter().map(|due| (due.account.to_string(), due.hook.to_string(), due.since_ms - NOW)).collect()
}

pub(crate) async fn a_hook_with_a_backlog_hides_no_other(store: SharedStore) {
    let backlog: Vec<Entry> = (0..5000).flat_map(|n| wait(firing_of(n, "a1", "dead"), NOW + n / 100)).collect();
    store.commit(&backlog).await.expect("committed");
    store.commit(&wait(firing_of(9001, "a1", "h2"), NOW + 40)).await.expect("committed");
    store.commit(&wait(firing_of(9002, "a2", "h3"), NOW + 41)).await.expect("committed");
    store.commit(&wait(firing_of(9003, "a2", "later"), NOW + 60)).await.expect("committed");
    let dead = |since| ("a1".to_owned(), "dead".to_owned(), since);
    let others = [("a1".to_owned(), "h2".to_owned(), 40), ("a2".to_owned(), "h3".to_owned(), 41)];
    assert_eq!(due(&store, NOW + 50).await, [vec![dead(0)], others.to_vec()].concat());
    // Two of the oldest hundred are taken: it is as long due as before. All of them: its next are.
    let of_dead = |rows_max| [Claim { account: "a1".into(), hook: "dead".into(), rows_max }];
    assert_eq!(store.claim_due(&of_dead(2), NOW + 50, NOW + 1000).await.expect("claimed").len(), 2);
    assert_eq!(due(&store, NOW + 50).await[0], dead(0));
    assert_eq!(store.claim_due(&of_dead(98), NOW + 50, NOW + 1000).await.expect("claimed").len(), 98);
    assert_eq!(due(&store, NOW + 50).await[0], dead(1));
    // All that is left: it is not due any more, the first lease is the next to end.
    assert_eq!(store.claim_due(&of_dead(9999), NOW + 50, NOW + 2000).await.expect("claimed").len(), 4900);
    assert_eq!(due(&store, NOW + 50).await, others);
    assert_eq!(due(&store, NOW + 1000).await[3], dead(1000));
}

pub(crate) async fn lists_due_hooks_in_pages(store: SharedStore) {
    for n in 0..25 {
        // Several at one time, so that a page ends between two of them.
        store
            .commit(&wait(firing_of(n, &format!("a{}", n % 3), &format!("h{n}")), NOW + n / 4))
            .await
            .expect("committed");
    }
    let whole = store.due_hooks(NOW + 100, None, 1000).await.expect("listed");
    let mut paged: Vec<DueHook> = Vec::new();
    loop {
        let page = store.due_hooks(NOW + 100, paged.last(), 4).await.expect("listed");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 4);
        paged.extend(page);
    }
    assert_eq!((paged.len(), &paged), (25, &whole));
    assert!(whole.is_sorted());
}

pub(crate) async fn takes_the_longest_due_of_each_hook(store: SharedStore) {
    for (id, hook, due) in [(1, "h1", 5), (2, "h1", 3), (3, "h1", 4), (4, "h2", 9), (5, "h2", 2), (6, "h3", 1)] {
        store.commit(&wait(firing_of(id, "a1", hook), NOW + due)).await.expect("committed");
    }
    let claim = |hook: &str, rows_max| Claim { account: "a1".into(), hook: hook.into(), rows_max };
    let claims = [claim("h1", 2), claim("h2", 2), claim("none", 2), claim("h3", 0)];
    let claimed = store.claim_due(&claims, NOW + 8, NOW + 1000).await.expect("claimed");
    let numbers: Vec<_> = claimed.iter().map(|firing| firing.id.as_str().trim_start_matches('0')).collect();
    assert_eq!(numbers, ["5", "2", "3"], "as they became due; one is not due, of one hook nothing was wanted");
    assert!(claimed.iter().all(|firing| firing.lease.is_some()));
    assert_eq!(store.claim_due(&[], NOW + 8, NOW + 1000).await.expect("nothing to do").len(), 0);
}

pub(crate) async fn hooks_of_one_name_have_turns_of_their_own(store: SharedStore) {
    // As those that travel in messages: two accounts' may have one id, or none.
    for (id, account) in [(1, "a1"), (2, "a2"), (3, "a2")] {
        store.commit(&wait(firing_of(id, account, ""), NOW)).await.expect("committed");
    }
    let claims = [Claim { account: "a2".into(), hook: "".into(), rows_max: 10 }];
    assert_eq!(store.claim_due(&claims, NOW, NOW + 1000).await.expect("claimed").len(), 2);
    assert_eq!(due(&store, NOW).await, [("a1".to_owned(), String::new(), 0)]);
}

pub(crate) async fn looks_past_what_is_due(store: SharedStore) {
    for (id, hook, due) in [(1, "full", 0), (2, "full", 700), (3, "h2", 300), (4, "h3", 500)] {
        store.commit(&wait(firing_of(id, "a1", hook), NOW + due)).await.expect("committed");
    }
    let next = async |after_ms| store.next_due_ms(after_ms).await.expect("asked").map(|due| due - NOW);
    assert_eq!(next(NOW - 1).await, Some(0));
    assert_eq!(next(NOW).await, Some(300));
    assert_eq!(next(NOW + 300).await, Some(500));
    assert_eq!(next(NOW + 500).await, None, "its first is due, so it is no news when others become due");
}

pub(crate) async fn counts_what_waits_by_account(store: SharedStore) {
    let waiting = async |at_least| {
        let mut waiting = store.waiting_by_account(at_least).await.expect("counted");
        waiting.sort();
        waiting.into_iter().map(|(account, count)| (account.to_string(), count)).collect::<Vec<_>>()
    };
    let are = |counts: &[(&str, u64)]| {
        counts.iter().map(|(account, count)| ((*account).to_owned(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(0).await, []);
    for hook in ["h1", "h2"] {
        store.put_hook(&super::hook(hook, "a1"), NOW).await.expect("written");
    }
    for (id, account, hook) in [(1, "a1", "h1"), (2, "a1", "h1"), (3, "a1", "h2"), (4, "a1", "h2"), (5, "a2", "h3")] {
        store.commit(&wait(firing_of(id, account, hook), NOW)).await.expect("committed");
    }
    // It came twice.
    store.commit(&wait(firing_of(1, "a1", "h1"), NOW)).await.expect("committed");
    assert_eq!(waiting(1).await, are(&[("a1", 4), ("a2", 1)]));
    assert_eq!(waiting(2).await, are(&[("a1", 4)]), "few are not told of");
    // Those under a lease count as well; one that is delivered, and one that is given up, do not.
    let claimed = claim(&store, NOW).await;
    assert_eq!(waiting(1).await, are(&[("a1", 4), ("a2", 1)]));
    let of =
        |hook: &str| claimed.iter().find(|firing| firing.target.hook_id().as_str() == hook).expect("claimed").clone();
    let (one, other) = (of("h1"), of("h3"));
    let delivered = FiringChange::Delivered { id: one.id.clone(), lease: one.lease.clone().expect("it is held") };
    store.commit(&change(delivered)).await.expect("committed");
    store.commit(&given_up(Box::new(other.clone()), NOW)).await.expect("committed");
    assert_eq!(waiting(1).await, are(&[("a1", 3)]));
    // Sent again, it waits again; and so does one that was never stored.
    store.resend(&"h3".into(), None, NOW).await.expect("sent");
    store.send_again(&[*firing_of(6, "a2", "h3")], None, NOW).await.expect("sent");
    assert_eq!(waiting(1).await, are(&[("a1", 3), ("a2", 2)]));
    // Hooks that are switched off or deleted have none that wait.
    store.disable_hook(&"h2".into(), "410", &[], NOW).await.expect("disabled");
    assert_eq!(waiting(1).await, are(&[("a1", 1), ("a2", 2)]));
    store.delete_hook(&"h1".into(), &[], NOW).await.expect("deleted");
    assert_eq!(waiting(1).await, are(&[("a2", 2)]));
    assert_eq!(due(&store, NOW + 5000).await, [("a2".to_owned(), "h3".to_owned(), 0)]);
}
