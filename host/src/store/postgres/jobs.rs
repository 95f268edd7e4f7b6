//! Bulk resends: who is at one, and how far it has come.
//!
//! A claimed job is left alone until its lease ends. Each page that is sent makes the lease last as long again as it
//! was claimed for, so that a job is taken over only from a process that has stopped working at it.

use sqlx::{Postgres, Transaction};

use super::{PostgresStore, text::text};
use crate::{
    message::{AccountId, UnixMs},
    store::{
        ResendJob, StoreResult,
        columns::{each, failed, signed, word},
        rows::job,
    },
};

const READ: &str = "read jobs";
const WRITE: &str = "write a job";

impl PostgresStore {
    pub(super) async fn write_job(&self, job: &ResendJob) -> StoreResult<()> {
        sqlx::query(
            "INSERT INTO resend_jobs (id, account, hook, from_ms, to_ms, outcome, state, progress, resent, skipped,
               reason, created_ms, updated_ms, free_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $12) ON CONFLICT (id) DO NOTHING",
        )
        .bind(text(&job.id))
        .bind(text(job.account.as_str()))
        .bind(job.hook.as_ref().map(|hook| text(hook.as_str())))
        .bind(signed(job.from_ms))
        .bind(signed(job.to_ms))
        .bind(word(&job.outcome))
        .bind(word(&job.state))
        .bind(text(&job.progress))
        .bind(signed(job.resent))
        .bind(signed(job.skipped))
        .bind(job.reason.as_deref().map(text))
        .bind(signed(job.created_ms))
        .bind(signed(job.updated_ms))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed(WRITE))
    }

    pub(super) async fn find_job(&self, account: &AccountId, id: &str) -> StoreResult<Option<ResendJob>> {
        let row = sqlx::query("SELECT * FROM resend_jobs WHERE id = $1 AND account = $2")
            .bind(text(id))
            .bind(text(account.as_str()))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(job).transpose()
    }

    pub(super) async fn list_jobs(&self, account: &AccountId, limit: u32) -> StoreResult<Vec<ResendJob>> {
        let rows =
            sqlx::query("SELECT * FROM resend_jobs WHERE account = $1 ORDER BY created_ms DESC, id DESC LIMIT $2")
                .bind(text(account.as_str()))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
                .map_err(failed(READ))?;
        each(rows, job)
    }

    pub(super) async fn take_job(&self, now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Option<ResendJob>> {
        let row = sqlx::query(
            "UPDATE resend_jobs SET free_ms = $2, lease_ms = $3
             WHERE id = (SELECT id FROM resend_jobs WHERE state = 'running' AND free_ms <= $1
                         ORDER BY free_ms, id LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING *",
        )
        .bind(signed(now_ms))
        .bind(signed(until_ms))
        .bind(signed(until_ms.saturating_sub(now_ms)))
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("claim a job"))?;
        row.as_ref().map(job).transpose()
    }

    /// Writes how far a job has come. `false`, and nothing done, when it is not running any more.
    pub(super) async fn advance_job(
        transaction: &mut Transaction<'static, Postgres>,
        job: &ResendJob,
        now_ms: UnixMs,
    ) -> StoreResult<bool> {
        let done = sqlx::query(
            "UPDATE resend_jobs SET state = $3, progress = $4, resent = $5, skipped = $6, reason = $7, updated_ms = $8,
               free_ms = greatest(free_ms, $8 + lease_ms)
             WHERE id = $1 AND account = $2 AND state = 'running'",
        )
        .bind(text(&job.id))
        .bind(text(job.account.as_str()))
        .bind(word(&job.state))
        .bind(text(&job.progress))
        .bind(signed(job.resent))
        .bind(signed(job.skipped))
        .bind(job.reason.as_deref().map(text))
        .bind(signed(now_ms))
        .execute(&mut **transaction)
        .await
        .map_err(failed(WRITE))?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn end_job(&self, account: &AccountId, id: &str, now_ms: UnixMs) -> StoreResult<bool> {
        let done = sqlx::query(
            "UPDATE resend_jobs SET state = 'stopped', updated_ms = $1
             WHERE id = $2 AND account = $3 AND state = 'running'",
        )
        .bind(signed(now_ms))
        .bind(text(id))
        .bind(text(account.as_str()))
        .execute(&self.pool)
        .await
        .map_err(failed("stop a job"))?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn remove_old_jobs(&self, before_ms: UnixMs) -> StoreResult<u64> {
        let done = sqlx::query("DELETE FROM resend_jobs WHERE state <> 'running' AND updated_ms < $1")
            .bind(signed(before_ms))
            .execute(&self.pool)
            .await
            .map_err(failed("prune jobs"))?;
        Ok(done.rows_affected())
    }
}
