//! What went on of late, in figures.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteStore, each, failed, signed, unsigned};
use crate::{
    message::{AccountId, UnixMs},
    store::{
        AttemptQuery, FiringCounts, StoreResult,
        traffic::{AttemptPoint, FIRINGS_COUNTED_MAX, FailingHook, Traffic},
    },
};

const READ: &str = "read what went on of late";

fn point(row: &SqliteRow) -> StoreResult<AttemptPoint> {
    let doing = failed(READ);
    Ok(AttemptPoint {
        at_ms: unsigned(row.try_get("at_ms").map_err(&doing)?),
        success: row.try_get::<Option<bool>, _>("success").map_err(&doing)?.unwrap_or_default(),
        duration_ms: unsigned(row.try_get::<Option<i64>, _>("duration_ms").map_err(&doing)?.unwrap_or_default()),
    })
}

fn failing(row: &SqliteRow) -> StoreResult<FailingHook> {
    let doing = failed(READ);
    let text = |name: &str| row.try_get::<String, _>(name).map_err(&doing);
    let count = row.try_get::<i64, _>("count").map_err(&doing)?;
    Ok(FailingHook {
        account: text("account")?.into(),
        hook: text("hook")?.as_str().into(),
        count: u32::try_from(count).unwrap_or(u32::MAX),
    })
}

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
        each(rows.map_err(failed(READ))?, point)
    }

    async fn firings_of(&self, account: Option<&AccountId>) -> StoreResult<FiringCounts> {
        let counted = async |state: i64| -> StoreResult<u64> {
            // There is no index of an account's waiting firings, but one of each hook's.
            let sql = match account {
                None => "SELECT count(*) FROM (SELECT 1 FROM firings WHERE state = ?1 AND ?3 IS NULL LIMIT ?2)",
                Some(_) => {
                    "SELECT count(*) FROM (
                       SELECT 1 FROM hooks CROSS JOIN firings ON firings.hook = hooks.id AND firings.state = ?1
                       WHERE hooks.account = ?3 AND hooks.deleted = 0 LIMIT ?2)"
                }
            };
            let count: i64 = sqlx::query_scalar(sql)
                .bind(state)
                .bind(FIRINGS_COUNTED_MAX)
                .bind(account.map(AccountId::as_str))
                .fetch_one(&self.readers)
                .await
                .map_err(failed(READ))?;
            Ok(unsigned(count))
        };
        Ok(FiringCounts { waiting: counted(0).await?, undelivered: counted(1).await? })
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
        each(rows, failing)
    }
}
