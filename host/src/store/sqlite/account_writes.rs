//! Writing accounts: over a revision, many at once, and deleting them with what is their own.

use std::collections::BTreeSet;

use sqlx::{Row, Sqlite, Transaction};

use super::SqliteStore;
use crate::{
    account::{Account, AccountFields, AccountRecord},
    message::{AccountId, Object, UnixMs},
    store::{
        Notice, Saved, StoreResult,
        columns::{failed, json, signed},
        disabling::ACCOUNT_DELETED,
        rows::account_record,
        saving::{Standing, named, revision_over, same_account, topmost},
    },
};

const WRITE: &str = "write an account";
const DELETE: &str = "delete accounts";

impl SqliteStore {
    pub(super) async fn write_accounts(&self, accounts: &[Account], now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        let mut changed = Vec::with_capacity(accounts.len());
        for account in accounts {
            let named: Object = [("name".to_owned(), account.name.as_str().into())].into_iter().collect();
            let done = sqlx::query(
                "INSERT INTO accounts (id, name, tree, reseller, document, created_ms, change)
                 VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM accounts))
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, tree = excluded.tree,
                   reseller = excluded.reseller, document = json_set(document, '$.name', excluded.name),
                   created_ms = iif(deleted, excluded.created_ms, created_ms), revision = revision + 1, deleted = 0,
                   change = excluded.change
                 WHERE deleted OR name <> excluded.name OR tree <> excluded.tree OR reseller IS NOT excluded.reseller",
            )
            .bind(account.id.as_str())
            .bind(&account.name)
            .bind(json(&account.tree))
            .bind(account.reseller.as_ref().map(AccountId::as_str))
            .bind(json(&named))
            .bind(signed(now_ms))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            changed.push(done.rows_affected() > 0);
        }
        // Whoever is named as a reseller is one. Followers do not read that, so it is no change to them.
        let resellers: BTreeSet<&AccountId> = accounts.iter().filter_map(|account| account.reseller.as_ref()).collect();
        for reseller in resellers {
            sqlx::query(
                "UPDATE accounts SET is_reseller = 1, revision = revision + 1
                 WHERE id = ? AND deleted = 0 AND is_reseller = 0",
            )
            .bind(reseller.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(changed)
    }

    pub(super) async fn write_account_fields(&self, fields: &[AccountFields]) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        let mut changed = Vec::with_capacity(fields.len());
        for fields in fields {
            let document = json(&fields.document);
            let done = sqlx::query(
                "UPDATE accounts SET document = ?, is_reseller = max(is_reseller, ?), revision = revision + 1
                 WHERE id = ? AND deleted = 0 AND (document <> ? OR is_reseller < ?)",
            )
            .bind(&document)
            .bind(fields.is_reseller)
            .bind(fields.id.as_str())
            .bind(&document)
            .bind(fields.is_reseller)
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            changed.push(done.rows_affected() > 0);
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(changed)
    }

    pub(super) async fn save_one_account(
        &self,
        record: &AccountRecord,
        based_on: Option<i64>,
        notices: &[Notice],
    ) -> StoreResult<Saved> {
        let mut transaction = self.begin(WRITE).await?;
        let standing = stored(&mut transaction, &record.account.id).await?.map(|(stored, deleted)| Standing {
            revision: stored.revision,
            deleted,
            same: same_account(&stored, record),
        });
        let revision = match revision_over(based_on, standing.as_ref()) {
            Ok(revision) => revision,
            Err(saved) => return Ok(saved),
        };
        if based_on.is_none() && !parent_is_in_place(&mut transaction, &record.account.tree).await? {
            return Ok(Saved::Conflict);
        }
        write(&mut transaction, record, revision).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(failed(WRITE))?;
        Ok(Saved::Done(revision))
    }

    pub(super) async fn save_many_accounts(&self, records: &[AccountRecord], notices: &[Notice]) -> StoreResult<bool> {
        let mut transaction = self.begin(WRITE).await?;
        let mut before = Vec::with_capacity(records.len());
        for record in records {
            match stored(&mut transaction, &record.account.id).await? {
                Some((stored, false)) if stored.revision == record.revision => before.push(stored),
                _ => return Ok(false),
            }
        }
        let listed: BTreeSet<&str> = records.iter().map(|record| record.account.id.as_str()).collect();
        for top in topmost(&before) {
            let below: Vec<String> = sqlx::query_scalar(
                "SELECT id FROM account_ancestors CROSS JOIN accounts ON id = account
                 WHERE ancestor = ? AND deleted = 0",
            )
            .bind(top.account.id.as_str())
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
            if below.iter().any(|id| !listed.contains(id.as_str())) {
                return Ok(false);
            }
        }
        let mut moved = Vec::new();
        let mut changes = false;
        for (record, stored) in records.iter().zip(&before) {
            if !same_account(stored, record) {
                changes = true;
                write(&mut transaction, record, stored.revision + 1).await?;
            }
            if stored.account.tree != record.account.tree {
                moved.push(&record.account.tree);
            }
        }
        // Only now are those that moved together all in their new places.
        for tree in moved {
            if !parent_is_in_place(&mut transaction, tree).await? {
                return Ok(false);
            }
        }
        if changes {
            Self::insert_notices(&mut transaction, notices).await?;
            transaction.commit().await.map_err(failed(WRITE))?;
        }
        Ok(true)
    }

    pub(super) async fn remove_accounts(
        &self,
        ids: &[AccountId],
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<u64> {
        let doing = failed(DELETE);
        let mut transaction = self.begin(DELETE).await?;
        let mut gone = Vec::with_capacity(ids.len());
        for id in ids {
            let done = sqlx::query(
                "UPDATE accounts SET deleted = 1, name = '', document = '{}', is_reseller = 0, revision = revision + 1,
                   change = (SELECT max(change) + 1 FROM accounts)
                 WHERE id = ? AND deleted = 0",
            )
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            if done.rows_affected() > 0 {
                gone.push(id);
            }
        }
        if gone.is_empty() {
            return Ok(0);
        }
        let list = json(&gone);
        let hooks: Vec<String> = sqlx::query_scalar(
            "SELECT hooks.id FROM json_each(?) AS gone CROSS JOIN hooks ON hooks.account = gone.value
             WHERE hooks.deleted = 0",
        )
        .bind(&list)
        .fetch_all(&mut *transaction)
        .await
        .map_err(&doing)?;
        for hook in hooks {
            Self::mark_hook_deleted(&mut transaction, &hook, ACCOUNT_DELETED, now_ms).await?;
        }
        Self::take_numbers_of(&mut transaction, &gone).await?;
        for account in &gone {
            Self::take_modules_of(&mut transaction, account).await?;
            Self::take_module_limits_of(&mut transaction, account).await?;
        }
        for statement in [
            "DELETE FROM keys WHERE account IN (SELECT value FROM json_each(?))",
            "DELETE FROM webhook_settings WHERE account IN (SELECT value FROM json_each(?))",
            "DELETE FROM resend_jobs WHERE account IN (SELECT value FROM json_each(?))",
            "DELETE FROM stored_calls WHERE (module, account) IN (SELECT module, account FROM stored_call_lines
               WHERE account IN (SELECT value FROM json_each(?)))",
        ] {
            sqlx::query(statement).bind(&list).execute(&mut *transaction).await.map_err(&doing)?;
        }
        // Firings of hooks have ended with their hooks; these are those that travelled in messages.
        sqlx::query(
            "UPDATE firings SET state = 1, reason = ?, due_ms = ?
             WHERE account IN (SELECT value FROM json_each(?)) AND inline IS NOT NULL AND state = 0",
        )
        .bind(ACCOUNT_DELETED)
        .bind(signed(now_ms))
        .bind(&list)
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(&doing)?;
        Ok(gone.len() as u64)
    }
}

