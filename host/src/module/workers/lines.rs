//! Who is called next: the lines in front of the workers. Plain rules: no thread, no clock.
//!
//! Calls wait in a line for each module, and the lines stand in groups: one for each account that calls are charged to, and
//! one for each of the operator's modules. The next call is that of the group that has used the least CPU time, and of
//! its line that has used the least. What a group has used beyond the others is its debt; it keeps it when it is idle for a
//! moment, and saves nothing up while it is.
//!
//! Long calls, whoever's, may together keep no more workers busy than one group may: the others are for short calls, which
//! would else wait for as long as a call may take, since none is interrupted.
//!
//! A call gets a place only when it can be expected to be made within its patience: the calls before it, times the mean
//! time of such calls, over the workers that may make them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::message::{AccountId, ModuleId};

/// Groups that are remembered while they are idle; over it, those without debts are forgotten first.
const GROUPS_KEPT: usize = 1024;
/// Lines of a group that are remembered while it is idle.
const LINES_KEPT: usize = 64;

/// A call that asks for a place.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is to be called.
    pub module: &'a ModuleId,
    /// Whom the call is charged to; `None`: the operator.
    pub account: Option<&'a AccountId>,
    /// How long its calls have taken of late; zero when nobody knows.
    pub mean: Duration,
    /// How long it may be expected to stand in line; `None`: as long as it takes.
    pub patience: Option<Duration>,
    /// Whether it is taken out of the line when its patience is over.
    pub leaves: bool,
    /// Calls of the module that may run at once.
    pub at_once_max: usize,
    /// Calls that are charged to the account and may run at once, when it may have less than others.
    pub account_at_once_max: usize,
}

/// Why there is no place for a call.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoPlace {
    /// The line is as long as it may be.
    #[error("as many of its calls wait as may (modules.queue_max)")]
    LineFull,
    /// It would stand in line for too long.
    #[error("its calls take so long that this one would wait {} ms (modules.wait_ms_max)", .0.as_millis())]
    TooLong(Duration),
}

/// The bounds of lines.
#[derive(Clone, Copy, Debug)]
pub struct LineBounds {
    /// Calls of one line that wait: `modules.queue_max`.
    pub waiting_max: usize,
    /// Workers that a group may keep busy: `modules.share_percent` of them.
    pub share: usize,
    /// Calls charged to one account that may run at once: `modules.instances_per_account_max`.
    pub account_at_once_max: usize,
    /// From this mean on the calls of a line are long: `modules.long_call_ms`.
    pub long: Duration,
}

/// All lines, of calls that are a `J` each.
pub struct Lines<J> {
    bounds: LineBounds,
    groups: Vec<Group<J>>,
    of_account: HashMap<AccountId, usize>,
    of_module: HashMap<ModuleId, usize>,
    /// Places in `groups` that are nobody's.
    unused: Vec<usize>,
    /// Groups with calls that wait or run.
    busy: Vec<usize>,
    /// Long calls that run.
    running_long: usize,
    /// Calls that run of each module, in whichever group.
    running: HashMap<ModuleId, Arc<AtomicUsize>>,
    /// What the group served last had used before: who comes back from idleness starts here.
    floor: Duration,
}

struct Group<J> {
    owner: Owner,
    at_once_max: usize,
    lines: Vec<Line<J>>,
    waiting: usize,
    /// What the calls that wait can be expected to take.
    ahead: Duration,
    running: usize,
    used: Duration,
}

#[derive(Clone)]
enum Owner {
    Account(AccountId),
    Module(ModuleId),
}

struct Line<J> {
    module: ModuleId,
    at_once_max: usize,
    is_long: bool,
    waiting: VecDeque<Waiting<J>>,
    ahead: Duration,
    /// Calls of this line that run…
    running: usize,
    /// … and of its module.
    running_of_module: Arc<AtomicUsize>,
    used: Duration,
}

struct Waiting<J> {
    job: J,
    expected: Duration,
    leaves: Option<Instant>,
}

/// A call that runs: to be shown when it has ended.
#[derive(Debug)]
pub struct Turn {
    group: usize,
    line: usize,
    is_long: bool,
}

impl<J> Lines<J> {
    /// Nobody waits.
    pub fn new(bounds: LineBounds) -> Self {
        Self {
            bounds,
            groups: Vec::new(),
            of_account: HashMap::new(),
            of_module: HashMap::new(),
            unused: Vec::new(),
            busy: Vec::new(),
            running_long: 0,
            running: HashMap::new(),
            floor: Duration::ZERO,
        }
    }

