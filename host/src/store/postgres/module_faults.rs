//! Faults of modules and transforms, and the operator's modules that are in quarantine.

use async_trait::async_trait;
use sqlx::{Postgres, Row, Transaction};

use super::{
    PostgresStore,
    text::{read, text},
};
use crate::{
    message::{ModuleId, UnixMs},
    store::{
        Notice, StoreResult,
        columns::{each, failed, json, parsed, signed, unsigned},
        module_faults::{Component, Faults, KEPT_PER_MODULE, ModuleFaults},
        registered_modules::Quarantine,
    },
};

const COUNT: &str = "count the faults of modules";
const SWEEP: &str = "sweep the faults of modules";
const FORGET: &str = "forget the faults of a module";
const QUARANTINE: &str = "put a module into quarantine";
const LIFT: &str = "lift the quarantine of a module";

#[async_trait]
impl ModuleFaults for PostgresStore {
    async fn add_module_faults(&self, faults: &[Faults]) -> StoreResult<()> {
        // In the order of their keys, so that two nodes that add to the same ones wait for each other and no more.
        let mut faults: Vec<&Faults> = faults.iter().collect();
        faults.sort_by(|one, other| (&one.of, one.at_ms).cmp(&(&other.of, other.at_ms)));
        let mut transaction = self.begin(COUNT).await?;
        for Faults { of, at_ms, count } in faults {
            sqlx::query(
                "INSERT INTO module_faults AS kept (module, digest, at_ms, count) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (module, digest, at_ms) DO UPDATE SET count = kept.count + excluded.count",
            )
            .bind(text(of.module.as_str()))
            .bind(text(&of.digest))
            .bind(signed(*at_ms))
            .bind(signed(*count))
            .execute(&mut *transaction)
            .await
            .map_err(failed(COUNT))?;
        }
        transaction.commit().await.map_err(failed(COUNT))
    }

    async fn module_fault_count(&self, of: &Component, after_ms: UnixMs) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(count), 0)::bigint FROM module_faults WHERE module = $1 AND digest = $2 AND at_ms > $3",
        )
        .bind(text(of.module.as_str()))
        .bind(text(&of.digest))
        .bind(signed(after_ms))
        .fetch_one(&self.pool)
        .await
        .map_err(failed(COUNT))?;
        Ok(unsigned(count))
    }

    async fn sweep_module_faults(&self, after_ms: UnixMs, least: u64) -> StoreResult<Vec<(Component, u64)>> {
        sqlx::query("DELETE FROM module_faults WHERE at_ms <= $1")
            .bind(signed(after_ms))
            .execute(&self.pool)
            .await
            .map_err(failed(SWEEP))?;
        let found: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT module, digest, sum(count)::bigint FROM module_faults WHERE at_ms > $1
             GROUP BY module, digest HAVING sum(count) >= $2::bigint ORDER BY module, digest",
        )
        .bind(signed(after_ms))
        .bind(signed(least))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(SWEEP))?;
        let of = |module: String, digest: String| Component { module: read(module).into(), digest: read(digest) };
        Ok(found.into_iter().map(|(module, digest, count)| (of(module, digest), unsigned(count))).collect())
    }

    async fn clear_module_faults(&self, module: &ModuleId) -> StoreResult<()> {
        let mut transaction = self.begin(FORGET).await?;
        Self::forget_faults_of(&mut transaction, module, None).await?;
        transaction.commit().await.map_err(failed(FORGET))
    }

    async fn quarantine_operators_module(
        &self,
        module: &ModuleId,
        quarantine: &Quarantine,
        notices: &[Notice],
    ) -> StoreResult<bool> {
        let doing = failed(QUARANTINE);
        // Under the configuration lock, so that two do not both leave one too many.
        let mut transaction = self.begin_change(QUARANTINE).await?;
        let done = sqlx::query(
            "INSERT INTO quarantined_modules (module, digest, since_ms, quarantine) VALUES ($1, $2, $3, $4)
             ON CONFLICT (module, digest) DO NOTHING",
        )
        .bind(text(module.as_str()))
        .bind(text(&quarantine.digest))
        .bind(signed(quarantine.since_ms))
        .bind(json(quarantine))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "DELETE FROM quarantined_modules WHERE module = $1 AND digest NOT IN
               (SELECT digest FROM quarantined_modules WHERE module = $1 ORDER BY since_ms DESC, digest LIMIT $2)",
        )
        .bind(text(module.as_str()))
        .bind(i64::from(KEPT_PER_MODULE))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        Self::forget_faults_of(&mut transaction, module, Some(&quarantine.digest)).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        self.finish_change(transaction, QUARANTINE).await?;
        Ok(true)
    }

    async fn quarantined_operators_modules(&self) -> StoreResult<Vec<(ModuleId, Quarantine)>> {
        let doing = failed("read which modules are in quarantine");
        let rows = sqlx::query("SELECT module, quarantine FROM quarantined_modules ORDER BY module, since_ms, digest")
            .fetch_all(&self.pool)
            .await
            .map_err(&doing)?;
        each(rows, |row| {
            let module = read(row.try_get("module").map_err(&doing)?);
            let quarantine = parsed("quarantine of", &module, row.try_get("quarantine").map_err(&doing)?)?;
            Ok((module.into(), quarantine))
        })
    }

    async fn lift_operators_quarantine(&self, module: &ModuleId) -> StoreResult<bool> {
        let mut transaction = self.begin_change(LIFT).await?;
        let done = sqlx::query("DELETE FROM quarantined_modules WHERE module = $1")
            .bind(text(module.as_str()))
            .execute(&mut *transaction)
            .await
            .map_err(failed(LIFT))?;
        Self::forget_faults_of(&mut transaction, module, None).await?;
        self.finish_change(transaction, LIFT).await?;
        Ok(done.rows_affected() > 0)
    }
}

impl PostgresStore {
    /// Forgets the faults of one component, or of all that the module ever had, in the transaction that gives the reason.
    pub(super) async fn forget_faults_of(
        transaction: &mut Transaction<'static, Postgres>,
        module: &ModuleId,
        digest: Option<&str>,
    ) -> StoreResult<()> {
        sqlx::query("DELETE FROM module_faults WHERE module = $1 AND ($2::text IS NULL OR digest = $2)")
            .bind(text(module.as_str()))
            .bind(digest.map(text))
            .execute(&mut **transaction)
            .await
            .map(drop)
            .map_err(failed(FORGET))
    }
}
