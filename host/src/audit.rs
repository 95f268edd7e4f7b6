//! Whether the list of undelivered is exact: for every firing of which the store knows anything there is a delivered
//! attempt, a waiting firing, or an entry in the list with its reason.
//!
//! An audit reads a store from end to end, in pages, and writes nothing; a host may be at work on it. What it holds in
//! memory is bounded: it walks over the attempts in the order of recording and remembers the firings that have failed and
//! of which it has met no success yet. When they are too many, it walks twice, over one half of the firings each time,
//! and so on.
//!
//! Outside of it are attempts that are older than what is kept (`attempts.keep_days`: the list forgets them too), those
//! from before the store was exact ([`EXACT_FROM`]), and tests, of which nothing follows. With
//! `webhooks.log_successful_attempts` off nothing tells a firing that arrived from one that vanished, and attempts are
//! counted only.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    message::{AccountId, HookId, UnixMs, WebhookId},
    settings::Settings,
    store::{
        SharedStore, StoreResult,
        audit::{AttemptOutline, CameTo, FiringOutline, HookStands},
    },
};

/// The kept value that says from when on the list is exact, ms since 1970. A host that starts writes it once: what an
/// older program has deleted with its hook, it deleted without a trace.
pub const EXACT_FROM: &str = "audit.exact_from_ms";

/// Rows of a page.
const PAGE_ROWS: u32 = 2000;
/// Firings that are asked about in one call.
const ASKED_AT_ONCE: usize = 500;
/// Firings that are remembered at once, some 300 bytes each.
const REMEMBERED_MAX: usize = 200_000;
/// Violations that are named; more are counted.
const NAMED_MAX: usize = 100;
const DAY_MS: u64 = 86_400_000;

/// What an audit holds the store to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts that began before this are outside.
    pub from_ms: UnixMs,
    /// What time it is.
    pub now_ms: UnixMs,
    /// The longest time that a firing waits until it may be claimed: a pause before a retry, or a lease.
    pub wait_ms_max: u64,
    /// Waiting for so long after it was free is late.
    pub late_after_ms: u64,
    /// Whether successes are recorded, so that firings without one can be told.
    pub successes_recorded: bool,
    /// Firings that are remembered at once.
    pub remembered_max: usize,
    /// Rows of a page.
    pub page_rows: u32,
}

/// What is wrong with one firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The firing.
    pub webhook_id: WebhookId,
    /// Whose hook.
    pub account: AccountId,
    /// Which hook.
    pub hook: HookId,
    /// What is wrong.
    pub kind: ViolationKind,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// An attempt failed, and the firing is nowhere: it was lost.
    Vanished {
        /// The attempt.
        attempt: String,
        /// Whether it was the last try.
        for_good: bool,
    },
    /// It waits for a time that no pause and no lease reaches.
    NeverFree {
        /// That time.
        free_ms: UnixMs,
    },
    /// It has long been free, hosts have worked since, and its hook is disabled or gone: it should be listed as
    /// undelivered.
    HookNotOn(HookStands),
    /// It is listed as undelivered, and nothing says why.
    NoReason,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Attempts that were delivered.
    pub delivered: u64,
    /// Attempts that a transform dropped.
    pub dropped: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that are outside.
    pub outside: u64,
    /// Firings that wait.
    pub waiting: u64,
    /// Of those, how many have been free for long: no host is at work, or it does not keep up.
    pub late: u64,
    /// Firings that ended undelivered, with their reasons.
    pub undelivered: u64,
    /// The first violations.
    pub violations: Vec<Violation>,
    /// How many there are.
    pub violation_count: u64,
}

/// Those firings whose id falls into one of `of` equal parts. An id is a digest, so parts are of about one size.
#[derive(Clone, Copy, Debug)]
struct Part {
    nth: u64,
    of: u64,
}

/// A firing that has failed and of which no success was met yet.
struct Open {
    attempt: String,
    account: AccountId,
    hook: HookId,
    for_good: bool,
}

/// More firings are open than may be remembered.
struct TooMany;

