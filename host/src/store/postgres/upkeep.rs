//! What is small: failures, modules, notices, kept values and settings.

use sqlx::{Postgres, Transaction};

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    message::{AccountId, HookId, Object, UnixMs},
    store::{
        ModuleRecord, Notice, StoreResult,
        columns::{account_named, each, failed, json, name_of, parsed, signed, small},
        rows,
    },
};

const COUNT: &str = "count failures";
const FORGET: &str = "forget failures";
const KEEP_NOTICE: &str = "keep a notice";
const WARN: &str = "warn of a hook";

type Running = Transaction<'static, Postgres>;

impl PostgresStore {
    pub(super) async fn count_failures(&self, hook: &HookId, after_ms: UnixMs) -> StoreResult<u32> {
        let count: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(count), 0)::bigint FROM failures WHERE hook = $1 AND at_ms > $2")
                .bind(text(hook.as_str()))
                .bind(signed(after_ms))
                .fetch_one(&self.pool)
                .await
                .map_err(failed(COUNT))?;
        Ok(small(count))
    }

    pub(super) async fn forget_and_count_failures(
        &self,
        after_ms: UnixMs,
    ) -> StoreResult<Vec<(AccountId, HookId, u32)>> {
        let old: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM failures WHERE at_ms <= $1)")
            .bind(signed(after_ms))
            .fetch_one(&self.pool)
            .await
            .map_err(failed(COUNT))?;
        if old {
            // Under the lock that those who warn take too, so that a spell's end is seen by one or the other.
            let mut transaction = self.begin_change(FORGET).await?;
            let gone: Vec<String> = sqlx::query_scalar("DELETE FROM failures WHERE at_ms <= $1 RETURNING hook")
                .bind(signed(after_ms))
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed(FORGET))?;
            end_spells(&mut transaction, &gone).await?;
            transaction.commit().await.map_err(failed(FORGET))?;
        }
        let counts: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT account, hook, sum(count)::bigint FROM failures WHERE at_ms > $1 GROUP BY account, hook",
        )
        .bind(signed(after_ms))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(COUNT))?;
        Ok(counts
            .into_iter()
            .map(|(account, hook, count)| (read(account).into(), read(hook).into(), small(count)))
            .collect())
    }

    pub(super) async fn list_failing_hooks(
        &self,
        account: &AccountId,
        after_ms: UnixMs,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<(HookId, u32)>> {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "SELECT hook, sum(count)::bigint FROM failures WHERE account = $1 AND at_ms > $2 AND hook > $3
             GROUP BY hook ORDER BY hook LIMIT $4",
        )
        .bind(text(account.as_str()))
        .bind(signed(after_ms))
        .bind(text(after.map_or("", HookId::as_str)))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(COUNT))?;
        Ok(counts.into_iter().map(|(hook, count)| (read(hook).into(), small(count))).collect())
    }

    pub(super) async fn mark_warned(&self, hook: &HookId, notice: &Notice) -> StoreResult<bool> {
        let doing = failed(WARN);
        // Most are asked for again and again while they fail; these do not wait for the lock.
        let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM warned_hooks WHERE hook = $1)")
            .bind(text(hook.as_str()))
            .fetch_one(&self.pool)
            .await
            .map_err(&doing)?;
        if known {
            return Ok(false);
        }
        let mut transaction = self.begin_change(WARN).await?;
        let marked = sqlx::query(
            "INSERT INTO warned_hooks (hook) SELECT id FROM hooks
             WHERE id = $1 AND NOT deleted AND enabled
               AND EXISTS (SELECT 1 FROM failures WHERE failures.hook = hooks.id)
             ON CONFLICT (hook) DO NOTHING",
        )
        .bind(text(hook.as_str()))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        if marked.rows_affected() == 0 {
            return Ok(false);
        }
        Self::insert_notices(&mut transaction, std::slice::from_ref(notice)).await?;
        self.finish_change(transaction, WARN).await?;
        Ok(true)
    }

    pub(super) async fn forget_failures(&self, hook: &HookId) -> StoreResult<()> {
        let mut transaction = self.begin_change(FORGET).await?;
        Self::forget_failures_of(&mut transaction, &[text(hook.as_str()).into_owned()]).await?;
        transaction.commit().await.map_err(failed(FORGET))
    }

    /// Forgets the failures of hooks, and that anybody was warned of them. Under the configuration lock; ids as they are
    /// stored.
    pub(super) async fn forget_failures_of(transaction: &mut Running, hooks: &[String]) -> StoreResult<()> {
        let gone = sqlx::query("DELETE FROM failures WHERE hook = ANY($1)").bind(hooks);
        gone.execute(&mut **transaction).await.map_err(failed(FORGET))?;
        end_spells(transaction, hooks).await
    }

    pub(super) async fn list_modules(&self) -> StoreResult<Vec<ModuleRecord>> {
        let found = sqlx::query("SELECT id, version, digest, metadata FROM modules ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read modules"))?;
        each(found, rows::module_metadata)
    }

    pub(super) async fn write_module(&self, record: &ModuleRecord) -> StoreResult<bool> {
        let done = sqlx::query(
            "INSERT INTO modules (id, version, digest, metadata) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, digest = excluded.digest,
               metadata = excluded.metadata
             WHERE modules.version <> excluded.version OR modules.digest <> excluded.digest
               OR modules.metadata <> excluded.metadata",
        )
        .bind(text(record.id.as_str()))
        .bind(text(&record.version))
        .bind(text(&record.digest))
        .bind(json(&record.metadata))
        .execute(&self.pool)
        .await
        .map_err(failed("write a module"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps notices in the transaction that does what they tell of.
    pub(super) async fn insert_notices(transaction: &mut Running, notices: &[Notice]) -> StoreResult<()> {
        for notice in notices {
            sqlx::query("INSERT INTO notices (exchange, routing_key, body) VALUES ($1, $2, $3)")
                .bind(text(&notice.exchange))
                .bind(text(&notice.routing_key))
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
        let found = sqlx::query("SELECT id, exchange, routing_key, body FROM notices ORDER BY id LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read notices"))?;
        each(found, rows::notice)
    }

    pub(super) async fn remove_notice(&self, id: i64) -> StoreResult<()> {
        sqlx::query("DELETE FROM notices WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("remove a notice"))
    }

    pub(super) async fn find_kept_value(&self, key: &str) -> StoreResult<Option<String>> {
        let value: Option<String> = sqlx::query_scalar("SELECT value FROM kept_values WHERE key = $1")
            .bind(text(key))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a kept value"))?;
        Ok(value.map(read))
    }

    pub(super) async fn write_kept_value(&self, key: &str, value: &str) -> StoreResult<String> {
        // The update that changes nothing makes RETURNING give the value that was there first, also when another node
        // put it there just now.
        sqlx::query_scalar(
            "INSERT INTO kept_values (key, value) VALUES ($1, $2)
             ON CONFLICT (key) DO UPDATE SET value = kept_values.value RETURNING value",
        )
        .bind(text(key))
        .bind(text(value))
        .fetch_one(&self.pool)
        .await
        .map(read)
        .map_err(failed("keep a value"))
    }

    pub(super) async fn find_webhook_settings(&self, account: Option<&AccountId>) -> StoreResult<Object> {
        let account = name_of(account);
        let found: Option<String> = sqlx::query_scalar("SELECT settings FROM webhook_settings WHERE account = $1")
            .bind(text(account))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read settings"))?;
        found.map_or_else(|| Ok(Object::new()), |found| parsed("webhook settings of account", account, &found))
    }

    pub(super) async fn list_webhook_settings(&self) -> StoreResult<Vec<(Option<AccountId>, Object)>> {
        let found: Vec<(String, String)> =
            sqlx::query_as("SELECT account, settings FROM webhook_settings ORDER BY account")
                .fetch_all(&self.pool)
                .await
                .map_err(failed("read settings"))?;
        found
            .into_iter()
            .map(|(account, settings)| {
                let account = read(account);
                let settings = parsed("webhook settings of account", &account, &settings)?;
                Ok((account_named(account), settings))
            })
            .collect()
    }

    pub(super) async fn write_webhook_settings(
        &self,
        account: Option<&AccountId>,
        settings: &Object,
    ) -> StoreResult<()> {
        let account = text(name_of(account));
        let query = if settings.is_empty() {
            sqlx::query("DELETE FROM webhook_settings WHERE account = $1").bind(account)
        } else {
            sqlx::query(
                "INSERT INTO webhook_settings (account, settings) VALUES ($1, $2)
                 ON CONFLICT (account) DO UPDATE SET settings = excluded.settings",
            )
            .bind(account)
            .bind(json(settings))
        };
        query.execute(&self.pool).await.map(drop).map_err(failed("write settings"))
    }
}

/// Ends the spells of those of these hooks that have no failure any more.
async fn end_spells(transaction: &mut Running, hooks: &[String]) -> StoreResult<()> {
    sqlx::query(
        "DELETE FROM warned_hooks
         WHERE hook = ANY($1) AND NOT EXISTS (SELECT 1 FROM failures WHERE failures.hook = warned_hooks.hook)",
    )
    .bind(hooks)
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(FORGET))
}
