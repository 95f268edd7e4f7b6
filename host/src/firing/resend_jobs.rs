//! Bulk resends: sends again, page by page, what an account's hooks were sent or should have been sent.
//!
//! The life of a job: a caller has it stored; one process claims it under a lease, which each page makes last anew, and
//! stores the firings of a page and how far it has come in one transaction, so that a killed process loses nothing and
//! repeats nothing. The firings then go the way of all that wait in the store. It ends when nothing is left, when it is
//! stopped, or with the reason why it cannot go on.
//!
//! Delivered firings come first, then undelivered ones, each from the newest back: what waits to be sent again is no longer
//! listed as undelivered, so a firing that is both is sent once. Jobs take turns, and all wait while more than
//! `firing.resend_waiting_max` firings wait in the store.
//!
//! Not guaranteed: that nothing is sent twice when a process stands still for longer than its lease and then goes on.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use ring::digest;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use super::{Firer, resend};
use crate::{
    error_chain::chain,
    message::{AccountId, Firing, Target, UnixMs, WebhookId},
    store::{AttemptQuery, JobState, ResendJob, ResendOutcome, SharedStore, StoreError, StoreResult, UndeliveredQuery},
};

/// Jobs that one process works on at once, in turns. More wait in the store.
const HELD_MAX: usize = 8;

/// Works on bulk resends.
pub struct ResendJobs {
    store: SharedStore,
    firer: Arc<Firer>,
    /// Rung when a job was made here.
    wake: Arc<Notify>,
    /// How often jobs of other nodes are looked for.
    poll_ms: u64,
    /// Outlives a fault of the part, so that a job does not wait for its lease to end.
    held: Mutex<VecDeque<Held>>,
}

/// A job that this process has claimed.
struct Held {
    account: AccountId,
    id: String,
    until_ms: UnixMs,
    sent: Sent,
}

/// The delivered firings that a job has seen, down to a place in the list of attempts. Not stored: whoever takes a job
/// over reads them again.
#[derive(Default)]
struct Sent {
    after: Option<i64>,
    ids: HashSet<ShortId>,
}

/// The first half of an id's SHA-256.
type ShortId = [u8; 16];

/// How far a job has come; stored as JSON in its `progress`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// In the list of successful attempts, after this row.
    Delivered(Option<i64>),
    /// In the list of undelivered firings, after this row.
    Undelivered(Option<(UnixMs, i64)>),
}

impl Progress {
    /// Of a stored job; an error for people when it cannot be read.
    pub fn of(job: &ResendJob) -> Result<Self, String> {
        match (job.progress.as_str(), job.outcome) {
            ("", ResendOutcome::Undelivered) => Ok(Self::Undelivered(None)),
            ("", ResendOutcome::Delivered | ResendOutcome::All) => Ok(Self::Delivered(None)),
            (text, _) => serde_json::from_str(text).map_err(|error| format!("its progress cannot be read: {error}")),
        }
    }

    /// Which list it is at: `delivered` or `undelivered`.
    pub fn list(&self) -> &'static str {
        match self {
            Self::Delivered(_) => "delivered",
            Self::Undelivered(_) => "undelivered",
        }
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a page comes to.
struct Page {
    firings: Vec<Firing>,
    /// The job after it.
    job: ResendJob,
    /// What the job has seen besides.
    seen: Vec<ShortId>,
    /// Down to here.
    after: Option<i64>,
}

/// What came of one turn.
enum Turn {
    Sent,
    /// There is no job.
    Idle,
    /// Too much waits already.
    Full,
}

impl ResendJobs {
    /// One that holds no job yet.
    pub fn new(store: SharedStore, firer: Arc<Firer>, wake: Arc<Notify>, poll_ms: u64) -> Self {
        Self { store, firer, wake, poll_ms, held: Mutex::default() }
    }

