//! What happens at this moment, for whoever looks on: attempts as they are recorded, hooks as they are switched off, modules
//! as they are put in quarantine.
//!
//! Told by the stages, listened to by [`crate::api::live`]. It is for looking, never for relying on: nobody waits for a
//! listener, one that is too slow misses what it has not read in time (and is told how much), and what happens on other
//! nodes is not here. While nobody listens, nothing is put together.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::message::AccountId;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    /// Whose it is; `None`: the operator's.
    pub account: Option<AccountId>,
    /// `attempt`, `hook_disabled` or `module_quarantined`.
    pub kind: &'static str,
    /// What is shown of it: an object.
    pub data: Value,
}

/// Where it is told. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(broadcast::Sender<Arc<LiveEvent>>);

impl Live {
    /// One that keeps at most so many events for those who have not read them yet.
    pub fn new(events_kept: usize) -> Self {
        Self(broadcast::Sender::new(events_kept.max(1)))
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells of something; `event` is called when anybody listens.
    pub fn tell(&self, event: impl FnOnce() -> LiveEvent) {
        if self.is_heard() {
            // The last listener may just have gone.
            let _ = self.0.send(Arc::new(event()));
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.0.subscribe()
    }
}

/// A hook was switched off.
pub fn hook_disabled(account: &AccountId, hook: &str, reason: &str, timestamp: u64) -> LiveEvent {
    let data = json!({"account_id": account, "hook_id": hook, "reason": reason, "timestamp": timestamp});
    LiveEvent { account: Some(account.clone()), kind: "hook_disabled", data }
}

/// A module or a transform was put in quarantine. A tenant's is named `account/name`.
pub fn module_quarantined(id: &str, version: &str, reason: &str, timestamp: u64) -> LiveEvent {
    let account = id.split_once('/').map(|(account, _)| AccountId::from(account));
    let data = json!({"module": id, "version": version, "reason": reason, "timestamp": timestamp});
    LiveEvent { account, kind: "module_quarantined", data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> LiveEvent {
        module_quarantined("acme/crm", "1.0.0", "it trapped", 63_000_000_000)
    }

    #[tokio::test]
    async fn nothing_is_put_together_for_nobody() {
        let live = Live::new(2);
        live.tell(|| unreachable!("nobody listens"));
        let mut listener = live.listen();
        live.tell(event);
        assert_eq!(*listener.recv().await.expect("an event"), event());
        drop(listener);
        live.tell(|| unreachable!("nobody listens any more"));
    }

    #[tokio::test]
    async fn a_slow_listener_misses_the_oldest_and_is_told_how_many() {
        let live = Live::new(2);
        let mut listener = live.listen();
        for _ in 0..5 {
            live.tell(event);
        }
        assert_eq!(listener.recv().await, Err(broadcast::error::RecvError::Lagged(3)));
        assert!(listener.recv().await.is_ok());
    }

    #[test]
    fn a_tenants_module_is_the_tenants() {
        assert_eq!(event().account, Some("acme".into()));
        assert_eq!(module_quarantined("sms", "1.0.0", "it trapped", 1).account, None);
    }
}
