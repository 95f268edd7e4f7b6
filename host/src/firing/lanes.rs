//! Lanes: how many requests of one hook may be under way at once, and how many may begin in a second, so that one slow
//! receiver or one busy hook hurts nobody else. Nothing waits here: over a limit the caller stores the firing.
//!
//! An entry is there only while its hook has requests under way or its rate is still owed, so memory is bounded by what
//! is going on, not by how many hooks there are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use tokio::time::Instant;

use crate::{
    hook::Hook,
    message::{AccountId, HookId},
    settings::FiringSettings,
};

/// After so many entries a sweep takes out those that only waited for their rate to be paid off.
const SWEEP_EVERY: usize = 1024;

/// How far a hook's rate may be used ahead of time.
const OWED_MAX: Duration = Duration::from_millis(150);
/// How late a caller may come back without losing a part of the rate: `firing.full_pause_ms` by default.
const LATENESS: Duration = Duration::from_millis(100);

/// All hooks' lanes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Lanes {
    shared: Arc<Shared>,
}

type LaneKey = (AccountId, HookId);

#[derive(Debug)]
struct Shared {
    lanes: DashMap<LaneKey, Lane>,
    entered: AtomicUsize,
    max_in_flight: u32,
    max_in_flight_max: u32,
    rate_limit_per_s_max: u32,
}

/// One hook's lane.
#[derive(Debug)]
struct Lane {
    in_flight: u32,
    /// When all that began is paid off at the hook's rate; in the past, or `None` without a rate, when nothing is owed.
    paid_off: Option<Instant>,
}

/// The right to one request; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    key: LaneKey,
}

impl Lanes {
    /// Lanes under the operator's limits.
    pub fn new(settings: &FiringSettings) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            shared: Arc::new(Shared {
                lanes: DashMap::new(),
                entered: AtomicUsize::new(0),
                max_in_flight: small(settings.max_in_flight),
                max_in_flight_max: small(settings.max_in_flight_max),
                rate_limit_per_s_max: small(settings.rate_limit_per_s_max),
            }),
        }
    }

    /// Takes a place for one request of the hook; `None` when its places are taken or its rate is used up.
    pub fn try_enter(&self, hook: &Hook) -> Option<Permit> {
        self.try_enter_at(hook, Instant::now())
    }

    fn try_enter_at(&self, hook: &Hook, now: Instant) -> Option<Permit> {
        let shared = &self.shared;
        let rare = hook.rare.as_deref();
        let places = rare
            .and_then(|rare| rare.max_in_flight)
            .map_or(shared.max_in_flight, |own| own.min(shared.max_in_flight_max));
        let rate =
            rare.and_then(|rare| rare.rate_limit_per_s).map(|own| own.clamp(1, shared.rate_limit_per_s_max.max(1)));
        if shared.entered.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            shared.lanes.retain(|_, lane| !lane.is_idle(now));
        }
        let key = (hook.account.clone(), hook.id.clone());
        match shared.lanes.entry(key.clone()) {
            Entry::Occupied(mut entry) => entry.get_mut().enter(places, rate, now)?,
            Entry::Vacant(entry) => {
                let mut lane = Lane { in_flight: 0, paid_off: None };
                lane.enter(places, rate, now)?;
                entry.insert(lane);
            }
        }
        Some(Permit { shared: Arc::clone(shared), key })
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

