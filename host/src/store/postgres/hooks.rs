//! Hooks, and how one is switched off. Writing is under the configuration lock.

use sqlx::{Postgres, Row, Transaction};

use super::{PostgresStore, text::text};
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

type Running = Transaction<'static, Postgres>;

impl PostgresStore {
    pub(super) async fn find_hook(&self, id: &HookId) -> StoreResult<Option<HookRecord>> {
        let row = sqlx::query(
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms FROM hooks
             WHERE id = $1 AND NOT deleted",
        )
        .bind(text(id.as_str()))
        .fetch_optional(&self.pool)
        .await
        .map_err(failed(READ))?;
        row.as_ref().map(rows::hook).transpose()
    }

    pub(super) async fn write_hooks(&self, records: &[HookRecord], now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin_change(WRITE).await?;
        let mut changed = Vec::with_capacity(records.len());
        for record in records {
            let done = sqlx::query(
                "INSERT INTO hooks
                   (id, account, document, enabled, disabled_message, secrets, revision, created_ms, change)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nextval('changes'))
                 ON CONFLICT (id) DO UPDATE SET account = excluded.account, document = excluded.document,
                   enabled = excluded.enabled, disabled_message = excluded.disabled_message,
                   secrets = excluded.secrets, revision = hooks.revision + 1, deleted = FALSE, change = excluded.change
                 WHERE hooks.deleted OR hooks.account <> excluded.account OR hooks.document <> excluded.document
                   OR hooks.disabled_message IS DISTINCT FROM excluded.disabled_message
                   OR hooks.secrets <> excluded.secrets",
            )
            .bind(text(record.id.as_str()))
            .bind(text(record.account.as_str()))
            .bind(json(&record.document))
            .bind(is_enabled(&record.document))
            .bind(record.disabled_message.as_deref().map(text))
            .bind(json(&record.secrets))
            .bind(record.revision.max(1))
            .bind(signed(record.created_ms))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            if done.rows_affected() > 0 {
                Self::forget_failures_of(&mut transaction, &[text(record.id.as_str()).into_owned()]).await?;
                end_waiting_of_disabled(&mut transaction, record, now_ms).await?;
            }
            changed.push(done.rows_affected() > 0);
        }
        self.finish_change(transaction, WRITE).await?;
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
        let mut transaction = self.begin_change(WRITE).await?;
        if !Self::account_is_there(&mut transaction, &new.account).await? {
            return Ok(Saved::Conflict);
        }
        let row = sqlx::query(
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms, deleted FROM hooks
             WHERE id = $1",
        )
        .bind(text(new.id.as_str()))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&doing)?;
        let mut created_ms = new.created_ms;
        let standing = match &row {
            Some(row) => {
                let (stored, deleted): (HookRecord, bool) = (rows::hook(row)?, row.try_get("deleted").map_err(&doing)?);
                if !deleted && stored.account != new.account {
                    return Ok(Saved::Conflict);
                }
                if !deleted {
                    created_ms = stored.created_ms;
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
            "INSERT INTO hooks
               (id, account, document, enabled, disabled_message, secrets, revision, created_ms, change)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nextval('changes'))
             ON CONFLICT (id) DO UPDATE SET account = excluded.account, document = excluded.document,
               enabled = excluded.enabled, disabled_message = excluded.disabled_message, secrets = excluded.secrets,
               revision = excluded.revision, created_ms = excluded.created_ms, deleted = FALSE,
               change = excluded.change",
        )
        .bind(text(new.id.as_str()))
        .bind(text(new.account.as_str()))
        .bind(json(&new.document))
        .bind(is_enabled(&new.document))
        .bind(new.disabled_message.as_deref().map(text))
        .bind(json(&new.secrets))
        .bind(revision)
        .bind(signed(created_ms))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        Self::forget_failures_of(&mut transaction, &[text(new.id.as_str()).into_owned()]).await?;
        end_waiting_of_disabled(&mut transaction, new, now_ms).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, WRITE).await?;
        Ok(Saved::Done(revision))
    }

    /// Whether there is such an account; nobody deletes it before the transaction ends.
    pub(super) async fn account_is_there(transaction: &mut Running, account: &AccountId) -> StoreResult<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM accounts WHERE id = $1 AND NOT deleted)")
            .bind(text(account.as_str()))
            .fetch_one(&mut **transaction)
            .await
            .map_err(failed("look for an account"))
    }

    pub(super) async fn count_hooks_of(&self, account: &AccountId) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM hooks WHERE account = $1 AND NOT deleted")
            .bind(text(account.as_str()))
            .fetch_one(&self.pool)
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
        let listing = if switched_off_only {
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms FROM hooks
             WHERE account = $1 AND NOT deleted AND disabled_message IS NOT NULL AND NOT enabled AND id > $2
             ORDER BY id LIMIT $3"
        } else {
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms FROM hooks
             WHERE account = $1 AND NOT deleted AND id > $2 ORDER BY id LIMIT $3"
        };
        let found = sqlx::query(listing)
            .bind(text(account.as_str()))
            .bind(text(after.map_or("", HookId::as_str)))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        each(found, rows::hook)
    }

    pub(super) async fn remove_hook(&self, id: &HookId, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool> {
        let mut transaction = self.begin_change(DELETE).await?;
        let ids = [text(id.as_str()).into_owned()];
        if Self::mark_hooks_deleted(&mut transaction, &ids, HOOK_DELETED, now_ms).await? == 0 {
            return Ok(false);
        }
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, DELETE).await?;
        Ok(true)
    }

    /// The rows stay as marks for others to read; their secrets, documents and failures go, and their waiting firings end
    /// undelivered for this reason. Ids as they are stored. Gives how many were there.
    pub(super) async fn mark_hooks_deleted(
        transaction: &mut Running,
        ids: &[String],
        reason: &str,
        now_ms: UnixMs,
    ) -> StoreResult<u64> {
        let doing = failed(DELETE);
        let gone: Vec<String> = sqlx::query_scalar(
            "UPDATE hooks SET deleted = TRUE, document = '{}', enabled = TRUE, secrets = '[]', disabled_message = NULL,
               revision = revision + 1, change = nextval('changes')
             WHERE id = ANY($1) AND NOT deleted RETURNING id",
        )
        .bind(ids)
        .fetch_all(&mut **transaction)
        .await
        .map_err(&doing)?;
        if gone.is_empty() {
            return Ok(0);
        }
        end_waiting(transaction, &gone, reason, now_ms).await?;
        Self::forget_failures_of(transaction, &gone).await?;
        Ok(gone.len() as u64)
    }

    pub(super) async fn hook_changes(&self, cursor: i64, limit: u32) -> StoreResult<Changes<HookChange>> {
        const DOING: &str = "read changed hooks";
        let changed = sqlx::query(
            "SELECT id, account, document, disabled_message, secrets, revision, created_ms, deleted, change FROM hooks
             WHERE change > $1 ORDER BY change LIMIT $2",
        )
        .bind(cursor)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(DOING))?;
        changes(&changed, cursor, DOING, rows::hook_change)
    }

    pub(super) async fn switch_off_hook(
        &self,
        id: &HookId,
        reason: &str,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<bool> {
        let doing = failed(DISABLE);
        let mut transaction = self.begin_change(DISABLE).await?;
        let document: Option<String> = sqlx::query_scalar("SELECT document FROM hooks WHERE id = $1 AND NOT deleted")
            .bind(text(id.as_str()))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&doing)?;
        let Some(document) = document else { return Ok(false) };
        let Some(document) = switched_off(parsed("hook", id.as_str(), &document)?) else { return Ok(false) };
        sqlx::query(
            "UPDATE hooks SET document = $1, enabled = FALSE, disabled_message = $2, revision = revision + 1,
               change = nextval('changes') WHERE id = $3",
        )
        .bind(json(&document))
        .bind(text(reason))
        .bind(text(id.as_str()))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        let ids = [text(id.as_str()).into_owned()];
        end_waiting(&mut transaction, &ids, &disabled_for(reason), now_ms).await?;
        Self::forget_failures_of(&mut transaction, &ids).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, DISABLE).await?;
        Ok(true)
    }
}

/// Waiting firings of the hooks end undelivered. The lease stays: a try that is under way may still end well, and then takes
/// the firing off the list.
async fn end_waiting(transaction: &mut Running, hooks: &[String], reason: &str, now_ms: UnixMs) -> StoreResult<()> {
    sqlx::query("UPDATE firings SET state = 1, reason = $1, due_ms = $2 WHERE hook = ANY($3) AND state = 0")
        .bind(text(reason))
        .bind(signed(now_ms))
        .bind(hooks)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(failed("end firings that wait"))
}

/// A hook that is saved disabled sends nothing any more, what waits included.
async fn end_waiting_of_disabled(transaction: &mut Running, record: &HookRecord, now_ms: UnixMs) -> StoreResult<()> {
    match is_enabled(&record.document) {
        true => Ok(()),
        false => end_waiting(transaction, &[text(record.id.as_str()).into_owned()], HOOK_DISABLED, now_ms).await,
    }
}