    /// Gives the call a place; tells whether it may run at once, as far as its own limits go.
    pub fn put(&mut self, asked: &Asked<'_>, job: J, now: Instant) -> Result<bool, NoPlace> {
        let at = self.group(asked);
        let line_at = self.line(at, asked);
        let (share, waiting_max) = (self.at_once_max(asked), self.bounds.waiting_max);
        // It may have changed since the last call.
        self.groups[at].at_once_max = share;
        let line = &mut self.groups[at].lines[line_at];
        line.at_once_max = share.min(asked.at_once_max).max(1);
        line.is_long = asked.mean >= self.bounds.long;
        if line.waiting.len() >= waiting_max {
            return Err(NoPlace::LineFull);
        }
        let predicted = self.predicted(at, line_at);
        if asked.patience.is_some_and(|patience| predicted > patience) {
            return Err(NoPlace::TooLong(predicted));
        }
        self.enter(at, line_at);
        let may_be_long = self.may_be_long();
        let group = &mut self.groups[at];
        let line = &mut group.lines[line_at];
        let leaves = asked.patience.filter(|_| asked.leaves).map(|patience| now + patience);
        line.waiting.push_back(Waiting { job, expected: asked.mean, leaves });
        line.ahead += asked.mean;
        group.ahead += asked.mean;
        group.waiting += 1;
        Ok(group.running < group.at_once_max && line.is_runnable(may_be_long))
    }

    /// The next call to be made.
    pub fn take(&mut self) -> Option<(J, Turn)> {
        let may_be_long = self.may_be_long();
        let next = self.busy.iter().copied().filter(|at| self.groups[*at].is_runnable(may_be_long));
        let at = next.min_by_key(|at| (self.groups[*at].used, self.groups[*at].running))?;
        let group = &mut self.groups[at];
        let runnable = group.lines.iter_mut().enumerate().filter(|(_, line)| line.is_runnable(may_be_long));
        let (line_at, line) = runnable.min_by_key(|(_, line)| (line.used, line.running))?;
        let waiting = line.waiting.pop_front()?;
        line.running += 1;
        line.running_of_module.fetch_add(1, Ordering::Relaxed);
        line.ahead = line.ahead.saturating_sub(waiting.expected);
        group.ahead = group.ahead.saturating_sub(waiting.expected);
        group.waiting -= 1;
        group.running += 1;
        self.running_long += usize::from(line.is_long);
        self.floor = self.floor.max(group.used);
        Some((waiting.job, Turn { group: at, line: line_at, is_long: line.is_long }))
    }

    /// The call has ended; it took so much CPU time.
    pub fn finish(&mut self, turn: &Turn, took: Duration) {
        let group = &mut self.groups[turn.group];
        let line = &mut group.lines[turn.line];
        line.running -= 1;
        line.running_of_module.fetch_sub(1, Ordering::Relaxed);
        self.running_long -= usize::from(turn.is_long);
        line.used += took;
        group.running -= 1;
        group.used += took;
        self.leave_if_idle(turn.group);
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.busy.iter().map(|at| self.groups[*at].waiting).sum()
    }

    /// Whether a worker would find something.
    pub fn has_runnable(&self) -> bool {
        self.busy.iter().any(|at| self.groups[*at].is_runnable(self.may_be_long()))
    }

    /// Whether one more long call may run.
    fn may_be_long(&self) -> bool {
        self.running_long < self.bounds.share.max(1)
    }

    /// Takes out the calls whose patience is over.
    pub fn take_out_late(&mut self, now: Instant) -> Vec<J> {
        let mut late = Vec::new();
        for at in self.busy.clone() {
            let group = &mut self.groups[at];
            for line in &mut group.lines {
                while let Some(waiting) =
                    line.waiting.pop_front_if(|waiting| waiting.leaves.is_some_and(|leaves| leaves <= now))
                {
                    line.ahead = line.ahead.saturating_sub(waiting.expected);
                    group.ahead = group.ahead.saturating_sub(waiting.expected);
                    group.waiting -= 1;
                    late.push(waiting.job);
                }
            }
            self.leave_if_idle(at);
        }
        late
    }

    /// How many such calls would find a place that is not further back than `wait`; one when nobody knows how long they
    /// take and none is in line.
    pub fn room(&self, asked: &Asked<'_>, wait: Duration) -> usize {
        let group = self.find(asked).map(|at| &self.groups[at]);
        let line = group.and_then(|group| group.lines.iter().find(|line| line.module == *asked.module));
        let (waiting, ahead) = line.map_or((0, Duration::ZERO), |line| (line.waiting.len(), line.ahead));
        let idle = usize::from(waiting == 0);
        if asked.mean.is_zero() {
            return idle;
        }
        let share = self.at_once_max(asked);
        let fit = |at_once: usize, ahead: Duration| {
            let time = wait.saturating_mul(u32::try_from(at_once).unwrap_or(u32::MAX)).saturating_sub(ahead);
            usize::try_from(time.as_nanos() / asked.mean.as_nanos()).unwrap_or(usize::MAX)
        };
        let of_line = fit(share.min(asked.at_once_max).max(1), ahead);
        let of_group = fit(share, group.map_or(Duration::ZERO, |group| group.ahead));
        of_line.min(of_group).min(self.bounds.waiting_max.saturating_sub(waiting)).max(idle)
    }

