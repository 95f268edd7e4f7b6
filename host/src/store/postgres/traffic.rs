//! What went on of late, in figures.

use async_trait::async_trait;

use super::{PostgresStore, days::day, text::text};
use crate::{
    attempt::Attempt,
    message::{AccountId, UnixMs},
    store::{
        AttemptQuery, FiringCounts, StoreResult,
        columns::{each, failed, signed, unsigned},
        rows::{attempt_point, failing_hook},
        traffic::{AttemptPoint, FIRINGS_COUNTED_MAX, FailingHook, Traffic},
    },
};

const READ: &str = "read what went on of late";

#[async_trait]
impl Traffic for PostgresStore {
    async fn attempt_points(
        &self,
        account: Option<&AccountId>,
        from_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<AttemptPoint>> {
        let rows = match account {
            // Ids begin with the time at which an attempt began: their index has the newest of all.
            None => {
                sqlx::query(
                    "SELECT at_ms, success, duration_ms FROM attempts
                     WHERE id >= $1 AND day >= $2 ORDER BY id DESC LIMIT $3",
                )
                .bind(Attempt::first_id(from_ms).unwrap_or_default())
                .bind(day(from_ms))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
            }
            // As attempts are listed.
            Some(account) => {
                let range = AttemptQuery { from_ms, ..AttemptQuery::newest(account.clone(), None, limit) };
                let (above, _) = self.bounds(&range).await?;
                sqlx::query(
                    "SELECT at_ms, success, duration_ms FROM attempts
                     WHERE account = $1 AND seq > $2 AND day >= $3 AND at_ms >= $4 ORDER BY seq DESC LIMIT $5",
                )
                .bind(text(account.as_str()))
                .bind(above)
                .bind(day(from_ms))
                .bind(signed(from_ms))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
            }
        };
        each(rows.map_err(failed(READ))?, attempt_point)
    }

    async fn firings_of(&self, account: Option<&AccountId>) -> StoreResult<FiringCounts> {
        // The states are written out, so that each count walks over an index of that state alone.
        let (waiting, undelivered) = match account {
            None => (
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 0 LIMIT $1) AS f",
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 1 LIMIT $1) AS f",
            ),
            Some(_) => (
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 0 AND account = $2 LIMIT $1) AS f",
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 1 AND account = $2 LIMIT $1) AS f",
            ),
        };
        let counted = async |sql: &'static str| -> StoreResult<u64> {
            let mut count = sqlx::query_scalar(sql).bind(i64::from(FIRINGS_COUNTED_MAX));
            if let Some(account) = account {
                count = count.bind(text(account.as_str()));
            }
            let count: i64 = count.fetch_one(&self.pool).await.map_err(failed(READ))?;
            Ok(unsigned(count))
        };
        Ok(FiringCounts { waiting: counted(waiting).await?, undelivered: counted(undelivered).await? })
    }

    async fn most_failing(
        &self,
        account: Option<&AccountId>,
        after_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<FailingHook>> {
        let rows = sqlx::query(
            "SELECT account, hook, sum(count)::bigint AS count FROM failures
             WHERE at_ms > $1 AND ($2::text IS NULL OR account = $2)
             GROUP BY account, hook ORDER BY 3 DESC, hook LIMIT $3",
        )
        .bind(signed(after_ms))
        .bind(account.map(|account| text(account.as_str())))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        each(rows, failing_hook)
    }
}
