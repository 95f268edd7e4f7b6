//! Bulk resends: claimed by one at a time, advanced with what they send, and stopped.

use super::*;

pub(crate) fn job(id: &str, account: &str) -> ResendJob {
    ResendJob {
        id: id.into(),
        account: account.into(),
        hook: None,
        from_ms: NOW - 100,
        to_ms: NOW,
        outcome: ResendOutcome::All,
        state: JobState::Running,
        progress: String::new(),
        resent: 0,
        skipped: 0,
        reason: None,
        created_ms: NOW,
        updated_ms: NOW,
    }
}

async fn stored(store: &SharedStore, id: &str) -> ResendJob {
    store.job(&"a1".into(), id).await.expect("read").expect("it is there")
}

pub(crate) async fn keeps_jobs(store: SharedStore) {
    let first = ResendJob { hook: Some("h1".into()), outcome: ResendOutcome::Delivered, ..job("j1", "a1") };
    let second = ResendJob { created_ms: NOW + 1, outcome: ResendOutcome::Undelivered, ..job("j2", "a1") };
    for job in [&first, &second, &job("j3", "a2")] {
        store.put_job(job).await.expect("written");
    }
    store.put_job(&ResendJob { resent: 9, ..first.clone() }).await.expect("written");
    assert_eq!(stored(&store, "j1").await, first, "one that is there is left alone");
    assert_eq!(store.job(&"a2".into(), "j1").await.expect("read"), None, "it is another account's");
    assert_eq!(store.jobs(&"a1".into(), 10).await.expect("read"), [second.clone(), first], "the newest first");
    assert_eq!(store.jobs(&"a1".into(), 1).await.expect("read"), [second]);
}

pub(crate) async fn a_job_is_claimed_by_one_at_a_time(store: SharedStore) {
    assert_eq!(store.claim_job(NOW, NOW + 100).await.expect("asked"), None);
    let later = ResendJob { created_ms: NOW + 1, ..job("j2", "a1") };
    for job in [&job("j1", "a1"), &later] {
        store.put_job(job).await.expect("written");
    }
    let claim = async |at: u64| {
        let claimed = store.claim_job(NOW + at, NOW + at + 100).await.expect("asked");
        claimed.map(|job| job.id)
    };
    assert_eq!(claim(0).await.as_deref(), Some("j1"));
    assert_eq!(claim(0).await, None, "the other is not made yet");
    assert_eq!(claim(10).await.as_deref(), Some("j2"));
    assert_eq!(claim(99).await, None);
    // The page makes the lease last a hundred longer.
    assert!(store.send_again(&[], Some(&job("j1", "a1")), NOW + 90).await.expect("sent"));
    assert_eq!(claim(110).await.as_deref(), Some("j2"), "its lease has ended");
    assert_eq!(claim(189).await, None);
    assert_eq!(claim(190).await.as_deref(), Some("j1"));
    assert!(store.stop_job(&"a1".into(), "j1", NOW + 200).await.expect("stopped"));
    assert_eq!(claim(1000).await.as_deref(), Some("j2"), "what was stopped is not claimed");
}

pub(crate) async fn a_job_comes_on_with_what_it_sends(store: SharedStore) {
    store.put_job(&job("j1", "a1")).await.expect("written");
    let page = ResendJob { progress: "u:5".into(), resent: 1, skipped: 2, updated_ms: NOW + 5, ..job("j1", "a1") };
    assert!(store.send_again(&[*firing(1, "h1", None)], Some(&page), NOW + 5).await.expect("sent"));
    assert_eq!((stored(&store, "j1").await, counts(&store).await), (page.clone(), (1, 0)));
    // Stopped while the next page was being made.
    assert!(store.stop_job(&"a1".into(), "j1", NOW + 6).await.expect("stopped"));
    let late = ResendJob { progress: "u:6".into(), resent: 2, ..page.clone() };
    assert!(!store.send_again(&[*firing(2, "h1", None)], Some(&late), NOW + 7).await.expect("asked"));
    let stopped = ResendJob { state: JobState::Stopped, updated_ms: NOW + 6, ..page };
    assert_eq!((stored(&store, "j1").await, counts(&store).await), (stopped, (1, 0)), "nothing was done");
    assert!(!store.send_again(&[*firing(3, "h1", None)], Some(&job("gone", "a1")), NOW).await.expect("asked"));
    assert!(!store.stop_job(&"a1".into(), "j1", NOW).await.expect("asked"), "it does not run");
    assert!(!store.stop_job(&"a2".into(), "j1", NOW).await.expect("asked"));
}

pub(crate) async fn a_job_ends_with_its_last_page(store: SharedStore) {
    for (id, state) in [("j1", JobState::Done), ("j2", JobState::Failed), ("j3", JobState::Running)] {
        store.put_job(&job(id, "a1")).await.expect("written");
        let last = ResendJob { state, reason: Some("why".into()), updated_ms: NOW + 9, ..job(id, "a1") };
        assert!(store.send_again(&[], Some(&last), NOW + 9).await.expect("sent"));
        assert_eq!(stored(&store, id).await, last);
    }
    assert!(!store.stop_job(&"a1".into(), "j1", NOW).await.expect("asked"));
    assert_eq!(store.prune_jobs(NOW + 9).await.expect("pruned"), 0);
    assert_eq!(store.prune_jobs(NOW + 10).await.expect("pruned"), 2, "those that have ended");
    assert_eq!(stored(&store, "j3").await.state, JobState::Running);
}