impl Bounds {
    /// Those of a store under these settings.
    pub async fn of(settings: &Settings, store: &SharedStore, now_ms: UnixMs) -> StoreResult<Self> {
        let firing = &settings.firing;
        let exact_from = store.kept_value(EXACT_FROM).await?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let kept_from = now_ms.saturating_sub(settings.attempts.keep_days.saturating_mul(DAY_MS));
        // A hook's own schedule may be longer than the system's: up to a day, and the jitter.
        let longest_pause_ms = (DAY_MS / 100).saturating_mul(100 + firing.retry_jitter_percent);
        let waits_ms = [longest_pause_ms, firing.retry_after_max_s.saturating_mul(1000), firing.lease_ms];
        Ok(Self {
            from_ms: exact_from.max(kept_from),
            now_ms,
            wait_ms_max: waits_ms.into_iter().fold(0, u64::max).saturating_add(firing.lease_ms),
            late_after_ms: firing.lease_ms.max(60_000),
            successes_recorded: settings.webhooks.log_successful_attempts,
            remembered_max: REMEMBERED_MAX,
            page_rows: PAGE_ROWS,
        })
    }
}

/// Reads the whole store.
pub async fn audit(store: &SharedStore, bounds: &Bounds) -> StoreResult<Report> {
    let mut audit = Audit { store, bounds, report: Report::default(), last_ms: 0 };
    let mut parts = vec![Part { nth: 0, of: 1 }];
    while let Some(part) = parts.pop() {
        if audit.attempts(part).await?.is_err() {
            let Part { nth, of } = part;
            parts.extend([Part { nth, of: of * 2 }, Part { nth: nth + of, of: of * 2 }]);
        }
    }
    audit.firings().await?;
    Ok(audit.report)
}

struct Audit<'a> {
    store: &'a SharedStore,
    bounds: &'a Bounds,
    report: Report,
    /// When the last attempt began: hosts worked until then.
    last_ms: UnixMs,
}

