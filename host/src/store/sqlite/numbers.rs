//! Phone numbers: whose they are, and how that changes.

use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use crate::{
    message::AccountId,
    store::{
        Changes, StoreResult,
        columns::{failed, json},
    },
};

const READ: &str = "read numbers";
const WRITE: &str = "write a number";

impl SqliteStore {
    pub(super) async fn list_numbers(&self) -> StoreResult<Vec<(String, AccountId)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT number, account FROM numbers WHERE account IS NOT NULL ORDER BY number")
                .fetch_all(&self.readers)
                .await
                .map_err(failed(READ))?;
        Ok(rows.into_iter().map(|(number, account)| (number, account.into())).collect())
    }

    pub(super) async fn number_changes(
        &self,
        cursor: i64,
        limit: u32,
    ) -> StoreResult<Changes<(String, Option<AccountId>)>> {
        let rows: Vec<(String, Option<String>, i64)> =
            sqlx::query_as("SELECT number, account, change FROM numbers WHERE change > ? ORDER BY change LIMIT ?")
                .bind(cursor)
                .bind(limit)
                .fetch_all(&self.readers)
                .await
                .map_err(failed("read changed numbers"))?;
        let cursor = rows.last().map_or(cursor, |(_, _, change)| *change);
        let changes = rows.into_iter().map(|(number, account, _)| (number, account.map(AccountId::from))).collect();
        Ok(Changes { changes, cursor })
    }

    pub(super) async fn write_numbers(&self, numbers: &[(String, AccountId)]) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        let mut changed = Vec::with_capacity(numbers.len());
        for (number, account) in numbers {
            let done = sqlx::query(
                "INSERT INTO numbers (number, account, change)
                 VALUES (?, ?, (SELECT coalesce(max(change), 0) + 1 FROM numbers))
                 ON CONFLICT (number) DO UPDATE SET account = excluded.account, change = excluded.change
                 WHERE account IS NOT excluded.account",
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
        let mut transaction = self.begin(WRITE).await?;
        let taken = take(&mut transaction, numbers).await?;
        transaction.commit().await.map_err(failed(WRITE))?;
        Ok(taken)
    }

    /// Takes the numbers of these accounts from them.
    pub(super) async fn take_numbers_of(
        transaction: &mut Transaction<'_, Sqlite>,
        accounts: &[&AccountId],
    ) -> StoreResult<()> {
        let numbers: Vec<String> =
            sqlx::query_scalar("SELECT number FROM numbers WHERE account IN (SELECT value FROM json_each(?))")
                .bind(json(&accounts))
                .fetch_all(&mut **transaction)
                .await
                .map_err(failed(READ))?;
        take(transaction, &numbers).await.map(drop)
    }
}

async fn take(transaction: &mut Transaction<'_, Sqlite>, numbers: &[String]) -> StoreResult<u64> {
    let mut taken = 0;
    for number in numbers {
        let done = sqlx::query(
            "UPDATE numbers SET account = NULL, change = (SELECT max(change) + 1 FROM numbers)
             WHERE number = ? AND account IS NOT NULL",
        )
        .bind(number)
        .execute(&mut **transaction)
        .await
        .map_err(failed(WRITE))?;
        taken += done.rows_affected();
    }
    Ok(taken)
}
