//! Quarantine: a component that fails again and again is not called any more, until another version takes its place or
//! somebody lifts it.
//!
//! This is one node's view of one version. Its own count stops the calls here at once; what all nodes have counted is the
//! store's to know, and [`super::quarantining`] brings it here.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;

use super::ModuleError;
use crate::{message::UnixMs, settings::ModuleSettings};

/// What one version of a module or a transform has done wrong of late, and whether that was too much.
#[derive(Debug)]
pub struct Quarantine {
    count: u64,
    window_ms: u64,
    faults: Mutex<VecDeque<UnixMs>>,
    state: ArcSwapOption<State>,
}

#[derive(Debug)]
struct State {
    reason: Arc<String>,
    /// Whether the store says so too; what only this node has found out is not taken back because the store lacks it.
    is_kept: bool,
}

/// What came of charging a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It counts, and there may be more.
    Counted,
    /// It was one too many, for this reason: no more calls from now on.
    TooMany(Arc<String>),
    /// The version is in quarantine already; this call had begun before.
    Late,
}

/// Whether so many faults within the window are too many: the threshold itself is.
pub fn is_too_many(faults: u64, fault_count: u64) -> bool {
    faults >= fault_count
}

/// Why a version is in quarantine, for people.
pub fn reason(faults: u64, window_ms: u64, last_error: Option<&str>) -> String {
    let last = last_error.map(|error| format!(", last: {error}")).unwrap_or_default();
    format!("failed {faults} times within {window_ms} ms{last}")
}

impl Quarantine {
    /// One with nothing in it, by `modules.fault_count` and `modules.fault_window_ms`.
    pub fn new(settings: &ModuleSettings) -> Self {
        Self {
            count: settings.fault_count,
            window_ms: settings.fault_window_ms,
            faults: Mutex::default(),
            state: ArcSwapOption::empty(),
        }
    }

    /// One with nothing in it, by the same rule.
    pub fn anew(&self) -> Self {
        Self { count: self.count, window_ms: self.window_ms, faults: Mutex::default(), state: ArcSwapOption::empty() }
    }

    /// One that is in quarantine already for this reason, or has nothing in it, by the same rule.
    pub fn with(&self, reason: Option<Arc<String>>) -> Self {
        let state = reason.map(|reason| Arc::new(State { reason, is_kept: true }));
        Self { state: ArcSwapOption::new(state), ..self.anew() }
    }

    /// Why it is in quarantine, when it is.
    pub fn reason(&self) -> Option<Arc<String>> {
        self.state.load().as_ref().map(|state| Arc::clone(&state.reason))
    }

    /// Counts a fault.
    pub fn charge(&self, error: &ModuleError, now_ms: UnixMs) -> Charge {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.load().is_some() {
            return Charge::Late;
        }
        faults.push_back(now_ms);
        while faults.front().is_some_and(|at| at + self.window_ms <= now_ms) {
            faults.pop_front();
        }
        let count = faults.len() as u64;
        if !is_too_many(count, self.count) {
            return Charge::Counted;
        }
        let reason = Arc::new(reason(count, self.window_ms, Some(&error.to_string())));
        self.state.store(Some(Arc::new(State { reason: Arc::clone(&reason), is_kept: false })));
        Charge::TooMany(reason)
    }

    /// Obeys the store, where it is in quarantine. `true` when it was not yet here.
    pub fn put(&self, reason: Arc<String>) -> bool {
        self.state.swap(Some(Arc::new(State { reason, is_kept: true }))).is_none()
    }

    /// Obeys the store, where it is not in quarantine any more. `true` when it was here.
    pub fn obey_lifted(&self) -> bool {
        let was_kept = self.state.load().as_ref().is_some_and(|state| state.is_kept);
        if was_kept {
            self.lift();
        }
        was_kept
    }

    /// Begins anew, whatever the store says.
    pub fn lift(&self) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clear();
        self.state.store(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn quarantine() -> Quarantine {
        Quarantine::new(&ModuleSettings { fault_count: 3, fault_window_ms: 1000, ..Settings::default().modules })
    }

    fn charge(quarantine: &Quarantine, now_ms: UnixMs) -> Charge {
        quarantine.charge(&ModuleError::Fuel { limit: 9, whose: Default::default() }, now_ms)
    }

    fn is_one_too_many(charge: &Charge) -> bool {
        matches!(charge, Charge::TooMany(_))
    }

    #[test]
    fn so_many_faults_within_the_window_are_too_many() {
        let quarantine = quarantine();
        assert_eq!((charge(&quarantine, 1), charge(&quarantine, 1000)), (Charge::Counted, Charge::Counted));
        assert_eq!(quarantine.reason(), None);
        assert!(is_one_too_many(&charge(&quarantine, 1000)));
        let reason = quarantine.reason().expect("it is in quarantine");
        assert!(reason.starts_with("failed 3 times within 1000 ms, last: it burnt its 9 units"), "{reason}");
        assert_eq!(charge(&quarantine, 1001), Charge::Late, "it is in quarantine already");
    }

    #[test]
    fn faults_outside_the_window_are_forgotten() {
        let quarantine = quarantine();
        for now_ms in [0, 1, 1000] {
            assert_eq!(charge(&quarantine, now_ms), Charge::Counted);
        }
        assert!(is_one_too_many(&charge(&quarantine, 1000)));
    }

    #[test]
    fn the_threshold_itself_is_too_many() {
        assert_eq!([19, 20, 21].map(|faults| is_too_many(faults, 20)), [false, true, true]);
        assert!(is_too_many(1, 1) && !is_too_many(0, 1));
    }

    #[test]
    fn the_store_lifts_what_it_has_kept_and_nothing_else() {
        let quarantine = quarantine();
        assert!(!quarantine.obey_lifted(), "there is nothing to lift");
        (0..3).for_each(|_| drop(charge(&quarantine, 1)));
        assert!(!quarantine.obey_lifted() && quarantine.reason().is_some(), "the store has not heard of it yet");
        assert!(!quarantine.put(Arc::new("failed too often".into())), "it was in quarantine here");
        assert!(quarantine.obey_lifted() && quarantine.reason().is_none());
        assert_eq!(charge(&quarantine, 1), Charge::Counted, "and begins at none");
        assert!(quarantine.put(Arc::new("other nodes say so".into())), "now it is new here");
        quarantine.lift();
        assert_eq!(quarantine.reason(), None);
    }
}
