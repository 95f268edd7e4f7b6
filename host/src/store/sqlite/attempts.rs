//! Recorded attempts: listing them by account or hook, by time and by success; and removing old ones.
//!
//! They lie in the order in which they were recorded, and are listed in that order. A range of time is first made one
//! of that order: ids begin with the time at which an attempt began, and there is an index of them. Nothing that was
//! recorded before the last row of long before `from_ms`, or after the first row of long after `to_ms`, can be in the
//! range. "Long" is [`RECORDED_WITHIN_MS`]; a row that was recorded later than that after its begin (a process that
//! stood still for minutes, a clock that was set back) may be missed at the edge of a range.

use super::{PRUNED_AT_ONCE, SqliteStore};
use crate::{
    attempt::Attempt,
    message::{AccountId, HookId, UnixMs},
    store::{
        AttemptQuery, AttemptRow, StoreResult,
        columns::{each, failed, signed},
        listing::RECORDED_WITHIN_MS,
        rows::attempt,
    },
};

const READ: &str = "read attempts";
const PRUNE: &str = "prune attempts";

impl SqliteStore {
    pub(super) async fn list_attempts(&self, query: &AttemptQuery) -> StoreResult<Vec<AttemptRow>> {
        let (above, below) = self.bounds(query).await?;
        let owner = match &query.hook {
            Some(hook) => format!("h{hook}"),
            None => format!("a{}", query.account),
        };
        let rows = sqlx::query(
            "SELECT seq, id, document, payload FROM (
               SELECT * FROM (
                 SELECT seq, id, document, payload FROM attempts
                 WHERE seq > max(?4, (SELECT seq FROM attempts_indexed)) AND seq < ?5
                   AND account = ?1 AND (?2 IS NULL OR hook = ?2) AND at_ms BETWEEN ?6 AND ?7
                   AND (?8 IS NULL OR (json_extract(document, '$.result') = 'success') = ?8)
                 ORDER BY seq DESC LIMIT ?9)
               UNION ALL
               SELECT * FROM (
                 SELECT a.seq, a.id, a.document, a.payload
                 FROM attempt_index AS i CROSS JOIN attempts AS a ON a.seq = i.seq
                 WHERE i.owner = ?3 AND i.seq > ?4 AND i.seq < ?5 AND a.account = ?1 AND a.at_ms BETWEEN ?6 AND ?7
                   AND (?8 IS NULL OR (json_extract(a.document, '$.result') = 'success') = ?8)
                 ORDER BY i.seq DESC LIMIT ?9))
             ORDER BY seq DESC LIMIT ?9",
        )
        .bind(query.account.as_str())
        .bind(query.hook.as_ref().map(HookId::as_str))
        .bind(owner)
        .bind(above)
        .bind(below)
        .bind(signed(query.from_ms))
        .bind(signed(query.to_ms))
        .bind(query.success)
        .bind(query.limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        each(rows, attempt)
    }

    /// Between which two numbers all that is wanted was recorded, both left out.
    pub(super) async fn bounds(&self, query: &AttemptQuery) -> StoreResult<(i64, i64)> {
        let doing = failed(READ);
        let (mut above, mut below) = (0, query.after.unwrap_or(i64::MAX));
        if let Some(before_id) = Attempt::first_id(query.from_ms.saturating_sub(RECORDED_WITHIN_MS)) {
            let found = sqlx::query_scalar("SELECT seq FROM attempts WHERE id < ? ORDER BY id DESC LIMIT 1")
                .bind(before_id)
                .fetch_optional(&self.readers)
                .await
                .map_err(&doing)?;
            above = found.unwrap_or(above);
        }
        if let Some(from_id) = Attempt::first_id(query.to_ms.saturating_add(RECORDED_WITHIN_MS)) {
            let found: Option<i64> = sqlx::query_scalar("SELECT seq FROM attempts WHERE id >= ? ORDER BY id LIMIT 1")
                .bind(from_id)
                .fetch_optional(&self.readers)
                .await
                .map_err(&doing)?;
            below = below.min(found.unwrap_or(below));
        }
        Ok((above, below))
    }

    pub(super) async fn find_attempt(&self, account: &AccountId, id: &str) -> StoreResult<Option<AttemptRow>> {
        let row = sqlx::query("SELECT seq, id, document, payload FROM attempts WHERE id = ? AND account = ?")
            .bind(id)
            .bind(account.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(attempt).transpose()
    }

    pub(super) async fn remove_old_attempts(&self, before_ms: UnixMs) -> StoreResult<u64> {
        let doing = failed(PRUNE);
        let mut pruned = 0;
        loop {
            // Attempts lie in the order in which they were recorded, which is nearly that of time: when none of the
            // oldest is old enough, none is.
            let mut transaction = self.begin(PRUNE).await?;
            let old: Vec<(i64, String, String)> = sqlx::query_as(
                "SELECT seq, hook, account FROM (SELECT seq, hook, account, at_ms FROM attempts ORDER BY seq LIMIT ?)
                 WHERE at_ms < ?",
            )
            .bind(PRUNED_AT_ONCE)
            .bind(signed(before_ms))
            .fetch_all(&mut *transaction)
            .await
            .map_err(&doing)?;
            if old.is_empty() {
                return Ok(pruned);
            }
            for (seq, hook, account) in &old {
                sqlx::query("DELETE FROM attempt_index WHERE owner IN ('h' || ?1, 'a' || ?2) AND seq = ?3")
                    .bind(hook)
                    .bind(account)
                    .bind(seq)
                    .execute(&mut *transaction)
                    .await
                    .map_err(&doing)?;
                sqlx::query("DELETE FROM attempts WHERE seq = ?")
                    .bind(seq)
                    .execute(&mut *transaction)
                    .await
                    .map_err(&doing)?;
            }
            transaction.commit().await.map_err(&doing)?;
            pruned += old.len() as u64;
        }
    }
}
