//! Whose stored firings are due, taking them under leases, and keeping leases.
//!
//! Hooks with waiting firings are found by leaps through one index (`firings_by_turn`): from a hook's first entry to the
//! next hook's, so that looking costs as many leaps as there are such hooks, however long a backlog is. A row for each hook, kept by
//! triggers, would cost less to read; but all nodes that store firings of a hook would then wait for one another.

use sqlx::Row;

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    message::{AccountId, Firing, LeaseToken, UnixMs, WebhookId},
    store::{
        Claim, DueHook, Hint, StoreError, StoreResult,
        columns::{failed, signed, unsigned},
        rows::firing,
    },
};

const CLAIM: &str = "claim firings";

const DUE_HOOKS: &str = "WITH RECURSIVE hooks AS (
       (SELECT account, hook, free_ms FROM firings WHERE state = 0 ORDER BY account, hook, free_ms LIMIT 1)
       UNION ALL
       SELECT next.account, next.hook, next.free_ms FROM hooks CROSS JOIN LATERAL
         (SELECT account, hook, free_ms FROM firings
          WHERE state = 0 AND (account, hook) > (hooks.account, hooks.hook)
          ORDER BY account, hook, free_ms LIMIT 1) AS next)
     SELECT free_ms, account, hook FROM hooks
     WHERE free_ms <= $1 AND (free_ms, account, hook) > ($2, $3, $4) ORDER BY free_ms, account, hook LIMIT $5";

const NEXT: &str = "WITH RECURSIVE hooks AS (
       (SELECT account, hook, free_ms FROM firings WHERE state = 0 ORDER BY account, hook, free_ms LIMIT 1)
       UNION ALL
       SELECT next.account, next.hook, next.free_ms FROM hooks CROSS JOIN LATERAL
         (SELECT account, hook, free_ms FROM firings
          WHERE state = 0 AND (account, hook) > (hooks.account, hooks.hook)
          ORDER BY account, hook, free_ms LIMIT 1) AS next)
     SELECT min(free_ms) FROM hooks WHERE free_ms > $1";

const TAKE: &str = "WITH due AS MATERIALIZED (
       SELECT found.seq FROM UNNEST($3::text[], $4::text[], $5::bigint[]) AS wanted (account, hook, rows_max)
       CROSS JOIN LATERAL
         (SELECT seq FROM firings
          WHERE firings.account = wanted.account AND firings.hook = wanted.hook AND state = 0 AND free_ms <= $2
          ORDER BY free_ms LIMIT wanted.rows_max FOR UPDATE SKIP LOCKED) AS found)
     UPDATE firings SET lease = replace(gen_random_uuid()::text, '-', ''), free_ms = $1
     FROM due WHERE firings.seq = due.seq
     RETURNING firings.seq, id, account, hook, due_ms, lease, tries, created_ms, inline, event";

const RENEW: &str = "UPDATE firings SET free_ms = greatest(free_ms, $1)
     FROM UNNEST($2::text[], $3::text[]) AS held (id, lease)
     WHERE firings.id = held.id AND firings.lease = held.lease AND firings.state = 0";

const RELEASE: &str = "UPDATE firings SET free_ms = $1, lease = NULL
     FROM UNNEST($2::text[], $3::text[]) AS held (id, lease)
     WHERE firings.id = held.id AND firings.lease = held.lease AND firings.state = 0";

/// Counted along the index, without the rows.
const WAITING_BY_ACCOUNT: &str =
    "SELECT account, count(*) FROM firings WHERE state = 0 GROUP BY account HAVING count(*) >= $1";

