//! What went on of late, in figures.

use super::*;
use crate::store::traffic::{AttemptPoint, FailingHook};

fn of(account: &str, attempt: Attempt) -> Attempt {
    Attempt { account: account.into(), ..attempt }
}

pub(crate) async fn figures_are_of_one_account_or_of_all(store: SharedStore) {
    let (a1, a2) = (AccountId::from("a1"), AccountId::from("a2"));
    for (id, account) in [("h1", "a1"), ("h2", "a2")] {
        store.put_account(&self::account(account, &[]), NOW).await.expect("written");
        store.put_hook(&hook(id, account), NOW).await.expect("written");
    }
    let answered = Outcome::Answered { status: 200, headers: vec![], body: String::new(), body_cut: false };
    let well = Attempt { outcome: answered, duration_ms: 40, ..attempt(3, "h1", NOW + 3) };
    let group = vec![
        failure(attempt(1, "h1", NOW + 1)),
        failure(attempt(2, "h1", NOW + 2)),
        Entry { attempt: Some(well), counts_as_failure: false, change: FiringChange::None },
        failure(of("a2", attempt(4, "h2", NOW + 4))),
    ];
    store.commit(&group).await.expect("committed");
    store.commit(&wait(firing(5, "h1", None), NOW + 9)).await.expect("committed");
    store.commit(&given_up(firing(6, "h1", None), NOW + 9)).await.expect("committed");

    let point = |at_ms, success, duration_ms| AttemptPoint { at_ms, success, duration_ms };
    let points = async |account: Option<&AccountId>, from_ms, limit| {
        store.attempt_points(account, from_ms, limit).await.expect("read")
    };
    assert_eq!(
        points(Some(&a1), NOW, 10).await,
        [point(NOW + 3, true, 40), point(NOW + 2, false, 3), point(NOW + 1, false, 3)]
    );
    assert_eq!(points(Some(&a1), NOW + 2, 1).await, [point(NOW + 3, true, 40)], "the newest, at most so many");
    assert_eq!(points(Some(&a2), NOW, 10).await, [point(NOW + 4, false, 3)]);
    assert_eq!(points(None, NOW + 2, 10).await.len(), 3, "of all, from a time on");

    let firings = async |account: Option<&AccountId>| store.firings_of(account).await.expect("counted");
    assert_eq!(firings(Some(&a1)).await, FiringCounts { waiting: 1, undelivered: 1 });
    assert_eq!(firings(Some(&a2)).await, FiringCounts::default());
    assert_eq!(firings(None).await, FiringCounts { waiting: 1, undelivered: 1 });

    let failing =
        |account: &AccountId, hook: &str, count| FailingHook { account: account.clone(), hook: hook.into(), count };
    let worst = async |account: Option<&AccountId>, limit| store.most_failing(account, NOW, limit).await.expect("read");
    assert_eq!(worst(None, 10).await, [failing(&a1, "h1", 2), failing(&a2, "h2", 1)], "the worst first");
    assert_eq!(worst(None, 1).await.len(), 1);
    assert_eq!(worst(Some(&a2), 10).await, [failing(&a2, "h2", 1)]);
}
