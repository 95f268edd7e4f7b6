//! Brings back stored firings when they are due: retries, and what a process that died had under its lease.

use std::{convert::Infallible, sync::Arc, time::Duration};

use metrics::counter;

use super::Firer;
use crate::{
    error_chain::chain,
    store::{SharedStore, StoreError},
};

/// Claims due firings and tries them.
pub struct Scheduler {
    /// Where they wait.
    pub store: SharedStore,
    /// What tries them.
    pub firer: Arc<Firer>,
}

impl Scheduler {
    /// Works for ever. Firings that were claimed when this fails come back when their leases end; when the store fails,
    /// it is asked again after `firing.claim_poll_ms`.
    pub async fn run(&self) -> Result<(), Infallible> {
        loop {
            if let Err(error) = self.turn().await {
                tracing::warn!(error = chain(&error), "stored firings cannot be claimed; trying on");
                tokio::time::sleep(Duration::from_millis(self.firer.settings.claim_poll_ms)).await;
            }
        }
    }

    /// Claims, or waits when there was nothing to claim.
    async fn turn(&self) -> Result<(), StoreError> {
        match self.claim().await? {
            0 => self.wait().await,
            _ => Ok(()),
        }
    }

    /// Takes what is due and starts a try of each. Gives how many there were.
    async fn claim(&self) -> Result<usize, StoreError> {
        let settings = &self.firer.settings;
        let now_ms = self.firer.clock.now_ms();
        let limit = u32::try_from(settings.claim_rows_max).unwrap_or(u32::MAX);
        let claimed = self.store.claim_due(now_ms, now_ms + settings.lease_ms, limit).await?;
        let count = claimed.len();
        counter!("hookbox_firings_claimed_total").increment(count as u64);
        for firing in claimed {
            let firer = Arc::clone(&self.firer);
            self.firer.under_way.spawn(async move {
                let id = firing.id.clone();
                if let Err(error) = firer.fire(firing).await {
                    tracing::error!(%id, %error, "a stored firing's try could not be recorded; it is tried again when its lease ends");
                }
            });
        }
        Ok(count)
    }

    /// Until something is due here, was stored here, or may have become due elsewhere.
    async fn wait(&self) -> Result<(), StoreError> {
        let poll_ms = self.firer.settings.claim_poll_ms;
        let now_ms = self.firer.clock.now_ms();
        let until_due_ms =
            self.store.next_due_ms().await?.map_or(poll_ms, |due| due.saturating_sub(now_ms).min(poll_ms));
        let pause = tokio::time::sleep(Duration::from_millis(until_due_ms.max(1)));
        tokio::select! {
            () = pause => {}
            () = self.firer.stored.notified() => {}
        }
        Ok(())
    }
}
