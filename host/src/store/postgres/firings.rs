//! Stored firings: counting, listing, sending again.

use sqlx::{Row, postgres::PgRow};

use super::{PRUNED_AT_ONCE, PostgresStore, text::text};
use crate::{
    message::{Firing, HookId, UnixMs, WebhookId},
    store::{
        FiringCounts, Hint, ResendJob, StoreError, StoreResult, UndeliveredQuery, UndeliveredRow,
        columns::{failed, inline, json, signed, unsigned},
        rows::undelivered,
    },
};

const READ: &str = "read firings";
const AGAIN: &str = "send firings again";

impl PostgresStore {
    pub(super) async fn count_firings(&self, hook: Option<&HookId>) -> StoreResult<FiringCounts> {
        let query = match hook {
            Some(hook) => sqlx::query_as("SELECT state, count(*) FROM firings WHERE hook = $1 GROUP BY state")
                .bind(text(hook.as_str()).into_owned()),
            None => sqlx::query_as("SELECT state, count(*) FROM firings GROUP BY state"),
        };
        let rows: Vec<(i16, i64)> = query.fetch_all(&self.pool).await.map_err(failed("count firings"))?;
        let of = |state| rows.iter().find(|(found, _)| *found == state).map_or(0, |(_, count)| unsigned(*count));
        Ok(FiringCounts { waiting: of(0), undelivered: of(1) })
    }

    pub(super) async fn list_undelivered(&self, query: &UndeliveredQuery) -> StoreResult<Vec<UndeliveredRow>> {
        let doing = failed(READ);
        let limit = query.limit as usize;
        let mut after = query.after.map_or((i64::MAX, i64::MAX), |(ended_ms, seq)| (signed(ended_ms), seq));
        let mut listed = Vec::new();
        while listed.len() < limit {
            let rows = self.undelivered_page(query, after).await?;
            for row in rows.iter().take(limit - listed.len()) {
                match undelivered(row) {
                    Ok(row) => listed.push(row),
                    // One that cannot be read must not hide those after it.
                    Err(error @ StoreError::Unreadable { .. }) => tracing::warn!(%error, "it is left out of the list"),
                    Err(error) => return Err(error),
                }
            }
            match rows.last() {
                Some(last) if rows.len() == limit => {
                    after = (last.try_get("due_ms").map_err(&doing)?, last.try_get("seq").map_err(&doing)?);
                }
                _ => break,
            }
        }
        Ok(listed)
    }

    /// The next rows after a place, whatever is in them.
    async fn undelivered_page(&self, query: &UndeliveredQuery, after: (i64, i64)) -> StoreResult<Vec<PgRow>> {
        // Each in the order of an index.
        let listing = match query.hook {
            Some(_) => {
                "SELECT seq, id, account, hook, due_ms, lease, tries, created_ms, reason, inline, event FROM firings
                 WHERE hook = $2 AND account = $1 AND state = 1 AND due_ms BETWEEN $3 AND $4
                   AND (due_ms, seq) < ($5, $6) ORDER BY due_ms DESC, seq DESC LIMIT $7"
            }
            None => {
                "SELECT seq, id, account, hook, due_ms, lease, tries, created_ms, reason, inline, event FROM firings
                 WHERE account = $1 AND $2::text IS NULL AND state = 1 AND due_ms BETWEEN $3 AND $4
                   AND (due_ms, seq) < ($5, $6) ORDER BY due_ms DESC, seq DESC LIMIT $7"
            }
        };
        sqlx::query(listing)
            .bind(text(query.account.as_str()))
            .bind(query.hook.as_ref().map(|hook| text(hook.as_str())))
            .bind(signed(query.from_ms))
            .bind(signed(query.to_ms))
            .bind(after.0)
            .bind(after.1)
            .bind(i64::from(query.limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))
    }

    pub(super) async fn requeue_undelivered(
        &self,
        hook: &HookId,
        id: Option<&WebhookId>,
        now_ms: UnixMs,
    ) -> StoreResult<u64> {
        let done = sqlx::query(
            "UPDATE firings SET state = 0, due_ms = $1, free_ms = $1, tries = 0, lease = NULL, reason = NULL
             WHERE hook = $2 AND state = 1 AND ($3::text IS NULL OR id = $3)",
        )
        .bind(signed(now_ms))
        .bind(text(hook.as_str()))
        .bind(id.map(|id| text(id.as_str())))
        .execute(&self.pool)
        .await
        .map_err(failed(AGAIN))?;
        self.hints.tell(Hint::Firings);
        Ok(done.rows_affected())
    }

    pub(super) async fn store_again(
        &self,
        firings: &[Firing],
        job: Option<&ResendJob>,
        now_ms: UnixMs,
    ) -> StoreResult<bool> {
        let mut transaction = self.begin(AGAIN).await?;
        if let Some(job) = job
            && !Self::advance_job(&mut transaction, job, now_ms).await?
        {
            return Ok(false);
        }
        for firing in firings {
            sqlx::query(
                "INSERT INTO firings (id, account, hook, state, due_ms, free_ms, tries, created_ms, inline, event)
                 VALUES ($1, $2, $3, 0, $4, $4, 0, $5, $6, $7)
                 ON CONFLICT (id) DO UPDATE SET state = 0, due_ms = excluded.due_ms, free_ms = excluded.free_ms,
                   tries = 0, lease = NULL, reason = NULL
                 WHERE firings.state = 1",
            )
            .bind(text(firing.id.as_str()))
            .bind(text(firing.target.account().as_str()))
            .bind(text(firing.target.hook_id().as_str()))
            .bind(signed(now_ms))
            .bind(signed(firing.created_ms))
            .bind(inline(firing))
            .bind(json(&*firing.event))
            .execute(&mut *transaction)
            .await
            .map_err(failed(AGAIN))?;
        }
        transaction.commit().await.map_err(failed(AGAIN))?;
        self.hints.tell(Hint::Firings);
        Ok(true)
    }

    pub(super) async fn prune_undelivered(&self, before_ms: UnixMs) -> StoreResult<()> {
        loop {
            let done = sqlx::query(
                "DELETE FROM firings WHERE seq IN
                   (SELECT seq FROM firings WHERE state = 1 AND due_ms < $1 ORDER BY due_ms LIMIT $2
                    FOR UPDATE SKIP LOCKED)",
            )
            .bind(signed(before_ms))
            .bind(i64::from(PRUNED_AT_ONCE))
            .execute(&self.pool)
            .await
            .map_err(failed("prune undelivered firings"))?;
            if done.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}
