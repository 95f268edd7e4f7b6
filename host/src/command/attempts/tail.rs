//! `attempts tail`: looks again and again, and prints what it has not seen.
//!
//! An attempt is recorded when it has ended, and listed by when it began; so each look goes back [`LOOK_BACK_S`] before
//! the newest attempt that is known, and what was seen there is left out. All times are the host's: this computer's clock
//! may be another. Not guaranteed: an attempt that took longer than that is not printed.

use std::{collections::HashSet, time::Duration};

use reqwest::StatusCode;
use serde_json::Value;

use super::{Chosen, row};
use crate::command::{
    rest::{Host, Refusal},
    table::{Line, say},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Over the longest that an attempt can take (`firing.request_timeout_ms`), and be recorded.
const LOOK_BACK_S: u64 = 60;

/// Prints attempts that are recorded from now on, the oldest first, each once.
pub(super) async fn tail(host: &Host, chosen: &Chosen, count: Option<u64>) -> Result<(), Refusal> {
    let watching = async {
        let mut tail = Tail::start(host, chosen).await?;
        let mut left = count.unwrap_or(u64::MAX);
        while left > 0 {
            tokio::time::sleep(PAUSE).await;
            for attempt in tail.look().await? {
                if left > 0 {
                    print(host, &attempt);
                    left -= 1;
                }
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = watching => ended,
        // When it cannot be listened for, it ends the program as ever.
        Ok(()) = tokio::signal::ctrl_c() => Ok(()),
    }
}
