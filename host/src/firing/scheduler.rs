//! Brings back stored firings when they are due: retries, and what a process that died had under its lease.
//!
//! Only what can begin is taken: the hooks that have firings due are listed, those that have no room are passed over, and
//! the room of the others is [divided](super::turns) among accounts and hooks. So a hook that is full costs a look at its
//! lane, no writing, and hides no other. When a place that was asked for in vain is given back, that wakes the scheduler.
//!
//! Between the look and the claim a first try may have taken the place: then the firing stays here under its lease, which
//! is renewed, and goes first when there is room. At most `firing.claim_rows_max` are held so; over half of that, the ones
//! that were here longest are put back.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use metrics::counter;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Claimed, Firer,
    lanes::Room,
    turns::{Candidate, divide},
};
use crate::{
    error_chain::chain,
    message::{AccountId, Firing, HookId, Target, UnixMs},
    store::{DueHook, SharedStore, StoreResult},
    telemetry::meters::meters,
};

/// Due hooks that are listed at once.
const PAGE: u32 = 256;
/// Due hooks that are looked at in one turn; the next turn goes on after them.
const LOOKED_AT_MAX: usize = 4096;
/// Firings of a hook that is disabled or deleted, which need no place, taken at once.
const ENDED_AT_ONCE: u32 = 64;

/// Claims due firings and tries them.
pub struct Scheduler {
    /// Where they wait.
    pub store: SharedStore,
    /// What tries them.
    pub firer: Arc<Firer>,
}

/// What the scheduler knows from turn to turn.
#[derive(Default)]
struct Rounds {
    /// Claimed firings that found no place, longest here first.
    in_hand: VecDeque<Claimed>,
    /// Where the next turn goes on, when the last one did not look at all due hooks.
    after: Option<DueHook>,
}

/// What a turn found.
struct Turn {
    /// As of when it was looked.
    now_ms: UnixMs,
    /// Firings that were claimed.
    claimed: usize,
    /// Whether more were due and had room.
    more: bool,
    /// Whether something was passed over that may have room without anybody telling: a rate, an account's share.
    later: bool,
}

impl Scheduler {
    /// Works for ever. Firings that were claimed when this fails come back when their leases end; when the store fails,
    /// it is asked again after `firing.claim_poll_ms`.
    pub async fn run(&self) -> Result<(), Infallible> {
        let mut rounds = Rounds::default();
        loop {
            let began = Instant::now();
            let waited = match self.turn(&mut rounds).await {
                Ok(turn) if turn.more => Ok(()),
                Ok(turn) => {
                    // What becomes due or free in the meantime is taken together.
                    sleep_until(began + Duration::from_millis(self.firer.settings.claim_pause_ms)).await;
                    if turn.claimed > 0 { Ok(()) } else { self.wait(&turn).await }
                }
                Err(error) => Err(error),
            };
            if let Err(error) = waited {
                tracing::warn!(error = chain(&error), "stored firings cannot be claimed; trying on");
                sleep(Duration::from_millis(self.firer.settings.claim_poll_ms)).await;
            }
        }
    }

    /// Takes what is due and can begin, and begins it.
    async fn turn(&self, rounds: &mut Rounds) -> StoreResult<Turn> {
        let (firer, settings) = (&self.firer, &self.firer.settings);
        self.begin_what_is_in_hand(rounds).await?;
        let mut turn = Turn {
            now_ms: firer.clock.now_ms(),
            claimed: 0,
            more: false,
            later: !rounds.in_hand.is_empty() || rounds.after.is_some(),
        };
        let rows_max = usize::try_from(settings.claim_rows_max).unwrap_or(usize::MAX);
        let places = firer.lanes.places();
        if places.left_for_stored() == 0 {
            // Then looked at again, so that none that was given back meanwhile is missed.
            places.want();
        }
        let rows = places.left_for_stored().min(rows_max.saturating_sub(rounds.in_hand.len()));
        if rows == 0 {
            return Ok(turn);
        }
        let candidates = self.candidates(rounds, &mut turn, rows).await?;
        let burdens = places.burdens(candidates.iter().map(|candidate| &candidate.due.account));
        let claims = divide(candidates, u32::try_from(rows).unwrap_or(u32::MAX), &burdens);
        if claims.is_empty() {
            return Ok(turn);
        }
        let began = Instant::now();
        let claimed = self.store.claim_due(&claims, turn.now_ms, firer.clock.now_ms() + settings.lease_ms).await;
        meters().store_claim.record(began.elapsed());
        let claimed = claimed?;
        turn.claimed = claimed.len();
        turn.more = claimed.len() == rows_max;
        counter!("hookbox_firings_claimed_total").increment(claimed.len() as u64);
        // All are held before the first begins: what is dropped on the way is not renewed.
        let claimed: Vec<Claimed> = claimed.into_iter().map(|firing| self.hold(firing)).collect();
        for claimed in claimed {
            if let Some(claimed) = firer.begin(claimed) {
                rounds.in_hand.push_back(claimed);
            }
        }
        Ok(turn)
    }

