//! Hooks, and how one is switched off.

use sqlx::{Row, Sqlite, Transaction};

use super::SqliteStore;
use crate::{
    hook::HookRecord,
    message::{AccountId, HookId, UnixMs},
    store::{
        Changes, HookChange, Notice, Saved, StoreResult,
        columns::{changes, each, failed, json, parsed, signed, unsigned},
        disabling::{HOOK_DELETED, HOOK_DISABLED, disabled_for, is_enabled, switched_off},
        rows,
        saving::{Standing, revision_over, same_hook},
    },
};

const READ: &str = "read hooks";
const WRITE: &str = "write a hook";
const DELETE: &str = "delete a hook";
const DISABLE: &str = "disable a hook";

impl SqliteStore {
    pub(super) async fn find_hook(&self, id: &HookId) -> StoreResult<Option<HookRecord>> {
        let row = sqlx::query(
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms FROM hooks
             WHERE id = ? AND deleted = 0",
        )
        .bind(id.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(failed(READ))?;
        row.as_ref().map(rows::hook).transpose()
    }

    pub(super) async fn write_hooks(&self, records: &[HookRecord], now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        let mut changed = Vec::with_capacity(records.len());
        for record in records {
            let done = sqlx::query(
                "INSERT INTO hooks (id, account, document, disabled_message, secrets, revision, created_ms, change)
                 VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM hooks))
                 ON CONFLICT (id) DO UPDATE SET account = excluded.account, document = excluded.document,
                   disabled_message = excluded.disabled_message, secrets = excluded.secrets,
                   revision = revision + 1, deleted = 0, change = excluded.change
                 WHERE deleted OR account <> excluded.account OR document <> excluded.document
                   OR disabled_message IS NOT excluded.disabled_message OR secrets <> excluded.secrets",
            )
            .bind(record.id.as_str())
            .bind(record.account.as_str())
            .bind(json(&record.document))
            .bind(record.disabled_message.as_deref())
            .bind(json(&record.secrets))
            .bind(record.revision.max(1))
            .bind(signed(record.created_ms))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            if done.rows_affected() > 0 {
                clear_failures(&mut transaction, record.id.as_str()).await?;
                end_waiting_of_disabled(&mut transaction, record, now_ms).await?;
            }
            changed.push(done.rows_affected() > 0);
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(changed)
    }

