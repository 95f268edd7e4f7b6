//! Recorded attempts: with what becomes of their firings, listed, and pruned.

use super::*;

const DAY_MS: u64 = 86_400_000;

pub(crate) async fn records_attempts_with_their_firings(store: SharedStore) {
    let group: Vec<Entry> = (0..700)
        .map(|n| Entry {
            attempt: Some(attempt(n, if n % 2 == 0 { "h1" } else { "h2" }, NOW + n)),
            counts_as_failure: n % 2 == 0,
            change: match n % 4 {
                0 => FiringChange::Wait { firing: firing(n, "h1", None), due_ms: NOW + n },
                1 => FiringChange::Park { firing: firing(n, "h2", Some("mine")), until_ms: NOW + n },
                2 => FiringChange::Undelivered { firing: firing(n, "h1", None), reason: "404".into(), at_ms: NOW },
                _ => FiringChange::None,
            },
        })
        .collect();
    store.commit(&group).await.expect("committed");
    store.commit(&group).await.expect("committed again, as if the answer had been lost");
    let (account, hook) = (AccountId::from("a1"), HookId::from("h1"));
    assert_eq!(store.attempts(&AttemptQuery::newest(account.clone(), None, 1000)).await.expect("read").len(), 700);
    let newest = store.attempts(&AttemptQuery::newest(account, Some(hook.clone()), 2)).await.expect("read");
    assert_eq!(newest[0].document["id"], json!(attempt(698, "h1", NOW + 698).id), "the newest first");
    assert_eq!(
        store.attempts(&AttemptQuery::newest("a2".into(), Some(hook), 2)).await.expect("read").len(),
        0,
        "of its own account only"
    );
    assert_eq!(counts(&store).await, (350, 175));
    let claimed = claim(&store, NOW + 3).await;
    let claimed: Vec<_> = claimed.iter().map(|firing| (firing.id.as_str(), firing.tries)).collect();
    let [first, second] = [0, 1].map(|n| format!("{n:064x}"));
    assert_eq!(claimed, [(first.as_str(), 1), (second.as_str(), 1)], "longest due first, with their tries");
}

pub(crate) async fn an_empty_group_is_fine(store: SharedStore) {
    store.commit(&[]).await.expect("committed");
    store.ping().await.expect("it answers");
}

pub(crate) async fn prunes_what_is_old(store: SharedStore) {
    // A store may drop attempts by whole days, so those that stay began on the day after.
    let next_day = (NOW / DAY_MS + 1) * DAY_MS;
    let at_ms = |n: u64| if n < 1100 { NOW + n } else { next_day + n };
    let mut group: Vec<Entry> = (0..1200).map(|n| failure(attempt(n, "h1", at_ms(n)))).collect();
    for (n, at_ms) in [(1, NOW), (2, next_day)] {
        let firing = firing(n, "h1", None);
        group.extend(change(FiringChange::Undelivered { firing, reason: "404".into(), at_ms }));
    }
    store.commit(&group).await.expect("committed");
    assert_eq!(store.prune_attempts(next_day).await.expect("pruned"), 1100);
    let left = store.attempts(&AttemptQuery::newest("a1".into(), None, 1000)).await.expect("read");
    assert_eq!(left.len(), 100);
    assert_eq!(counts(&store).await, (0, 1));
    assert_eq!(store.prune_attempts(next_day).await.expect("pruned"), 0);
    // What is recorded late of a day that has gone is kept, until it goes too.
    store.commit(&[failure(attempt(1, "h1", NOW))]).await.expect("committed");
    assert_eq!(store.prune_attempts(next_day).await.expect("pruned"), 1);
}

/// The numbers of the attempts, newest first.
async fn listed(store: &SharedStore, query: &AttemptQuery) -> Vec<u64> {
    let number = |row: AttemptRow| {
        let id = row.document["id"].as_str().expect("an id")[12..].to_owned();
        u64::from_str_radix(&id, 16).expect("a number")
    };
    store.attempts(query).await.expect("read").into_iter().map(number).collect()
}

fn of(hook: Option<&str>, limit: u32) -> AttemptQuery {
    AttemptQuery::newest("a1".into(), hook.map(HookId::from), limit)
}

