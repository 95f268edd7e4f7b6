//! Lanes: how many requests of one hook may be under way at once, and how many may begin in a second, so that one slow
//! receiver or one busy hook hurts nobody else. Each takes a place of the host's as well ([`super::places`]). Nothing waits
//! here: over a limit the caller stores the firing.
//!
//! An entry is there only while its hook has requests under way, its rate is still owed, or its receiver was slow lately,
//! so memory is bounded by what is going on, not by how many hooks there are.

mod lane;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use metrics::gauge;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};

pub use self::lane::Room;
use self::lane::{Lane, Limits};
use super::places::{Full, Origin, Places};
use crate::{
    hook::Hook,
    message::{AccountId, HookId},
    settings::FiringSettings,
};

/// After so many entries a sweep takes out those that only waited for their rate to be paid off.
const SWEEP_EVERY: usize = 1024;

/// How long a receiver that was slow, and did not answer quickly since, is taken to be slow.
const SLOW_REMEMBERED: Duration = Duration::from_secs(60);
/// How often what accounts use is looked at.
const SAMPLED_EVERY: Duration = Duration::from_millis(100);

/// All hooks' lanes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Lanes {
    shared: Arc<Shared>,
}

type LaneKey = (AccountId, HookId);

#[derive(Debug)]
struct Shared {
    lanes: DashMap<LaneKey, Lane>,
    places: Places,
    entered: AtomicUsize,
    max_in_flight: u32,
    max_in_flight_max: u32,
    rate_limit_per_s_max: u32,
    /// A request that takes longer is slow.
    slow_after: Duration,
    /// Rung when a place is given back that somebody asked for in vain.
    freed: Arc<Notify>,
}

/// The right to one request; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    key: LaneKey,
    origin: Origin,
    since: Instant,
    slow: bool,
}

impl Permit {
    /// Whether the hook's receiver was slow lately, so that nobody should wait for its answer.
    pub fn is_slow(&self) -> bool {
        self.slow
    }
}

