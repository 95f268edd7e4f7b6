//! What was bound to the broker's queue.

use async_trait::async_trait;

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::store::{
    StoreResult,
    bound_bindings::{Bound, BoundBindings},
    columns::failed,
};

const NOTE: &str = "note what is bound";

impl PostgresStore {
    async fn with_bound(&self, statement: &'static str, queue: &str, bindings: &[Bound]) -> StoreResult<()> {
        if bindings.is_empty() {
            return Ok(());
        }
        sqlx::query(statement)
            .bind(text(queue))
            .bind(bindings.iter().map(|(exchange, _)| text(exchange)).collect::<Vec<_>>())
            .bind(bindings.iter().map(|(_, routing_key)| text(routing_key)).collect::<Vec<_>>())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed(NOTE))
    }
}

#[async_trait]
impl BoundBindings for PostgresStore {
    async fn bound_bindings(&self, queue: &str) -> StoreResult<Vec<Bound>> {
        let bound: Vec<Bound> = sqlx::query_as(
            "SELECT exchange, routing_key FROM bound_bindings WHERE queue = $1 ORDER BY exchange, routing_key",
        )
        .bind(text(queue))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read what is bound"))?;
        Ok(bound.into_iter().map(|(exchange, routing_key)| (read(exchange), read(routing_key))).collect())
    }

    async fn note_bound(&self, queue: &str, bindings: &[Bound]) -> StoreResult<()> {
        const STATEMENT: &str = "INSERT INTO bound_bindings (queue, exchange, routing_key)
             SELECT $1, exchange, routing_key FROM UNNEST($2::text[], $3::text[]) AS bound (exchange, routing_key)
             ON CONFLICT DO NOTHING";
        self.with_bound(STATEMENT, queue, bindings).await
    }

    async fn forget_bound(&self, queue: &str, bindings: &[Bound]) -> StoreResult<()> {
        const STATEMENT: &str = "DELETE FROM bound_bindings
             USING UNNEST($2::text[], $3::text[]) AS released (exchange, routing_key)
             WHERE queue = $1 AND bound_bindings.exchange = released.exchange
               AND bound_bindings.routing_key = released.routing_key";
        self.with_bound(STATEMENT, queue, bindings).await
    }
}
