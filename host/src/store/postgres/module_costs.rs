//! What calls of modules cost.

use async_trait::async_trait;

use super::{PostgresStore, text::text};
use crate::store::{
    StoreResult,
    columns::{failed, name_of, signed},
    module_costs::{CostLine, CostQuery, CostSums, Day, ModuleCosts},
    rows::cost_line,
};

const READ: &str = "read what modules cost";
const WRITE: &str = "add up what modules cost";

#[async_trait]
impl ModuleCosts for PostgresStore {
    async fn add_module_costs(&self, costs: &[(CostLine, CostSums)]) -> StoreResult<()> {
        // In the order of their keys, so that two nodes that add to the same lines wait for each other and no more.
        let mut costs: Vec<&(CostLine, CostSums)> = costs.iter().collect();
        costs.sort_by(|one, other| one.0.cmp(&other.0));
        let mut transaction = self.begin(WRITE).await?;
        for (line, sums) in costs {
            sqlx::query(
                "INSERT INTO module_costs AS kept
                   (account, module, day, calls, fuel, time_us, faults, memory_bytes_max)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (module, day, account) DO UPDATE SET calls = kept.calls + excluded.calls,
                   fuel = kept.fuel + excluded.fuel, time_us = kept.time_us + excluded.time_us,
                   faults = kept.faults + excluded.faults,
                   memory_bytes_max = greatest(kept.memory_bytes_max, excluded.memory_bytes_max)",
            )
            .bind(text(name_of(line.account.as_ref())))
            .bind(text(line.module.as_str()))
            .bind(i64::from(line.day))
            .bind(signed(sums.calls))
            .bind(signed(sums.fuel))
            .bind(signed(sums.time_us))
            .bind(signed(sums.faults))
            .bind(signed(sums.memory_bytes_max))
            .execute(&mut *transaction)
            .await
            .map_err(failed(WRITE))?;
        }
        transaction.commit().await.map_err(failed(WRITE))
    }

    async fn module_costs(&self, query: &CostQuery) -> StoreResult<Vec<(CostLine, CostSums)>> {
        let after = query.after.as_ref();
        let rows = sqlx::query(
            "SELECT * FROM module_costs
             WHERE day BETWEEN $1 AND $2 AND module = ANY($3) AND ($4::text IS NULL OR account = $4)
               AND ($5::bigint IS NULL OR (day, account, module) < ($5, $6, $7))
             ORDER BY day DESC, account DESC, module DESC LIMIT $8",
        )
        .bind(i64::from(query.from))
        .bind(i64::from(query.to))
        .bind(query.modules.iter().map(|module| text(module.as_str())).collect::<Vec<_>>())
        .bind(query.account.as_ref().map(|account| text(account.as_str())))
        .bind(after.map(|line| i64::from(line.day)))
        .bind(after.map(|line| text(name_of(line.account.as_ref()))))
        .bind(after.map(|line| text(line.module.as_str())))
        .bind(i64::from(query.limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        rows.iter().map(cost_line).collect()
    }

    async fn prune_module_costs(&self, before: Day) -> StoreResult<u64> {
        let pruned = sqlx::query("DELETE FROM module_costs WHERE day < $1").bind(i64::from(before));
        let pruned = pruned.execute(&self.pool).await;
        Ok(pruned.map_err(failed("remove what modules cost long ago"))?.rows_affected())
    }
}
