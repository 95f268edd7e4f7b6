//! What went on of late, in figures.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
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
impl Traffic for SqliteStore {
    async fn attempt_points(
        &self,
        account: Option<&AccountId>,
        from_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<AttemptPoint>> {
        let any = AccountId::from("");
        let range = AttemptQuery { from_ms, ..AttemptQuery::newest(account.unwrap_or(&any).clone(), None, limit) };
        let (above, _) = self.bounds(&range).await?;
        let rows = match account {
            None => {
                sqlx::query(
                    "SELECT at_ms, json_extract(document, '$.result') = 'success' AS success,
                            json_extract(document, '$.duration_ms') AS duration_ms
                     FROM attempts WHERE seq > ?1 AND at_ms >= ?2 ORDER BY seq DESC LIMIT ?3",
                )
                .bind(above)
                .bind(signed(from_ms))
                .bind(limit)
                .fetch_all(&self.readers)
                .await
            }
            // As attempts are listed: those that are in no index yet are looked through.
            Some(account) => {
                sqlx::query(
                    "SELECT at_ms, json_extract(document, '$.result') = 'success' AS success,
                            json_extract(document, '$.duration_ms') AS duration_ms
                     FROM (
                       SELECT * FROM (
                         SELECT seq, at_ms, document FROM attempts
                         WHERE seq > max(?1, (SELECT seq FROM attempts_indexed)) AND account = ?4 AND at_ms >= ?2
                         ORDER BY seq DESC LIMIT ?3)
                       UNION ALL
                       SELECT * FROM (
                         SELECT a.seq, a.at_ms, a.document
                         FROM attempt_index AS i CROSS JOIN attempts AS a ON a.seq = i.seq
                         WHERE i.owner = 'a' || ?4 AND i.seq > ?1 AND a.at_ms >= ?2
                         ORDER BY i.seq DESC LIMIT ?3))
                     ORDER BY seq DESC LIMIT ?3",
                )
                .bind(above)
                .bind(signed(from_ms))
                .bind(limit)
                .bind(account.as_str())
                .fetch_all(&self.readers)
                .await
            }
        };
        each(rows.map_err(failed(READ))?, attempt_point)
    }

    async fn firings_of(&self, account: Option<&AccountId>) -> StoreResult<FiringCounts> {
        // The states are written out, so that each count walks over an index of that state alone.
        let (waiting, undelivered) = match account {
            None => (
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 0 LIMIT ?1) AS f",
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 1 LIMIT ?1) AS f",
            ),
            Some(_) => (
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 0 AND account = ?2 LIMIT ?1) AS f",
                "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = 1 AND account = ?2 LIMIT ?1) AS f",
            ),
        };
        let counted = async |sql: &'static str| -> StoreResult<u64> {
            let mut count = sqlx::query_scalar(sql).bind(FIRINGS_COUNTED_MAX);
            if let Some(account) = account {
                count = count.bind(account.as_str());
            }
            let count: i64 = count.fetch_one(&self.readers).await.map_err(failed(READ))?;
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
            "SELECT account, hook, sum(count) AS count FROM failures
             WHERE at_ms > ?1 AND (?2 IS NULL OR account = ?2)
             GROUP BY account, hook ORDER BY 3 DESC, hook LIMIT ?3",
        )
        .bind(signed(after_ms))
        .bind(account.map(AccountId::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        each(rows, failing_hook)
    }
}
