//! What an audit reads.

use super::*;
use crate::store::audit::{AttemptOutline, CameTo, FiringOutline, HookStands};

fn answered(id: u64, hook: &str, at_ms: UnixMs, status: u16) -> Attempt {
    let outcome = Outcome::Answered { status, headers: vec![], body: String::new(), body_cut: false };
    Attempt { outcome, ..attempt(id, hook, at_ms) }
}

async fn record(store: &SharedStore, attempts: impl IntoIterator<Item = Attempt>) {
    let entries: Vec<_> = attempts
        .into_iter()
        .map(|attempt| Entry { attempt: Some(attempt), counts_as_failure: false, change: FiringChange::None })
        .collect();
    store.commit(&entries).await.expect("committed");
}

pub(crate) async fn outlines_tell_what_became_of_attempts(store: SharedStore) {
    let retried = Attempt { next_try_ms: Some(NOW + 9), retries_left: 1, ..answered(1, "h1", NOW, 500) };
    let dropped = Attempt { outcome: Outcome::Dropped, ..attempt(3, "h2", NOW + 2) };
    record(&store, [retried, answered(2, "h1", NOW + 1, 204), dropped, answered(4, "h1", NOW + 3, 404)]).await;
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page: Vec<AttemptOutline> = store.attempt_outlines(after, 3).await.expect("read");
        let Some(last) = page.last() else { break };
        after = last.cursor;
        seen.extend(page);
    }
    let came_to: Vec<_> = seen.iter().map(|outline| outline.came_to).collect();
    assert_eq!(came_to, [CameTo::FailedForNow, CameTo::Delivered, CameTo::Dropped, CameTo::FailedForGood]);
    let AttemptOutline { id, webhook_id, account, hook, at_ms, .. } = &seen[2];
    assert_eq!((id.as_str(), webhook_id.as_str()), (attempt(3, "h2", NOW + 2).id.as_str(), &*format!("{:064x}", 3)));
    assert_eq!((account.as_str(), hook.as_str(), *at_ms), ("a1", "h2", NOW + 2));
    let asked = [seen[1].id.clone(), "not there".to_owned()];
    assert_eq!(store.recorded_attempts(&asked).await.expect("read"), asked[..1]);
}

pub(crate) async fn outlines_tell_how_hooks_of_firings_stand(store: SharedStore) {
    store.put_hooks(&[hook("on", "a1"), hook("off", "a1"), hook("moved", "a2")], NOW).await.expect("written");
    store.disable_hook(&"off".into(), "failed", &[], NOW).await.expect("disabled");
    for (id, of) in [(1, "on"), (2, "off"), (3, "moved"), (4, "never was")] {
        store.commit(&wait(firing(id, of, None), NOW + id)).await.expect("committed");
    }
    let mut travelled = firing(5, "", None);
    travelled.target = Target::Inline(Arc::new(firings::inline_hook("a1")));
    store.commit(&given_up(travelled, NOW)).await.expect("committed");
    let first = store.firing_outlines(0, 4).await.expect("read");
    let rest = store.firing_outlines(first[3].cursor, 4).await.expect("read");
    let seen: Vec<FiringOutline> = first.into_iter().chain(rest).collect();
    let stands: Vec<_> = seen.iter().map(|outline| outline.hook_stands).collect();
    use HookStands::*;
    assert_eq!(stands, [On, Off, Gone, Gone, Inline]);
    let free: Vec<_> = seen.iter().map(|outline| outline.free_ms).collect();
    assert_eq!(free, [Some(NOW + 1), Some(NOW + 2), Some(NOW + 3), Some(NOW + 4), None]);
    assert_eq!((seen[4].reason.as_str(), seen[0].reason.as_str()), ("404", ""));
    let claim = Claim { account: "a1".into(), hook: "on".into(), rows_max: 1 };
    let held = store.claim_due(&[claim], NOW + 1, NOW + 500).await.expect("claimed");
    assert_eq!(held.len(), 1);
    let outline = store.firing_outlines(0, 1).await.expect("read").remove(0);
    assert_eq!(outline.free_ms, Some(NOW + 500), "the end of its lease");
}

pub(crate) async fn tells_which_firings_are_stored_or_ended_well(store: SharedStore) {
    let ids = |numbers: &[u64]| numbers.iter().map(|id| format!("{id:064x}").into()).collect::<Vec<_>>();
    store.commit(&wait(firing(1, "h1", None), NOW)).await.expect("committed");
    store.commit(&given_up(firing(2, "h1", None), NOW)).await.expect("committed");
    let mut stored = store.stored_firings(&ids(&[1, 2, 3])).await.expect("read");
    stored.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    assert_eq!(stored, ids(&[1, 2]));
    assert_eq!(store.stored_firings(&[]).await.expect("read"), []);
    // Many, so that some are in the index of a backend that has one and some are not.
    let many = (10..6000).map(|id| answered(id, "h1", NOW, if id % 2 == 0 { 200 } else { 500 }));
    record(&store, many).await;
    record(&store, [answered(7, "other", NOW, 200), answered(6000, "h1", NOW, 200)]).await;
    let found = store.ended_well(&"h1".into(), &ids(&[7, 10, 11, 5998, 5999, 6000])).await.expect("read");
    let mut found: Vec<_> = found.iter().map(WebhookId::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, [10, 5998, 6000].map(|id: u64| format!("{id:064x}")));
}
