//! Quarantine: a component that fails again and again is not called any more, until another version takes its place.

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
    count: usize,
    window_ms: u64,
    faults: Mutex<VecDeque<UnixMs>>,
    reason: ArcSwapOption<String>,
}

impl Quarantine {
    /// One with nothing in it, by `modules.fault_count` and `modules.fault_window_ms`.
    pub fn new(settings: &ModuleSettings) -> Self {
        Self {
            count: usize::try_from(settings.fault_count).unwrap_or(usize::MAX),
            window_ms: settings.fault_window_ms,
            faults: Mutex::default(),
            reason: ArcSwapOption::empty(),
        }
    }

    /// One with nothing in it, by the same rule.
    pub fn anew(&self) -> Self {
        Self { count: self.count, window_ms: self.window_ms, faults: Mutex::default(), reason: ArcSwapOption::empty() }
    }

    /// One that is in quarantine already for this reason, or has nothing in it, by the same rule.
    pub fn with(&self, reason: Option<Arc<String>>) -> Self {
        Self { reason: ArcSwapOption::new(reason), ..self.anew() }
    }

    /// Why it is in quarantine, when it is.
    pub fn reason(&self) -> Option<Arc<String>> {
        self.reason.load_full()
    }

    /// Counts a fault; `true` when this one was one too many.
    pub fn charge(&self, error: &ModuleError, now_ms: UnixMs) -> bool {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push_back(now_ms);
        while faults.front().is_some_and(|at| at + self.window_ms <= now_ms) {
            faults.pop_front();
        }
        if faults.len() < self.count || self.reason.load().is_some() {
            return false;
        }
        let reason = format!("failed {} times within {} ms, last: {error}", faults.len(), self.window_ms);
        self.reason.store(Some(Arc::new(reason)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn quarantine() -> Quarantine {
        Quarantine::new(&ModuleSettings { fault_count: 3, fault_window_ms: 1000, ..Settings::default().modules })
    }

    fn charge(quarantine: &Quarantine, now_ms: UnixMs) -> bool {
        quarantine.charge(&ModuleError::Fuel { limit: 9 }, now_ms)
    }

    #[test]
    fn so_many_faults_within_the_window_are_too_many() {
        let quarantine = quarantine();
        assert!(!charge(&quarantine, 1) && !charge(&quarantine, 1000));
        assert_eq!(quarantine.reason(), None);
        assert!(charge(&quarantine, 1000));
        let reason = quarantine.reason().expect("it is in quarantine");
        assert!(reason.starts_with("failed 3 times within 1000 ms, last: it burnt its 9 units"), "{reason}");
        assert!(!charge(&quarantine, 1001), "it is in quarantine already");
    }

    #[test]
    fn faults_outside_the_window_are_forgotten() {
        let quarantine = quarantine();
        assert!(!charge(&quarantine, 0) && !charge(&quarantine, 1) && !charge(&quarantine, 1000));
        assert!(charge(&quarantine, 1000));
    }
}
