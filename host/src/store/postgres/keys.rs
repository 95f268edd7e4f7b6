//! API keys, by their hashes.

use super::{PostgresStore, text::text};
use crate::{
    account::KeyRecord,
    message::{AccountId, UnixMs},
    store::{
        StoreResult,
        columns::{each, failed, signed},
        rows::key,
    },
};

const READ: &str = "read keys";
const WRITE: &str = "write a key";
/// How exactly it is kept when a key was last used; each use would else be a commit.
const USE_MS: u64 = 60_000;

impl PostgresStore {
    pub(super) async fn write_keys(&self, keys: &[KeyRecord]) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        let mut changed = Vec::with_capacity(keys.len());
        for key in keys {
            let done = sqlx::query(
                "INSERT INTO keys (hash, id, account, name, created_ms, last_used_ms) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (hash) DO UPDATE SET account = excluded.account, name = excluded.name
                 WHERE keys.account <> excluded.account OR keys.name <> excluded.name",
            )
            .bind(text(&key.hash))
            .bind(text(&key.id))
            .bind(text(key.account.as_str()))
            .bind(text(&key.name))
            .bind(signed(key.created_ms))
            .bind(key.last_used_ms.map(signed))
            .execute(&mut *transaction)
            .await
            .map_err(&doing)?;
            changed.push(done.rows_affected() > 0);
        }
        transaction.commit().await.map_err(&doing)?;
        Ok(changed)
    }

    pub(super) async fn find_key(&self, hash: &str) -> StoreResult<Option<KeyRecord>> {
        let row = sqlx::query("SELECT id, hash, account, name, created_ms, last_used_ms FROM keys WHERE hash = $1")
            .bind(text(hash))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(key).transpose()
    }

    pub(super) async fn find_key_by_id(&self, id: &str) -> StoreResult<Option<KeyRecord>> {
        let row = sqlx::query("SELECT id, hash, account, name, created_ms, last_used_ms FROM keys WHERE id = $1")
            .bind(text(id))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(key).transpose()
    }

    pub(super) async fn list_keys(&self, account: &AccountId) -> StoreResult<Vec<KeyRecord>> {
        let rows = sqlx::query(
            "SELECT id, hash, account, name, created_ms, last_used_ms FROM keys WHERE account = $1
             ORDER BY created_ms, id",
        )
        .bind(text(account.as_str()))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(READ))?;
        each(rows, key)
    }

    pub(super) async fn note_use_of_key(&self, id: &str, now_ms: UnixMs) -> StoreResult<()> {
        sqlx::query(
            "UPDATE keys SET last_used_ms = $1 WHERE id = $2 AND (last_used_ms IS NULL OR last_used_ms <= $1::bigint - $3::bigint)",
        )
        .bind(signed(now_ms))
        .bind(text(id))
        .bind(signed(USE_MS))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("note the use of a key"))
    }

    pub(super) async fn remove_key(&self, account: &AccountId, id: &str) -> StoreResult<bool> {
        let done = sqlx::query("DELETE FROM keys WHERE id = $1 AND account = $2")
            .bind(text(id))
            .bind(text(account.as_str()))
            .execute(&self.pool)
            .await
            .map_err(failed("revoke a key"))?;
        Ok(done.rows_affected() > 0)
    }
}
