//! Turns: of which hooks how many stored firings are taken next. Values in, values out.
//!
//! Row by row, the account that uses least goes first (what it is given counts as used), and within an account its hooks
//! take turns, the longest due first. So neither a hook with a hundred thousand firings nor an account with a hundred
//! thousand hooks puts others off.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use crate::{
    message::AccountId,
    store::{Claim, DueHook},
};

/// A hook that has stored firings due, and room for some.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The hook.
    pub due: DueHook,
    /// How many could begin now; at least 1.
    pub room: u32,
}

/// Thousandths of a request, so that burdens can be compared and counted on.
const UNIT: u64 = 1000;

/// Who gets how many of `rows`. `burdens` has what accounts use, in requests; one that is not in it uses nothing.
pub fn divide(candidates: Vec<Candidate>, rows: u32, burdens: &HashMap<AccountId, f64>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::with_capacity(candidates.len());
    let mut rooms = Vec::with_capacity(candidates.len());
    let mut of_account: HashMap<AccountId, VecDeque<usize>> = HashMap::new();
    for Candidate { due, room } in candidates {
        of_account.entry(due.account.clone()).or_default().push_back(claims.len());
        claims.push(Claim { account: due.account, hook: due.hook, rows_max: 0 });
        rooms.push(room);
    }
    let mut accounts: BinaryHeap<Reverse<(u64, usize, AccountId)>> = of_account
        .iter()
        .filter_map(|(account, hooks)| {
            let burden = burdens.get(account).copied().unwrap_or(0.0);
            let burden = (burden * 1000.0) as u64;
            // Between equals, whose firing is longest due.
            hooks.front().map(|first| Reverse((burden, *first, account.clone())))
        })
        .collect();
    let mut left = rows;
    while left > 0
        && let Some(Reverse((burden, first, account))) = accounts.pop()
    {
        let Some(hooks) = of_account.get_mut(&account) else { continue };
        let Some(turn) = hooks.pop_front() else { continue };
        claims[turn].rows_max += 1;
        left -= 1;
        if claims[turn].rows_max < rooms[turn] {
            hooks.push_back(turn);
        }
        if !hooks.is_empty() {
            accounts.push(Reverse((burden.saturating_add(UNIT), first, account)));
        }
    }
    claims.retain(|claim| claim.rows_max > 0);
    claims
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(account: usize, hook: usize, room: u32) -> Candidate {
        let (account, hook) = (format!("a{account}").into(), format!("h{hook}").into());
        Candidate { due: DueHook { since_ms: 0, account, hook }, room }
    }

    fn rows(claims: &[Claim]) -> Vec<(&str, &str, u32)> {
        claims.iter().map(|claim| (claim.account.as_str(), claim.hook.as_str(), claim.rows_max)).collect()
    }

    #[test]
    fn accounts_share_before_hooks_do() {
        let candidates = vec![candidate(1, 1, 100), candidate(1, 2, 100), candidate(1, 3, 100), candidate(2, 4, 100)];
        let claims = divide(candidates, 12, &HashMap::new());
        assert_eq!(rows(&claims), [("a1", "h1", 2), ("a1", "h2", 2), ("a1", "h3", 2), ("a2", "h4", 6)]);
    }

    #[test]
    fn who_uses_least_goes_first() {
        let burdens = HashMap::from([("a1".into(), 10.0), ("a2".into(), 2.5)]);
        let both = || vec![candidate(1, 1, 100), candidate(2, 2, 100)];
        assert_eq!(rows(&divide(both(), 5, &burdens)), [("a2", "h2", 5)]);
        assert_eq!(rows(&divide(both(), 12, &burdens)), [("a1", "h1", 2), ("a2", "h2", 10)]);
    }

    #[test]
    fn between_equals_the_longest_due_goes_first() {
        let candidates = (0..9).map(|n| candidate(n, n, 1)).collect();
        assert_eq!(rows(&divide(candidates, 2, &HashMap::new())), [("a0", "h0", 1), ("a1", "h1", 1)]);
    }

    proptest! {
        /// No hook gets more than it has room for, all rows are given while anybody has room, and whoever could have had
        /// more has at least as much (with what it used before) as anybody else, but for one row.
        #[test]
        fn rows_are_divided_evenly(
            hooks in proptest::collection::vec((0_usize..6, 1_u32..40), 0..30),
            used in proptest::collection::vec(0_u32..30, 6),
            rows in 0_u32..300,
        ) {
            let candidates: Vec<_> = hooks.iter().enumerate().map(|(n, (account, room))| candidate(*account, n, *room)).collect();
            let burdens = used.iter().enumerate().map(|(n, used)| (AccountId::from(format!("a{n}")), f64::from(*used))).collect();
            let claims = divide(candidates, rows, &burdens);
            let given = |n: usize| claims.iter().find(|claim| claim.hook.as_str() == format!("h{n}")).map_or(0, |claim| claim.rows_max);
            let mut got = [0_u32; 6];
            let mut room = [0_u32; 6];
            for (n, (account, of_hook)) in hooks.iter().enumerate() {
                prop_assert!(given(n) <= *of_hook);
                got[*account] += given(n);
                room[*account] += of_hook;
            }
            prop_assert_eq!(got.iter().sum::<u32>(), rows.min(room.iter().sum()));
            for poor in (0..6).filter(|account| got[*account] < room[*account]) {
                for rich in (0..6).filter(|account| got[*account] > 0) {
                    prop_assert!(used[rich] + got[rich] <= used[poor] + got[poor] + 1);
                }
                // … and so it is among the hooks of one account.
                for (n, _) in hooks.iter().enumerate().filter(|(n, (account, room))| *account == poor && given(*n) < *room) {
                    for (other, _) in hooks.iter().enumerate().filter(|(_, (account, _))| *account == poor) {
                        prop_assert!(given(other) <= given(n) + 1);
                    }
                }
            }
        }
    }
}