impl Audit<'_> {
    /// Walks over the attempts of a part of the firings.
    async fn attempts(&mut self, part: Part) -> StoreResult<Result<(), TooMany>> {
        let mut counted = Report::default();
        let mut open: HashMap<WebhookId, Open> = HashMap::new();
        let mut after = 0;
        loop {
            let page = self.store.attempt_outlines(after, self.bounds.page_rows).await?;
            let Some(last) = page.last() else { break };
            after = last.cursor;
            for attempt in page {
                if part.has(&attempt.webhook_id) {
                    self.last_ms = self.last_ms.max(attempt.at_ms);
                    self.look_at(attempt, &mut counted, &mut open);
                }
            }
            if open.len() > self.bounds.remembered_max {
                self.forget_stored(&mut open).await?;
                // Only when that made room is the next look worth what it costs.
                if open.len() > self.bounds.remembered_max / 2 {
                    return Ok(Err(TooMany));
                }
            }
        }
        self.judge(open).await?;
        let report = &mut self.report;
        report.delivered += counted.delivered;
        report.dropped += counted.dropped;
        report.failed += counted.failed;
        report.outside += counted.outside;
        Ok(Ok(()))
    }

    fn look_at(&self, attempt: AttemptOutline, counted: &mut Report, open: &mut HashMap<WebhookId, Open>) {
        match attempt.came_to {
            CameTo::Delivered => counted.delivered += 1,
            CameTo::Dropped => counted.dropped += 1,
            CameTo::FailedForNow | CameTo::FailedForGood => counted.failed += 1,
        }
        if attempt.at_ms < self.bounds.from_ms || attempt.webhook_id.is_test() || !self.bounds.successes_recorded {
            counted.outside += 1;
            return;
        }
        let for_good = match attempt.came_to {
            CameTo::Delivered | CameTo::Dropped => return drop(open.remove(&attempt.webhook_id)),
            CameTo::FailedForNow => false,
            CameTo::FailedForGood => true,
        };
        let AttemptOutline { id, webhook_id, account, hook, .. } = attempt;
        open.insert(webhook_id, Open { attempt: id, account, hook, for_good });
    }

    /// Forgets firings that are stored: they wait, or are listed.
    async fn forget_stored(&self, open: &mut HashMap<WebhookId, Open>) -> StoreResult<()> {
        let ids: Vec<WebhookId> = open.keys().cloned().collect();
        for ids in ids.chunks(ASKED_AT_ONCE) {
            for id in self.store.stored_firings(ids).await? {
                open.remove(&id);
            }
        }
        Ok(())
    }

    /// Of the firings that have failed and were not met again: those of which the store knows nothing.
    async fn judge(&mut self, mut open: HashMap<WebhookId, Open>) -> StoreResult<()> {
        // First whether they are stored, then whether they have arrived: a host at work changes both at once, and in this
        // order. An attempt that is gone by now has become too old.
        self.forget_stored(&mut open).await?;
        let mut by_hook: BTreeMap<HookId, Vec<WebhookId>> = BTreeMap::new();
        for (id, firing) in &open {
            by_hook.entry(firing.hook.clone()).or_default().push(id.clone());
        }
        for (hook, ids) in by_hook {
            for ids in ids.chunks(ASKED_AT_ONCE) {
                for id in self.store.ended_well(&hook, ids).await? {
                    open.remove(&id);
                }
            }
        }
        let mut there = HashSet::new();
        let attempts: Vec<String> = open.values().map(|firing| firing.attempt.clone()).collect();
        for ids in attempts.chunks(ASKED_AT_ONCE) {
            there.extend(self.store.recorded_attempts(ids).await?);
        }
        let mut vanished: Vec<_> = open.into_iter().filter(|(_, firing)| there.contains(&firing.attempt)).collect();
        vanished.sort_by(|(_, one), (_, other)| one.attempt.cmp(&other.attempt));
        for (webhook_id, Open { attempt, account, hook, for_good }) in vanished {
            let kind = ViolationKind::Vanished { attempt, for_good };
            self.violation(Violation { webhook_id, account, hook, kind });
        }
        Ok(())
    }

    /// Walks over the stored firings.
    async fn firings(&mut self) -> StoreResult<()> {
        let mut after = 0;
        loop {
            let page = self.store.firing_outlines(after, self.bounds.page_rows).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.cursor;
            for firing in page {
                self.look_at_firing(firing);
            }
        }
    }

    fn look_at_firing(&mut self, firing: FiringOutline) {
        let FiringOutline { id: webhook_id, account, hook, free_ms, reason, hook_stands, .. } = firing;
        let Bounds { now_ms, wait_ms_max, late_after_ms, .. } = *self.bounds;
        let kind = match free_ms {
            None => {
                self.report.undelivered += 1;
                reason.is_empty().then_some(ViolationKind::NoReason)
            }
            Some(free_ms) => {
                self.report.waiting += 1;
                let late_ms = free_ms.saturating_add(late_after_ms);
                self.report.late += u64::from(late_ms < now_ms);
                if free_ms > now_ms.saturating_add(wait_ms_max) {
                    Some(ViolationKind::NeverFree { free_ms })
                } else if matches!(hook_stands, HookStands::Off | HookStands::Gone) && late_ms < self.last_ms {
                    Some(ViolationKind::HookNotOn(hook_stands))
                } else {
                    None
                }
            }
        };
        if let Some(kind) = kind {
            self.violation(Violation { webhook_id, account, hook, kind });
        }
    }

    fn violation(&mut self, violation: Violation) {
        self.report.violation_count += 1;
        if self.report.violations.len() < NAMED_MAX {
            self.report.violations.push(violation);
        }
    }
}

impl Part {
    fn has(self, id: &WebhookId) -> bool {
        // What is no digest (made by hand, of a test) has a number too.
        let number = id.as_str().bytes().take(16).fold(0_u64, |number, byte| {
            let digit = (byte as char).to_digit(16).unwrap_or(u32::from(byte & 0xf));
            number << 4 | u64::from(digit)
        });
        number % self.of == self.nth
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
