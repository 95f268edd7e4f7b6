//! What an audit reads.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};

use super::SqliteStore;
use crate::{
    message::{HookId, WebhookId},
    store::{
        StoreResult,
        audit::{AttemptOutline, Audit, CameTo, FiringOutline, HookStands},
        columns::{each, failed, json, unsigned},
    },
};

const READ: &str = "read for an audit";

fn attempt(row: &SqliteRow) -> StoreResult<AttemptOutline> {
    let doing = failed(READ);
    let flag = |column: usize| row.try_get(column).map_err(&doing);
    Ok(AttemptOutline {
        cursor: row.try_get(0).map_err(&doing)?,
        id: row.try_get(1).map_err(&doing)?,
        webhook_id: row.try_get::<String, _>(2).map_err(&doing)?.into(),
        account: row.try_get::<String, _>(3).map_err(&doing)?.into(),
        hook: row.try_get::<String, _>(4).map_err(&doing)?.into(),
        at_ms: unsigned(row.try_get(5).map_err(&doing)?),
        came_to: CameTo::of(flag(6)?, flag(7)?, flag(8)?),
    })
}

fn firing(row: &SqliteRow) -> StoreResult<FiringOutline> {
    let doing = failed(READ);
    Ok(FiringOutline {
        cursor: row.try_get(0).map_err(&doing)?,
        id: row.try_get::<String, _>(1).map_err(&doing)?.into(),
        account: row.try_get::<String, _>(2).map_err(&doing)?.into(),
        hook: row.try_get::<String, _>(3).map_err(&doing)?.into(),
        free_ms: row.try_get::<Option<i64>, _>(4).map_err(&doing)?.map(unsigned),
        reason: row.try_get(5).map_err(&doing)?,
        hook_stands: HookStands::of(row.try_get(6).map_err(&doing)?),
    })
}

#[async_trait]
impl Audit for SqliteStore {
    async fn attempt_outlines(&self, after: i64, limit: u32) -> StoreResult<Vec<AttemptOutline>> {
        let rows = sqlx::query(
            "SELECT seq, id, coalesce(json_extract(document, '$.event_id'), ''), account, hook, at_ms,
               coalesce(json_extract(document, '$.result'), '') = 'success', json_extract(document, '$.dropped') IS NOT NULL,
               json_extract(document, '$.next_try') IS NOT NULL
             FROM attempts WHERE seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        each(rows, attempt)
    }

    async fn firing_outlines(&self, after: i64, limit: u32) -> StoreResult<Vec<FiringOutline>> {
        let rows = sqlx::query(
            "SELECT f.seq, f.id, f.account, f.hook, iif(f.state = 0, f.free_ms, NULL), coalesce(f.reason, ''),
               CASE WHEN f.inline IS NOT NULL THEN 'inline'
                 WHEN h.id IS NULL OR h.deleted OR h.account <> f.account THEN 'gone'
                 WHEN json_extract(h.document, '$.enabled') = 0 THEN 'off'
                 ELSE 'on' END
             FROM firings AS f LEFT JOIN hooks AS h ON h.id = f.hook
             WHERE f.seq > ? ORDER BY f.seq LIMIT ?",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        each(rows, firing)
    }

    async fn stored_firings(&self, ids: &[WebhookId]) -> StoreResult<Vec<WebhookId>> {
        let found: Vec<String> =
            sqlx::query_scalar("SELECT f.id FROM json_each(?) AS asked CROSS JOIN firings AS f ON f.id = asked.value")
                .bind(json(&ids))
                .fetch_all(&self.readers)
                .await
                .map_err(failed(READ))?;
        Ok(found.into_iter().map(WebhookId::from).collect())
    }

    async fn ended_well(&self, hook: &HookId, ids: &[WebhookId]) -> StoreResult<Vec<WebhookId>> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT json_extract(document, '$.event_id') FROM (
               SELECT document FROM attempts WHERE seq > (SELECT seq FROM attempts_indexed) AND hook = ?1
               UNION ALL
               SELECT a.document FROM attempt_index AS i CROSS JOIN attempts AS a ON a.seq = i.seq
               WHERE i.owner = 'h' || ?1)
             WHERE json_extract(document, '$.result') = 'success'
               AND json_extract(document, '$.event_id') IN (SELECT value FROM json_each(?2))",
        )
        .bind(hook.as_str())
        .bind(json(&ids))
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        Ok(found.into_iter().map(WebhookId::from).collect())
    }

    async fn recorded_attempts(&self, ids: &[String]) -> StoreResult<Vec<String>> {
        sqlx::query_scalar("SELECT a.id FROM json_each(?) AS asked CROSS JOIN attempts AS a ON a.id = asked.value")
            .bind(json(&ids))
            .fetch_all(&self.readers)
            .await
            .map_err(failed(READ))
    }
}
