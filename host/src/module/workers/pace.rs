//! How long the calls of a module have taken of late.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The mean of recent calls; each counts an eighth of all before it. Two calls that end at the same moment may count as
/// one.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    /// Counts a call.
    pub fn note(&self, took_us: u64) {
        let took_ns = took_us.saturating_mul(1000);
        let before = self.0.load(Ordering::Relaxed);
        let mean_ns = if before == 0 { took_ns } else { before - before / 8 + took_ns / 8 };
        self.0.store(mean_ns, Ordering::Relaxed);
    }

    /// Zero when there was none yet.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_what_calls_take() {
        let pace = Pace::default();
        assert_eq!(pace.mean(), Duration::ZERO);
        pace.note(50_000);
        assert_eq!(pace.mean(), Duration::from_millis(50), "the first is all that is known");
        for _ in 0..60 {
            pace.note(1000);
        }
        let mean = pace.mean();
        assert!(mean > Duration::from_micros(990) && mean < Duration::from_micros(1100), "{mean:?}");
    }
}
