//! Phone numbers: whose they are, and how that changes.

use sqlx::{Postgres, Transaction};

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    message::AccountId,
    store::{Changes, StoreResult, columns::failed},
};

const READ: &str = "read numbers";
const WRITE: &str = "write a number";

impl PostgresStore {
    pub(super) async fn list_numbers(&self) -> StoreResult<Vec<(String, AccountId)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT number, account FROM numbers WHERE account IS NOT NULL ORDER BY number")
                .fetch_all(&self.pool)
                .await
                .map_err(failed(READ))?;
        Ok(rows.into_iter().map(|(number, account)| (read(number), read(account).into())).collect())
    }

    pub(super) async fn number_changes(
        &self,
        cursor: i64,
        limit: u32,
    ) -> StoreResult<Changes<(String, Option<AccountId>)>> {
        let rows: Vec<(String, Option<String>, i64)> =
            sqlx::query_as("SELECT number, account, change FROM numbers WHERE change > $1 ORDER BY change LIMIT $2")
                .bind(cursor)
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
                .map_err(failed("read changed numbers"))?;
        let cursor = rows.last().map_or(cursor, |(_, _, change)| *change);
        let changes = rows
            .into_iter()
            .map(|(number, account, _)| (read(number), account.map(|account| AccountId::from(read(account)))))
            .collect();
        Ok(Changes { changes, cursor })
    }

    pub(super) async fn write_numbers(&self, numbers: &[(String, AccountId)]) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin_change(WRITE).await?;
        let mut changed = Vec::with_capacity(numbers.len());
        for (number, account) in numbers {
            let done = sqlx::query(
                "INSERT INTO numbers (number, account, change) VALUES ($1, $2, nextval('changes'))
                 ON CONFLICT (number) DO UPDATE SET account = excluded.account, change = excluded.change
                 WHERE numbers.account IS DISTINCT FROM excluded.account",
            )
            .bind(text(number))
            .bind(text(account.as_str()))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            changed.push(done.rows_affected() > 0);
        }
        self.finish_change(transaction, WRITE).await?;
        Ok(changed)
    }

    pub(super) async fn remove_numbers(&self, numbers: &[String]) -> StoreResult<u64> {
        let mut transaction = self.begin_change(WRITE).await?;
        let done = sqlx::query(
            "UPDATE numbers SET account = NULL, change = nextval('changes')
             WHERE number = ANY($1) AND account IS NOT NULL",
        )
        .bind(numbers.iter().map(|number| text(number)).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await
        .map_err(failed(WRITE))?;
        self.finish_change(transaction, WRITE).await?;
        Ok(done.rows_affected())
    }

    /// Takes the numbers of these accounts from them.
    pub(super) async fn take_numbers_of(
        transaction: &mut Transaction<'static, Postgres>,
        accounts: &[String],
    ) -> StoreResult<()> {
        sqlx::query("UPDATE numbers SET account = NULL, change = nextval('changes') WHERE account = ANY($1)")
            .bind(accounts)
            .execute(&mut **transaction)
            .await
            .map(drop)
            .map_err(failed(WRITE))
    }
}