    /// How long a call at the end of this line can be expected to stand in it.
    fn predicted(&self, at: usize, line_at: usize) -> Duration {
        let over = |ahead: Duration, workers: usize| ahead / u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        let group = &self.groups[at];
        let line = &group.lines[line_at];
        over(line.ahead, line.at_once_max).max(over(group.ahead, group.at_once_max))
    }

    fn at_once_max(&self, asked: &Asked<'_>) -> usize {
        match asked.account {
            Some(_) => self.bounds.share.min(self.bounds.account_at_once_max).min(asked.account_at_once_max).max(1),
            None => self.bounds.share.max(1),
        }
    }

    fn find(&self, asked: &Asked<'_>) -> Option<usize> {
        match asked.account {
            Some(account) => self.of_account.get(account).copied(),
            None => self.of_module.get(asked.module).copied(),
        }
    }

    fn group(&mut self, asked: &Asked<'_>) -> usize {
        if let Some(at) = self.find(asked) {
            return at;
        }
        self.forget_some();
        let owner = match asked.account {
            Some(account) => Owner::Account(account.clone()),
            None => Owner::Module(asked.module.clone()),
        };
        let group = Group {
            owner: owner.clone(),
            at_once_max: self.at_once_max(asked),
            lines: Vec::new(),
            waiting: 0,
            ahead: Duration::ZERO,
            running: 0,
            used: self.floor,
        };
        let at = match self.unused.pop() {
            Some(at) => {
                self.groups[at] = group;
                at
            }
            None => {
                self.groups.push(group);
                self.groups.len() - 1
            }
        };
        match owner {
            Owner::Account(account) => self.of_account.insert(account, at),
            Owner::Module(module) => self.of_module.insert(module, at),
        };
        at
    }

    fn line(&mut self, at: usize, asked: &Asked<'_>) -> usize {
        let group = &mut self.groups[at];
        if let Some(line_at) = group.lines.iter().position(|line| line.module == *asked.module) {
            return line_at;
        }
        let running_of_module = Arc::clone(self.running.entry(asked.module.clone()).or_default());
        group.lines.push(Line {
            module: asked.module.clone(),
            at_once_max: 1,
            is_long: false,
            waiting: VecDeque::new(),
            ahead: Duration::ZERO,
            running: 0,
            running_of_module,
            used: Duration::ZERO,
        });
        group.lines.len() - 1
    }

    /// Who was idle does not get back the time that it did not use.
    fn enter(&mut self, at: usize, line_at: usize) {
        let group = &mut self.groups[at];
        if !group.lines[line_at].is_busy() {
            let least = group.lines.iter().filter(|line| line.is_busy()).map(|line| line.used).min();
            let line = &mut group.lines[line_at];
            line.used = line.used.max(least.unwrap_or_default());
        }
        if !group.is_busy() {
            group.used = group.used.max(self.floor);
            self.busy.push(at);
        }
    }

    fn leave_if_idle(&mut self, at: usize) {
        let group = &mut self.groups[at];
        if group.is_busy() {
            return;
        }
        group.ahead = Duration::ZERO;
        if group.lines.len() > LINES_KEPT {
            group.lines.clear();
            self.running.retain(|_, running| Arc::strong_count(running) > 1);
        }
        self.busy.retain(|busy| *busy != at);
    }

    /// Makes room among the idle groups when there are many: those that owe nothing go, or else all.
    fn forget_some(&mut self) {
        for with_debts in [false, true] {
            if self.of_account.len() + self.of_module.len() < GROUPS_KEPT {
                return;
            }
            for at in 0..self.groups.len() {
                let group = &mut self.groups[at];
                if group.is_busy() || (group.used > self.floor && !with_debts) {
                    continue;
                }
                let is_known = match &group.owner {
                    Owner::Account(account) => self.of_account.get(account) == Some(&at),
                    Owner::Module(module) => self.of_module.get(module) == Some(&at),
                };
                if is_known {
                    match &group.owner {
                        Owner::Account(account) => self.of_account.remove(account),
                        Owner::Module(module) => self.of_module.remove(module),
                    };
                    group.lines = Vec::new();
                    self.unused.push(at);
                }
            }
        }
        self.running.retain(|_, running| Arc::strong_count(running) > 1);
    }
}

impl<J> Group<J> {
    fn is_busy(&self) -> bool {
        self.waiting > 0 || self.running > 0
    }

    fn is_runnable(&self, may_be_long: bool) -> bool {
        let has_runnable = || self.lines.iter().any(|line| line.is_runnable(may_be_long));
        self.waiting > 0 && self.running < self.at_once_max && has_runnable()
    }
}

impl<J> Line<J> {
    fn is_busy(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }

    fn has_room(&self) -> bool {
        self.running_of_module.load(Ordering::Relaxed) < self.at_once_max
    }

    fn is_runnable(&self, may_be_long: bool) -> bool {
        !self.waiting.is_empty() && self.has_room() && (may_be_long || !self.is_long)
    }
}

#[cfg(test)]
mod tests;