impl Lanes {
    /// Lanes under the operator's limits. `freed` is rung when a place is given back that somebody asked for in vain.
    pub fn new(settings: &FiringSettings, freed: Arc<Notify>) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            shared: Arc::new(Shared {
                lanes: DashMap::new(),
                places: Places::new(settings),
                entered: AtomicUsize::new(0),
                max_in_flight: small(settings.max_in_flight),
                max_in_flight_max: small(settings.max_in_flight_max),
                rate_limit_per_s_max: small(settings.rate_limit_per_s_max),
                slow_after: Duration::from_millis(settings.park_after_ms),
                freed,
            }),
        }
    }

    /// Takes a place for one request of the hook, unless something is full.
    pub fn try_enter(&self, hook: &Hook, origin: Origin) -> Result<Permit, Full> {
        self.try_enter_at(hook, origin, Instant::now())
    }

    fn try_enter_at(&self, hook: &Hook, origin: Origin, now: Instant) -> Result<Permit, Full> {
        let shared = &self.shared;
        if shared.entered.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            shared.lanes.retain(|_, lane| !lane.is_idle(now));
        }
        shared.places.enter(&hook.account, origin)?;
        let limits = shared.limits(Some(hook));
        let key = (hook.account.clone(), hook.id.clone());
        let entered = match shared.lanes.entry(key.clone()) {
            Entry::Occupied(mut entry) => entry.get_mut().enter(limits, now),
            Entry::Vacant(entry) => {
                let mut lane = Lane::default();
                let entered = lane.enter(limits, now);
                if entered.is_some() {
                    entry.insert(lane);
                }
                entered
            }
        };
        match entered {
            Some(slow) => Ok(Permit { shared: Arc::clone(shared), key, origin, since: now, slow }),
            None => {
                shared.give_back(origin);
                Err(Full::Hook)
            }
        }
    }

    /// How many requests of a hook could begin now, as far as it goes itself; without the hook itself (it travelled in a
    /// message), under the limits that hooks have that say nothing. When its places are taken, the next one that is given
    /// back rings [`Self::freed`].
    pub fn room(&self, account: &AccountId, id: &HookId, hook: Option<&Hook>) -> Room {
        self.room_at(account, id, hook, Instant::now())
    }

    fn room_at(&self, account: &AccountId, id: &HookId, hook: Option<&Hook>, now: Instant) -> Room {
        let limits = self.shared.limits(hook);
        match self.shared.lanes.get_mut(&(account.clone(), id.clone())) {
            Some(mut lane) => lane.room(limits, now),
            None => Lane::default().room(limits, now),
        }
    }

    /// The hook's receiver is slow: as long as it does not answer quickly, nobody should wait for it.
    pub fn note_slow(&self, account: &AccountId, id: &HookId) {
        if let Some(mut lane) = self.shared.lanes.get_mut(&(account.clone(), id.clone())) {
            lane.slow_until = Some(Instant::now() + SLOW_REMEMBERED);
        }
    }

    /// The places of the host.
    pub fn places(&self) -> &Places {
        &self.shared.places
    }

    /// Rung when a place is given back that somebody asked for in vain.
    pub fn freed(&self) -> &Arc<Notify> {
        &self.shared.freed
    }

    /// Looks at what accounts use, for ever.
    pub async fn watch_shares(&self) -> Result<(), Infallible> {
        let mut samples = interval(SAMPLED_EVERY);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            samples.tick().await;
            let now = Instant::now();
            let mut in_flight: HashMap<AccountId, u32> = HashMap::new();
            for lane in self.shared.lanes.iter().filter(|lane| lane.in_flight > 0) {
                *in_flight.entry(lane.key().0.clone()).or_default() += lane.in_flight;
            }
            self.shared.places.sample(&in_flight, now - last);
            last = now;
            let (taken, stored) = self.shared.places.taken();
            gauge!("hookbox_requests_under_way", "origin" => "message").set(taken.saturating_sub(stored) as f64);
            gauge!("hookbox_requests_under_way", "origin" => "store").set(stored as f64);
        }
    }

    /// How many hooks have a lane now.
    pub fn len(&self) -> usize {
        self.shared.lanes.len()
    }

    /// Whether nothing is under way and nothing owed.
    pub fn is_empty(&self) -> bool {
        self.shared.lanes.is_empty()
    }
}

impl Shared {
    fn limits(&self, hook: Option<&Hook>) -> Limits {
        let rare = hook.and_then(|hook| hook.rare.as_deref());
        let places =
            rare.and_then(|rare| rare.max_in_flight).map_or(self.max_in_flight, |own| own.min(self.max_in_flight_max));
        let rate =
            rare.and_then(|rare| rare.rate_limit_per_s).map(|own| own.clamp(1, self.rate_limit_per_s_max.max(1)));
        Limits { places, rate }
    }

