//! Limits of accounts' modules.

use async_trait::async_trait;
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use crate::{
    message::{AccountId, Object},
    store::{
        Changes, Notice, StoreResult,
        columns::{failed, json, parsed},
        module_limits::ModuleLimits,
    },
};

const READ: &str = "read limits of an account's modules";
const WRITE: &str = "write limits of an account's modules";
const WHAT: &str = "limits of the modules of account";

#[async_trait]
impl ModuleLimits for SqliteStore {
    async fn module_limits(&self, account: &AccountId) -> StoreResult<Object> {
        let found: Option<String> = sqlx::query_scalar("SELECT limits FROM module_limits WHERE account = ?")
            .bind(account.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(READ))?;
        found.map_or_else(|| Ok(Object::new()), |found| parsed(WHAT, account.as_str(), &found))
    }

    async fn module_limits_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<(AccountId, Object)>> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT account, limits, change FROM module_limits WHERE change > ? ORDER BY change LIMIT ?",
        )
        .bind(cursor)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        let cursor = rows.last().map_or(cursor, |(_, _, change)| *change);
        let each = rows.into_iter().map(|(account, limits, _)| {
            let limits = parsed(WHAT, &account, &limits)?;
            Ok((AccountId::from(account), limits))
        });
        Ok(Changes { changes: each.collect::<StoreResult<_>>()?, cursor })
    }

    async fn put_module_limits(&self, account: &AccountId, limits: &Object, notices: &[Notice]) -> StoreResult<bool> {
        let mut transaction = self.begin(WRITE).await?;
        if !Self::account_is_there(&mut transaction, account).await? {
            return Ok(false);
        }
        write(&mut transaction, account, limits).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(failed(WRITE))?;
        Ok(true)
    }
}

impl SqliteStore {
    /// Takes away what is set for an account.
    pub(super) async fn take_module_limits_of(
        transaction: &mut Transaction<'_, Sqlite>,
        account: &AccountId,
    ) -> StoreResult<()> {
        write(transaction, account, &Object::new()).await
    }
}

/// Followers look at a row again only when it has changed; nobody needs one that says nothing and never did.
async fn write(transaction: &mut Transaction<'_, Sqlite>, account: &AccountId, limits: &Object) -> StoreResult<()> {
    let text = if limits.is_empty() {
        "UPDATE module_limits SET limits = ?2, change = (SELECT max(change) + 1 FROM module_limits)
         WHERE account = ?1 AND limits <> ?2"
    } else {
        "INSERT INTO module_limits (account, limits, change)
         VALUES (?1, ?2, (SELECT coalesce(max(change), 0) + 1 FROM module_limits))
         ON CONFLICT (account) DO UPDATE SET limits = excluded.limits, change = excluded.change
         WHERE limits <> excluded.limits"
    };
    sqlx::query(text)
        .bind(account.as_str())
        .bind(json(limits))
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(failed(WRITE))
}
