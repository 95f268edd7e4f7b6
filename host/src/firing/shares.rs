//! Shares: how much of the host's places each account uses, over time, and who may have another one when they run short.
//! Values in, values out; no clock is read here.
//!
//! What an account uses is requests under way times how long they are, so a thousand quick requests weigh less than ten
//! that hang. It is kept as an average over the last while (`firing.share_window_ms`), taken from samples of what is
//! under way: nothing is done for a request itself while there is room. An account's burden is that average or what it
//! has under way now, whichever is more; its share is an equal part of all places.
//!
//! Accounts are forgotten when nearly nothing is left of their average, and those that use least when there are more than
//! `accounts_max`: an account that is not known has used nothing.

use std::{collections::HashMap, time::Duration};

use crate::message::AccountId;

/// An average under this, in requests, is nothing.
const NOTHING: f64 = 0.05;

/// What each account uses.
#[derive(Debug)]
pub struct Shares {
    window: Duration,
    accounts_max: usize,
    accounts: HashMap<AccountId, Use>,
    /// Accounts with requests under way.
    active: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// As of the last sample, and those that were admitted since.
    in_flight: u32,
    average: f64,
}

impl Use {
    fn burden(&self) -> f64 {
        self.average.max(f64::from(self.in_flight))
    }
}

impl Shares {
    /// Nobody uses anything. Averages go back over about `window`; at most `accounts_max` accounts are remembered.
    pub fn new(window: Duration, accounts_max: usize) -> Self {
        Self { window, accounts_max, accounts: HashMap::new(), active: 0 }
    }

    /// What is under way now, accounts with nothing left out, so long after the last sample.
    pub fn sample(&mut self, in_flight: &HashMap<AccountId, u32>, elapsed: Duration) {
        let kept = (-elapsed.as_secs_f64() / self.window.as_secs_f64().max(f64::MIN_POSITIVE)).exp();
        for (account, used) in &mut self.accounts {
            used.in_flight = in_flight.get(account).copied().unwrap_or(0);
            used.average = used.average * kept + f64::from(used.in_flight) * (1.0 - kept);
        }
        for (account, count) in in_flight {
            self.accounts
                .entry(account.clone())
                .or_insert_with(|| Use { in_flight: *count, average: f64::from(*count) * (1.0 - kept) });
        }
        self.accounts.retain(|_, used| used.in_flight > 0 || used.average >= NOTHING);
        self.forget_the_least();
        self.active = self.accounts.values().filter(|used| used.in_flight > 0).count();
    }

    /// What the account uses, in requests; 0 when it is not known.
    pub fn burden(&self, account: &AccountId) -> f64 {
        self.accounts.get(account).map_or(0.0, Use::burden)
    }

    /// Whether the account uses less than an equal share of the places, at least one.
    pub fn is_under_its_share(&self, account: &AccountId, places: usize) -> bool {
        let used = self.accounts.get(account).copied().unwrap_or_default();
        let active = self.active + usize::from(used.in_flight == 0);
        let share = (places as f64 / active as f64).max(1.0);
        used.burden() < share
    }

    /// Counts one more request of the account, when it is [under its share](Self::is_under_its_share).
    pub fn admit(&mut self, account: &AccountId, places: usize) -> bool {
        if !self.is_under_its_share(account, places) {
            return false;
        }
        if !self.accounts.contains_key(account) && self.accounts.len() >= self.accounts_max {
            // Not remembered until the next sample, which sees the request itself.
            return true;
        }
        let used = self.accounts.entry(account.clone()).or_default();
        self.active += usize::from(used.in_flight == 0);
        used.in_flight += 1;
        true
    }

    /// How many accounts are remembered.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether nobody uses anything.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    fn forget_the_least(&mut self) {
        if self.accounts.len() <= self.accounts_max {
            return;
        }
        let mut burdens: Vec<f64> = self.accounts.values().map(Use::burden).collect();
        let most = self.accounts_max.min(burdens.len() - 1);
        let (_, bound, _) = burdens.select_nth_unstable_by(most, |a, b| b.total_cmp(a));
        let bound = *bound;
        // Those above the bound are at most so many; those at it are forgotten together.
        self.accounts.retain(|_, used| used.burden() > bound);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLED: Duration = Duration::from_millis(100);

    fn shares() -> Shares {
        Shares::new(Duration::from_secs(10), 1000)
    }

    fn account(n: usize) -> AccountId {
        AccountId::from(format!("a{n}"))
    }

    fn in_flight(counts: &[(usize, u32)]) -> HashMap<AccountId, u32> {
        counts.iter().map(|(n, count)| (account(*n), *count)).collect()
    }

