//! How many firings of an account may wait in the store (`firing.waiting_per_account_max`): so that one whose receivers
//! are all dead does not fill the disk. What comes over it is put on the list of undelivered.
//!
//! The store is asked every `firing.waiting_read_ms` who has how many; what this process stores in between is counted
//! here. So one process alone keeps the bound but for a tenth (accounts that are far below are not told of); several
//! together may go over it by what the others store between two reads. Firings that are under way when the bound is reached
//! have their row already and are not counted again. Nothing is asked for a firing that needs no row.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    error_chain::chain,
    message::AccountId,
    store::{SharedStore, StoreResult},
};

type Counts = HashMap<AccountId, u64>;

/// Who has how many waiting.
#[derive(Debug)]
pub struct Quota {
    max: u64,
    known: Mutex<Known>,
}

/// Accounts of which nothing is known have nothing waiting.
#[derive(Debug, Default)]
struct Known {
    /// What the store said last.
    read: Counts,
    /// What was stored while the store was being asked, which it may or may not have counted.
    reading: Counts,
    /// What was stored since.
    since: Counts,
}

impl Quota {
    /// Nothing is known yet.
    pub fn new(max: u64) -> Self {
        Self { max: max.max(1), known: Mutex::default() }
    }

    /// Whether the account may store one more, which is counted then.
    pub fn takes(&self, account: &AccountId) -> bool {
        let mut known = self.known();
        if known.waiting(account) >= self.max {
            return false;
        }
        *known.since.entry(account.clone()).or_default() += 1;
        true
    }

    /// Whether the account has as many as it may have.
    pub fn is_full(&self, account: &AccountId) -> bool {
        self.known().waiting(account) >= self.max
    }

    /// Why a firing over the quota is not kept, for people.
    pub fn reason(&self) -> String {
        format!(
            "the account has {} firings waiting (firing.waiting_per_account_max); send it again when they are fewer",
            self.max
        )
    }

    /// Asks the store for ever. While it cannot be asked, what was known stands, and is counted on.
    pub async fn run(&self, store: &SharedStore, read_ms: u64) -> Result<(), Infallible> {
        let mut reads = interval(Duration::from_millis(read_ms));
        reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            reads.tick().await;
            if let Err(error) = self.read(store).await {
                tracing::warn!(error = chain(&error), "waiting firings cannot be counted; trying on");
            }
        }
    }

    /// Asks the store once.
    pub async fn read(&self, store: &SharedStore) -> StoreResult<()> {
        {
            let mut known = self.known();
            let since = std::mem::take(&mut known.since);
            for (account, count) in since {
                *known.reading.entry(account).or_default() += count;
            }
        }
        let counts = store.waiting_by_account((self.max / 10).max(1)).await?;
        let mut known = self.known();
        known.read = counts.into_iter().collect();
        known.reading.clear();
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn waiting(&self, account: &AccountId) -> u64 {
        [&self.read, &self.reading, &self.since].iter().filter_map(|counts| counts.get(account)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Entry, FiringChange, behaviour, sqlite::SqliteStore};

    #[tokio::test]
    async fn what_the_store_says_and_what_came_since_count_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
        let store: SharedStore = Arc::new(SqliteStore::open(&url).await.expect("it opens"));
        let quota = Quota::new(5);
        let (own, other) = (AccountId::from("a1"), AccountId::from("a2"));
        assert_eq!((0..9).filter(|_| quota.takes(&own)).count(), 5);
        assert!(quota.is_full(&own) && !quota.is_full(&other));
        // None of them was stored after all.
        quota.read(&store).await.expect("read");
        assert!(!quota.is_full(&own));
        for n in 0..4 {
            let change = FiringChange::Wait { firing: behaviour::firing(n, "h1", None), due_ms: 0 };
            store.commit(&[Entry { attempt: None, counts_as_failure: false, change }]).await.expect("committed");
        }
        quota.read(&store).await.expect("read");
        assert!(quota.takes(&own) && !quota.takes(&own));
        store.close().await;
        assert!(quota.read(&store).await.is_err());
        assert!(!quota.takes(&own), "what was known stands");
    }
}
