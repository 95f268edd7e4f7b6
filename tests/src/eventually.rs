//! Waiting for a condition, with a deadline and the last state seen in the failure.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// How long [`eventually`] waits. Generous, because a passing test never waits it out.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// The pauses between looks grow from the first to the second of these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Looks until `look` answers `Ok`, and returns what it holds. `Err` carries the state seen, which the panic at the
/// deadline tells, together with `what` was waited for and where.
///
/// ```
/// # use hookbox_tests::eventually::eventually;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(async {
/// let mut looks = 0;
/// let seen = eventually("three looks", async || {
///     looks += 1;
///     if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
/// });
/// assert_eq!(seen.await, 3);
/// # });
/// ```
#[track_caller]
pub fn eventually<T, S: Debug>(what: &str, look: impl AsyncFnMut() -> Result<T, S>) -> impl Future<Output = T> {
    eventually_within(DEADLINE, what, look)
}

/// [`eventually`] with a deadline of the caller's own.
#[track_caller]
pub fn eventually_within<T, S: Debug>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    let started = Instant::now();
    let mut pause = PAUSES.0;
    async move {
        loop {
            let state = match look().await {
                Ok(value) => return value,
                Err(state) => state,
            };
            if started.elapsed() >= deadline {
                panic!("{caller}: waited {deadline:?} for {what}; last seen: {state:?}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "for the moon; last seen: \"clouds\"")]
    async fn tells_the_last_state_seen() {
        eventually_within(Duration::from_millis(5), "the moon", async || Err::<(), _>("clouds")).await;
    }
}
