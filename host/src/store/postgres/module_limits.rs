//! Limits of accounts' modules.

use async_trait::async_trait;
use sqlx::{Postgres, Transaction};

use super::{
    PostgresStore,
    text::{read, text},
};
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
impl ModuleLimits for PostgresStore {
    async fn module_limits(&self, account: &AccountId) -> StoreResult<Object> {
        let found: Option<String> = sqlx::query_scalar("SELECT limits FROM module_limits WHERE account = $1")
            .bind(text(account.as_str()))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(READ))?;
        found.map_or_else(|| Ok(Object::new()), |found| parsed(WHAT, account.as_str(), &found))
    }

    async fn module_limits_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<(AccountId, Object)>> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT account, limits, change FROM module_limits WHERE change > $1 ORDER BY change LIMIT $2",
        )
        .bind(cursor)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        let cursor = rows.last().map_or(cursor, |(_, _, change)| *change);
        let each = rows.into_iter().map(|(account, limits, _)| {
            let account = read(account);
            let limits = parsed(WHAT, &account, &limits)?;
            Ok((AccountId::from(account), limits))
        });
        Ok(Changes { changes: each.collect::<StoreResult<_>>()?, cursor })
    }

    async fn put_module_limits(&self, account: &AccountId, limits: &Object, notices: &[Notice]) -> StoreResult<bool> {
        let mut transaction = self.begin_change(WRITE).await?;
        if !Self::account_is_there(&mut transaction, account).await? {
            return Ok(false);
        }
        // Followers look at a row again only when it has changed; nobody needs one that says nothing and never did.
        let statement = if limits.is_empty() {
            "UPDATE module_limits SET limits = $2, change = nextval('changes') WHERE account = $1 AND limits <> $2"
        } else {
            "INSERT INTO module_limits (account, limits, change) VALUES ($1, $2, nextval('changes'))
             ON CONFLICT (account) DO UPDATE SET limits = excluded.limits, change = excluded.change
             WHERE module_limits.limits <> excluded.limits"
        };
        sqlx::query(statement)
            .bind(text(account.as_str()))
            .bind(json(limits))
            .execute(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, WRITE).await?;
        Ok(true)
    }
}

impl PostgresStore {
    /// Takes away what is set for accounts; their ids as they are stored.
    pub(super) async fn take_module_limits_of(
        transaction: &mut Transaction<'static, Postgres>,
        accounts: &[String],
    ) -> StoreResult<()> {
        sqlx::query(
            "UPDATE module_limits SET limits = '{}', change = nextval('changes')
             WHERE account = ANY($1) AND limits <> '{}'",
        )
        .bind(accounts)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(failed(WRITE))
    }
}
