//! The leases that this process holds, and the heartbeat that keeps them.
//!
//! A stored firing that is being tried, or waits here for a place, is under a lease. All of them are renewed several times
//! before they end, as long as this process works: so a firing is taken over because its holder died, not because its
//! receiver is slow, and the lease may be short. Whoever holds a firing holds a [`Held`]: where that is dropped, also by a
//! panic, the heartbeat forgets the lease.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use metrics::counter;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    clock::Clock,
    error_chain::chain,
    message::{LeaseToken, WebhookId},
    store::{SharedStore, StoreResult},
};

/// Heartbeats in the time of a lease: two may be late, or fail, and the third still comes in time.
const BEATS: u32 = 4;
/// Leases that are renewed in one call: few, so that groups of attempts get in between.
const RENEWED_AT_ONCE: usize = 1000;

type Tokens = HashMap<LeaseToken, WebhookId>;

/// All leases of this process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Tokens>,
    /// Asked for each firing, which takes no lock for it.
    count: AtomicUsize,
}

/// A lease that is kept as long as this is there.
#[derive(Debug)]
pub struct Held {
    leases: Leases,
    token: LeaseToken,
}

impl Leases {
    /// Keeps this lease.
    pub fn hold(&self, id: WebhookId, token: LeaseToken) -> Held {
        self.shared.tokens().insert(token.clone(), id);
        self.shared.count.fetch_add(1, Ordering::Relaxed);
        Held { leases: self.clone(), token }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Renews for ever. When the store fails, the next beat comes as if nothing had been: leases outlive a few of them.
    pub async fn run(&self, store: &SharedStore, clock: &Clock, lease_ms: u64) -> Result<(), Infallible> {
        let mut beats = interval(Duration::from_millis(lease_ms) / BEATS);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let began = Instant::now();
            if let Err(error) = self.beat(store, clock, lease_ms).await {
                tracing::warn!(error = chain(&error), "leases of stored firings cannot be renewed; trying on");
            }
            let took_ms = began.elapsed().as_millis();
            if took_ms * u128::from(BEATS) > u128::from(lease_ms) {
                tracing::warn!(
                    took_ms,
                    lease_ms,
                    "renewing leases takes too long; other processes may take firings over"
                );
            }
        }
    }

    /// Ends all that are held, for a process that is about to end: who comes next need not wait until they end by themselves.
    pub async fn give_back(&self, store: &SharedStore, clock: &Clock) -> StoreResult<u64> {
        store.release_leases(&self.held(), clock.now_ms()).await
    }

    /// Renews all that are held.
    async fn beat(&self, store: &SharedStore, clock: &Clock, lease_ms: u64) -> StoreResult<()> {
        for some in self.held().chunks(RENEWED_AT_ONCE) {
            let renewed = store.renew_leases(some, clock.now_ms() + lease_ms).await?;
            counter!("hookbox_leases_renewed_total").increment(renewed);
        }
        Ok(())
    }

    fn held(&self) -> Vec<(WebhookId, LeaseToken)> {
        self.shared.tokens().iter().map(|(token, id)| (id.clone(), token.clone())).collect()
    }
}

impl Shared {
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leases.shared.tokens().remove(&self.token);
        self.leases.shared.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Claim, Entry, FiringChange, behaviour, sqlite::SqliteStore};

    #[test]
    fn what_is_dropped_is_not_held() {
        let leases = Leases::default();
        let first = leases.hold("1".into(), LeaseToken("a".into()));
        let second = leases.hold("2".into(), LeaseToken("b".into()));
        assert_eq!(leases.len(), 2);
        drop(first);
        let panicking = std::thread::spawn(move || {
            let _held = second;
            std::panic::resume_unwind(Box::new("as a task that panics"));
        });
        assert!(panicking.join().is_err());
        assert!(leases.is_empty());
    }

    /// However long a firing that was taken waits here for a place, it is not taken by another; until nobody holds it.
    #[tokio::test]
    async fn what_is_held_is_renewed_beat_by_beat() {
        const LEASE_MS: u64 = 1000;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
        let store: SharedStore = Arc::new(SqliteStore::open(&url).await.expect("it opens"));
        let clock = Clock::manual(1_000_000);
        let change = FiringChange::Wait { firing: behaviour::firing(1, "h1", None), due_ms: clock.now_ms() };
        store.commit(&[Entry { attempt: None, counts_as_failure: false, change }]).await.expect("committed");
        let claims = [Claim { account: "a1".into(), hook: "h1".into(), rows_max: 10 }];
        let claim = async || {
            let now_ms = clock.now_ms();
            store.claim_due(&claims, now_ms, now_ms + LEASE_MS).await.expect("claimed")
        };
        let leases = Leases::default();
        let firing = claim().await.remove(0);
        let held = leases.hold(firing.id.clone(), firing.lease.clone().expect("it is held"));
        for _ in 0..20 {
            clock.advance(LEASE_MS / u64::from(BEATS));
            leases.beat(&store, &clock, LEASE_MS).await.expect("renewed");
            assert_eq!(claim().await.len(), 0);
        }
        drop(held);
        clock.advance(LEASE_MS - 1);
        leases.beat(&store, &clock, LEASE_MS).await.expect("nothing to renew");
        assert_eq!(claim().await.len(), 0);
        clock.advance(1);
        assert_eq!(claim().await.len(), 1);
    }
}
