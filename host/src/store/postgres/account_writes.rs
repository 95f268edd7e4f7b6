//! Writing accounts: over a revision, many at once, and deleting them with what is their own. All under the configuration
//! lock, so what was read stands until the transaction ends.

use std::collections::BTreeSet;

use sqlx::{Postgres, Row, Transaction};

use super::{
    PostgresStore,
    text::{read, text},
};
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

type Running = Transaction<'static, Postgres>;

impl PostgresStore {
    pub(super) async fn write_accounts(&self, accounts: &[Account], now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        let mut transaction = self.begin_change(WRITE).await?;
        let mut changed = Vec::with_capacity(accounts.len());
        for account in accounts {
            let record = match stored(&mut transaction, &account.id).await? {
                Some((stored, false)) if stored.account == *account => {
                    changed.push(false);
                    continue;
                }
                Some((stored, false)) => {
                    AccountRecord { account: account.clone(), revision: stored.revision + 1, ..stored }
                }
                // Made again, it is new but for its revision and whether it is a reseller, which deleting has reset.
                Some((stored, true)) => AccountRecord {
                    account: account.clone(),
                    document: Object::new(),
                    revision: stored.revision + 1,
                    created_ms: now_ms,
                    ..stored
                },
                None => AccountRecord {
                    account: account.clone(),
                    document: Object::new(),
                    is_reseller: false,
                    revision: 1,
                    created_ms: now_ms,
                },
            };
            write(&mut transaction, &record, record.revision).await?;
            changed.push(true);
        }
        // Whoever is named as a reseller is one. Followers do not read that, so it is no change to them.
        let resellers: BTreeSet<&AccountId> = accounts.iter().filter_map(|account| account.reseller.as_ref()).collect();
        sqlx::query(
            "UPDATE accounts SET is_reseller = TRUE, revision = revision + 1
             WHERE id = ANY($1) AND NOT deleted AND NOT is_reseller",
        )
        .bind(resellers.iter().map(|id| text(id.as_str())).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await
        .map_err(failed(WRITE))?;
        self.finish_change(transaction, WRITE).await?;
        Ok(changed)
    }

    pub(super) async fn write_account_fields(&self, fields: &[AccountFields]) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin_change(WRITE).await?;
        let mut changed = Vec::with_capacity(fields.len());
        for fields in fields {
            let done = sqlx::query(
                "UPDATE accounts SET document = $1, realm = $2, is_reseller = is_reseller OR $3, revision = revision + 1
                 WHERE id = $4 AND NOT deleted AND (document <> $1 OR (NOT is_reseller AND $3))",
            )
            .bind(json(&fields.document))
            .bind(realm(&fields.document).map(text))
            .bind(fields.is_reseller)
            .bind(text(fields.id.as_str()))
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
        let mut transaction = self.begin_change(WRITE).await?;
        let stored = stored(&mut transaction, &record.account.id).await?;
        let standing = stored.as_ref().map(|(stored, deleted)| Standing {
            revision: stored.revision,
            deleted: *deleted,
            same: same_account(stored, record),
        });
        let revision = match revision_over(based_on, standing.as_ref()) {
            Ok(revision) => revision,
            Err(saved) => return Ok(saved),
        };
        if based_on.is_none() && !parent_is_in_place(&mut transaction, &record.account.tree).await? {
            return Ok(Saved::Conflict);
        }
        let created_ms = match (based_on, stored) {
            (Some(_), Some((stored, _))) => stored.created_ms,
            _ => record.created_ms,
        };
        write(&mut transaction, &AccountRecord { created_ms, ..record.clone() }, revision).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, WRITE).await?;
        Ok(Saved::Done(revision))
    }

