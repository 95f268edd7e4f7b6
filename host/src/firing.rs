//! Stage 4, fire: one firing to its end.
//!
//! The cast: [`Firer`] takes a firing to its end, try by try. Of one try (`trying.rs`), [`transform`] says what a hook's transform
//! may make of it, [`request`] says what goes out, [`client`] sends it, [`retry`] judges what came back; [`lanes`] and
//! [`places`] keep hooks and accounts ([`shares`]) from taking each other's places; [`scheduler`] brings back what was stored,
//! each hook in its [turn](turns); [`leases`] keeps what this process has under way its own; [`quota`] bounds what an account
//! has waiting.
//!
//! The life of a firing: matched, it is tried at once. It ends with the row of its last attempt committed; or it is
//! stored, to be tried later by whichever process claims it: because it failed and may be retried, because it is still
//! open after `firing.park_after_ms` (at once, when its receiver is known to be slow), or because there is no place for it.
//! The message that it came of waits for neither receiver nor retry.
//!
//! Guaranteed: each firing happens at least once, or is listed as undelivered with a reason. Not guaranteed: at most
//! once (a process may die between a receiver's answer and the row that tells of it; the `webhook-id` is the same then),
//! and order between firings.

pub mod address_policy;
pub mod client;
pub mod given;
pub mod lanes;
pub mod leases;
pub mod places;
pub mod quota;
pub mod request;
pub mod transform;
mod transforming;
mod preview;
pub mod retry;
pub mod resend;
pub mod resend_jobs;
pub mod scheduler;
pub mod shares;
pub mod signature;
mod telling;
mod trying;
pub mod turns;
pub mod webhook_id;