    /// Works for ever. When the store fails, it is asked again after `firing.claim_poll_ms`.
    pub async fn run(&self) -> Result<(), Infallible> {
        let settings = &self.firer.settings;
        let pause = Duration::from_millis(settings.claim_poll_ms.min(settings.resend_lease_ms / 3));
        loop {
            match self.turn().await {
                Ok(Turn::Sent) => {}
                Ok(Turn::Full) => tokio::time::sleep(pause).await,
                Ok(Turn::Idle) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(Duration::from_millis(self.poll_ms)) => {}
                },
                Err(error) => {
                    tracing::warn!(error = chain(&error), "bulk resends cannot go on; trying on");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// A page of the job whose turn it is.
    async fn turn(&self) -> StoreResult<Turn> {
        let mut held = self.held.lock().await;
        self.claim(&mut held).await?;
        if held.is_empty() {
            return Ok(Turn::Idle);
        }
        let waiting = self.store.firing_counts(None).await?.waiting;
        if waiting > self.firer.settings.resend_waiting_max {
            self.keep_leases(&mut held).await?;
            return Ok(Turn::Full);
        }
        if let Some(first) = held.front_mut() {
            match self.page(first).await {
                Ok(true) => held.rotate_left(1),
                Ok(false) => drop(held.pop_front()),
                Err(error) => {
                    held.rotate_left(1);
                    return Err(error);
                }
            }
        }
        Ok(Turn::Sent)
    }

    async fn claim(&self, held: &mut VecDeque<Held>) -> StoreResult<()> {
        while held.len() < HELD_MAX {
            let now_ms = self.firer.clock.now_ms();
            let until_ms = now_ms + self.firer.settings.resend_lease_ms;
            let Some(job) = self.store.claim_job(now_ms, until_ms).await? else { return Ok(()) };
            // One whose lease was missed here is begun anew.
            held.retain(|other| other.id != job.id);
            tracing::info!(job = job.id, account = %job.account, "bulk resend taken");
            held.push_back(Held { account: job.account, id: job.id, until_ms, sent: Sent::default() });
        }
        Ok(())
    }

    /// Makes the leases last while the jobs wait, and lets go of what was stopped.
    async fn keep_leases(&self, held: &mut VecDeque<Held>) -> StoreResult<()> {
        for _ in 0..held.len() {
            let Some(first) = held.front_mut() else { break };
            let kept = match self.running(first).await? {
                Some(job) => self.write(first, &[], &job).await?,
                None => false,
            };
            if kept { held.rotate_left(1) } else { drop(held.pop_front()) }
        }
        Ok(())
    }

    /// The job as it is stored, while it is running and ours.
    async fn running(&self, held: &Held) -> StoreResult<Option<ResendJob>> {
        if self.firer.clock.now_ms() >= held.until_ms {
            return Ok(None);
        }
        let job = self.store.job(&held.account, &held.id).await?;
        Ok(job.filter(|job| job.state == JobState::Running))
    }

    /// Writes firings and the job in one; `false` when it was not running any more.
    async fn write(&self, held: &mut Held, firings: &[Firing], job: &ResendJob) -> StoreResult<bool> {
        let now_ms = self.firer.clock.now_ms();
        let written = self.store.send_again(firings, Some(job), now_ms).await?;
        if written {
            held.until_ms = now_ms + self.firer.settings.resend_lease_ms;
        }
        Ok(written)
    }

    /// Sends the next page of a job. Whether it goes on.
    async fn page(&self, held: &mut Held) -> StoreResult<bool> {
        let Some(job) = self.running(held).await? else { return Ok(false) };
        let page = match self.next_page(held, job.clone()).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(false),
            // It would be met again and again.
            Err(error @ StoreError::Unreadable { .. }) => failed(job, error.to_string()),
            Err(error) => return Err(error),
        };
        if !self.write(held, &page.firings, &page.job).await? {
            return Ok(false);
        }
        held.sent.ids.extend(page.seen);
        held.sent.after = page.after;
        if !page.firings.is_empty() {
            self.firer.stored.notify_one();
        }
        let ResendJob { id, account, state, resent, skipped, reason, .. } = &page.job;
        if *state != JobState::Running {
            tracing::info!(job = id, %account, ?state, resent, skipped, reason, "bulk resend ended");
        }
        Ok(*state == JobState::Running)
    }

    async fn next_page(&self, held: &mut Held, job: ResendJob) -> StoreResult<Option<Page>> {
        match Progress::of(&job) {
            Ok(Progress::Delivered(after)) => {
                if held.sent.after != after && !self.read_again(held, &job, after).await? {
                    return Ok(None);
                }
                self.delivered_page(&held.sent, job, after).await.map(Some)
            }
            Ok(Progress::Undelivered(after)) => self.undelivered_page(job, after).await.map(Some),
            Err(reason) => Ok(Some(failed(job, reason))),
        }
    }

    async fn undelivered_page(&self, mut job: ResendJob, after: Option<(UnixMs, i64)>) -> StoreResult<Page> {
        let limit = self.page_rows();
        let (account, hook) = (job.account.clone(), job.hook.clone());
        let query = UndeliveredQuery { account, hook, from_ms: job.from_ms, to_ms: job.to_ms, after, limit };
        let rows = self.store.undelivered(&query).await?;
        let after = rows.last().map(|row| row.cursor).or(after);
        let is_last = rows.len() < limit as usize;
        let mut firings = Vec::with_capacity(rows.len());
        for row in rows {
            if self.may_fire(&row.firing) { firings.push(row.firing) } else { job.skipped += 1 }
        }
        let next = (!is_last).then_some(Progress::Undelivered(after));
        Ok(page(job, firings, next, Vec::new(), None))
    }

    async fn delivered_page(&self, sent: &Sent, mut job: ResendJob, after: Option<i64>) -> StoreResult<Page> {
        let limit = self.page_rows();
        let rows = self.store.attempts(&successes(&job, after, limit)).await?;
        let after = rows.last().map(|row| row.cursor).or(after);
        let is_last = rows.len() < limit as usize;
        let (mut firings, mut seen) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        let mut skipped = 0;
        for row in &rows {
            let Some(id) = resend::webhook_id(row).filter(|id| !id.is_test()) else { continue };
            let short = short(&id);
            if sent.ids.contains(&short) || seen.contains(&short) {
                continue;
            }
            seen.push(short);
            match resend::firing_of(row).filter(|firing| self.may_fire(firing)) {
                Some(firing) => firings.push(firing),
                None => skipped += 1,
            }
        }
        let most = self.firer.settings.resend_delivered_max;
        if (sent.ids.len() + seen.len()) as u64 > most {
            let reason = format!("over {most} delivered firings (firing.resend_delivered_max); ask for a shorter time");
            return Ok(failed(job, reason));
        }
        job.skipped += skipped;
        let next = match is_last {
            false => Some(Progress::Delivered(after)),
            true if job.outcome == ResendOutcome::All => Some(Progress::Undelivered(None)),
            true => None,
        };
        Ok(page(job, firings, next, seen, after))
    }

    /// Reads what the job has seen before `after`, because this process has not. `false` when the job was stopped meanwhile.
    async fn read_again(&self, held: &mut Held, job: &ResendJob, after: Option<i64>) -> StoreResult<bool> {
        let Some(last) = after else {
            held.sent = Sent::default();
            return Ok(true);
        };
        let (mut ids, mut cursor) = (HashSet::new(), None);
        let limit = self.page_rows();
        loop {
            let rows = self.store.attempts(&successes(job, cursor, limit)).await?;
            let before = rows.iter().filter(|row| row.cursor >= last);
            ids.extend(before.filter_map(resend::webhook_id).map(|id| short(&id)));
            cursor = rows.last().map(|row| row.cursor);
            if cursor.is_none_or(|cursor| cursor <= last) {
                break;
            }
            if !self.write(held, &[], job).await? {
                return Ok(false);
            }
        }
        held.sent = Sent { after, ids };
        Ok(true)
    }

    /// Whether the hook is there and enabled, as far as this node knows.
    fn may_fire(&self, firing: &Firing) -> bool {
        match &firing.target {
            Target::Stored(account, hook) => self.firer.hooks.get(account, hook).is_some_and(|hook| hook.enabled),
            Target::Inline(_) => true,
        }
    }

    fn page_rows(&self) -> u32 {
        u32::try_from(self.firer.settings.resend_page_rows).unwrap_or(u32::MAX)
    }
}

/// A page and the job after it: done when there is nothing next.
fn page(
    mut job: ResendJob,
    firings: Vec<Firing>,
    next: Option<Progress>,
    seen: Vec<ShortId>,
    after: Option<i64>,
) -> Page {
    job.resent += firings.len() as u64;
    match next {
        Some(progress) => job.progress = progress.to_text(),
        None => job.state = JobState::Done,
    }
    Page { firings, job, seen, after }
}

/// The job can never go on.
fn failed(mut job: ResendJob, reason: String) -> Page {
    job.state = JobState::Failed;
    job.reason = Some(reason);
    Page { firings: Vec::new(), job, seen: Vec::new(), after: None }
}

fn successes(job: &ResendJob, after: Option<i64>, limit: u32) -> AttemptQuery {
    let (account, hook) = (job.account.clone(), job.hook.clone());
    AttemptQuery { account, hook, from_ms: job.from_ms, to_ms: job.to_ms, success: Some(true), after, limit }
}

fn short(id: &WebhookId) -> ShortId {
    let whole = digest::digest(&digest::SHA256, id.as_str().as_bytes());
    let mut short = ShortId::default();
    short.copy_from_slice(&whole.as_ref()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(outcome: ResendOutcome, progress: &str) -> ResendJob {
        ResendJob {
            id: "j1".into(),
            account: "a1".into(),
            hook: None,
            from_ms: 0,
            to_ms: 1,
            outcome,
            state: JobState::Running,
            progress: progress.into(),
            resent: 0,
            skipped: 0,
            reason: None,
            created_ms: 0,
            updated_ms: 0,
        }
    }

    #[test]
    fn a_job_begins_with_what_was_delivered_when_that_is_wanted() {
        use ResendOutcome::{All, Delivered, Undelivered};
        for (outcome, list) in [(Undelivered, "undelivered"), (Delivered, "delivered"), (All, "delivered")] {
            assert_eq!(Progress::of(&job(outcome, "")).map(|progress| progress.list()), Ok(list));
        }
    }

    #[test]
    fn progress_is_read_back_as_it_was_written() {
        for progress in [Progress::Delivered(Some(7)), Progress::Undelivered(Some((5, 7))), Progress::Undelivered(None)]
        {
            assert_eq!(Progress::of(&job(ResendOutcome::All, &progress.to_text())), Ok(progress));
        }
        assert!(Progress::of(&job(ResendOutcome::All, "odd")).is_err());
    }
}
