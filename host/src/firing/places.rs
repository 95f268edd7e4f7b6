//! Places: how many requests this process has under way at once, of all accounts together, and how many of them may be
//! firings that come out of the store. First tries can take all places, stored firings a part of them, so that the
//! backlog of an outage never keeps fresh events waiting.
//!
//! While there is room nobody is held back and a request costs one atomic addition. When three quarters are taken, an
//! account that uses its share of them ([`super::shares`]) gets no more; the last quarter is for those that use less.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::shares::Shares;
use crate::{message::AccountId, settings::FiringSettings};

/// Accounts whose use is remembered, for each place.
const ACCOUNTS_PER_PLACE: usize = 4;

/// Where a firing comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was just made, and this is its first try.
    Message,
    /// It waited in the store.
    Store,
}

/// What has no room for a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Its hook: `max_in_flight` or `rate_limit_per_s`.
    Hook,
    /// Its account's share.
    Account,
    /// The host: `firing.in_flight_max`, or the part of it that stored firings may take.
    Host,
}

impl Full {
    /// One word, for counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Account => "account",
            Self::Host => "host",
        }
    }
}

/// All places of this process.
#[derive(Debug)]
pub struct Places {
    max: usize,
    stored_max: usize,
    scarce_from: usize,
    taken: AtomicUsize,
    stored: AtomicUsize,
    /// Somebody waits for one that a stored firing could take.
    wanted: AtomicBool,
    shares: Mutex<Shares>,
}

impl Places {
    /// None taken.
    pub fn new(settings: &FiringSettings) -> Self {
        let max = usize::try_from(settings.in_flight_max).unwrap_or(usize::MAX).max(1);
        let percent = usize::try_from(settings.retry_share_percent).unwrap_or(100).min(100);
        let window = Duration::from_millis(settings.share_window_ms);
        Self {
            max,
            stored_max: (max.saturating_mul(percent) / 100).max(1),
            scarce_from: max - max / 4,
            taken: AtomicUsize::new(0),
            stored: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            shares: Mutex::new(Shares::new(window, max.saturating_mul(ACCOUNTS_PER_PLACE))),
        }
    }

    /// Takes a place, which has to be [given back](Self::leave).
    pub fn enter(&self, account: &AccountId, origin: Origin) -> Result<(), Full> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        if before >= self.max {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Host);
        }
        if origin == Origin::Store && self.stored.fetch_add(1, Ordering::Relaxed) >= self.stored_max {
            self.leave(origin);
            return Err(Full::Host);
        }
        if before >= self.scarce_from && !self.shares().admit(account, self.max) {
            self.leave(origin);
            return Err(Full::Account);
        }
        Ok(())
    }

    /// Gives a place back. Whether somebody [wanted](Self::want) one.
    pub fn leave(&self, origin: Origin) -> bool {
        if origin == Origin::Store {
            self.stored.fetch_sub(1, Ordering::Relaxed);
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Places that stored firings could take now.
    pub fn left_for_stored(&self) -> usize {
        let stored = self.stored_max.saturating_sub(self.stored.load(Ordering::Relaxed));
        stored.min(self.max.saturating_sub(self.taken.load(Ordering::Relaxed)))
    }

    /// The next one who gives a place back is told so.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether the account would be let in as far as its share goes.
    pub fn has_share_left(&self, account: &AccountId) -> bool {
        self.taken.load(Ordering::Relaxed) < self.scarce_from || self.shares().is_under_its_share(account, self.max)
    }

    /// What each of the accounts uses.
    pub fn burdens<'a>(&self, accounts: impl Iterator<Item = &'a AccountId>) -> HashMap<AccountId, f64> {
        let shares = self.shares();
        accounts.map(|account| (account.clone(), shares.burden(account))).collect()
    }

    /// Tells of what each account has under way now, so long after it was last told.
    pub fn sample(&self, in_flight: &HashMap<AccountId, u32>, elapsed: Duration) {
        self.shares().sample(in_flight, elapsed);
    }

    /// How many are taken, and how many of these by stored firings.
    pub fn taken(&self) -> (usize, usize) {
        (self.taken.load(Ordering::Relaxed), self.stored.load(Ordering::Relaxed))
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn places(in_flight_max: u64, retry_share_percent: u64) -> Places {
        Places::new(&FiringSettings { in_flight_max, retry_share_percent, ..Settings::default().firing })
    }

    fn entered(places: &Places, account: &str, origin: Origin, tries: usize) -> usize {
        (0..tries).filter(|_| places.enter(&account.into(), origin).is_ok()).count()
    }

    #[test]
    fn stored_firings_leave_places_for_first_tries() {
        let places = places(100, 40);
        assert_eq!(entered(&places, "a", Origin::Store, 200), 40);
        assert_eq!((places.enter(&"a".into(), Origin::Store), places.left_for_stored()), (Err(Full::Host), 0));
        assert_eq!(entered(&places, "a", Origin::Message, 200), 60);
        assert_eq!(places.taken(), (100, 40));
        places.leave(Origin::Message);
        assert_eq!(entered(&places, "a", Origin::Store, 1), 0, "it was a first try's place");
        assert_eq!(entered(&places, "a", Origin::Message, 2), 1);
    }

    #[test]
    fn first_tries_may_take_all() {
        let places = places(10, 50);
        assert_eq!(entered(&places, "a", Origin::Message, 20), 10);
        assert_eq!((places.enter(&"b".into(), Origin::Store), places.left_for_stored()), (Err(Full::Host), 0));
        assert_eq!(places.taken(), (10, 0), "what was refused is given back");
    }

    #[test]
    fn who_uses_most_is_held_back_only_when_places_are_scarce() {
        let places = places(100, 50);
        assert_eq!(entered(&places, "busy", Origin::Message, 70), 70);
        assert!(places.has_share_left(&"busy".into()), "there is room");
        places.sample(&HashMap::from([("busy".into(), 70), ("quiet".into(), 1)]), Duration::from_millis(100));
        assert_eq!(entered(&places, "busy", Origin::Message, 30), 5);
        assert_eq!(places.enter(&"busy".into(), Origin::Message), Err(Full::Account));
        assert!(!places.has_share_left(&"busy".into()));
        assert_eq!(entered(&places, "quiet", Origin::Message, 30), 25, "the last quarter was kept for it");
    }

    #[test]
    fn who_wants_a_place_is_told_once() {
        let places = places(2, 100);
        assert_eq!(entered(&places, "a", Origin::Store, 3), 2);
        assert!(!places.leave(Origin::Store));
        places.want();
        assert!(places.leave(Origin::Store));
        assert_eq!(entered(&places, "a", Origin::Store, 1), 1);
        assert!(!places.leave(Origin::Store));
    }
}
