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
    table::{print_row, say, text},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// As long as an attempt can take at most (`firing.request_timeout_ms_max`).
const LOOK_BACK_S: u64 = 120;

/// Prints attempts that are recorded from now on, the oldest first, each once: until Ctrl-C, or so many.
pub(super) async fn tail(host: &Host, chosen: &Chosen, count: Option<u64>) -> Result<(), Refusal> {
    let watching = async {
        let mut tail = Tail::start(host, chosen).await?;
        let mut left = count.unwrap_or(u64::MAX);
        while left > 0 {
            tokio::time::sleep(PAUSE).await;
            for attempt in tail.look().await?.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                match host.json {
                    // One a line: a list that has no end is no JSON.
                    true => say(&attempt.to_string()),
                    false => print_row(row(attempt)),
                }
                left -= 1;
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

/// What is known so far.
struct Tail<'h> {
    host: &'h Host,
    path: String,
    query: Vec<(&'static str, String)>,
    newest_s: Option<u64>,
    seen: HashSet<String>,
}

impl<'h> Tail<'h> {
    /// One that has seen what is recorded already.
    async fn start(host: &'h Host, chosen: &Chosen) -> Result<Self, Refusal> {
        let (path, query) = (chosen.path(host).await?, chosen.query());
        let newest = host.list(&path, &query, Some(1)).await?;
        let newest_s = newest.first().and_then(began_s);
        let mut tail = Self { host, path, query, newest_s, seen: HashSet::new() };
        if newest_s.is_some() {
            tail.look().await?;
        }
        Ok(tail)
    }

    /// What is new, the oldest first.
    async fn look(&mut self) -> Result<Vec<Value>, Refusal> {
        let mut query = self.query.clone();
        query.extend(self.newest_s.map(|s| ("created_from", s.saturating_sub(LOOK_BACK_S).to_string())));
        let mut listed = match self.host.list(&self.path, &query, None).await {
            // Nothing has come for longer than a list may reach back.
            Err(Refusal::Refused { status: StatusCode::BAD_REQUEST, .. }) if self.newest_s.is_some() => {
                self.host.list(&self.path, &self.query, None).await?
            }
            listed => listed?,
        };
        self.newest_s = self.newest_s.max(listed.iter().filter_map(began_s).max());
        let known = std::mem::replace(&mut self.seen, listed.iter().map(|attempt| text(&attempt["id"])).collect());
        listed.retain(|attempt| !known.contains(&text(&attempt["id"])));
        listed.reverse();
        Ok(listed)
    }
}

/// When an attempt began, in KAZOO's seconds.
fn began_s(attempt: &Value) -> Option<u64> {
    attempt["timestamp"].as_u64()
}