    pub(super) async fn save_one_hook(
        &self,
        new: &HookRecord,
        based_on: Option<i64>,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<Saved> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        if !Self::account_is_there(&mut transaction, &new.account).await? {
            return Ok(Saved::Conflict);
        }
        let row = sqlx::query(
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms, deleted FROM hooks
             WHERE id = ?",
        )
        .bind(new.id.as_str())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&doing)?;
        let standing = match &row {
            Some(row) => {
                let (stored, deleted): (HookRecord, bool) = (rows::hook(row)?, row.try_get("deleted").map_err(&doing)?);
                if !deleted && stored.account != new.account {
                    return Ok(Saved::Conflict);
                }
                Some(Standing { revision: stored.revision, deleted, same: same_hook(&stored, new) })
            }
            None => None,
        };
        let revision = match revision_over(based_on, standing.as_ref()) {
            Ok(revision) => revision,
            Err(saved) => return Ok(saved),
        };
        sqlx::query(
            "INSERT INTO hooks (id, account, document, disabled_message, secrets, revision, created_ms, change)
             VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM hooks))
             ON CONFLICT (id) DO UPDATE SET account = excluded.account, document = excluded.document,
               disabled_message = excluded.disabled_message, secrets = excluded.secrets, revision = excluded.revision,
               created_ms = iif(deleted, excluded.created_ms, created_ms), deleted = 0, change = excluded.change",
        )
        .bind(new.id.as_str())
        .bind(new.account.as_str())
        .bind(json(&new.document))
        .bind(new.disabled_message.as_deref())
        .bind(json(&new.secrets))
        .bind(revision)
        .bind(signed(new.created_ms))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        clear_failures(&mut transaction, new.id.as_str()).await?;
        end_waiting_of_disabled(&mut transaction, new, now_ms).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(&doing)?;
        Ok(Saved::Done(revision))
    }

    /// Whether there is such an account; nobody deletes it before the transaction ends.
    pub(super) async fn account_is_there(
        transaction: &mut Transaction<'_, Sqlite>,
        account: &AccountId,
    ) -> StoreResult<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ? AND deleted = 0)")
            .bind(account.as_str())
            .fetch_one(&mut **transaction)
            .await
            .map_err(failed("look for an account"))
    }

    pub(super) async fn count_hooks_of(&self, account: &AccountId) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM hooks WHERE account = ? AND deleted = 0")
            .bind(account.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(failed("count hooks"))?;
        Ok(unsigned(count))
    }

    pub(super) async fn list_hooks_of(
        &self,
        account: &AccountId,
        switched_off_only: bool,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<HookRecord>> {
        let text = if switched_off_only {
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms FROM hooks
             WHERE account = ? AND deleted = 0 AND disabled_message IS NOT NULL
               AND json_extract(document, '$.enabled') = 0 AND id > ? ORDER BY id LIMIT ?"
        } else {
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms FROM hooks
             WHERE account = ? AND deleted = 0 AND id > ? ORDER BY id LIMIT ?"
        };
        let rows = sqlx::query(text)
            .bind(account.as_str())
            .bind(after.map_or("", HookId::as_str))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed(READ))?;
        each(rows, rows::hook)
    }

    pub(super) async fn remove_hook(&self, id: &HookId, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool> {
        let mut transaction = self.begin(DELETE).await?;
        if !Self::mark_hook_deleted(&mut transaction, id.as_str(), HOOK_DELETED, now_ms).await? {
            return Ok(false);
        }
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(failed(DELETE))?;
        Ok(true)
    }

    /// The row stays as a mark for others to read; its secrets, document and failures go, and its waiting firings end
    /// undelivered for this reason.
    pub(super) async fn mark_hook_deleted(
        transaction: &mut Transaction<'_, Sqlite>,
        id: &str,
        reason: &str,
        now_ms: UnixMs,
    ) -> StoreResult<bool> {
        let doing = failed(DELETE);
        let done = sqlx::query(
            "UPDATE hooks SET deleted = 1, document = '{}', secrets = '[]', disabled_message = NULL,
               revision = revision + 1, change = (SELECT max(change) + 1 FROM hooks)
             WHERE id = ? AND deleted = 0",
        )
        .bind(id)
        .execute(&mut **transaction)
        .await
        .map_err(&doing)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        end_waiting(transaction, id, reason, now_ms).await?;
        clear_failures(transaction, id).await?;
        Ok(true)
    }

    pub(super) async fn hook_changes(&self, cursor: i64, limit: u32) -> StoreResult<Changes<HookChange>> {
        const DOING: &str = "read changed hooks";
        let rows = sqlx::query(
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms, deleted, change FROM hooks
             WHERE change > ? ORDER BY change LIMIT ?",
        )
        .bind(cursor)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(DOING))?;
        changes(&rows, cursor, DOING, rows::hook_change)
    }

    pub(super) async fn switch_off_hook(
        &self,
        id: &HookId,
        reason: &str,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<bool> {
        let doing = failed(DISABLE);
        let mut transaction = self.begin(DISABLE).await?;
        let document: Option<String> = sqlx::query_scalar("SELECT document FROM hooks WHERE id = ? AND deleted = 0")
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&doing)?;
        let Some(document) = document else { return Ok(false) };
        let Some(document) = switched_off(parsed("hook", id.as_str(), &document)?) else { return Ok(false) };
        sqlx::query(
            "UPDATE hooks SET document = ?, disabled_message = ?, revision = revision + 1,
               change = (SELECT max(change) + 1 FROM hooks) WHERE id = ?",
        )
        .bind(json(&document))
        .bind(reason)
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        end_waiting(&mut transaction, id.as_str(), &disabled_for(reason), now_ms).await?;
        clear_failures(&mut transaction, id.as_str()).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(&doing)?;
        Ok(true)
    }
}

/// Waiting firings of the hook end undelivered. The lease stays: a try that is under way may still end well, and then
/// takes the firing off the list.
async fn end_waiting(
    transaction: &mut Transaction<'_, Sqlite>,
    hook: &str,
    reason: &str,
    now_ms: UnixMs,
) -> StoreResult<()> {
    sqlx::query("UPDATE firings SET state = 1, reason = ?, due_ms = ? WHERE hook = ? AND state = 0")
        .bind(reason)
        .bind(signed(now_ms))
        .bind(hook)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(failed("end firings that wait"))
}

/// A hook that is saved disabled sends nothing any more, what waits included.
async fn end_waiting_of_disabled(
    transaction: &mut Transaction<'_, Sqlite>,
    record: &HookRecord,
    now_ms: UnixMs,
) -> StoreResult<()> {
    match is_enabled(&record.document) {
        true => Ok(()),
        false => end_waiting(transaction, record.id.as_str(), HOOK_DISABLED, now_ms).await,
    }
}

async fn clear_failures(transaction: &mut Transaction<'_, Sqlite>, hook: &str) -> StoreResult<()> {
    sqlx::query("DELETE FROM failures WHERE hook = ?")
        .bind(hook)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(failed("forget a hook's failures"))
}
