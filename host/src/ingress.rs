//! Stage 1, ingress: messages from the broker ([`amqp`]) and over HTTP ([`crate::api`]), decoded alike ([`decode`]); and,
//! where there is no broker, the host's own ([`own_notices`]).
//!
//! Ingress knows no hooks and fires nothing. It hands a [`crate::message::Message`] to the pipeline and does to its
//! source what the pipeline's [`Settlement`] says.

pub mod amqp;
pub mod decode;
pub mod own_notices;

use std::{fmt, time::Duration};

/// What becomes of a message. Decided in `pipeline.rs` only, once for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// All that came of it has ended or is stored.
    Ack {
        /// Events that were made.
        events: usize,
        /// Firings that came of them.
        firings: usize,
    },
    /// It can never work.
    Discard(String),
    /// Our fault; try later.
    Requeue(String),
}

impl Settlement {
    /// The word in counters and answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ack { .. } => "ack",
            Self::Discard(_) => "discard",
            Self::Requeue(_) => "requeue",
        }
    }
}

impl fmt::Display for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ack { events, firings } => write!(f, "ack, {events} events, {firings} firings"),
            Self::Discard(reason) => write!(f, "discard: {reason}"),
            Self::Requeue(reason) => write!(f, "requeue: {reason}"),
        }
    }
}

/// How long the `nth` wait in a row (from 0) takes: doubled each time, up to a bound.
pub fn doubling_pause(nth: u64, first_ms: u64, most_ms: u64) -> Duration {
    let factor = 1_u64.checked_shl(u32::try_from(nth).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
    Duration::from_millis(first_ms.saturating_mul(factor.max(1)).min(most_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound() {
        let pauses: Vec<_> = [0, 1, 2, 3, 64, u64::MAX].map(|n| doubling_pause(n, 200, 1000).as_millis()).into();
        assert_eq!(pauses, [200, 400, 800, 1000, 1000, 1000]);
    }
}
