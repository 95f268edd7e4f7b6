//! One hook's lane: what it has under way, what it owes at its rate, and whether its receiver was slow. Plain rules: `now` is
//! an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How far a hook's rate may be used ahead of time.
const OWED_MAX: Duration = Duration::from_millis(150);
/// How late a caller may come back without losing a part of the rate: `firing.full_pause_ms` by default.
const LATENESS: Duration = Duration::from_millis(100);

/// What a hook may have, its own wishes under the operator's ceilings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) places: u32,
    pub(super) rate: Option<u32>,
}

/// One hook's lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) in_flight: u32,
    /// When all that began is paid off at the hook's rate; in the past, or `None` without a rate, when nothing is owed.
    paid_off: Option<Instant>,
    /// Until when the receiver is taken to be slow.
    pub(super) slow_until: Option<Instant>,
    /// Somebody waits for a place.
    pub(super) wanted: bool,
}

/// How many requests of a hook could begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many; at least one.
    For(u32),
    /// Its places are taken; [`super::Lanes::freed`] is rung when one of them is given back.
    Full,
    /// Its rate is used up for a moment.
    Later,
}

impl Lane {
    /// One request more, when both limits allow it; then, whether the receiver is slow.
    ///
    /// The rate is GCRA: each request costs `1/rate` of a second, and what is owed may reach a quarter of a second (or one
    /// request and a tenth of a second, for low rates). So within any second there are at most 1¼ times the rate, for low
    /// rates one more than the rate, and a caller that comes back every tenth of a second can use the rate to the full.
    pub(super) fn enter(&mut self, limits: Limits, now: Instant) -> Option<bool> {
        if self.in_flight >= limits.places {
            return None;
        }
        self.paid_off = match limits.rate {
            None => None,
            Some(rate) => {
                let cost = Duration::from_secs(1) / rate;
                let paid_off = self.paid_off.map_or(now, |then| then.max(now)) + cost;
                if paid_off.duration_since(now) > owed_max(cost) {
                    return None;
                }
                Some(paid_off)
            }
        };
        self.in_flight += 1;
        Some(self.slow_until.is_some_and(|until| until > now))
    }

    /// How many times [`Self::enter`] would succeed now.
    pub(super) fn room(&mut self, limits: Limits, now: Instant) -> Room {
        let places = limits.places.saturating_sub(self.in_flight);
        if places == 0 {
            self.wanted = true;
            return Room::Full;
        }
        let allowed = limits.rate.map_or(u32::MAX, |rate| {
            let cost = Duration::from_secs(1) / rate;
            let owed = self.paid_off.map_or(Duration::ZERO, |paid_off| paid_off.saturating_duration_since(now));
            let more = owed_max(cost).saturating_sub(owed).as_nanos() / cost.as_nanos().max(1);
            u32::try_from(more).unwrap_or(u32::MAX)
        });
        match allowed {
            0 => Room::Later,
            allowed => Room::For(places.min(allowed)),
        }
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let is_over = |time: Option<Instant>| time.is_none_or(|time| time <= now);
        self.in_flight == 0 && is_over(self.paid_off) && is_over(self.slow_until)
    }
}

/// What may be owed at most, when a request costs so much.
fn owed_max(cost: Duration) -> Duration {
    cost.max(OWED_MAX) + LATENESS
}