impl PostgresStore {
    pub(super) async fn list_due_hooks(
        &self,
        now_ms: UnixMs,
        after: Option<&DueHook>,
        limit: u32,
    ) -> StoreResult<Vec<DueHook>> {
        let (since_ms, account, hook) = match after {
            Some(due) => (signed(due.since_ms), due.account.as_str(), due.hook.as_str()),
            None => (i64::MIN, "", ""),
        };
        let rows: Vec<(i64, String, String)> = sqlx::query_as(DUE_HOOKS)
            .bind(signed(now_ms))
            .bind(since_ms)
            .bind(text(account))
            .bind(text(hook))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("look for due firings"))?;
        let due = |(since_ms, account, hook): (i64, String, String)| DueHook {
            since_ms: unsigned(since_ms),
            account: read(account).into(),
            hook: read(hook).into(),
        };
        Ok(rows.into_iter().map(due).collect())
    }

    pub(super) async fn claim(&self, claims: &[Claim], now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Vec<Firing>> {
        let doing = failed(CLAIM);
        let mut transaction = self.begin(CLAIM).await?;
        let rows = sqlx::query(TAKE)
            .bind(signed(until_ms))
            .bind(signed(now_ms))
            .bind(claims.iter().map(|claim| text(claim.account.as_str())).collect::<Vec<_>>())
            .bind(claims.iter().map(|claim| text(claim.hook.as_str())).collect::<Vec<_>>())
            .bind(claims.iter().map(|claim| i64::from(claim.rows_max)).collect::<Vec<_>>())
            .fetch_all(&mut *transaction)
            .await
            .map_err(&doing)?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            match firing(row) {
                Ok(firing) => claimed.push((row.try_get::<i64, _>("due_ms").map_err(&doing)?, firing)),
                // It would come back for ever and hold up the others: people have to see to it.
                Err(error @ StoreError::Unreadable { .. }) => {
                    tracing::error!(%error, "a stored firing is put on the list of undelivered");
                    sqlx::query("UPDATE firings SET state = 1, due_ms = $1, reason = $2, lease = NULL WHERE seq = $3")
                        .bind(signed(now_ms))
                        .bind(text(&error.to_string()))
                        .bind(row.try_get::<i64, _>("seq").map_err(&doing)?)
                        .execute(&mut *transaction)
                        .await
                        .map_err(&doing)?;
                }
                Err(error) => return Err(error),
            }
        }
        transaction.commit().await.map_err(&doing)?;
        claimed.sort_by_key(|(due_ms, _)| *due_ms);
        Ok(claimed.into_iter().map(|(_, firing)| firing).collect())
    }

    pub(super) async fn next_free_ms(&self, after_ms: UnixMs) -> StoreResult<Option<UnixMs>> {
        let free: Option<i64> = sqlx::query_scalar(NEXT)
            .bind(signed(after_ms))
            .fetch_one(&self.pool)
            .await
            .map_err(failed("look for the next firing"))?;
        Ok(free.map(unsigned))
    }

    pub(super) async fn lengthen_leases(&self, held: &[(WebhookId, LeaseToken)], until_ms: UnixMs) -> StoreResult<u64> {
        self.change_leases(RENEW, held, until_ms).await
    }

    pub(super) async fn end_leases(&self, held: &[(WebhookId, LeaseToken)], now_ms: UnixMs) -> StoreResult<u64> {
        let ended = self.change_leases(RELEASE, held, now_ms).await?;
        if ended > 0 {
            self.hints.tell(Hint::Firings);
        }
        Ok(ended)
    }

    /// By [`RENEW`] or [`RELEASE`].
    async fn change_leases(
        &self,
        statement: &'static str,
        held: &[(WebhookId, LeaseToken)],
        free_ms: UnixMs,
    ) -> StoreResult<u64> {
        let done = sqlx::query(statement)
            .bind(signed(free_ms))
            .bind(held.iter().map(|(id, _)| text(id.as_str())).collect::<Vec<_>>())
            .bind(held.iter().map(|(_, lease)| text(&lease.0)).collect::<Vec<_>>())
            .execute(&self.pool)
            .await
            .map_err(failed("renew or end leases"))?;
        Ok(done.rows_affected())
    }

    pub(super) async fn count_waiting_by_account(&self, at_least: u64) -> StoreResult<Vec<(AccountId, u64)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(WAITING_BY_ACCOUNT)
            .bind(signed(at_least))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("count waiting firings"))?;
        Ok(rows.into_iter().map(|(account, waiting)| (read(account).into(), unsigned(waiting))).collect())
    }
}