    pub(super) async fn save_many_accounts(&self, records: &[AccountRecord], notices: &[Notice]) -> StoreResult<bool> {
        let mut transaction = self.begin_change(WRITE).await?;
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
                "SELECT id FROM account_ancestors JOIN accounts ON id = account WHERE ancestor = $1 AND NOT deleted",
            )
            .bind(text(top.account.id.as_str()))
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
            if below.into_iter().any(|id| !listed.contains(read(id).as_str())) {
                return Ok(false);
            }
        }
        let mut moved = Vec::new();
        let mut changes = false;
        for (record, stored) in records.iter().zip(&before) {
            if !same_account(stored, record) {
                changes = true;
                let record = AccountRecord { created_ms: stored.created_ms, ..record.clone() };
                write(&mut transaction, &record, stored.revision + 1).await?;
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
            self.finish_change(transaction, WRITE).await?;
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
        let mut transaction = self.begin_change(DELETE).await?;
        let gone: Vec<String> = sqlx::query_scalar(
            "UPDATE accounts SET deleted = TRUE, name = '', document = '{}', realm = NULL, is_reseller = FALSE,
               revision = revision + 1, change = nextval('changes')
             WHERE id = ANY($1) AND NOT deleted RETURNING id",
        )
        .bind(ids.iter().map(|id| text(id.as_str())).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await
        .map_err(&doing)?;
        if gone.is_empty() {
            return Ok(0);
        }
        let hooks: Vec<String> = sqlx::query_scalar("SELECT id FROM hooks WHERE account = ANY($1) AND NOT deleted")
            .bind(&gone)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&doing)?;
        Self::mark_hooks_deleted(&mut transaction, &hooks, ACCOUNT_DELETED, now_ms).await?;
        Self::take_numbers_of(&mut transaction, &gone).await?;
        Self::take_modules_of(&mut transaction, &gone).await?;
        Self::take_module_limits_of(&mut transaction, &gone).await?;
        Self::lock_stored_calls(&mut transaction).await?;
        for statement in [
            "DELETE FROM keys WHERE account = ANY($1)",
            "DELETE FROM webhook_settings WHERE account = ANY($1)",
            "DELETE FROM resend_jobs WHERE account = ANY($1)",
            "DELETE FROM stored_calls WHERE account = ANY($1)",
        ] {
            sqlx::query(statement).bind(&gone).execute(&mut *transaction).await.map_err(&doing)?;
        }
        // Firings of hooks have ended with their hooks; these are those that travelled in messages.
        sqlx::query(
            "UPDATE firings SET state = 1, reason = $1, due_ms = $2
             WHERE account = ANY($3) AND inline IS NOT NULL AND state = 0",
        )
        .bind(ACCOUNT_DELETED)
        .bind(signed(now_ms))
        .bind(&gone)
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, DELETE).await?;
        Ok(gone.len() as u64)
    }
}

/// The account as it stands in the store, and whether it is deleted.
async fn stored(transaction: &mut Running, id: &AccountId) -> StoreResult<Option<(AccountRecord, bool)>> {
    let row = sqlx::query(
        "SELECT id, name, tree, reseller, document, is_reseller, revision, created_ms, deleted FROM accounts
         WHERE id = $1",
    )
    .bind(text(id.as_str()))
    .fetch_optional(&mut **transaction)
    .await
    .map_err(failed(WRITE))?;
    row.map(|row| Ok((account_record(&row)?, row.try_get("deleted").map_err(failed(WRITE))?))).transpose()
}

/// Whether the account above is there, at the place that the tree says; a root needs none.
async fn parent_is_in_place(transaction: &mut Running, tree: &[AccountId]) -> StoreResult<bool> {
    let Some((parent, above)) = tree.split_last() else { return Ok(true) };
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM accounts WHERE id = $1 AND tree = $2 AND NOT deleted)")
        .bind(text(parent.as_str()))
        .bind(json(&above))
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed(WRITE))
}

/// What the index of realms holds.
fn realm(document: &Object) -> Option<&str> {
    document.get("realm").and_then(serde_json::Value::as_str)
}

/// Writes the record, whatever is there, with its place in the tree.
async fn write(transaction: &mut Running, record: &AccountRecord, revision: i64) -> StoreResult<()> {
    let doing = failed(WRITE);
    let account = &record.account;
    let document = named(record);
    let (id, tree) = (text(account.id.as_str()), json(&account.tree));
    let before: Option<String> = sqlx::query_scalar("SELECT tree FROM accounts WHERE id = $1")
        .bind(&id)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(&doing)?;
    sqlx::query(
        "INSERT INTO accounts
           (id, name, tree, parent, reseller, document, realm, is_reseller, revision, created_ms, change)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nextval('changes'))
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, tree = excluded.tree, parent = excluded.parent,
           reseller = excluded.reseller, document = excluded.document, realm = excluded.realm,
           is_reseller = excluded.is_reseller, revision = excluded.revision, created_ms = excluded.created_ms,
           deleted = FALSE, change = excluded.change",
    )
    .bind(&id)
    .bind(text(&account.name))
    .bind(&tree)
    .bind(account.tree.last().map(|parent| text(parent.as_str())))
    .bind(account.reseller.as_ref().map(|reseller| text(reseller.as_str())))
    .bind(json(&document))
    .bind(realm(&document).map(text))
    .bind(record.is_reseller)
    .bind(revision)
    .bind(signed(record.created_ms))
    .execute(&mut **transaction)
    .await
    .map_err(&doing)?;
    let Some(before) = before else { return place(transaction, &id, &account.tree).await };
    if before != tree {
        let gone = sqlx::query("DELETE FROM account_ancestors WHERE account = $1").bind(&id);
        gone.execute(&mut **transaction).await.map_err(&doing)?;
        place(transaction, &id, &account.tree).await?;
    }
    Ok(())
}

/// Puts an account below all that its tree names.
async fn place(transaction: &mut Running, id: &str, tree: &[AccountId]) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO account_ancestors (ancestor, account) SELECT DISTINCT above, $2 FROM UNNEST($1::text[]) AS above",
    )
    .bind(tree.iter().map(|id| text(id.as_str())).collect::<Vec<_>>())
    .bind(id)
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(WRITE))
}
