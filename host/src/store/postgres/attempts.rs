//! Recorded attempts: listing them by account or hook, by time and by success; and removing old ones.
//!
//! They are listed in the order in which they were recorded (`seq`). A range of time is first made one of days, which
//! leaves the tables of other days out of it, and then one of that order: ids begin with the time at which an attempt
//! began, and there is an index of them. "Long" before and after is [`RECORDED_WITHIN_MS`].
//!
//! Numbers of two groups that are recorded at once may become visible out of order. A listing goes from the newest to the
//! older ones, so one that was being recorded when a page was read is missing from that listing at worst, as those are
//! that came after its first page; the next listing has it.

use super::{PostgresStore, days::day, text::text};
use crate::{
    attempt::Attempt,
    message::{AccountId, UnixMs},
    store::{
        AttemptQuery, AttemptRow, StoreResult,
        columns::{each, failed, signed},
        listing::RECORDED_WITHIN_MS,
        rows::attempt,
    },
};

const READ: &str = "read attempts";

impl PostgresStore {
    pub(super) async fn list_attempts(&self, query: &AttemptQuery) -> StoreResult<Vec<AttemptRow>> {
        let (above, below) = self.bounds(query).await?;
        // Each in the order of an index.
        let listing = match query.hook {
            Some(_) => {
                "SELECT seq, id, document, payload FROM attempts
                 WHERE hook = $2 AND account = $1 AND seq > $3 AND seq < $4 AND day BETWEEN $5 AND $6
                   AND at_ms BETWEEN $7 AND $8 AND ($9::bool IS NULL OR success = $9)
                 ORDER BY seq DESC LIMIT $10"
            }
            None => {
                "SELECT seq, id, document, payload FROM attempts
                 WHERE account = $1 AND $2::text IS NULL AND seq > $3 AND seq < $4 AND day BETWEEN $5 AND $6
                   AND at_ms BETWEEN $7 AND $8 AND ($9::bool IS NULL OR success = $9)
                 ORDER BY seq DESC LIMIT $10"
            }
        };
        let rows = sqlx::query(listing)
            .bind(text(query.account.as_str()))
            .bind(query.hook.as_ref().map(|hook| text(hook.as_str())))
            .bind(above)
            .bind(below)
            .bind(day(query.from_ms))
            .bind(day(query.to_ms))
            .bind(signed(query.from_ms))
            .bind(signed(query.to_ms))
            .bind(query.success)
            .bind(i64::from(query.limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        each(rows, attempt)
    }

    /// Between which two numbers all that is wanted was recorded, both left out.
    pub(super) async fn bounds(&self, query: &AttemptQuery) -> StoreResult<(i64, i64)> {
        let doing = failed(READ);
        let (mut above, mut below) = (0, query.after.unwrap_or(i64::MAX));
        let before_ms = query.from_ms.saturating_sub(RECORDED_WITHIN_MS);
        if query.from_ms > 0
            && let Some(before_id) = Attempt::first_id(before_ms)
        {
            let found =
                sqlx::query_scalar("SELECT seq FROM attempts WHERE id < $1 AND day <= $2 ORDER BY id DESC LIMIT 1")
                    .bind(before_id)
                    .bind(day(before_ms))
                    .fetch_optional(&self.pool)
                    .await
                    .map_err(&doing)?;
            above = found.unwrap_or(above);
        }
        let after_ms = query.to_ms.saturating_add(RECORDED_WITHIN_MS);
        if let Some(from_id) = Attempt::first_id(after_ms) {
            let found: Option<i64> =
                sqlx::query_scalar("SELECT seq FROM attempts WHERE id >= $1 AND day >= $2 ORDER BY id LIMIT 1")
                    .bind(from_id)
                    .bind(day(after_ms))
                    .fetch_optional(&self.pool)
                    .await
                    .map_err(&doing)?;
            below = below.min(found.unwrap_or(below));
        }
        Ok((above, below))
    }

    pub(super) async fn find_attempt(&self, account: &AccountId, id: &str) -> StoreResult<Option<AttemptRow>> {
        let row = sqlx::query("SELECT seq, id, document, payload FROM attempts WHERE id = $1 AND account = $2")
            .bind(text(id))
            .bind(text(account.as_str()))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(attempt).transpose()
    }

    pub(super) async fn remove_old_attempts(&self, before_ms: UnixMs) -> StoreResult<u64> {
        self.drop_days(before_ms).await
    }
}