    fn give_back(&self, origin: Origin) {
        if self.places.leave(origin) {
            self.freed.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut wanted = false;
        if let Entry::Occupied(mut entry) = self.shared.lanes.entry(self.key.clone()) {
            let lane = entry.get_mut();
            lane.in_flight = lane.in_flight.saturating_sub(1);
            wanted = std::mem::take(&mut lane.wanted);
            if now.duration_since(self.since) < self.shared.slow_after {
                lane.slow_until = None;
            }
            if lane.is_idle(now) {
                entry.remove();
            }
        }
        self.shared.give_back(self.origin);
        if wanted {
            self.shared.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{hook::fixtures::hook_of, settings::Settings};

    fn lanes(max_in_flight: u64) -> Lanes {
        Lanes::new(
            &FiringSettings { max_in_flight, in_flight_max: 10_000_000, ..Settings::default().firing },
            Arc::default(),
        )
    }

    fn hook(id: &str, fields: Value) -> Hook {
        Hook { id: id.into(), ..hook_of(&fields) }
    }

    fn enter(lanes: &Lanes, hook: &Hook) -> Option<Permit> {
        enter_at(lanes, hook, Instant::now())
    }

    fn enter_at(lanes: &Lanes, hook: &Hook, now: Instant) -> Option<Permit> {
        lanes.try_enter_at(hook, Origin::Message, now).ok()
    }

    fn room(lanes: &Lanes, hook: &Hook, now: Instant) -> Room {
        lanes.room_at(&hook.account, &hook.id, Some(hook), now)
    }

    #[test]
    fn places_are_given_back() {
        let lanes = lanes(2);
        let hook = hook("1", json!({}));
        let first = enter(&lanes, &hook);
        let second = enter(&lanes, &hook);
        assert!(first.is_some() && second.is_some() && enter(&lanes, &hook).is_none());
        drop(first);
        let third = enter(&lanes, &hook);
        assert!(third.is_some() && enter(&lanes, &hook).is_none());
    }

    #[test]
    fn hooks_do_not_share_places() {
        let lanes = lanes(1);
        let _one = enter(&lanes, &hook("1", json!({})));
        assert!(enter(&lanes, &hook("2", json!({}))).is_some());
        let other_account = Hook { account: "other".into(), ..hook("1", json!({})) };
        assert!(enter(&lanes, &other_account).is_some());
    }

    #[test]
    fn a_hooks_own_limit_counts_under_the_ceiling() {
        let settings = FiringSettings { max_in_flight: 1, max_in_flight_max: 3, ..Settings::default().firing };
        let count = |hook: &Hook| {
            let lanes = Lanes::new(&settings, Arc::default());
            let permits: Vec<_> = (0..20).map_while(|_| enter(&lanes, hook)).collect();
            permits.len()
        };
        assert_eq!(count(&hook("1", json!({}))), 1);
        assert_eq!(count(&hook("1", json!({"max_in_flight": 2}))), 2);
        assert_eq!(count(&hook("1", json!({"max_in_flight": 10}))), 3);
    }

    #[test]
    fn idle_lanes_vanish() {
        let lanes = lanes(10);
        let permits: Vec<_> = (0..100).map(|id| enter(&lanes, &hook(&id.to_string(), json!({})))).collect();
        assert_eq!(lanes.len(), 100);
        drop(permits);
        assert!(lanes.is_empty());
        // With a rate they stay until it is paid off, then a sweep takes them.
        let start = Instant::now();
        for id in 0..100 {
            enter_at(&lanes, &hook(&id.to_string(), json!({"rate_limit_per_s": 1})), start);
        }
        assert_eq!(lanes.len(), 100);
        let plain = hook("plain", json!({}));
        for _ in 0..SWEEP_EVERY {
            enter_at(&lanes, &plain, start + Duration::from_secs(2));
        }
        assert!(lanes.is_empty());
    }

    #[test]
    fn one_refused_for_its_places_pays_nothing_of_its_rate() {
        let lanes = lanes(1);
        let hook = hook("1", json!({"rate_limit_per_s": 8, "max_in_flight": 1}));
        let start = Instant::now();
        let first = enter_at(&lanes, &hook, start);
        assert!((0..50).all(|_| enter_at(&lanes, &hook, start).is_none()));
        drop(first);
        assert!(enter_at(&lanes, &hook, start).is_some());
        assert!(enter_at(&lanes, &hook, start).is_none(), "two of eight at once");
    }

    #[test]
    fn the_host_has_fewer_places_than_its_hooks_together() {
        let settings = FiringSettings { in_flight_max: 3, retry_share_percent: 50, ..Settings::default().firing };
        let lanes = Lanes::new(&settings, Arc::default());
        let enter = |id: &str, origin| lanes.try_enter(&hook(id, json!({})), origin);
        let stored = enter("1", Origin::Store);
        assert!(stored.is_ok());
        assert_eq!(enter("2", Origin::Store).err(), Some(Full::Host), "the others are for first tries");
        let first = enter("2", Origin::Message);
        assert_eq!((first.is_ok(), lanes.places().taken()), (true, (2, 1)));
        drop((stored, first));
        assert_eq!((lanes.places().taken(), lanes.len()), ((0, 0), 0));
    }

    #[tokio::test]
    async fn who_asked_for_room_in_vain_is_told_of_it() {
        let lanes = lanes(1);
        let hook = hook("1", json!({}));
        let now = Instant::now();
        assert_eq!(room(&lanes, &hook, now), Room::For(1));
        let only = enter(&lanes, &hook);
        drop(only);
        let told = |lanes: &Lanes| {
            let freed = Arc::clone(lanes.freed());
            async move { tokio::time::timeout(Duration::ZERO, freed.notified()).await.is_ok() }
        };
        assert!(!told(&lanes).await, "nobody had asked in vain");
        let only = enter(&lanes, &hook);
        assert_eq!(room(&lanes, &hook, now), Room::Full);
        assert!(!told(&lanes).await);
        drop(only);
        assert!(told(&lanes).await);
        assert_eq!(room(&lanes, &hook, now), Room::For(1));
    }

    #[test]
    fn a_receiver_is_slow_until_it_answers_quickly() {
        let lanes = lanes(10);
        let hook = hook("1", json!({}));
        let hangs = enter(&lanes, &hook).expect("there is room");
        assert!(!hangs.is_slow());
        lanes.note_slow(&hook.account, &hook.id);
        let next = enter(&lanes, &hook).expect("there is room");
        assert!(next.is_slow());
        // As if it had begun long ago.
        let mut next = next;
        next.since -= Duration::from_secs(2);
        drop(next);
        assert!(enter(&lanes, &hook).expect("there is room").is_slow());
        assert!(!enter(&lanes, &hook).expect("there is room").is_slow(), "the one before took no time");
        drop(hangs);
        assert!(lanes.is_empty());
    }

    proptest! {
        /// What there is room for can begin, and no more.
        #[test]
        fn room_is_what_can_begin(places in 1..50_u64, rate in proptest::option::of(1..300_u32), before in 0..60, later_ms in 0..2000_u64) {
            let lanes = lanes(places);
            let hook = match rate {
                Some(rate) => hook("1", json!({"rate_limit_per_s": rate})),
                None => hook("1", json!({})),
            };
            let start = Instant::now();
            let mut held: Vec<_> = (0..before).filter_map(|_| enter_at(&lanes, &hook, start)).collect();
            held.truncate(held.len() / 2);
            let now = start + Duration::from_millis(later_ms);
            let expected = room(&lanes, &hook, now);
            let begun: Vec<_> = (0..100).map_while(|_| enter_at(&lanes, &hook, now)).collect();
            let begun_count = u32::try_from(begun.len()).unwrap_or(u32::MAX);
            match expected {
                Room::For(count) => prop_assert_eq!(begun_count, count),
                Room::Full => prop_assert_eq!(held.len() as u64, places),
                Room::Later => prop_assert_eq!(begun_count, 0),
            }
        }

        /// Within any second no more than 1¼ times the rate begin (one more for a low rate); and who asks again and
        /// again gets the rate to the full.
        #[test]
        fn the_rate_is_kept_and_used(rate in 1..200_u32, ask_ms in 1..100_u64) {
            let lanes = lanes(1_000_000);
            let hook = hook("1", json!({"rate_limit_per_s": rate}));
            let start = Instant::now();
            let mut begun: Vec<u64> = Vec::new();
            // Kept, so that no lane goes by the time that really passed, which on a busy machine is longer.
            let mut permits = Vec::new();
            let mut at_ms = 0;
            while at_ms < 5_000 {
                for _ in 0..300 {
                    if let Some(permit) = enter_at(&lanes, &hook, start + Duration::from_millis(at_ms)) {
                        begun.push(at_ms);
                        permits.push(permit);
                    }
                }
                at_ms += ask_ms;
            }
            for from in &begun {
                let within = begun.iter().filter(|at| (*from..from + 1_000).contains(*at)).count() as u32;
                prop_assert!(within <= (rate + 1).max(rate * 5 / 4), "{} within a second", within);
            }
            // The last asking may lie a little before the end, and costs are whole nanoseconds.
            let at_least = u64::from(rate) * (5_000 - 2 * ask_ms) / 1_000;
            prop_assert!(begun.len() as u64 >= at_least.saturating_sub(2), "{} of {}", begun.len(), at_least);
        }
    }
}