    #[test]
    fn one_alone_may_have_all() {
        let mut shares = shares();
        let admitted = (0..150).filter(|_| shares.admit(&account(1), 100)).count();
        assert_eq!(admitted, 100);
    }

    #[test]
    fn one_that_holds_all_makes_way_for_another() {
        let mut shares = shares();
        for _ in 0..100 {
            shares.sample(&in_flight(&[(1, 100)]), SAMPLED);
        }
        let admitted = (0..100).filter(|_| shares.admit(&account(2), 100)).count();
        assert_eq!(admitted, 50);
        assert!(!shares.admit(&account(1), 100));
        // Its requests end; what it used is not forgotten at once, and is in the end.
        shares.sample(&in_flight(&[(2, 50)]), SAMPLED);
        assert!(!shares.admit(&account(1), 100), "it has used {}", shares.burden(&account(1)));
        for _ in 0..100 {
            shares.sample(&in_flight(&[(2, 50)]), SAMPLED);
        }
        assert!(shares.admit(&account(1), 100));
    }

    #[test]
    fn many_quick_requests_weigh_less_than_few_that_hang() {
        let mut shares = shares();
        // A hundred thousand of 1 ms in ten seconds are ten under way on average; so are ten that hang. Twenty are more.
        for _ in 0..100 {
            shares.sample(&in_flight(&[(1, 10), (2, 20)]), SAMPLED);
        }
        assert!(shares.burden(&account(1)) < shares.burden(&account(2)));
    }

    #[test]
    fn a_place_is_left_for_each_when_there_are_more_accounts_than_places() {
        let mut shares = shares();
        assert!((0..50).all(|n| shares.admit(&account(n), 10)));
        assert!((0..50).all(|n| !shares.admit(&account(n), 10)), "each has one");
        assert!(shares.admit(&account(50), 10));
    }

    proptest! {
        /// Whatever came before: who is under an equal share is admitted, who is not is not; and nobody ends with more
        /// than an equal share and one, however often it asks.
        #[test]
        fn nobody_gets_past_an_equal_share(
            before in proptest::collection::vec(proptest::collection::vec((0_usize..8, 0_u32..60), 0..8), 0..20),
            asking in proptest::collection::vec(0_usize..8, 1..400),
            places in 1_usize..100,
        ) {
            let mut shares = shares();
            let mut last = HashMap::new();
            for counts in before {
                last = in_flight(&counts);
                last.retain(|_, count| *count > 0);
                shares.sample(&last, SAMPLED);
            }
            for n in asking {
                let account = account(n);
                let burden = shares.burden(&account);
                let mut active: std::collections::HashSet<_> = last.keys().cloned().collect();
                active.insert(account.clone());
                let share = (places as f64 / active.len() as f64).max(1.0);
                let admitted = shares.admit(&account, places);
                prop_assert_eq!(admitted, burden < share);
                if admitted {
                    *last.entry(account.clone()).or_default() += 1;
                    prop_assert!(f64::from(last[&account]) < share + 1.0);
                }
            }
        }

        /// An average is never more than the most that was under way, and goes to what is.
        #[test]
        fn an_average_lies_among_what_was_under_way(counts in proptest::collection::vec(0_u32..100, 1..50)) {
            let mut shares = shares();
            for count in &counts {
                let sample = if *count == 0 { HashMap::new() } else { in_flight(&[(1, *count)]) };
                shares.sample(&sample, SAMPLED);
            }
            let most = counts.iter().copied().max().unwrap_or(0);
            prop_assert!(shares.burden(&account(1)) <= f64::from(most) + 1e-9);
            for _ in 0..1000 {
                shares.sample(&in_flight(&[(1, 7)]), SAMPLED);
            }
            prop_assert!((shares.burden(&account(1)) - 7.0).abs() < 0.1);
            for _ in 0..1000 {
                shares.sample(&HashMap::new(), SAMPLED);
            }
            prop_assert!(shares.is_empty(), "it is forgotten");
        }

        /// However many accounts come by, so many are remembered at most, and those that use most are among them.
        #[test]
        fn memory_is_bounded(samples in proptest::collection::vec(proptest::collection::vec((0_usize..10_000, 1_u32..50), 0..100), 1..20)) {
            let mut shares = Shares::new(Duration::from_secs(10), 30);
            for counts in samples {
                let mut sample = in_flight(&counts);
                sample.insert(account(10_001), 1000);
                shares.sample(&sample, SAMPLED);
                for (n, _) in &counts {
                    shares.admit(&account(n + 20_000), 1_000_000);
                }
                prop_assert!(shares.len() <= 30);
            }
            prop_assert!(shares.burden(&account(10_001)) >= 1000.0);
        }
    }
}
