//! Messages that modules failed on.

use super::{PRUNED_AT_ONCE, SqliteStore};
use crate::{
    message::{AccountId, ModuleId, UnixMs},
    store::{
        DeadLetter, DeadLetterQuery, StoreResult,
        columns::{each, failed, json, signed, unsigned},
        rows::dead_letter,
    },
};

const READ: &str = "read dead letters";
const KEEP: &str = "keep dead letters";
const PRUNE: &str = "prune dead letters";

impl SqliteStore {
    pub(super) async fn write_dead_letters(&self, letters: &[DeadLetter]) -> StoreResult<Vec<i64>> {
        let mut transaction = self.begin(KEEP).await?;
        let mut ids = Vec::with_capacity(letters.len());
        for letter in letters {
            ids.push(Self::insert_dead_letter(&mut *transaction, letter).await?);
        }
        transaction.commit().await.map_err(failed(KEEP))?;
        Ok(ids)
    }

    /// As [`Self::write_dead_letters`], one of them, with other changes.
    pub(super) async fn insert_dead_letter(
        executor: impl sqlx::SqliteExecutor<'_>,
        letter: &DeadLetter,
    ) -> StoreResult<i64> {
        let done = sqlx::query(
            "INSERT INTO dead_letters (at_ms, module, module_version, reason, owner, message) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(signed(letter.at_ms))
        .bind(letter.module.as_ref().map(ModuleId::as_str))
        .bind(&letter.module_version)
        .bind(&letter.reason)
        .bind(letter.owner.as_ref().map(AccountId::as_str))
        .bind(json(&letter.message))
        .execute(executor)
        .await
        .map_err(failed(KEEP))?;
        Ok(done.last_insert_rowid())
    }

    pub(super) async fn list_dead_letters(&self, query: &DeadLetterQuery) -> StoreResult<Vec<DeadLetter>> {
        // Each in the order of an index.
        let text = match (&query.owner, &query.module) {
            (None, None) => {
                "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters
                 WHERE id < ?1 AND ?2 IS NULL AND ?3 IS NULL ORDER BY id DESC LIMIT ?4"
            }
            (None, Some(_)) => {
                "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters
                 WHERE id < ?1 AND ?2 IS NULL AND module = ?3 ORDER BY id DESC LIMIT ?4"
            }
            (Some(_), _) => {
                "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters
                 WHERE id < ?1 AND owner = ?2 AND (?3 IS NULL OR module = ?3) ORDER BY id DESC LIMIT ?4"
            }
        };
        let rows = sqlx::query(text)
            .bind(query.before.unwrap_or(i64::MAX))
            .bind(query.owner.as_ref().map(AccountId::as_str))
            .bind(query.module.as_ref().map(ModuleId::as_str))
            .bind(query.limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed(READ))?;
        each(rows, dead_letter)
    }

    pub(super) async fn find_dead_letter(&self, id: i64) -> StoreResult<Option<DeadLetter>> {
        let row = sqlx::query(
            "SELECT id, at_ms, module, module_version, reason, owner, message FROM dead_letters WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.readers)
        .await
        .map_err(failed(READ))?;
        row.as_ref().map(dead_letter).transpose()
    }

    pub(super) async fn count_dead_letters(&self, module: &ModuleId) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters WHERE module = ?")
            .bind(module.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(failed("count dead letters"))?;
        Ok(unsigned(count))
    }

    pub(super) async fn remove_dead_letter(&self, id: i64) -> StoreResult<bool> {
        let done = sqlx::query("DELETE FROM dead_letters WHERE id = ?")
            .bind(id)
            .execute(&self.writer)
            .await
            .map_err(failed("remove a dead letter"))?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn remove_old_dead_letters(&self, before_ms: UnixMs, rows_max: u64) -> StoreResult<u64> {
        let doing = failed(PRUNE);
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM dead_letters").fetch_one(&self.readers).await.map_err(&doing)?;
        let mut over = unsigned(rows).saturating_sub(rows_max);
        let mut pruned = 0;
        loop {
            // They lie in the order in which they were kept: when none of the oldest is old enough, none is.
            let done = sqlx::query(
                "DELETE FROM dead_letters WHERE id IN
                   (SELECT id FROM (SELECT id, at_ms, row_number() OVER (ORDER BY id) AS place
                                    FROM (SELECT id, at_ms FROM dead_letters ORDER BY id LIMIT ?1))
                    WHERE at_ms < ?2 OR place <= ?3)",
            )
            .bind(PRUNED_AT_ONCE)
            .bind(signed(before_ms))
            .bind(signed(over))
            .execute(&self.writer)
            .await
            .map_err(&doing)?
            .rows_affected();
            if done == 0 {
                return Ok(pruned);
            }
            pruned += done;
            over = over.saturating_sub(done);
        }
    }

    pub(super) async fn remove_dead_letters_over(&self, rows_max: u64) -> StoreResult<u64> {
        let doing = failed(PRUNE);
        // Numbers never come twice: where there are no more of them than that, nobody has too many.
        let numbers: i64 = sqlx::query_scalar(
            "SELECT coalesce((SELECT max(id) FROM dead_letters) - (SELECT min(id) FROM dead_letters) + 1, 0)",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(&doing)?;
        if unsigned(numbers) <= rows_max {
            return Ok(0);
        }
        let over: Vec<(String, Option<String>, i64)> = sqlx::query_as(
            "SELECT module, owner, count(*) - ?1 FROM dead_letters WHERE module IS NOT NULL
             GROUP BY module, owner HAVING count(*) > ?1",
        )
        .bind(signed(rows_max))
        .fetch_all(&self.readers)
        .await
        .map_err(&doing)?;
        let mut pruned = 0;
        for (module, owner, over) in over {
            let mut over = unsigned(over);
            while over > 0 {
                let done = sqlx::query(
                    "DELETE FROM dead_letters WHERE id IN
                       (SELECT id FROM dead_letters WHERE module = ? AND owner IS ? ORDER BY id LIMIT ?)",
                )
                .bind(&module)
                .bind(&owner)
                .bind(signed(over.min(u64::from(PRUNED_AT_ONCE))))
                .execute(&self.writer)
                .await
                .map_err(&doing)?
                .rows_affected();
                if done == 0 {
                    break;
                }
                pruned += done;
                over = over.saturating_sub(done);
            }
        }
        Ok(pruned)
    }
}