impl Lane {
    /// One request more, when both limits allow it.
    ///
    /// The rate is GCRA: each request costs `1/rate` of a second, and what is owed may reach a quarter of a second (or one
    /// request and a tenth of a second, for low rates). So within any second there are at most 1¼ times the rate, for low
    /// rates one more than the rate, and a caller that comes back every tenth of a second can use the rate to the full.
    fn enter(&mut self, places: u32, rate: Option<u32>, now: Instant) -> Option<()> {
        if self.in_flight >= places {
            return None;
        }
        self.paid_off = match rate {
            None => None,
            Some(rate) => {
                let cost = Duration::from_secs(1) / rate;
                let paid_off = self.paid_off.map_or(now, |then| then.max(now)) + cost;
                if paid_off.duration_since(now) > cost.max(OWED_MAX) + LATENESS {
                    return None;
                }
                Some(paid_off)
            }
        };
        self.in_flight += 1;
        Some(())
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.in_flight == 0 && self.paid_off.is_none_or(|paid_off| paid_off <= now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.shared.lanes.entry(self.key.clone()) {
            let lane = entry.get_mut();
            lane.in_flight = lane.in_flight.saturating_sub(1);
            if lane.is_idle(Instant::now()) {
                entry.remove();
            }
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
        Lanes::new(&FiringSettings { max_in_flight, ..Settings::default().firing })
    }

    fn hook(id: &str, fields: Value) -> Hook {
        Hook { id: id.into(), ..hook_of(&fields) }
    }

    #[test]
    fn places_are_given_back() {
        let lanes = lanes(2);
        let hook = hook("1", json!({}));
        let first = lanes.try_enter(&hook);
        let second = lanes.try_enter(&hook);
        assert!(first.is_some() && second.is_some() && lanes.try_enter(&hook).is_none());
        drop(first);
        let third = lanes.try_enter(&hook);
        assert!(third.is_some() && lanes.try_enter(&hook).is_none());
    }

    #[test]
    fn hooks_do_not_share_places() {
        let lanes = lanes(1);
        let _one = lanes.try_enter(&hook("1", json!({})));
        assert!(lanes.try_enter(&hook("2", json!({}))).is_some());
        let other_account = Hook { account: "other".into(), ..hook("1", json!({})) };
        assert!(lanes.try_enter(&other_account).is_some());
    }

    #[test]
    fn a_hooks_own_limit_counts_under_the_ceiling() {
        let settings = FiringSettings { max_in_flight: 1, max_in_flight_max: 3, ..Settings::default().firing };
        let count = |hook: &Hook| {
            let lanes = Lanes::new(&settings);
            let permits: Vec<_> = (0..20).map_while(|_| lanes.try_enter(hook)).collect();
            permits.len()
        };
        assert_eq!(count(&hook("1", json!({}))), 1);
        assert_eq!(count(&hook("1", json!({"max_in_flight": 2}))), 2);
        assert_eq!(count(&hook("1", json!({"max_in_flight": 10}))), 3);
    }

    #[test]
    fn idle_lanes_vanish() {
        let lanes = lanes(10);
        let permits: Vec<_> = (0..100).map(|id| lanes.try_enter(&hook(&id.to_string(), json!({})))).collect();
        assert_eq!(lanes.len(), 100);
        drop(permits);
        assert!(lanes.is_empty());
        // With a rate they stay until it is paid off, then a sweep takes them.
        let start = Instant::now();
        for id in 0..100 {
            lanes.try_enter_at(&hook(&id.to_string(), json!({"rate_limit_per_s": 1})), start);
        }
        assert_eq!(lanes.len(), 100);
        let plain = hook("plain", json!({}));
        for _ in 0..SWEEP_EVERY {
            lanes.try_enter_at(&plain, start + Duration::from_secs(2));
        }
        assert!(lanes.is_empty());
    }

    #[test]
    fn one_refused_for_its_places_pays_nothing_of_its_rate() {
        let lanes = lanes(1);
        let hook = hook("1", json!({"rate_limit_per_s": 8, "max_in_flight": 1}));
        let start = Instant::now();
        let first = lanes.try_enter_at(&hook, start);
        assert!((0..50).all(|_| lanes.try_enter_at(&hook, start).is_none()));
        drop(first);
        assert!(lanes.try_enter_at(&hook, start).is_some());
        assert!(lanes.try_enter_at(&hook, start).is_none(), "two of eight at once");
    }

    proptest! {
        /// Within any second no more than 1¼ times the rate begin (one more for a low rate); and who asks again and
        /// again gets the rate to the full.
        #[test]
        fn the_rate_is_kept_and_used(rate in 1..200_u32, ask_ms in 1..100_u64) {
            let lanes = lanes(1_000_000);
            let hook = hook("1", json!({"rate_limit_per_s": rate}));
            let start = Instant::now();
            let mut begun: Vec<u64> = Vec::new();
            let mut at_ms = 0;
            while at_ms < 5_000 {
                for _ in 0..300 {
                    if lanes.try_enter_at(&hook, start + Duration::from_millis(at_ms)).is_some() {
                        begun.push(at_ms);
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