    fn hold(&self, firing: Firing) -> Claimed {
        let held = firing.lease.clone().map(|lease| self.firer.leases.hold(firing.id.clone(), lease));
        Claimed { firing, held }
    }

    /// Begins what has a place by now; of the rest, puts back what is too much.
    async fn begin_what_is_in_hand(&self, rounds: &mut Rounds) -> StoreResult<()> {
        for _ in 0..rounds.in_hand.len() {
            let Some(claimed) = rounds.in_hand.pop_front() else { break };
            if let Some(claimed) = self.firer.begin(claimed) {
                rounds.in_hand.push_back(claimed);
            }
        }
        let kept = usize::try_from(self.firer.settings.claim_rows_max / 2).unwrap_or(usize::MAX);
        while rounds.in_hand.len() > kept {
            let Some(claimed) = rounds.in_hand.pop_front() else { break };
            self.firer.put_back(claimed).await?;
        }
        Ok(())
    }

    /// Hooks with firings that are due and can begin, until there are enough for `rows`.
    async fn candidates(&self, rounds: &mut Rounds, turn: &mut Turn, rows: usize) -> StoreResult<Vec<Candidate>> {
        let lanes = &self.firer.lanes;
        let in_hand: HashSet<(AccountId, HookId)> =
            rounds.in_hand.iter().map(|claimed| key(&claimed.firing.target)).collect();
        let mut without_share: HashSet<AccountId> = HashSet::new();
        let (mut found, mut room_found, mut looked_at) = (Vec::new(), 0, 0);
        let mut after = rounds.after.take();
        loop {
            let page = self.store.due_hooks(turn.now_ms, after.as_ref(), PAGE).await?;
            looked_at += page.len();
            let is_last = page.len() < PAGE as usize;
            after = page.last().cloned();
            for due in page {
                if in_hand.contains(&(due.account.clone(), due.hook.clone())) || without_share.contains(&due.account) {
                    turn.later = true;
                    continue;
                }
                let hook = self.firer.hooks.get(&due.account, &due.hook);
                let room = match hook.as_deref() {
                    Some(hook) if !hook.enabled => Room::For(ENDED_AT_ONCE),
                    hook => lanes.room(&due.account, &due.hook, hook),
                };
                match room {
                    Room::For(_) if !lanes.places().has_share_left(&due.account) => {
                        without_share.insert(due.account);
                        turn.later = true;
                    }
                    Room::For(room) => {
                        room_found += room as usize;
                        found.push(Candidate { due, room });
                    }
                    Room::Later => turn.later = true,
                    Room::Full => {}
                }
            }
            if is_last {
                return Ok(found);
            }
            // Twice what is taken, so that there is a choice.
            if looked_at >= LOOKED_AT_MAX || (room_found >= 2 * rows && found.len() >= PAGE as usize) {
                rounds.after = after;
                return Ok(found);
            }
        }
    }

    /// Until something is due here, was stored here, has room again, or may have become due elsewhere.
    async fn wait(&self, turn: &Turn) -> StoreResult<()> {
        let settings = &self.firer.settings;
        let now_ms = self.firer.clock.now_ms();
        let next_ms = self.store.next_due_ms(turn.now_ms).await?;
        let mut pause_ms = next_ms.map_or(u64::MAX, |due| due.saturating_sub(now_ms)).min(settings.claim_poll_ms);
        if turn.later {
            pause_ms = pause_ms.min(settings.full_pause_ms);
        }
        tokio::select! {
            () = sleep(Duration::from_millis(pause_ms.max(1))) => {}
            () = self.firer.stored.notified() => {}
        }
        Ok(())
    }
}

/// Whose lane a firing takes.
fn key(target: &Target) -> (AccountId, HookId) {
    (target.account().clone(), target.hook_id().clone())
}
