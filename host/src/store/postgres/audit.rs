//! What an audit reads. Documents are parsed here: PostgreSQL's own functions refuse JSON that has an escaped NUL anywhere,
//! and what receivers answer may have one.
//!
//! An attempt whose group is recorded while a page is read may become visible after one with a higher number, and is then
//! left out of the walk; what became of its firing is judged without it.

use async_trait::async_trait;
use sqlx::{Row, postgres::PgRow};

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    message::{HookId, Object, WebhookId},
    store::{
        StoreResult,
        audit::{AttemptOutline, Audit, CameTo, FiringOutline, HookStands},
        columns::{each, failed, parsed, unsigned},
    },
};

const READ: &str = "read for an audit";

fn attempt(row: &PgRow) -> StoreResult<AttemptOutline> {
    let doing = failed(READ);
    let id: String = row.try_get("id").map_err(&doing)?;
    let document: Object = parsed("attempt", &id, row.try_get("document").map_err(&doing)?)?;
    let is_there = |field: &str| document.get(field).is_some_and(|value| !value.is_null());
    let success = row.try_get("success").map_err(&doing)?;
    Ok(AttemptOutline {
        cursor: row.try_get("seq").map_err(&doing)?,
        webhook_id: document.get("event_id").and_then(|id| id.as_str()).unwrap_or_default().to_owned().into(),
        account: read(row.try_get("account").map_err(&doing)?).into(),
        hook: read(row.try_get("hook").map_err(&doing)?).into(),
        at_ms: unsigned(row.try_get("at_ms").map_err(&doing)?),
        came_to: CameTo::of(success, is_there("dropped"), is_there("next_try")),
        id,
    })
}

fn firing(row: &PgRow) -> StoreResult<FiringOutline> {
    let doing = failed(READ);
    Ok(FiringOutline {
        cursor: row.try_get("seq").map_err(&doing)?,
        id: read(row.try_get("id").map_err(&doing)?).into(),
        account: read(row.try_get("account").map_err(&doing)?).into(),
        hook: read(row.try_get("hook").map_err(&doing)?).into(),
        free_ms: row.try_get::<Option<i64>, _>("free_ms").map_err(&doing)?.map(unsigned),
        reason: read(row.try_get("reason").map_err(&doing)?),
        hook_stands: HookStands::of(row.try_get("stands").map_err(&doing)?),
    })
}

/// Ids as they are stored.
fn stored<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ids.into_iter().map(|id| text(id).into_owned()).collect()
}

#[async_trait]
impl Audit for PostgresStore {
    async fn attempt_outlines(&self, after: i64, limit: u32) -> StoreResult<Vec<AttemptOutline>> {
        let doing = failed(READ);
        let mut transaction = self.begin(READ).await?;
        // The index that has the numbers of all accounts (migrations: `attempts_by_seq`) is read in no other way.
        sqlx::query("SET LOCAL enable_bitmapscan = on").execute(&mut *transaction).await.map_err(&doing)?;
        let (mut after, mut missing) = (after, i64::from(limit));
        let mut outlines = Vec::new();
        while missing > 0 {
            // So many numbers hold no more rows, and a range of them is found without a look at all.
            let until = after.saturating_add(missing);
            let rows = sqlx::query(
                "SELECT seq, id, account, hook, at_ms, success, document FROM attempts
                 WHERE seq > $1 AND seq <= $2 ORDER BY seq",
            )
            .bind(after)
            .bind(until)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&doing)?;
            after = until;
            if rows.is_empty() {
                let next: Option<i64> = sqlx::query_scalar("SELECT min(seq) FROM attempts WHERE seq > $1")
                    .bind(after)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(&doing)?;
                let Some(next) = next else { break };
                after = next - 1;
            }
            outlines.extend(each(rows, attempt)?);
            missing = i64::from(limit).saturating_sub_unsigned(outlines.len() as u64);
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(outlines)
    }

    async fn firing_outlines(&self, after: i64, limit: u32) -> StoreResult<Vec<FiringOutline>> {
        let rows = sqlx::query(
            "SELECT f.seq, f.id, f.account, f.hook, CASE WHEN f.state = 0 THEN f.free_ms END AS free_ms,
               coalesce(f.reason, '') AS reason,
               CASE WHEN f.inline IS NOT NULL THEN 'inline'
                 WHEN h.id IS NULL OR h.deleted OR h.account <> f.account THEN 'gone'
                 WHEN NOT h.enabled THEN 'off'
                 ELSE 'on' END AS stands
             FROM firings AS f LEFT JOIN hooks AS h ON h.id = f.hook
             WHERE f.seq > $1 ORDER BY f.seq LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        each(rows, firing)
    }

    async fn stored_firings(&self, ids: &[WebhookId]) -> StoreResult<Vec<WebhookId>> {
        let found: Vec<String> = sqlx::query_scalar("SELECT id FROM firings WHERE id = ANY($1)")
            .bind(stored(ids.iter().map(WebhookId::as_str)))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        Ok(found.into_iter().map(|id| read(id).into()).collect())
    }

    async fn ended_well(&self, hook: &HookId, ids: &[WebhookId]) -> StoreResult<Vec<WebhookId>> {
        // A quotation mark inside a JSON text has a backslash before it, so the first match is the field's.
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT webhook_id FROM (
               SELECT substring(document from '\"event_id\":\"([^\"]*)\"') AS webhook_id FROM attempts
               WHERE hook = $1 AND success) AS ended
             WHERE webhook_id = ANY($2)",
        )
        .bind(text(hook.as_str()))
        .bind(stored(ids.iter().map(WebhookId::as_str)))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        Ok(found.into_iter().map(WebhookId::from).collect())
    }

    async fn recorded_attempts(&self, ids: &[String]) -> StoreResult<Vec<String>> {
        sqlx::query_scalar("SELECT id FROM attempts WHERE id = ANY($1)")
            .bind(stored(ids.iter().map(String::as_str)))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))
    }
}
