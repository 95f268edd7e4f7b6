//! Firings that ended without being delivered: listed, and sent again.

use super::*;

pub(crate) async fn what_was_not_delivered_can_be_sent_again(store: SharedStore) {
    for n in 0..3 {
        let given_up =
            FiringChange::Undelivered { firing: firing(n, "h1", None), reason: format!("{n}"), at_ms: NOW + n };
        store.commit(&change(given_up)).await.expect("committed");
    }
    let hook = HookId::from("h1");
    let listed = undelivered(&store, "h1", 2).await;
    assert_eq!(listed.iter().map(|row| row.reason.as_str()).collect::<Vec<_>>(), ["2", "1"], "newest first");
    let one = &listed[0].firing.id;
    assert_eq!(store.resend(&"h2".into(), Some(one), NOW).await.expect("sent"), 0, "it is another hook's");
    assert_eq!(store.resend(&hook, Some(one), NOW).await.expect("sent"), 1);
    assert_eq!(store.resend(&hook, None, NOW).await.expect("sent"), 2);
    let claimed = claim(&store, NOW).await;
    assert_eq!(claimed.iter().map(|firing| firing.tries).collect::<Vec<_>>(), [0, 0, 0]);
}

async fn give_up(store: &SharedStore, id: u64, account: &str, hook: &str, at_ms: UnixMs) {
    let mut firing = firing(id, hook, None);
    firing.target = Target::Stored(account.into(), hook.into());
    store.commit(&given_up(firing, at_ms)).await.expect("committed");
}

/// The numbers of the firings, page by page.
async fn pages(store: &SharedStore, mut query: UndeliveredQuery) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    loop {
        let rows = store.undelivered(&query).await.expect("read");
        let Some(last) = rows.last() else { return pages };
        query.after = Some(last.cursor);
        let number = |row: &UndeliveredRow| u64::from_str_radix(row.firing.id.as_str(), 16).expect("a number");
        pages.push(rows.iter().map(number).collect());
    }
}

pub(crate) async fn lists_undelivered_firings_in_pages(store: SharedStore) {
    // Three at one time, so that a page ends between two of them.
    for (id, account, hook, at_ms) in [
        (1, "a1", "h1", 5),
        (2, "a1", "h2", 7),
        (3, "a1", "h1", 7),
        (4, "a1", "h1", 7),
        (5, "a1", "h1", 9),
        (6, "a2", "h3", 7),
    ] {
        give_up(&store, id, account, hook, NOW + at_ms).await;
    }
    store.commit(&wait(firing(7, "h1", None), NOW)).await.expect("committed");
    let query = |hook: Option<&str>, limit| UndeliveredQuery::newest("a1".into(), hook.map(HookId::from), limit);
    assert_eq!(pages(&store, query(None, 2)).await, [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(pages(&store, query(Some("h1"), 3)).await, [vec![5, 4, 3], vec![1]]);
    assert_eq!(pages(&store, query(Some("h3"), 3)).await, Vec::<Vec<u64>>::new(), "it is another account's");
    let between = UndeliveredQuery { from_ms: NOW + 6, to_ms: NOW + 7, ..query(None, 10) };
    assert_eq!(pages(&store, between).await, [[4, 3, 2]]);
    let none = UndeliveredQuery { from_ms: NOW + 7, to_ms: NOW + 6, ..query(None, 10) };
    assert_eq!(pages(&store, none).await, Vec::<Vec<u64>>::new());
    for (made_up, rows) in [((NOW + 8, -3), 4), ((0, 0), 0), ((UnixMs::MAX, i64::MAX), 5), ((NOW + 7, i64::MIN), 1)] {
        let query = UndeliveredQuery { after: Some(made_up), ..query(None, 10) };
        assert_eq!(store.undelivered(&query).await.expect("read").len(), rows, "{made_up:?}");
    }
    let one = store.undelivered(&query(None, 1)).await.expect("read").remove(0);
    assert_eq!((one.ended_ms, one.reason.as_str(), &one.firing.lease), (NOW + 9, "404", &None));
}

pub(crate) async fn firings_can_be_stored_to_be_sent_again(store: SharedStore) {
    give_up(&store, 1, "a1", "h1", NOW).await;
    let mut waiting = firing(2, "h1", None);
    waiting.tries = 3;
    store.commit(&wait(waiting, NOW + 500)).await.expect("committed");
    let mut travelled = firing(4, "", None);
    travelled.target = Target::Inline(Arc::new(firings::inline_hook("a1")));
    let firings = [*firing(1, "h1", None), *firing(2, "h1", None), *firing(3, "h1", None), *travelled];
    assert!(store.send_again(&firings, None, NOW + 10).await.expect("sent"));
    assert_eq!(counts(&store).await, (4, 0));
    let claimed = claim(&store, NOW + 10).await;
    let mut found: Vec<_> = claimed.iter().map(|firing| (firing.id.as_str().to_owned(), firing.tries)).collect();
    found.sort();
    assert_eq!(found, [1, 3, 4].map(|id| (format!("{id:064x}"), 0)), "one waits for its time, as it did");
    assert!(claimed.iter().any(|firing| matches!(firing.target, Target::Inline(_))));
    assert!(store.send_again(&firings, None, NOW + 20).await.expect("sent"));
    assert_eq!(claim(&store, NOW + 20).await.len(), 0, "those that are under way are left alone");
    assert!(store.send_again(&[], None, NOW).await.expect("nothing to do"));
}
