//! The attempts of each day (UTC) lie in a table of their own, a partition of `attempts`: made when it is needed, and
//! dropped whole when nobody may see that day any more, which costs the same however many attempts it has.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::PostgresStore;
use crate::{
    message::UnixMs,
    store::{
        StoreResult,
        columns::{failed, unsigned},
        module_costs::day_of,
    },
};

const MAKE: &str = "make room for a day's attempts";
const DROP: &str = "remove a day's attempts";
/// Among the database's advisory locks; see the configuration lock.
const DAYS_LOCK: (i32, i32) = (0x486f_6f6b, 2);
/// Of more attempts than these it is told about how many were removed.
const COUNTED_MAX: f32 = 1_000_000.0;
/// Tables' names begin with this, and end with the day.
const PREFIX: &str = "attempts_day_";

/// The days that are known to be there.
#[derive(Debug, Default)]
pub(super) struct Days(Mutex<BTreeSet<i32>>);

impl Days {
    fn unknown(&self, wanted: &BTreeSet<i32>) -> Vec<i32> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.iter().filter(|day| !known.contains(day)).copied().collect()
    }

    fn learn(&self, days: &[i32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(days);
    }

    /// Another node may have dropped some.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The day of an attempt, as a column.
pub(super) fn day(at_ms: UnixMs) -> i32 {
    // The day after the last that a partition can end with.
    i32::try_from(day_of(at_ms)).unwrap_or(i32::MAX).min(i32::MAX - 1)
}

impl PostgresStore {
    /// Makes those of these days that are not there.
    pub(super) async fn make_days(&self, wanted: &BTreeSet<i32>) -> StoreResult<()> {
        let missing = self.days.unknown(wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(MAKE).await?;
        lock(&mut transaction).await?;
        for day in &missing {
            let table = format!("{PREFIX}{day}");
            let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(&table)
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed(MAKE))?;
            if there {
                continue;
            }
            // Attached after it was made: to make it as a partition would lock out whoever reads or records attempts.
            for statement in [
                format!("CREATE TABLE {table} (LIKE attempts INCLUDING DEFAULTS)"),
                format!("ALTER TABLE attempts ATTACH PARTITION {table} FOR VALUES FROM ({day}) TO ({})", day + 1),
            ] {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await.map_err(failed(MAKE))?;
            }
        }
        transaction.commit().await.map_err(failed(MAKE))?;
        self.days.learn(&missing);
        Ok(())
    }

    /// Drops the days that ended before this time. Gives how many attempts they had.
    pub(super) async fn drop_days(&self, before_ms: UnixMs) -> StoreResult<u64> {
        let mut dropped = 0;
        for day in self.listed_days().await?.into_iter().filter(|listed| *listed < day(before_ms)) {
            dropped += self.drop_day(day).await?;
        }
        Ok(dropped)
    }

    pub(super) async fn listed_days(&self) -> StoreResult<Vec<i32>> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'attempts'::regclass",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the days of attempts"))?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect())
    }

    async fn drop_day(&self, day: i32) -> StoreResult<u64> {
        let doing = failed(DROP);
        let table = format!("{PREFIX}{day}");
        let mut transaction = self.begin(DROP).await?;
        lock(&mut transaction).await?;
        // It needs the whole of `attempts` for a moment. Who waits for that makes all others wait behind, so it does not
        // wait long; it is tried again at the next pruning.
        sqlx::query("SET LOCAL lock_timeout = 2000").execute(&mut *transaction).await.map_err(&doing)?;
        let about: Option<f32> = sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE oid = to_regclass($1)")
            .bind(&table)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&doing)?;
        let Some(about) = about else { return Ok(0) };
        let count = if about > COUNTED_MAX {
            about as i64
        } else {
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            sqlx::query_scalar(count).fetch_one(&mut *transaction).await.map_err(&doing)?
        };
        let dropped = sqlx::query(AssertSqlSafe(format!("DROP TABLE {table}")));
        dropped.execute(&mut *transaction).await.map_err(&doing)?;
        transaction.commit().await.map_err(&doing)?;
        self.days.forget();
        Ok(unsigned(count))
    }
}

/// One at a time makes and drops days.
async fn lock(transaction: &mut Transaction<'static, Postgres>) -> StoreResult<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(DAYS_LOCK.0)
        .bind(DAYS_LOCK.1)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(failed(MAKE))
}
