//! What came from KAZOO's CouchDB.

use async_trait::async_trait;

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::store::{
    StoreResult,
    columns::{each, failed},
    origins::{Origin, Origins, Thing},
    rows::origin,
};

const READ: &str = "read where things came from";
const WRITE: &str = "note where things came from";
const FORGET: &str = "forget where a thing came from";

#[async_trait]
impl Origins for PostgresStore {
    async fn came_of(&self, database: &str, documents: &[String]) -> StoreResult<Vec<Origin>> {
        let rows = sqlx::query(
            "SELECT kind, id, account, origins.database, origins.document, revision
             FROM UNNEST($2::text[]) WITH ORDINALITY AS wanted (document, place)
             JOIN origins ON origins.database = $1 AND origins.document = wanted.document COLLATE \"C\"
             ORDER BY place, kind, id",
        )
        .bind(text(database))
        .bind(documents.iter().map(|document| text(document)).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        each(rows, origin)
    }

    async fn note_origins(&self, origins: &[Origin], round: i64) -> StoreResult<()> {
        if origins.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(WRITE).await?;
        for origin in origins {
            sqlx::query(
                "INSERT INTO origins (kind, id, account, database, document, revision, round)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (kind, id) DO UPDATE SET account = excluded.account, database = excluded.database,
                   document = excluded.document, revision = excluded.revision,
                   round = greatest(origins.round, excluded.round)",
            )
            .bind(origin.thing.kind())
            .bind(text(origin.thing.id()))
            .bind(text(origin.account.as_str()))
            .bind(text(&origin.database))
            .bind(text(&origin.document))
            .bind(text(&origin.revision))
            .bind(round)
            .execute(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
        }
        transaction.commit().await.map_err(failed(WRITE))
    }

    async fn forget_origin(&self, thing: &Thing) -> StoreResult<()> {
        sqlx::query("DELETE FROM origins WHERE kind = $1 AND id = $2")
            .bind(thing.kind())
            .bind(text(thing.id()))
            .execute(&self.pool)
            .await
            .map_err(failed(FORGET))?;
        if let Thing::Account(account) = thing {
            let own = sqlx::query("DELETE FROM origins WHERE account = $1").bind(text(account.as_str()));
            own.execute(&self.pool).await.map_err(failed(FORGET))?;
        }
        Ok(())
    }

    async fn new_round(&self) -> StoreResult<i64> {
        sqlx::query_scalar("SELECT coalesce(max(round), 0) + 1 FROM origins")
            .fetch_one(&self.pool)
            .await
            .map_err(failed(READ))
    }

    async fn unseen_since(&self, round: i64, limit: u32) -> StoreResult<Vec<(String, String)>> {
        let unseen: Vec<(String, String)> =
            sqlx::query_as("SELECT DISTINCT database, document FROM origins WHERE round < $1 LIMIT $2")
                .bind(round)
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
                .map_err(failed(READ))?;
        Ok(unseen.into_iter().map(|(database, document)| (read(database), read(document))).collect())
    }
}
