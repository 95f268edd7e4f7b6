//! Stored firings: claiming, counting, listing, sending again; and the attempts that were recorded.

use std::sync::Arc;

use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteStore, each, failed, parsed, signed, unsigned};
use crate::{
    message::{AccountId, Firing, HookId, LeaseToken, Object, Target, UnixMs, WebhookId},
    store::{FiringCounts, StoreError, StoreResult},
};

const CLAIM: &str = "claim firings";
/// Rows that one transaction prunes: few, so that groups of attempts get in between.
const PRUNED_AT_ONCE: u32 = 500;

fn firing(row: &SqliteRow) -> StoreResult<Firing> {
    let doing = failed("read firings");
    let id: String = row.try_get("id").map_err(&doing)?;
    let inline: Option<String> = row.try_get("inline").map_err(&doing)?;
    let target = match inline {
        Some(hook) => Target::Inline(Arc::new(parsed("firing", &id, &hook)?)),
        None => Target::Stored(
            row.try_get::<String, _>("account").map_err(&doing)?.into(),
            row.try_get::<String, _>("hook").map_err(&doing)?.into(),
        ),
    };
    Ok(Firing {
        target,
        event: Arc::new(parsed("firing", &id, row.try_get("event").map_err(&doing)?)?),
        tries: row.try_get("tries").map_err(&doing)?,
        created_ms: unsigned(row.try_get("created_ms").map_err(&doing)?),
        lease: row.try_get::<Option<String>, _>("lease").map_err(&doing)?.map(LeaseToken),
        id: id.into(),
    })
}

impl SqliteStore {
    pub(super) async fn claim(&self, now_ms: UnixMs, until_ms: UnixMs, limit: u32) -> StoreResult<Vec<Firing>> {
        let doing = failed(CLAIM);
        let mut transaction = self.begin(CLAIM).await?;
        let rows = sqlx::query(
            "UPDATE firings SET lease = lower(hex(randomblob(16))), free_ms = ?
             WHERE seq IN (SELECT seq FROM firings WHERE state = 0 AND free_ms <= ? ORDER BY free_ms LIMIT ?)
             RETURNING seq, id, account, hook, due_ms, lease, tries, created_ms, inline, event",
        )
        .bind(signed(until_ms))
        .bind(signed(now_ms))
        .bind(limit)
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
                    sqlx::query("UPDATE firings SET state = 1, due_ms = ?, reason = ? WHERE seq = ?")
                        .bind(signed(now_ms))
                        .bind(error.to_string())
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

    pub(super) async fn next_free_ms(&self) -> StoreResult<Option<UnixMs>> {
        let free: Option<i64> = sqlx::query_scalar("SELECT min(free_ms) FROM firings WHERE state = 0")
            .fetch_one(&self.readers)
            .await
            .map_err(failed("look for the next firing"))?;
        Ok(free.map(unsigned))
    }

    pub(super) async fn count_firings(&self, hook: Option<&HookId>) -> StoreResult<FiringCounts> {
        let query = match hook {
            Some(hook) => {
                sqlx::query_as("SELECT state, count(*) FROM firings WHERE hook = ? GROUP BY state").bind(hook.as_str())
            }
            None => sqlx::query_as("SELECT state, count(*) FROM firings GROUP BY state"),
        };
        let rows: Vec<(i64, i64)> = query.fetch_all(&self.readers).await.map_err(failed("count firings"))?;
        let of = |state| rows.iter().find(|(found, _)| *found == state).map_or(0, |(_, count)| unsigned(*count));
        Ok(FiringCounts { waiting: of(0), undelivered: of(1) })
    }

    pub(super) async fn list_undelivered(&self, hook: &HookId, limit: u32) -> StoreResult<Vec<(Firing, String)>> {
        let doing = failed("read undelivered firings");
        let rows = sqlx::query(
            "SELECT id, account, hook, lease, tries, created_ms, reason, inline, event FROM firings
             WHERE hook = ? AND state = 1 ORDER BY due_ms DESC, seq DESC LIMIT ?",
        )
        .bind(hook.as_str())
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(&doing)?;
        each(rows, |row| {
            let reason = row.try_get::<Option<String>, _>("reason").map_err(&doing)?.unwrap_or_default();
            Ok((Firing { lease: None, ..firing(row)? }, reason))
        })
    }

    pub(super) async fn requeue_undelivered(
        &self,
        hook: &HookId,
        id: Option<&WebhookId>,
        now_ms: UnixMs,
    ) -> StoreResult<u64> {
        let done = sqlx::query(
            "UPDATE firings SET state = 0, due_ms = ?1, free_ms = ?1, tries = 0, lease = NULL, reason = NULL
             WHERE hook = ?2 AND state = 1 AND (?3 IS NULL OR id = ?3)",
        )
        .bind(signed(now_ms))
        .bind(hook.as_str())
        .bind(id.map(WebhookId::as_str))
        .execute(&self.writer)
        .await
        .map_err(failed("send firings again"))?;
        Ok(done.rows_affected())
    }

    pub(super) async fn list_attempts(
        &self,
        account: &AccountId,
        hook: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<Object>> {
        let owner = match hook {
            Some(hook) => format!("h{hook}"),
            None => format!("a{account}"),
        };
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, document FROM (
               SELECT * FROM (
                 SELECT seq, id, document FROM attempts
                 WHERE seq > (SELECT seq FROM attempts_indexed) AND account = ?1 AND (?2 IS NULL OR hook = ?2)
                 ORDER BY seq DESC LIMIT ?4)
               UNION ALL
               SELECT * FROM (
                 SELECT a.seq, a.id, a.document FROM attempt_index AS i CROSS JOIN attempts AS a ON a.seq = i.seq
                 WHERE i.owner = ?3 AND a.account = ?1 ORDER BY i.seq DESC LIMIT ?4))
             ORDER BY seq DESC LIMIT ?4",
        )
        .bind(account.as_str())
        .bind(hook.map(HookId::as_str))
        .bind(owner)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read attempts"))?;
        rows.iter().map(|(id, document)| parsed("attempt", id, document)).collect()
    }

    pub(super) async fn prune(&self, before_ms: UnixMs) -> StoreResult<u64> {
        let doing = failed("prune attempts");
        let mut pruned = 0;
        loop {
            // Attempts lie in the order in which they were recorded, which is nearly that of time: when none of the
            // oldest is old enough, none is.
            let mut transaction = self.begin("prune attempts").await?;
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
                break;
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
        loop {
            let done = sqlx::query(
                "DELETE FROM firings WHERE seq IN
                   (SELECT seq FROM firings WHERE state = 1 AND due_ms < ? ORDER BY due_ms LIMIT ?)",
            )
            .bind(signed(before_ms))
            .bind(PRUNED_AT_ONCE)
            .execute(&self.writer)
            .await
            .map_err(&doing)?;
            if done.rows_affected() == 0 {
                return Ok(pruned);
            }
        }
    }
}
