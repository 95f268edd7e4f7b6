//! Accounts, phone numbers and keys.

use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteStore, each, failed, json, parsed, signed, unsigned};
use crate::{
    account::{Account, KeyRecord},
    message::AccountId,
    store::{Changes, StoreResult},
};

const READ_ACCOUNTS: &str = "read accounts";
const READ_KEYS: &str = "read keys";

fn account(row: &SqliteRow) -> StoreResult<Account> {
    let doing = failed(READ_ACCOUNTS);
    let id: String = row.try_get("id").map_err(&doing)?;
    Ok(Account {
        tree: parsed("account", &id, row.try_get("tree").map_err(&doing)?)?,
        name: row.try_get("name").map_err(&doing)?,
        reseller: row.try_get::<Option<String>, _>("reseller").map_err(&doing)?.map(AccountId::from),
        id: id.into(),
    })
}

fn key(row: &SqliteRow) -> StoreResult<KeyRecord> {
    let doing = failed(READ_KEYS);
    Ok(KeyRecord {
        hash: row.try_get("hash").map_err(&doing)?,
        account: row.try_get::<String, _>("account").map_err(&doing)?.into(),
        name: row.try_get("name").map_err(&doing)?,
        created_ms: unsigned(row.try_get("created_ms").map_err(&doing)?),
    })
}

impl SqliteStore {
    pub(super) async fn list_accounts(&self) -> StoreResult<Vec<Account>> {
        let rows = sqlx::query("SELECT id, name, tree, reseller FROM accounts WHERE deleted = 0")
            .fetch_all(&self.readers)
            .await
            .map_err(failed(READ_ACCOUNTS))?;
        each(rows, account)
    }

    pub(super) async fn write_accounts(&self, accounts: &[Account]) -> StoreResult<Vec<bool>> {
        let doing = failed("write an account");
        let mut transaction = self.begin("write an account").await?;
        let mut changed = Vec::with_capacity(accounts.len());
        for account in accounts {
            let done = sqlx::query(
                "INSERT INTO accounts (id, name, tree, reseller, change)
                 VALUES (?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM accounts))
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, tree = excluded.tree,
                   reseller = excluded.reseller, deleted = 0, change = excluded.change
                 WHERE deleted OR name <> excluded.name OR tree <> excluded.tree OR reseller IS NOT excluded.reseller",
            )
            .bind(account.id.as_str())
            .bind(&account.name)
            .bind(json(&account.tree))
            .bind(account.reseller.as_ref().map(AccountId::as_str))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            changed.push(done.rows_affected() > 0);
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(changed)
    }

    pub(super) async fn account_changes(
        &self,
        cursor: i64,
        limit: u32,
    ) -> StoreResult<Changes<Result<Account, AccountId>>> {
        let doing = failed("read changed accounts");
        let rows = sqlx::query(
            "SELECT id, name, tree, reseller, deleted, change FROM accounts WHERE change > ? ORDER BY change LIMIT ?",
        )
        .bind(cursor)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(&doing)?;
        let cursor = match rows.last() {
            Some(row) => row.try_get("change").map_err(&doing)?,
            None => cursor,
        };
        let changes = each(rows, |row| {
            if row.try_get("deleted").map_err(&doing)? {
                Ok(Err(AccountId::from(row.try_get::<String, _>("id").map_err(&doing)?)))
            } else {
                account(row).map(Ok)
            }
        })?;
        Ok(Changes { changes, cursor })
    }

    pub(super) async fn remove_account(&self, id: &AccountId) -> StoreResult<bool> {
        let doing = failed("delete an account");
        let mut transaction = self.begin("delete an account").await?;
        let done = sqlx::query(
            "UPDATE accounts SET deleted = 1, change = (SELECT max(change) + 1 FROM accounts)
             WHERE id = ? AND deleted = 0",
        )
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let hooks: Vec<String> = sqlx::query_scalar("SELECT id FROM hooks WHERE account = ? AND deleted = 0")
            .bind(id.as_str())
            .fetch_all(&mut *transaction)
            .await
            .map_err(&doing)?;
        for hook in hooks {
            Self::mark_hook_deleted(&mut transaction, &hook).await?;
        }
        for statement in [
            "DELETE FROM keys WHERE account = ?",
            "DELETE FROM numbers WHERE account = ?",
            "DELETE FROM webhook_settings WHERE account = ?",
        ] {
            sqlx::query(statement).bind(id.as_str()).execute(&mut *transaction).await.map_err(&doing)?;
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(true)
    }

    pub(super) async fn list_numbers(&self) -> StoreResult<Vec<(String, AccountId)>> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT number, account FROM numbers")
            .fetch_all(&self.readers)
            .await
            .map_err(failed("read numbers"))?;
        Ok(rows.into_iter().map(|(number, account)| (number, account.into())).collect())
    }

    pub(super) async fn write_numbers(&self, numbers: &[(String, AccountId)]) -> StoreResult<Vec<bool>> {
        let doing = failed("write a number");
        let mut transaction = self.begin("write a number").await?;
        let mut changed = Vec::with_capacity(numbers.len());
        for (number, account) in numbers {
            let done = sqlx::query(
                "INSERT INTO numbers (number, account) VALUES (?, ?)
                 ON CONFLICT (number) DO UPDATE SET account = excluded.account WHERE account <> excluded.account",
            )
            .bind(number)
            .bind(account.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            changed.push(done.rows_affected() > 0);
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(changed)
    }

    pub(super) async fn remove_numbers(&self, numbers: &[String]) -> StoreResult<u64> {
        let mut removed = 0;
        for number in numbers {
            let done = sqlx::query("DELETE FROM numbers WHERE number = ?").bind(number).execute(&self.writer).await;
            removed += done.map_err(failed("remove a number"))?.rows_affected();
        }
        Ok(removed)
    }

    pub(super) async fn write_key(&self, key: &KeyRecord) -> StoreResult<bool> {
        let done = sqlx::query(
            "INSERT INTO keys (hash, account, name, created_ms) VALUES (?, ?, ?, ?)
             ON CONFLICT (hash) DO UPDATE SET account = excluded.account, name = excluded.name
             WHERE account <> excluded.account OR name <> excluded.name",
        )
        .bind(&key.hash)
        .bind(key.account.as_str())
        .bind(&key.name)
        .bind(signed(key.created_ms))
        .execute(&self.writer)
        .await
        .map_err(failed("write a key"))?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn find_key(&self, hash: &str) -> StoreResult<Option<KeyRecord>> {
        let row = sqlx::query("SELECT hash, account, name, created_ms FROM keys WHERE hash = ?")
            .bind(hash)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(READ_KEYS))?;
        row.as_ref().map(key).transpose()
    }

    pub(super) async fn list_keys(&self, account: &AccountId) -> StoreResult<Vec<KeyRecord>> {
        let rows =
            sqlx::query("SELECT hash, account, name, created_ms FROM keys WHERE account = ? ORDER BY created_ms")
                .bind(account.as_str())
                .fetch_all(&self.readers)
                .await
                .map_err(failed(READ_KEYS))?;
        each(rows, key)
    }

    pub(super) async fn remove_key(&self, hash: &str) -> StoreResult<bool> {
        let done = sqlx::query("DELETE FROM keys WHERE hash = ?")
            .bind(hash)
            .execute(&self.writer)
            .await
            .map_err(failed("revoke a key"))?;
        Ok(done.rows_affected() > 0)
    }
}
