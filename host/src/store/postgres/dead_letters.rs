//! Messages that modules failed on.

use super::{PRUNED_AT_ONCE, PostgresStore, text::text};
use crate::{
    message::{AccountId, ModuleId, UnixMs},
    store::{
        DeadLetter, DeadLetterQuery, StoreResult,
        columns::{each, failed, json, signed, unsigned},
        rows::dead_letter,
    },
};

const READ: &str = "read dead letters";
const PRUNE: &str = "prune dead letters";

impl PostgresStore {
    pub(super) async fn write_dead_letters(&self, letters: &[DeadLetter]) -> StoreResult<Vec<i64>> {
        Self::insert_dead_letters(&self.pool, letters).await
    }

    /// As [`Self::write_dead_letters`], with other changes.
    pub(super) async fn insert_dead_letters(
        executor: impl sqlx::PgExecutor<'_>,
        letters: &[DeadLetter],
    ) -> StoreResult<Vec<i64>> {
        sqlx::query_scalar(
            "INSERT INTO dead_letters (at_ms, module, module_version, reason, owner, message)
             SELECT at_ms, module, module_version, reason, owner, message
             FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
               AS letter (at_ms, module, module_version, reason, owner, message, place)
             ORDER BY place RETURNING id",
        )
        .bind(letters.iter().map(|letter| signed(letter.at_ms)).collect::<Vec<_>>())
        .bind(
            letters.iter().map(|letter| letter.module.as_ref().map(|module| text(module.as_str()))).collect::<Vec<_>>(),
        )
        .bind(letters.iter().map(|letter| text(&letter.module_version)).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| text(&letter.reason)).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| letter.owner.as_ref().map(|owner| text(owner.as_str()))).collect::<Vec<_>>())
        .bind(letters.iter().map(|letter| json(&letter.message)).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(failed("keep dead letters"))
    }

    pub(super) async fn list_dead_letters(&self, query: &DeadLetterQuery) -> StoreResult<Vec<DeadLetter>> {
        // Each in the order of an index.
        let listing = match (&query.owner, &query.module) {
            (None, None) => {
                "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters
                 WHERE id < $1 AND $2::text IS NULL AND $3::text IS NULL ORDER BY id DESC LIMIT $4"
            }
            (None, Some(_)) => {
                "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters
                 WHERE id < $1 AND $2::text IS NULL AND module = $3 ORDER BY id DESC LIMIT $4"
            }
            (Some(_), _) => {
                "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters
                 WHERE id < $1 AND owner = $2 AND ($3::text IS NULL OR module = $3) ORDER BY id DESC LIMIT $4"
            }
        };
        let rows = sqlx::query(listing)
            .bind(query.before.unwrap_or(i64::MAX))
            .bind(query.owner.as_ref().map(|owner: &AccountId| text(owner.as_str())))
            .bind(query.module.as_ref().map(|module| text(module.as_str())))
            .bind(i64::from(query.limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed(READ))?;
        each(rows, dead_letter)
    }

    pub(super) async fn find_dead_letter(&self, id: i64) -> StoreResult<Option<DeadLetter>> {
        let row = sqlx::query(
            "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed(READ))?;
        row.as_ref().map(dead_letter).transpose()
    }

    pub(super) async fn count_dead_letters(&self, module: &ModuleId) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters WHERE module = $1")
            .bind(text(module.as_str()))
            .fetch_one(&self.pool)
            .await
            .map_err(failed("count dead letters"))?;
        Ok(unsigned(count))
    }

    pub(super) async fn remove_dead_letter(&self, id: i64) -> StoreResult<bool> {
        let done = sqlx::query("DELETE FROM dead_letters WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed("remove a dead letter"))?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn remove_old_dead_letters(&self, before_ms: UnixMs, rows_max: u64) -> StoreResult<u64> {
        // Those over the number are below the newest that is one too many. Looked up once, so that two nodes that prune at
        // once remove the same ones.
        let over: Option<i64> = sqlx::query_scalar("SELECT id FROM dead_letters ORDER BY id DESC OFFSET $1 LIMIT 1")
            .bind(signed(rows_max))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(PRUNE))?;
        let mut pruned = 0;
        loop {
            // They lie in the order in which they were kept: when none of the oldest is old enough, none is.
            let done = sqlx::query(
                "DELETE FROM dead_letters WHERE id IN
                   (SELECT id FROM (SELECT id, at_ms FROM dead_letters ORDER BY id LIMIT $1) AS oldest
                    WHERE at_ms < $2 OR id <= $3)",
            )
            .bind(i64::from(PRUNED_AT_ONCE))
            .bind(signed(before_ms))
            .bind(over.unwrap_or(i64::MIN))
            .execute(&self.pool)
            .await
            .map_err(failed(PRUNE))?;
            if done.rows_affected() == 0 {
                return Ok(pruned);
            }
            pruned += done.rows_affected();
        }
    }

    pub(super) async fn remove_dead_letters_over(&self, rows_max: u64) -> StoreResult<u64> {
        let over: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT module, owner FROM dead_letters WHERE module IS NOT NULL
             GROUP BY module, owner HAVING count(*) > $1",
        )
        .bind(signed(rows_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(PRUNE))?;
        let mut pruned = 0;
        for (module, owner) in over {
            // Those below the newest that is one too many, so that two nodes that trim at once remove the same ones.
            let newest: Option<i64> = sqlx::query_scalar(
                "SELECT id FROM dead_letters WHERE module = $1 AND owner IS NOT DISTINCT FROM $2
                 ORDER BY id DESC OFFSET $3 LIMIT 1",
            )
            .bind(&module)
            .bind(&owner)
            .bind(signed(rows_max))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(PRUNE))?;
            let Some(newest) = newest else { continue };
            loop {
                let done = sqlx::query(
                    "DELETE FROM dead_letters WHERE id IN
                       (SELECT id FROM dead_letters
                        WHERE module = $1 AND owner IS NOT DISTINCT FROM $2 AND id <= $3 ORDER BY id LIMIT $4)",
                )
                .bind(&module)
                .bind(&owner)
                .bind(newest)
                .bind(i64::from(PRUNED_AT_ONCE))
                .execute(&self.pool)
                .await
                .map_err(failed(PRUNE))?;
                if done.rows_affected() == 0 {
                    break;
                }
                pruned += done.rows_affected();
            }
        }
        Ok(pruned)
    }
}
