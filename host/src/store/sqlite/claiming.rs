//! Whose stored firings are due, taking them under leases, and keeping leases.
//!
//! `waiting_hooks` holds each hook with waiting firings once, kept by triggers (migration 10): looking for what is due is
//! a walk over hooks, and taking a hook's longest due a walk over so many entries of one index, however long the backlog.

use sqlx::Row;

use super::SqliteStore;
use crate::{
    message::{AccountId, Firing, LeaseToken, UnixMs, WebhookId},
    store::{
        Claim, DueHook, StoreError, StoreResult,
        columns::{failed, json, signed, unsigned},
        rows::firing,
    },
};

const CLAIM: &str = "claim firings";
const LEASES: &str = "renew or end leases";
/// Leases that one statement changes.
const CHANGED_AT_ONCE: usize = 256;

pub(super) const DUE_HOOKS: &str = "SELECT free_ms, account, hook FROM waiting_hooks
     WHERE free_ms <= ?1 AND (free_ms, account, hook) > (?2, ?3, ?4) ORDER BY free_ms, account, hook LIMIT ?5";

pub(super) const TAKE: &str = "UPDATE firings SET lease = lower(hex(randomblob(16))), free_ms = ?1
     WHERE seq IN (SELECT seq FROM firings WHERE account = ?2 AND hook = ?3 AND state = 0 AND free_ms <= ?4
                   ORDER BY free_ms LIMIT ?5)
     RETURNING seq, id, account, hook, due_ms, lease, tries, created_ms, inline, event";

pub(super) const NEXT: &str = "SELECT min(free_ms) FROM waiting_hooks WHERE free_ms > ?";

pub(super) const WAITING_BY_ACCOUNT: &str =
    "SELECT account, sum(waiting) FROM waiting_hooks GROUP BY account HAVING sum(waiting) >= ?";

/// `CROSS JOIN` keeps the order: the ids are looked up, not the table walked through.
pub(super) const RENEW: &str = "UPDATE firings SET free_ms = max(free_ms, ?1) WHERE seq IN
       (SELECT f.seq FROM json_each(?2) AS held CROSS JOIN firings AS f ON f.id = held.value ->> 0
        WHERE f.lease = held.value ->> 1 AND f.state = 0)";

pub(super) const RELEASE: &str = "UPDATE firings SET free_ms = ?1, lease = NULL WHERE seq IN
       (SELECT f.seq FROM json_each(?2) AS held CROSS JOIN firings AS f ON f.id = held.value ->> 0
        WHERE f.lease = held.value ->> 1 AND f.state = 0)";

impl SqliteStore {
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
            .bind(account)
            .bind(hook)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("look for due firings"))?;
        let due = |(since_ms, account, hook): (i64, String, String)| DueHook {
            since_ms: unsigned(since_ms),
            account: account.into(),
            hook: hook.into(),
        };
        Ok(rows.into_iter().map(due).collect())
    }

    pub(super) async fn claim(&self, claims: &[Claim], now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Vec<Firing>> {
        let doing = failed(CLAIM);
        let mut transaction = self.begin(CLAIM).await?;
        let mut claimed = Vec::new();
        for claim in claims {
            let rows = sqlx::query(TAKE)
                .bind(signed(until_ms))
                .bind(claim.account.as_str())
                .bind(claim.hook.as_str())
                .bind(signed(now_ms))
                .bind(claim.rows_max)
                .fetch_all(&mut *transaction)
                .await
                .map_err(&doing)?;
            for row in &rows {
                match firing(row) {
                    Ok(firing) => claimed.push((row.try_get::<i64, _>("due_ms").map_err(&doing)?, firing)),
                    // It would come back for ever and hold up the others: people have to see to it.
                    Err(error @ StoreError::Unreadable { .. }) => {
                        tracing::error!(%error, "a stored firing is put on the list of undelivered");
                        sqlx::query("UPDATE firings SET state = 1, due_ms = ?, reason = ?, lease = NULL WHERE seq = ?")
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
        }
        transaction.commit().await.map_err(&doing)?;
        claimed.sort_by_key(|(due_ms, _)| *due_ms);
        Ok(claimed.into_iter().map(|(_, firing)| firing).collect())
    }

    pub(super) async fn next_free_ms(&self, after_ms: UnixMs) -> StoreResult<Option<UnixMs>> {
        let free: Option<i64> = sqlx::query_scalar(NEXT)
            .bind(signed(after_ms))
            .fetch_one(&self.readers)
            .await
            .map_err(failed("look for the next firing"))?;
        Ok(free.map(unsigned))
    }

    /// By [`RENEW`] or [`RELEASE`].
    pub(super) async fn change_leases(
        &self,
        statement: &'static str,
        held: &[(WebhookId, LeaseToken)],
        free_ms: UnixMs,
    ) -> StoreResult<u64> {
        let mut changed = 0;
        for held in held.chunks(CHANGED_AT_ONCE) {
            let held: Vec<(&str, &str)> = held.iter().map(|(id, lease)| (id.as_str(), lease.0.as_str())).collect();
            let done = sqlx::query(statement)
                .bind(signed(free_ms))
                .bind(json(&held))
                .execute(&self.writer)
                .await
                .map_err(failed(LEASES))?;
            changed += done.rows_affected();
        }
        Ok(changed)
    }

    pub(super) async fn count_waiting_by_account(&self, at_least: u64) -> StoreResult<Vec<(AccountId, u64)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(WAITING_BY_ACCOUNT)
            .bind(signed(at_least))
            .fetch_all(&self.readers)
            .await
            .map_err(failed("count waiting firings"))?;
        Ok(rows.into_iter().map(|(account, waiting)| (account.into(), unsigned(waiting))).collect())
    }
}