use std::{
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::counter;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub use self::preview::Preview;
use self::{
    client::Client,
    lanes::{Lanes, Permit},
    leases::{Held, Leases},
    places::{Full, Origin},
    quota::Quota,
    retry::Verdict,
    telling::canonical_line,
};
use crate::{
    attempt::{Attempt, Outcome, disabler::Disabler, log::AttemptLog, record},
    clock::Clock,
    hook::{Hook, table::HookTable},
    live::Live,
    message::{Firing, LeaseToken, Target, UnixMs},
    module::Modules,
    settings::FiringSettings,
    store::{Entry, FiringChange, StoreError, secrets::HostKey},
    telemetry::{meters::meters, spans::Spans},
};

/// Makes tries of firings, each until it has ended or is stored.
pub struct Firer {
    /// Bounds and schedules.
    pub settings: Arc<FiringSettings>,
    /// Asked before every try: a disabled hook sends nothing.
    pub hooks: Arc<HookTable>,
    /// Whose transforms hooks use.
    pub modules: Arc<Modules>,
    /// Opens what hooks are signed with.
    pub key: Arc<HostKey>,
    /// Sends.
    pub client: Client,
    /// Places of each hook, and of all.
    pub lanes: Lanes,
    /// What this process has under way of what is stored.
    pub leases: Leases,
    /// How many firings an account may have waiting.
    pub quota: Quota,
    /// Where tries are recorded.
    pub log: Arc<AttemptLog>,
    /// Judges hooks that fail.
    pub disabler: Arc<Disabler>,
    /// Who looks on is told of attempts.
    pub live: Live,
    /// Begins the spans of tries.
    pub spans: Spans,
    /// `telemetry.log_body_bytes_max`.
    pub log_body_bytes_max: usize,
    /// KAZOO's `cluster_id`, written last into every payload.
    pub cluster_id: Arc<str>,
    /// So many messages may wait `firing.park_after_ms` for receivers; when more do, each waits for less.
    pub patient_messages: usize,
    /// What time it is.
    pub clock: Clock,
    /// Tells the scheduler that something was stored.
    pub stored: Arc<Notify>,
    /// Tries that go on after their message was settled.
    pub under_way: TaskTracker,
}

/// The lease under which a firing is stored while it is being tried, once it is.
type Parked = Arc<OnceLock<LeaseToken>>;

/// A firing that was taken from the store, and its lease, which is kept as long as this is there.
#[derive(Debug)]
pub struct Claimed {
    /// The firing; its lease is set.
    pub firing: Firing,
    /// Keeps the lease.
    pub held: Option<Held>,
}

impl Firer {
    /// Tries a firing that was just made; returns when it has ended or is stored. An error means that neither is certain.
    pub async fn fire(self: &Arc<Self>, firing: Firing) -> Result<(), StoreError> {
        let Some(hook) = self.hook_now(&firing) else {
            return self.give_up(firing, DISABLED).await;
        };
        let place = match self.lanes.try_enter(&hook, Origin::Message) {
            Ok(place) => place,
            Err(full) => return self.store(firing, full).await,
        };
        let slow = place.is_slow();
        let parked = Parked::default();
        let (this, stored) = (Arc::clone(self), firing.clone());
        let trying = {
            let parked = Arc::clone(&parked);
            async move { this.try_in(place, firing, &hook, Origin::Message, &parked).await }
        };
        self.until_done_or_parked(Box::pin(trying), stored, &parked, slow).await
    }

    /// Begins a try of a firing that was taken from the store, which goes on by itself. Gives it back when there is no
    /// place for it.
    pub fn begin(self: &Arc<Self>, claimed: Claimed) -> Option<Claimed> {
        let placed = match self.hook_now(&claimed.firing) {
            None => None,
            Some(hook) => match self.lanes.try_enter(&hook, Origin::Store) {
                Ok(place) => Some((hook, place)),
                Err(_) => return Some(claimed),
            },
        };
        let Claimed { firing, held } = claimed;
        let this = Arc::clone(self);
        self.under_way.spawn(async move {
            let id = firing.id.clone();
            let tried = match placed {
                None => this.give_up(firing, DISABLED).await,
                Some((hook, place)) => {
                    let parked: Parked = Arc::new(firing.lease.clone().map_or_else(OnceLock::new, OnceLock::from));
                    this.try_in(place, firing, &hook, Origin::Store, &parked).await
                }
            };
            if let Err(error) = tried {
                tracing::error!(%id, %error, "a stored firing's try could not be recorded; it is tried again when its lease ends");
            }
            drop(held);
        });
        None
    }

    /// How long the message of a firing waits for its receiver: the shorter the more messages wait, so that receivers that
    /// all begin to hang at once do not hold every message that the broker has handed over.
    fn patience(&self) -> Duration {
        let (under_way, _) = self.lanes.places().taken();
        let waited_for = under_way.saturating_sub(self.leases.len());
        let full_ms = self.settings.park_after_ms;
        let patient = self.patient_messages.max(1);
        let ms = full_ms.saturating_mul(patient as u64) / waited_for.max(patient) as u64;
        Duration::from_millis(ms.max(PATIENCE_MIN_MS.min(full_ms)))
    }

    /// Puts a firing that was taken from the store back, for a while.
    pub async fn put_back(&self, claimed: Claimed) -> Result<(), StoreError> {
        let due_ms = self.clock.now_ms() + self.settings.full_pause_ms;
        counter!("hookbox_firings_put_back_total").increment(1);
        let put_back = FiringChange::Wait { firing: Box::new(claimed.firing), due_ms };
        self.record(None, false, put_back).await
    }

    async fn try_in(
        &self,
        place: Permit,
        firing: Firing,
        hook: &Hook,
        origin: Origin,
        parked: &Parked,
    ) -> Result<(), StoreError> {
        let tried = self.try_once(firing, hook, origin, parked).await;
        drop(place);
        tried
    }

    /// Waits for a try; when it stays open too long (or at once, when its receiver is slow), stores the firing under a lease
    /// and lets the try go on by itself.
    async fn until_done_or_parked(
        self: &Arc<Self>,
        mut trying: std::pin::Pin<Box<impl Future<Output = Result<(), StoreError>> + Send + 'static>>,
        mut firing: Firing,
        parked: &Parked,
        slow: bool,
    ) -> Result<(), StoreError> {
        let patience = if slow { Duration::ZERO } else { self.patience() };
        let patience = tokio::time::sleep(patience);
        tokio::select! {
            biased;
            tried = &mut trying => return tried,
            () = patience => {}
        }
        self.lanes.note_slow(firing.target.account(), firing.target.hook_id());
        let lease = LeaseToken::draw();
        let _ = parked.set(lease.clone());
        let held = self.leases.hold(firing.id.clone(), lease.clone());
        firing.lease = Some(lease);
        let until_ms = self.clock.now_ms() + self.settings.lease_ms;
        let park = FiringChange::Park { firing: Box::new(firing), until_ms };
        let mut parking = pin!(self.record(None, false, park));
        // The parking is asked first, so that its row is queued before the one that ends the try.
        tokio::select! {
            biased;
            stored = &mut parking => {
                stored?;
                counter!("hookbox_firings_parked_total").increment(1);
                self.under_way.spawn(async move {
                    if let Err(error) = trying.await {
                        tracing::error!(%error, "a stored firing's try could not be recorded; it is tried again when its lease ends");
                    }
                    drop(held);
                });
                Ok(())
            }
            tried = &mut trying => tried,
        }
    }

    /// Tries an event at a hook once, because its owner asked for it, and records that in any case. Nothing else follows:
    /// it is not tried again, not listed as undelivered, does not count as a failure, and a 410 disables nothing. The hook
    /// may be disabled. `None` when its places are taken.
    pub async fn test(&self, firing: Firing, hook: &Hook) -> Result<Option<Attempt>, StoreError> {
        let Ok(place) = self.lanes.try_enter(hook, Origin::Message) else { return Ok(None) };
        let attempt = Attempt { retries_left: 0, ..self.tried(&firing, hook).await };
        drop(place);
        meters().attempt(&attempt, None);
        canonical_line(&attempt, self.log_body_bytes_max);
        let recorded = Some(attempt.clone());
        self.log.keep(Entry { attempt: recorded, counts_as_failure: false, change: FiringChange::None }).await?;
        self.live.tell(|| record::live_event(&attempt));
        Ok(Some(attempt))
    }

    /// One try, from request to recorded row, and what follows from it.
    async fn try_once(
        &self,
        mut firing: Firing,
        hook: &Hook,
        origin: Origin,
        parked: &Parked,
    ) -> Result<(), StoreError> {
        let mut attempt = self.tried(&firing, hook).await;
        meters().attempt(&attempt, (firing.tries == 0).then_some(firing.created_ms));
        firing.tries = attempt.try_number;
        let now_ms = self.clock.now_ms();
        let mut verdict = retry::verdict(&attempt.outcome, firing.tries, hook, &self.settings, now_ms, rand::random());
        if matches!(verdict, Verdict::Retry { .. }) && origin == Origin::Message && !self.may_wait(&firing, parked) {
            verdict = Verdict::GiveUp { reason: self.quota.reason() };
        }
        if let Verdict::Retry { due_ms } = verdict {
            attempt.next_try_ms = Some(due_ms);
        }
        canonical_line(&attempt, self.log_body_bytes_max);
        firing.lease = parked.get().cloned();
        let failed = verdict != Verdict::Delivered;
        let ended = match verdict {
            Verdict::Delivered if attempt.outcome == Outcome::Dropped => Some(&meters().ended.dropped),
            Verdict::Delivered => Some(&meters().ended.delivered),
            Verdict::Retry { .. } => None,
            Verdict::GiveUp { .. } | Verdict::Disable { .. } => Some(&meters().ended.undelivered),
        };
        let is_stored_hook = matches!(firing.target, Target::Stored(..));
        let told = self.live.is_heard().then(|| record::live_event(&attempt));
        self.record(Some(attempt), failed, change(firing, &verdict, now_ms)).await?;
        if let Some(told) = told {
            self.live.tell(|| told);
        }
        if let Some(ended) = ended {
            ended.increment(1);
        }
        match verdict {
            Verdict::Delivered => {}
            // An inline hook is in no table: there is nothing to switch off.
            _ if !is_stored_hook => self.stored.notify_one(),
            Verdict::Disable { reason } => {
                self.disabler.disable(&hook.account, &hook.id, &reason).await?;
            }
            Verdict::Retry { .. } | Verdict::GiveUp { .. } => {
                // Judged first: a retry of a hook that this failure switches off is not to be claimed meanwhile.
                self.disabler.judge(&hook.account, &hook.id).await?;
                self.stored.notify_one();
            }
        }
        Ok(())
    }

    /// The hook as it is at this moment, when it may fire.
    fn hook_now(&self, firing: &Firing) -> Option<Arc<Hook>> {
        match &firing.target {
            Target::Stored(account, id) => self.hooks.get(account, id).filter(|hook| hook.enabled),
            Target::Inline(hook) => Some(Arc::clone(hook)),
        }
    }

    /// Whether the account may have one more firing waiting. One that is parked has its row, which counts already.
    fn may_wait(&self, firing: &Firing, parked: &Parked) -> bool {
        let account = firing.target.account();
        let may = if parked.get().is_some() { !self.quota.is_full(account) } else { self.quota.takes(account) };
        if !may {
            counter!("hookbox_firings_over_quota_total").increment(1);
        }
        may
    }

    /// A firing that was just made has no place: it waits in the store, when its account may have one more there.
    async fn store(&self, firing: Firing, full: Full) -> Result<(), StoreError> {
        counter!("hookbox_firings_over_limit_total", "limit" => full.as_str()).increment(1);
        if !self.may_wait(&firing, &Parked::default()) {
            return self.give_up(firing, &self.quota.reason()).await;
        }
        let due_ms = self.clock.now_ms() + self.settings.full_pause_ms;
        self.record(None, false, FiringChange::Wait { firing: Box::new(firing), due_ms }).await?;
        self.stored.notify_one();
        Ok(())
    }

    async fn give_up(&self, firing: Firing, reason: &str) -> Result<(), StoreError> {
        let at_ms = self.clock.now_ms();
        let change = FiringChange::Undelivered { firing: Box::new(firing), reason: reason.to_owned(), at_ms };
        self.record(None, false, change).await?;
        meters().ended.undelivered.increment(1);
        Ok(())
    }

    async fn record(
        &self,
        attempt: Option<Attempt>,
        counts_as_failure: bool,
        change: FiringChange,
    ) -> Result<(), StoreError> {
        self.log.record(Entry { attempt, counts_as_failure, change }).await
    }
}

/// What becomes of the firing after a try.
fn change(firing: Firing, verdict: &Verdict, at_ms: UnixMs) -> FiringChange {
    match verdict {
        Verdict::Delivered => match firing.lease {
            Some(lease) => FiringChange::Delivered { id: firing.id, lease },
            None => FiringChange::None,
        },
        Verdict::Retry { due_ms } => FiringChange::Wait { firing: Box::new(firing), due_ms: *due_ms },
        Verdict::GiveUp { reason } | Verdict::Disable { reason } => {
            FiringChange::Undelivered { firing: Box::new(firing), reason: reason.clone(), at_ms }
        }
    }
}

/// However many messages wait, a receiver that answers within this time needs no row in the store.
const PATIENCE_MIN_MS: u64 = 50;

/// Why a firing ends whose hook does not fire any more.
const DISABLED: &str = "the hook is disabled or deleted";
