//! What was bound to the broker's queue.

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::{
    StoreResult,
    bound_bindings::{Bound, BoundBindings},
    columns::failed,
};

const NOTE: &str = "note what is bound";

impl SqliteStore {
    async fn for_each_bound(&self, text: &'static str, queue: &str, bindings: &[Bound]) -> StoreResult<()> {
        if bindings.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(NOTE).await?;
        for (exchange, routing_key) in bindings {
            let query = sqlx::query(text).bind(queue).bind(exchange).bind(routing_key);
            query.execute(&mut *transaction).await.map_err(failed(NOTE))?;
        }
        transaction.commit().await.map_err(failed(NOTE))
    }
}

#[async_trait]
impl BoundBindings for SqliteStore {
    async fn bound_bindings(&self, queue: &str) -> StoreResult<Vec<Bound>> {
        sqlx::query_as(
            "SELECT exchange, routing_key FROM bound_bindings WHERE queue = ? ORDER BY exchange, routing_key",
        )
        .bind(queue)
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read what is bound"))
    }

    async fn note_bound(&self, queue: &str, bindings: &[Bound]) -> StoreResult<()> {
        const TEXT: &str =
            "INSERT INTO bound_bindings (queue, exchange, routing_key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        self.for_each_bound(TEXT, queue, bindings).await
    }

    async fn forget_bound(&self, queue: &str, bindings: &[Bound]) -> StoreResult<()> {
        const TEXT: &str = "DELETE FROM bound_bindings WHERE queue = ? AND exchange = ? AND routing_key = ?";
        self.for_each_bound(TEXT, queue, bindings).await
    }
}