/// The account as it stands in the store, and whether it is deleted.
async fn stored(
    transaction: &mut Transaction<'_, Sqlite>,
    id: &AccountId,
) -> StoreResult<Option<(AccountRecord, bool)>> {
    let doing = failed(WRITE);
    let row = sqlx::query(
        "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms, deleted FROM accounts
         WHERE id = ?",
    )
    .bind(id.as_str())
    .fetch_optional(&mut **transaction)
    .await
    .map_err(&doing)?;
    row.map(|row| Ok((account_record(&row)?, row.try_get("deleted").map_err(&doing)?))).transpose()
}

/// Whether the account above is there, at the place that the tree says; a root needs none.
async fn parent_is_in_place(transaction: &mut Transaction<'_, Sqlite>, tree: &[AccountId]) -> StoreResult<bool> {
    let Some((parent, above)) = tree.split_last() else { return Ok(true) };
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM accounts WHERE id = ? AND tree = ? AND deleted = 0")
        .bind(parent.as_str())
        .bind(json(&above))
        .fetch_optional(&mut **transaction)
        .await
        .map_err(failed(WRITE))?;
    Ok(found.is_some())
}

async fn write(transaction: &mut Transaction<'_, Sqlite>, record: &AccountRecord, revision: i64) -> StoreResult<()> {
    let account = &record.account;
    sqlx::query(
        "INSERT INTO accounts (id, name, tree, reseller, document, is_reseller, revision, created_ms, change)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM accounts))
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, tree = excluded.tree, reseller = excluded.reseller,
           document = excluded.document, is_reseller = excluded.is_reseller, revision = excluded.revision,
           created_ms = iif(deleted, excluded.created_ms, created_ms), deleted = 0, change = excluded.change",
    )
    .bind(account.id.as_str())
    .bind(&account.name)
    .bind(json(&account.tree))
    .bind(account.reseller.as_ref().map(AccountId::as_str))
    .bind(json(&named(record)))
    .bind(record.is_reseller)
    .bind(revision)
    .bind(signed(record.created_ms))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(WRITE))
}
