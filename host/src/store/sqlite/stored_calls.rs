//! Calls of modules that wait to be made.

use std::{
    collections::{HashMap, hash_map},
    sync::LazyLock,
};

use async_trait::async_trait;
use sqlx::{Row, Sqlite, Transaction};

use super::{
    SqliteStore,
    commit::{Statements, text},
};
use crate::{
    message::{LeaseToken, ModuleId, UnixMs},
    store::{
        StoreError, StoreResult,
        columns::{each, failed, json, name_of, signed, unsigned},
        rows::{call_line, stored_call},
        stored_calls::{CallBounds, CallChange, CallLine, StoredCall, StoredCalls},
    },
};

const CHANGE: &str = "keep or remove stored calls";
const CLAIM: &str = "claim stored calls";
const COUNT: &str = "count stored calls";

static KEEP: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        "INSERT INTO stored_calls (id, account, module, free_ms, created_ms, bytes, message) VALUES ",
        "(?,?,?,?,?,?,?)",
        " ON CONFLICT (id) DO NOTHING",
    )
});

/// What waits of an account, or of a module of the operator's, as a group of changes goes on.
type Waiting<'a> = HashMap<(&'a str, &'a str), (u64, u64)>;

/// Adds the call to what waits, if there is room; a row to be written.
async fn kept<'a>(
    transaction: &mut Transaction<'_, Sqlite>,
    waiting: &mut Waiting<'a>,
    call: &'a StoredCall,
    bounds: &CallBounds,
) -> StoreResult<bool> {
    let account = name_of(call.account.as_ref());
    // The operator's modules share no bound.
    let module = if account.is_empty() { call.module.as_str() } else { "" };
    let (calls, bytes) = match waiting.entry((account, module)) {
        hash_map::Entry::Occupied(entry) => entry.into_mut(),
        hash_map::Entry::Vacant(entry) => {
            let (calls, bytes): (i64, i64) = sqlx::query_as(
                "SELECT coalesce(sum(calls), 0), coalesce(sum(bytes), 0) FROM stored_call_lines
                 WHERE account = ?1 AND (?2 = '' OR module = ?2)",
            )
            .bind(account)
            .bind(module)
            .fetch_one(&mut **transaction)
            .await
            .map_err(failed(CHANGE))?;
            entry.insert((unsigned(calls), unsigned(bytes)))
        }
    };
    let more = call.message.body.len() as u64;
    let has_room = bounds.have_room(*calls, *bytes, more);
    if has_room {
        *calls += 1;
        *bytes = bytes.saturating_add(more);
    }
    Ok(has_room)
}

/// Removes the call when the lease holds it; whether it did.
async fn removed(transaction: &mut Transaction<'_, Sqlite>, id: &str, lease: &LeaseToken) -> StoreResult<bool> {
    let done = sqlx::query("DELETE FROM stored_calls WHERE id = ? AND lease = ?")
        .bind(id)
        .bind(&lease.0)
        .execute(&mut **transaction)
        .await;
    Ok(done.map_err(failed(CHANGE))?.rows_affected() > 0)
}

#[async_trait]
impl StoredCalls for SqliteStore {
    async fn change_stored_calls(&self, changes: &[CallChange], bounds: &CallBounds) -> StoreResult<Vec<bool>> {
        let mut transaction = self.begin(CHANGE).await?;
        let (mut waiting, mut rows) = (Waiting::new(), Vec::new());
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            done.push(match change {
                CallChange::Keep(call) => {
                    let has_room = kept(&mut transaction, &mut waiting, call, bounds).await?;
                    if has_room {
                        rows.push(&**call);
                    }
                    has_room
                }
                CallChange::Made { id, lease } => removed(&mut transaction, id, lease).await?,
                CallChange::GivenUp { id, lease, letter } => {
                    let was_held = removed(&mut transaction, id, lease).await?;
                    if was_held {
                        Self::insert_dead_letter(&mut *transaction, letter).await?;
                    }
                    was_held
                }
                CallChange::PutBack { id, lease, free_ms } => {
                    let put_back =
                        sqlx::query("UPDATE stored_calls SET free_ms = ?, lease = NULL WHERE id = ? AND lease = ?")
                            .bind(signed(*free_ms))
                            .bind(id)
                            .bind(&lease.0)
                            .execute(&mut *transaction)
                            .await;
                    put_back.map_err(failed(CHANGE))?.rows_affected() > 0
                }
            });
        }
        KEEP.run(&mut transaction, rows, |query, call| {
            query
                .bind(text(&call.id))
                .bind(text(name_of(call.account.as_ref())))
                .bind(text(call.module.as_str()))
                .bind(signed(call.created_ms))
                .bind(signed(call.created_ms))
                .bind(signed(call.message.body.len() as u64))
                .bind(json(&call.message))
        })
        .await?;
        transaction.commit().await.map_err(failed(CHANGE))?;
        Ok(done)
    }

    async fn stored_call_lines(&self) -> StoreResult<Vec<CallLine>> {
        let rows = sqlx::query("SELECT module, account, calls FROM stored_call_lines ORDER BY module, account")
            .fetch_all(&self.readers)
            .await
            .map_err(failed(COUNT))?;
        each(rows, call_line)
    }

    async fn stored_call_count(&self, module: &ModuleId) -> StoreResult<u64> {
        let count: i64 = sqlx::query_scalar("SELECT coalesce(sum(calls), 0) FROM stored_call_lines WHERE module = ?")
            .bind(module.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(failed(COUNT))?;
        Ok(unsigned(count))
    }

    async fn claim_stored_calls(
        &self,
        line: &CallLine,
        now_ms: UnixMs,
        until_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<StoredCall>> {
        let doing = failed(CLAIM);
        let mut transaction = self.begin(CLAIM).await?;
        let rows = sqlx::query(
            "UPDATE stored_calls SET lease = lower(hex(randomblob(16))), free_ms = ?
             WHERE seq IN (SELECT seq FROM stored_calls WHERE module = ? AND account = ? AND free_ms <= ?
                           ORDER BY free_ms, seq LIMIT ?)
             RETURNING seq, id, account, module, lease, created_ms, message",
        )
        .bind(signed(until_ms))
        .bind(line.module.as_str())
        .bind(name_of(line.account.as_ref()))
        .bind(signed(now_ms))
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await
        .map_err(&doing)?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let seq: i64 = row.try_get("seq").map_err(&doing)?;
            match stored_call(row) {
                Ok(call) => claimed.push((seq, call)),
                // It would come back for ever. What cannot be read cannot become a dead letter either.
                Err(error @ StoreError::Unreadable { .. }) => {
                    tracing::error!(%error, "a stored call is removed");
                    sqlx::query("DELETE FROM stored_calls WHERE seq = ?")
                        .bind(seq)
                        .execute(&mut *transaction)
                        .await
                        .map_err(&doing)?;
                }
                Err(error) => return Err(error),
            }
        }
        transaction.commit().await.map_err(&doing)?;
        claimed.sort_by_key(|(seq, _)| *seq);
        Ok(claimed.into_iter().map(|(_, call)| call).collect())
    }
}
