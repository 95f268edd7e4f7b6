//! What is small: failures, modules, notices, kept values and settings.

use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use crate::{
    message::{AccountId, HookId, Object, UnixMs},
    store::{
        ModuleRecord, Notice, StoreResult,
        columns::{account_named, each, failed, json, name_of, parsed, signed, small},
        rows,
    },
};

const FORGET: &str = "forget failures";
const KEEP_NOTICE: &str = "keep a notice";

impl SqliteStore {
    pub(super) async fn count_failures(&self, hook: &HookId, after_ms: UnixMs) -> StoreResult<u32> {
        let count: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(count), 0) FROM failures WHERE hook = ? AND at_ms > ?")
                .bind(hook.as_str())
                .bind(signed(after_ms))
                .fetch_one(&self.readers)
                .await
                .map_err(failed("count failures"))?;
        Ok(small(count))
    }

    pub(super) async fn forget_and_count_failures(
        &self,
        after_ms: UnixMs,
    ) -> StoreResult<Vec<(AccountId, HookId, u32)>> {
        sqlx::query("DELETE FROM failures WHERE at_ms <= ?")
            .bind(signed(after_ms))
            .execute(&self.writer)
            .await
            .map_err(failed(FORGET))?;
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT account, hook, sum(count) FROM failures WHERE at_ms > ? GROUP BY account, hook")
                .bind(signed(after_ms))
                .fetch_all(&self.readers)
                .await
                .map_err(failed("count failures"))?;
        Ok(rows.into_iter().map(|(account, hook, count)| (account.into(), hook.into(), small(count))).collect())
    }

    pub(super) async fn list_failing_hooks(
        &self,
        account: &AccountId,
        after_ms: UnixMs,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<(HookId, u32)>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT hook, sum(count) FROM failures WHERE account = ? AND at_ms > ? AND hook > ?
             GROUP BY hook ORDER BY hook LIMIT ?",
        )
        .bind(account.as_str())
        .bind(signed(after_ms))
        .bind(after.map_or("", HookId::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed("count failures"))?;
        Ok(rows.into_iter().map(|(hook, count)| (hook.into(), small(count))).collect())
    }

    /// The mark goes with the last failure of the hook, by a trigger.
    pub(super) async fn mark_warned(&self, hook: &HookId, notice: &Notice) -> StoreResult<bool> {
        let doing = failed("warn of a hook");
        // Most are asked for again and again while they fail; these do not trouble the writer.
        let known: i64 = sqlx::query_scalar("SELECT count(*) FROM warned_hooks WHERE hook = ?")
            .bind(hook.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(&doing)?;
        if known > 0 {
            return Ok(false);
        }
        let mut transaction = self.begin("warn of a hook").await?;
        let marked = sqlx::query(
            "INSERT INTO warned_hooks (hook) SELECT id FROM hooks
             WHERE id = ? AND deleted = 0 AND json_extract(document, '$.enabled') IS NOT 0
               AND EXISTS (SELECT 1 FROM failures WHERE failures.hook = hooks.id)
             ON CONFLICT (hook) DO NOTHING",
        )
        .bind(hook.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        if marked.rows_affected() == 0 {
            return Ok(false);
        }
        Self::insert_notices(&mut transaction, std::slice::from_ref(notice)).await?;
        transaction.commit().await.map_err(doing)?;
        Ok(true)
    }

    pub(super) async fn forget_failures(&self, hook: &HookId) -> StoreResult<()> {
        sqlx::query("DELETE FROM failures WHERE hook = ?")
            .bind(hook.as_str())
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(failed(FORGET))
    }

    pub(super) async fn list_modules(&self) -> StoreResult<Vec<ModuleRecord>> {
        let rows = sqlx::query("SELECT id, version, digest, metadata FROM modules ORDER BY id")
            .fetch_all(&self.readers)
            .await
            .map_err(failed("read modules"))?;
        each(rows, rows::module_metadata)
    }

    pub(super) async fn write_module(&self, record: &ModuleRecord) -> StoreResult<bool> {
        let done = sqlx::query(
            "INSERT INTO modules (id, version, digest, metadata) VALUES (?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, digest = excluded.digest,
               metadata = excluded.metadata
             WHERE version <> excluded.version OR digest <> excluded.digest OR metadata <> excluded.metadata",
        )
        .bind(record.id.as_str())
        .bind(&record.version)
        .bind(&record.digest)
        .bind(json(&record.metadata))
        .execute(&self.writer)
        .await
        .map_err(failed("write a module"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps notices in the transaction that does what they tell of.
    pub(super) async fn insert_notices(
        transaction: &mut Transaction<'_, Sqlite>,
        notices: &[Notice],
    ) -> StoreResult<()> {
        for notice in notices {
            sqlx::query("INSERT INTO notices (exchange, routing_key, body) VALUES (?, ?, ?)")
                .bind(&notice.exchange)
                .bind(&notice.routing_key)
                .bind(json(&notice.body))
                .execute(&mut **transaction)
                .await
                .map_err(failed(KEEP_NOTICE))?;
        }
        Ok(())
    }

    pub(super) async fn write_notice(&self, notice: &Notice) -> StoreResult<()> {
        let mut transaction = self.begin(KEEP_NOTICE).await?;
        Self::insert_notices(&mut transaction, std::slice::from_ref(notice)).await?;
        transaction.commit().await.map_err(failed(KEEP_NOTICE))
    }

    pub(super) async fn list_notices(&self, limit: u32) -> StoreResult<Vec<Notice>> {
        let rows = sqlx::query("SELECT id, exchange, routing_key, body FROM notices ORDER BY id LIMIT ?")
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("read notices"))?;
        each(rows, rows::notice)
    }

    pub(super) async fn remove_notice(&self, id: i64) -> StoreResult<()> {
        sqlx::query("DELETE FROM notices WHERE id = ?")
            .bind(id)
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(failed("remove a notice"))
    }

    pub(super) async fn find_kept_value(&self, key: &str) -> StoreResult<Option<String>> {
        sqlx::query_scalar("SELECT value FROM kept_values WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read a kept value"))
    }

    pub(super) async fn write_kept_value(&self, key: &str, value: &str) -> StoreResult<String> {
        // The update that changes nothing makes RETURNING give the value that was there first.
        sqlx::query_scalar(
            "INSERT INTO kept_values (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = value RETURNING value",
        )
        .bind(key)
        .bind(value)
        .fetch_one(&self.writer)
        .await
        .map_err(failed("keep a value"))
    }

    pub(super) async fn find_webhook_settings(&self, account: Option<&AccountId>) -> StoreResult<Object> {
        let account = name_of(account);
        let text: Option<String> = sqlx::query_scalar("SELECT settings FROM webhook_settings WHERE account = ?")
            .bind(account)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read settings"))?;
        text.map_or_else(|| Ok(Object::new()), |text| parsed("webhook settings of account", account, &text))
    }

    pub(super) async fn list_webhook_settings(&self) -> StoreResult<Vec<(Option<AccountId>, Object)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT account, settings FROM webhook_settings ORDER BY account")
                .fetch_all(&self.readers)
                .await
                .map_err(failed("read settings"))?;
        rows.into_iter()
            .map(|(account, text)| {
                let settings = parsed("webhook settings of account", &account, &text)?;
                Ok((account_named(account), settings))
            })
            .collect()
    }

    pub(super) async fn write_webhook_settings(
        &self,
        account: Option<&AccountId>,
        settings: &Object,
    ) -> StoreResult<()> {
        let doing = failed("write settings");
        let account = name_of(account);
        let query = if settings.is_empty() {
            sqlx::query("DELETE FROM webhook_settings WHERE account = ?").bind(account)
        } else {
            sqlx::query(
                "INSERT INTO webhook_settings (account, settings) VALUES (?, ?)
                 ON CONFLICT (account) DO UPDATE SET settings = excluded.settings",
            )
            .bind(account)
            .bind(json(settings))
        };
        query.execute(&self.writer).await.map(drop).map_err(doing)
    }
}
