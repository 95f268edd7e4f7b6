//! The time, as a value that is passed in: from the system, or set by hand in tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::message::UnixMs;

/// Tells what time it is.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Stands still until a test moves it.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `at_ms`.
    pub fn manual(at_ms: UnixMs) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(at_ms)))
    }

    /// Milliseconds since 1970, UTC.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now_ms(&self) -> UnixMs {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            Self::Manual(at) => at.load(Ordering::Relaxed),
        }
    }

    /// The same, as the system writes it, and finer where it is the system's clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Manual(at) => UNIX_EPOCH + Duration::from_millis(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock; the system's cannot be moved.
    pub fn advance(&self, by_ms: u64) {
        if let Self::Manual(at) = self {
            at.fetch_add(by_ms, Ordering::Relaxed);
        }
    }
}

/// Seconds between KAZOO's epoch (year 0) and 1970.
pub const GREGORIAN_OFFSET_S: u64 = 62_167_219_200;

/// A time as KAZOO writes it: seconds since year 0.
pub fn gregorian_s(at_ms: UnixMs) -> u64 {
    at_ms / 1000 + GREGORIAN_OFFSET_S
}

/// A time as KAZOO writes it, in ours; 1970 for what was before.
pub fn unix_ms(gregorian_s: u64) -> UnixMs {
    gregorian_s.saturating_sub(GREGORIAN_OFFSET_S).saturating_mul(1000)
}
