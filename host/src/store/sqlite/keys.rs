//! API keys, by their hashes.

use super::SqliteStore;
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

impl SqliteStore {
    pub(super) async fn write_keys(&self, keys: &[KeyRecord]) -> StoreResult<Vec<bool>> {
        let doing = failed(WRITE);
        let mut transaction = self.begin(WRITE).await?;
        let mut changed = Vec::with_capacity(keys.len());
        for key in keys {
            let done = sqlx::query(
                "INSERT INTO keys (hash, id, account, name, created_ms, last_used_ms) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (hash) DO UPDATE SET account = excluded.account, name = excluded.name
                 WHERE account <> excluded.account OR name <> excluded.name",
            )
            .bind(&key.hash)
            .bind(&key.id)
            .bind(key.account.as_str())
            .bind(&key.name)
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
        let row = sqlx::query("SELECT id, hash, account, name, created_ms, last_used_ms FROM keys WHERE hash = ?")
            .bind(hash)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(key).transpose()
    }

    pub(super) async fn find_key_by_id(&self, id: &str) -> StoreResult<Option<KeyRecord>> {
        let row = sqlx::query("SELECT id, hash, account, name, created_ms, last_used_ms FROM keys WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(READ))?;
        row.as_ref().map(key).transpose()
    }

    pub(super) async fn list_keys(&self, account: &AccountId) -> StoreResult<Vec<KeyRecord>> {
        let rows = sqlx::query(
            "SELECT id, hash, account, name, created_ms, last_used_ms FROM keys WHERE account = ?
             ORDER BY created_ms, id",
        )
        .bind(account.as_str())
        .fetch_all(&self.readers)
        .await
        .map_err(failed(READ))?;
        each(rows, key)
    }

    pub(super) async fn note_use_of_key(&self, id: &str, now_ms: UnixMs) -> StoreResult<()> {
        sqlx::query(
            "UPDATE keys SET last_used_ms = ?1 WHERE id = ?2 AND (last_used_ms IS NULL OR last_used_ms <= ?1 - ?3)",
        )
        .bind(signed(now_ms))
        .bind(id)
        .bind(signed(USE_MS))
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(failed("note the use of a key"))
    }

    pub(super) async fn remove_key(&self, account: &AccountId, id: &str) -> StoreResult<bool> {
        let done = sqlx::query("DELETE FROM keys WHERE id = ? AND account = ?")
            .bind(id)
            .bind(account.as_str())
            .execute(&self.writer)
            .await
            .map_err(failed("revoke a key"))?;
        Ok(done.rows_affected() > 0)
    }
}
