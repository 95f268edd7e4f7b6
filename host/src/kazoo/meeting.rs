//! Accounts that are just being met: known already, their hooks not yet.
//!
//! The account tree learns of an account before the hook table has its hooks. A message that came in between would find
//! nobody who wants it; so it waits until the meeting is over.

use std::{collections::HashMap, time::Duration};

use tokio::sync::watch;

use crate::message::AccountId;

/// The meetings under way.
#[derive(Debug, Default)]
pub struct Meetings {
    /// By account, how many.
    under_way: watch::Sender<HashMap<AccountId, usize>>,
}

/// A meeting, until it is dropped.
#[derive(Debug)]
pub struct Meeting<'a> {
    meetings: &'a Meetings,
    accounts: Vec<AccountId>,
}

impl Meetings {
    /// Begins one with these accounts.
    pub fn begin(&self, accounts: Vec<AccountId>) -> Meeting<'_> {
        self.under_way.send_modify(|under_way| {
            for account in &accounts {
                *under_way.entry(account.clone()).or_default() += 1;
            }
        });
        Meeting { meetings: self, accounts }
    }

    /// Whether the account is just being met.
    pub fn has(&self, account: &AccountId) -> bool {
        self.under_way.borrow().contains_key(account)
    }

    /// Waits until it is not, at most so long.
    pub async fn over(&self, account: &AccountId, at_most: Duration) {
        let mut under_way = self.under_way.subscribe();
        let over = under_way.wait_for(|under_way| !under_way.contains_key(account));
        let _ = tokio::time::timeout(at_most, over).await;
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        self.meetings.under_way.send_modify(|under_way| {
            for account in &self.accounts {
                if let Some(count) = under_way.get_mut(account) {
                    *count -= 1;
                    if *count == 0 {
                        under_way.remove(account);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_meeting_is_over_when_the_last_one_is() {
        let (meetings, account) = (Meetings::default(), AccountId::from("a1"));
        meetings.over(&account, Duration::from_secs(60)).await;
        let (one, other) = (meetings.begin(vec![account.clone()]), meetings.begin(vec![account.clone(), "a2".into()]));
        drop(one);
        assert!(meetings.has(&account));
        meetings.over(&account, Duration::from_millis(1)).await;
        drop(other);
        assert!(!meetings.has(&account) && !meetings.has(&"a2".into()));
        meetings.over(&account, Duration::from_secs(60)).await;
    }
}
