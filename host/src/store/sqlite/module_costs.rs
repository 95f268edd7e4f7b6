//! What calls of modules cost.

use async_trait::async_trait;
use sqlx::QueryBuilder;

use super::SqliteStore;
use crate::store::{
    StoreResult,
    columns::{failed, name_of, signed},
    module_costs::{CostLine, CostQuery, CostSums, Day, ModuleCosts},
    rows::cost_line,
};

const READ: &str = "read what modules cost";
const WRITE: &str = "add up what modules cost";

#[async_trait]
impl ModuleCosts for SqliteStore {
    async fn add_module_costs(&self, costs: &[(CostLine, CostSums)]) -> StoreResult<()> {
        if costs.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(WRITE).await?;
        for (line, sums) in costs {
            sqlx::query(
                "INSERT INTO module_costs (account, module, day, calls, fuel, time_us, faults, memory_bytes_max)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (module, day, account) DO UPDATE SET calls = calls + excluded.calls,
                   fuel = fuel + excluded.fuel, time_us = time_us + excluded.time_us, faults = faults + excluded.faults,
                   memory_bytes_max = max(memory_bytes_max, excluded.memory_bytes_max)",
            )
            .bind(name_of(line.account.as_ref()))
            .bind(line.module.as_str())
            .bind(line.day)
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
        let mut sql = QueryBuilder::new("SELECT * FROM module_costs WHERE day BETWEEN ");
        sql.push_bind(query.from).push(" AND ").push_bind(query.to).push(" AND module IN (");
        let mut modules = sql.separated(", ");
        for module in &query.modules {
            modules.push_bind(module.as_str());
        }
        sql.push(")");
        if let Some(account) = &query.account {
            sql.push(" AND account = ").push_bind(account.as_str());
        }
        if let Some(CostLine { day, account, module }) = &query.after {
            sql.push(" AND (day, account, module) < (").push_bind(day);
            sql.push(", ").push_bind(name_of(account.as_ref())).push(", ").push_bind(module.as_str()).push(")");
        }
        sql.push(" ORDER BY day DESC, account DESC, module DESC LIMIT ").push_bind(query.limit);
        let rows = sql.build().fetch_all(&self.readers).await.map_err(failed(READ))?;
        rows.iter().map(cost_line).collect()
    }

    async fn prune_module_costs(&self, before: Day) -> StoreResult<u64> {
        let pruned = sqlx::query("DELETE FROM module_costs WHERE day < ?").bind(before).execute(&self.writer).await;
        Ok(pruned.map_err(failed("remove what modules cost long ago"))?.rows_affected())
    }
}