pub(crate) async fn lists_attempts_in_pages(store: SharedStore) {
    // All begun at one time.
    let group: Vec<Entry> = (1..=7).map(|n| failure(attempt(n, if n % 2 == 0 { "h1" } else { "h2" }, NOW))).collect();
    store.commit(&group).await.expect("committed");
    for (hook, all) in [(None, vec![7, 6, 5, 4, 3, 2, 1]), (Some("h1"), vec![6, 4, 2]), (Some("nobody"), vec![])] {
        let (mut seen, mut query) = (Vec::new(), of(hook, 2));
        loop {
            let page = store.attempts(&query).await.expect("read");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            seen.extend(listed(&store, &query).await);
            query.after = Some(last.cursor);
        }
        assert_eq!(seen, all);
    }
    for (made_up, rows) in [(i64::MAX, 7), (-1, 0), (0, 0), (i64::MIN, 0)] {
        let query = AttemptQuery { after: Some(made_up), ..of(None, 10) };
        assert_eq!(listed(&store, &query).await.len(), rows, "{made_up}");
    }
}

pub(crate) async fn lists_attempts_of_a_time_and_of_a_kind(store: SharedStore) {
    const MINUTE_MS: u64 = 60_000;
    // One a minute for a day; every tenth went well. Recorded out of order, as attempts of many lengths are.
    let entry = |n: u64| {
        let mut attempt = attempt(n, "h1", NOW + n * MINUTE_MS);
        if n.is_multiple_of(10) {
            attempt.outcome = Outcome::Answered { status: 200, headers: vec![], body: String::new(), body_cut: false };
        }
        Entry { attempt: Some(attempt), counts_as_failure: false, change: FiringChange::None }
    };
    let mut numbers: Vec<u64> = (0..1440).collect();
    numbers.chunks_mut(3).for_each(<[u64]>::reverse);
    let group: Vec<Entry> = numbers.into_iter().map(entry).collect();
    store.commit(&group).await.expect("committed");
    let between = |from: u64, to: u64| AttemptQuery { from_ms: NOW + from, to_ms: NOW + to, ..of(Some("h1"), 2000) };
    for (from, to) in [(0, 0), (0, 3), (600, 620), (1430, 1439), (700, 699)] {
        let mut found = listed(&store, &between(from * MINUTE_MS, to * MINUTE_MS)).await;
        found.sort_unstable();
        assert_eq!(found, (from..=to).collect::<Vec<_>>(), "from {from} to {to}");
    }
    assert_eq!(listed(&store, &between(1, MINUTE_MS - 1)).await, [0; 0], "both ends are exact");
    assert_eq!(listed(&store, &AttemptQuery { from_ms: UnixMs::MAX, ..of(None, 10) }).await, [0; 0]);
    assert_eq!(listed(&store, &AttemptQuery { to_ms: NOW - 1, ..of(None, 10) }).await, [0; 0]);
    let of_kind = |success| AttemptQuery { success: Some(success), ..between(600 * MINUTE_MS, 620 * MINUTE_MS) };
    let mut well = listed(&store, &of_kind(true)).await;
    well.sort_unstable();
    assert_eq!(well, [600, 610, 620]);
    assert_eq!(listed(&store, &of_kind(false)).await.len(), 18);
    let later = AttemptQuery { after: Some(2), success: Some(true), ..of(None, 10) };
    assert_eq!(listed(&store, &later).await, [0; 0], "the first two rows are of failures");
}

pub(crate) async fn finds_an_attempt_with_its_payload(store: SharedStore) {
    let event = Arc::clone(&firing(1, "h1", None).event);
    let with = Attempt { payload: Some(Arc::clone(&event)), ..attempt(1, "h1", NOW) };
    let (with_id, without) = (with.id.clone(), attempt(2, "h1", NOW));
    let without_id = without.id.clone();
    store.commit(&[failure(with), failure(without)]).await.expect("committed");
    let find = async |account: &str, id: &str| store.attempt(&account.into(), id).await.expect("read");
    let found = find("a1", &with_id).await.expect("it is there");
    assert_eq!((found.document["id"].as_str(), found.payload.as_ref()), (Some(with_id.as_str()), Some(&event.payload)));
    assert_eq!(find("a1", &without_id).await.expect("it is there").payload, None);
    assert_eq!(find("a2", &with_id).await, None, "it is another account's");
    assert_eq!(find("a1", "nobody").await, None);
    let rows = store.attempts(&of(None, 10)).await.expect("read");
    assert_eq!(rows[1], found);
}
