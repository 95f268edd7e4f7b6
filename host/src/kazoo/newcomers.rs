//! The first messages of an account that is not known yet wait until it was asked for.
//!
//! An account's notice may come after its first events, or never have come. So a message whose account nobody knows
//! waits while CouchDB is asked for that account and its hooks, once for all who wait. Then it goes on, its account
//! known or not.
//!
//! Bounded on all sides: the time that a message waits, the messages that wait, and what is remembered of accounts that
//! are not there, so that made-up ids do not become a question each. Whatever is over a bound does not wait, and is
//! handled as a message of an unknown account always was.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::counter;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::reader::Reader;
use crate::{
    account::AccountTree,
    error_chain::chain,
    ingress::{decode::Decoder, doubling_pause},
    message::{AccountId, Message},
    settings::KazooSettings,
};

/// The pause before CouchDB is asked again when it did not answer, ms; doubled up to ten times as much.
const RETRY_PAUSE_MS: u64 = 100;

/// What is known of an account that is not known.
enum Asked {
    /// It is being asked for; `true` when that has ended.
    Now(watch::Receiver<bool>),
    /// It is not there; not asked for again until then.
    NotThere(Instant),
}

/// Where messages of unknown accounts wait.
pub struct Newcomers {
    reader: Arc<Reader>,
    accounts: Arc<AccountTree>,
    decoder: Decoder,
    wait: Duration,
    remember: Duration,
    remembered_max: usize,
    places: Semaphore,
    asked: Mutex<HashMap<AccountId, Asked>>,
}

impl Newcomers {
    /// Nobody waits yet.
    pub fn new(settings: &KazooSettings, reader: Arc<Reader>, accounts: Arc<AccountTree>, decoder: Decoder) -> Self {
        let places = usize::try_from(settings.unknown_accounts_waiting_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            reader,
            accounts,
            decoder,
            wait: Duration::from_millis(settings.unknown_account_wait_ms),
            remember: Duration::from_millis(settings.unknown_account_remembered_ms),
            remembered_max: usize::try_from(settings.unknown_accounts_remembered_max).unwrap_or(usize::MAX),
            places: Semaphore::new(places),
            asked: Mutex::default(),
        }
    }

    /// The message, after its account was asked for if nobody knew it.
    pub async fn introduce(self: &Arc<Self>, mut message: Message) -> Message {
        if let Some(known) = &message.account {
            self.wait_for_hooks(known).await;
            return message;
        }
        let Some(account) = self.decoder.stranger(&message.body) else { return message };
        match self.accounts.contains(&account) {
            true => self.wait_for_hooks(&account).await,
            false => self.wait_for(&account).await,
        }
        message.account = Some(account).filter(|account| self.accounts.contains(account));
        message
    }

    /// Waits while a known account's hooks are still being fetched, within the bounds.
    async fn wait_for_hooks(&self, account: &AccountId) {
        if self.reader.meetings.has(account)
            && let Some(_place) = self.place()
        {
            self.reader.meetings.over(account, self.wait).await;
        }
    }

    /// One of the places for messages that wait.
    fn place(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.places.try_acquire().ok();
        if place.is_none() {
            counter!("hookbox_newcomers_not_waited_for_total").increment(1);
        }
        place
    }

    /// Waits until the account was asked for, within the bounds.
    async fn wait_for(self: &Arc<Self>, account: &AccountId) {
        let Some(_place) = self.place() else { return };
        let Some(mut answer) = self.ask(account) else { return };
        let _ = tokio::time::timeout(self.wait, answer.wait_for(|answered| *answered)).await;
    }

    /// Has the account asked for, unless somebody does already; `None` when there is nothing to wait for.
    fn ask(self: &Arc<Self>, account: &AccountId) -> Option<watch::Receiver<bool>> {
        let mut asked = self.asked();
        match asked.get(account) {
            // A question whose task has died is asked anew.
            Some(Asked::Now(answer)) if answer.has_changed().is_ok() => return Some(answer.clone()),
            Some(Asked::NotThere(until)) if Instant::now() < *until => return None,
            _ => {}
        }
        if asked.len() >= self.remembered_max {
            let now = Instant::now();
            asked.retain(|_, asked| !matches!(asked, Asked::NotThere(until) if *until <= now));
            if asked.len() >= self.remembered_max {
                counter!("hookbox_newcomers_not_waited_for_total").increment(1);
                return None;
            }
        }
        let (answered, answer) = watch::channel(false);
        asked.insert(account.clone(), Asked::Now(answer.clone()));
        let (this, account) = (Arc::clone(self), account.clone());
        // A task of its own: others may wait longer than who asked first.
        tokio::spawn(async move {
            this.look_for(&account).await;
            answered.send_replace(true);
        });
        Some(answer)
    }

    /// Asks CouchDB until it answers, as long as anybody may wait; remembers that it is not there.
    async fn look_for(&self, account: &AccountId) {
        let deadline = Instant::now() + self.wait;
        let mut failures = 0;
        let is_not_there = loop {
            match self.reader.meet(account).await {
                Ok(true) => {
                    tracing::info!(%account, "an unknown account was asked for, and is known now");
                    break false;
                }
                Ok(false) => {
                    tracing::debug!(%account, "an unknown account was asked for, and is not there");
                    break true;
                }
                Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(doubling_pause(failures, RETRY_PAUSE_MS, 10 * RETRY_PAUSE_MS)).await;
                    failures += 1;
                }
                Err(error) => {
                    let reason = chain(&error);
                    tracing::warn!(%account, reason, "an unknown account cannot be asked for; its messages go on without");
                    break false;
                }
            }
        };
        let mut asked = self.asked();
        match is_not_there {
            true => asked.insert(account.clone(), Asked::NotThere(Instant::now() + self.remember)),
            false => asked.remove(account),
        };
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<AccountId, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
