//! What came from KAZOO's CouchDB.

use super::SqliteStore;
use crate::store::{
    StoreResult,
    columns::failed,
    origins::{Origin, Origins, Thing},
    rows::origin,
};
use async_trait::async_trait;

const READ: &str = "read where things came from";
const WRITE: &str = "note where things came from";

#[async_trait]
impl Origins for SqliteStore {
    async fn came_of(&self, database: &str, documents: &[String]) -> StoreResult<Vec<Origin>> {
        let mut origins = Vec::new();
        let mut connection = self.readers.acquire().await.map_err(failed(READ))?;
        for document in documents {
            let rows = sqlx::query(
                "SELECT kind, id, account, database, document, revision FROM origins
                 WHERE database = ? AND document = ?",
            )
            .bind(database)
            .bind(document)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed(READ))?;
            for row in &rows {
                origins.push(origin(row)?);
            }
        }
        Ok(origins)
    }

    async fn note_origins(&self, origins: &[Origin], round: i64) -> StoreResult<()> {
        if origins.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(WRITE).await?;
        for origin in origins {
            sqlx::query(
                "INSERT INTO origins (kind, id, account, database, document, revision, round) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (kind, id) DO UPDATE SET account = excluded.account, database = excluded.database,
                   document = excluded.document, revision = excluded.revision, round = max(round, excluded.round)",
            )
            .bind(origin.thing.kind())
            .bind(origin.thing.id())
            .bind(origin.account.as_str())
            .bind(&origin.database)
            .bind(&origin.document)
            .bind(&origin.revision)
            .bind(round)
            .execute(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
        }
        transaction.commit().await.map_err(failed(WRITE))
    }

    async fn forget_origin(&self, thing: &Thing) -> StoreResult<()> {
        let doing = failed("forget where a thing came from");
        sqlx::query("DELETE FROM origins WHERE kind = ? AND id = ?")
            .bind(thing.kind())
            .bind(thing.id())
            .execute(&self.writer)
            .await
            .map_err(&doing)?;
        if let Thing::Account(account) = thing {
            let own = sqlx::query("DELETE FROM origins WHERE account = ?").bind(account.as_str());
            own.execute(&self.writer).await.map_err(&doing)?;
        }
        Ok(())
    }

    async fn new_round(&self) -> StoreResult<i64> {
        sqlx::query_scalar("SELECT coalesce(max(round), 0) + 1 FROM origins")
            .fetch_one(&self.writer)
            .await
            .map_err(failed(READ))
    }

    async fn unseen_since(&self, round: i64, limit: u32) -> StoreResult<Vec<(String, String)>> {
        sqlx::query_as("SELECT DISTINCT database, document FROM origins WHERE round < ? LIMIT ?")
            .bind(round)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed(READ))
    }
}
