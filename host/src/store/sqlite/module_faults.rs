//! Faults of modules and transforms, and the operator's modules that are in quarantine.

use async_trait::async_trait;
use sqlx::{Row, Sqlite, Transaction};

use super::SqliteStore;
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
impl ModuleFaults for SqliteStore {
    async fn add_module_faults(&self, faults: &[Faults]) -> StoreResult<()> {
        let doing = failed(COUNT);
        let mut transaction = self.begin(COUNT).await?;
        for Faults { of, at_ms, count } in faults {
            sqlx::query(
                "INSERT INTO module_faults (module, digest, at_ms, count) VALUES (?, ?, ?, ?)
                 ON CONFLICT (module, digest, at_ms) DO UPDATE SET count = count + excluded.count",
            )
            .bind(of.module.as_str())
            .bind(&of.digest)
            .bind(signed(*at_ms))
            .bind(signed(*count))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
        }
        transaction.commit().await.map_err(&doing)
    }

    async fn module_fault_count(&self, of: &Component, after_ms: UnixMs) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(count), 0) FROM module_faults WHERE module = ? AND digest = ? AND at_ms > ?",
        )
        .bind(of.module.as_str())
        .bind(&of.digest)
        .bind(signed(after_ms))
        .fetch_one(&self.readers)
        .await
        .map_err(failed(COUNT))?;
        Ok(unsigned(count))
    }

    async fn sweep_module_faults(&self, after_ms: UnixMs, least: u64) -> StoreResult<Vec<(Component, u64)>> {
        let doing = failed(SWEEP);
        sqlx::query("DELETE FROM module_faults WHERE at_ms <= ?")
            .bind(signed(after_ms))
            .execute(&self.writer)
            .await
            .map_err(&doing)?;
        let rows = sqlx::query(
            "SELECT module, digest, sum(count) AS faults FROM module_faults WHERE at_ms > ?
             GROUP BY module, digest HAVING sum(count) >= ? ORDER BY module, digest",
        )
        .bind(signed(after_ms))
        .bind(signed(least))
        .fetch_all(&self.readers)
        .await
        .map_err(&doing)?;
        each(rows, |row| {
            let module: String = row.try_get("module").map_err(&doing)?;
            let of = Component { module: module.into(), digest: row.try_get("digest").map_err(&doing)? };
            Ok((of, unsigned(row.try_get("faults").map_err(&doing)?)))
        })
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
        let mut transaction = self.begin(QUARANTINE).await?;
        let done = sqlx::query(
            "INSERT INTO quarantined_modules (module, digest, since_ms, quarantine) VALUES (?, ?, ?, ?)
             ON CONFLICT (module, digest) DO NOTHING",
        )
        .bind(module.as_str())
        .bind(&quarantine.digest)
        .bind(signed(quarantine.since_ms))
        .bind(json(quarantine))
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "DELETE FROM quarantined_modules WHERE module = ?1 AND digest NOT IN
               (SELECT digest FROM quarantined_modules WHERE module = ?1 ORDER BY since_ms DESC, digest LIMIT ?2)",
        )
        .bind(module.as_str())
        .bind(KEPT_PER_MODULE)
        .execute(&mut *transaction)
        .await
        .map_err(&doing)?;
        Self::forget_faults_of(&mut transaction, module, Some(&quarantine.digest)).await?;
        Self::insert_notices(&mut transaction, notices).await?;
        transaction.commit().await.map_err(&doing)?;
        Ok(true)
    }

    async fn quarantined_operators_modules(&self) -> StoreResult<Vec<(ModuleId, Quarantine)>> {
        let doing = failed("read which modules are in quarantine");
        let rows = sqlx::query("SELECT module, quarantine FROM quarantined_modules ORDER BY module, since_ms, digest")
            .fetch_all(&self.readers)
            .await
            .map_err(&doing)?;
        each(rows, |row| {
            let module: String = row.try_get("module").map_err(&doing)?;
            let quarantine = parsed("quarantine of", &module, row.try_get("quarantine").map_err(&doing)?)?;
            Ok((module.into(), quarantine))
        })
    }

    async fn lift_operators_quarantine(&self, module: &ModuleId) -> StoreResult<bool> {
        let mut transaction = self.begin(LIFT).await?;
        let done = sqlx::query("DELETE FROM quarantined_modules WHERE module = ?")
            .bind(module.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(failed(LIFT))?;
        Self::forget_faults_of(&mut transaction, module, None).await?;
        transaction.commit().await.map_err(failed(LIFT))?;
        Ok(done.rows_affected() > 0)
    }
}

impl SqliteStore {
    /// Forgets the faults of one component, or of all that the module ever had, in the transaction that gives the reason.
    pub(super) async fn forget_faults_of(
        transaction: &mut Transaction<'_, Sqlite>,
        module: &ModuleId,
        digest: Option<&str>,
    ) -> StoreResult<()> {
        sqlx::query("DELETE FROM module_faults WHERE module = ?1 AND (?2 IS NULL OR digest = ?2)")
            .bind(module.as_str())
            .bind(digest)
            .execute(&mut **transaction)
            .await
            .map(drop)
            .map_err(failed(FORGET))
    }
}
