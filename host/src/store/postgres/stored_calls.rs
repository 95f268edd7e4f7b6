//! Calls of modules that wait to be made.
//!
//! Groups of changes come one after the other, over all nodes, under a lock of their own: so bounds hold exactly, and the
//! sums that they are checked by are nobody's bottleneck besides. Claims do not take it.

use std::collections::{HashMap, hash_map};

use async_trait::async_trait;
use sqlx::{Postgres, Row, Transaction};

use super::{PostgresStore, TRIES_MAX, is_broken_up, text::text};
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
/// Among the database's advisory locks; see the configuration lock.
const CALLS_LOCK: (i32, i32) = (0x486f_6f6b, 3);

type Running = Transaction<'static, Postgres>;

/// What waits of an account, or of a module of the operator's, as a group of changes goes on.
type Waiting<'a> = HashMap<(&'a str, &'a str), (u64, u64)>;

/// Adds the call to what waits, if there is room.
async fn kept<'a>(
    transaction: &mut Running,
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
                "SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM stored_call_lines
                 WHERE account = $1 AND ($2 = '' OR module = $2)",
            )
            .bind(text(account))
            .bind(text(module))
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
async fn removed(transaction: &mut Running, id: &str, lease: &LeaseToken) -> StoreResult<bool> {
    let done = sqlx::query("DELETE FROM stored_calls WHERE id = $1 AND lease = $2")
        .bind(text(id))
        .bind(text(&lease.0))
        .execute(&mut **transaction)
        .await;
    Ok(done.map_err(failed(CHANGE))?.rows_affected() > 0)
}

/// Stores calls; one that is stored already is left alone.
async fn keep(transaction: &mut Running, calls: &[&StoredCall]) -> StoreResult<()> {
    if calls.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO stored_calls (id, account, module, free_ms, created_ms, bytes, message)
         SELECT id, account, module, created_ms, created_ms, bytes, message
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
           AS new (id, account, module, created_ms, bytes, message)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(calls.iter().map(|call| text(&call.id)).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| text(name_of(call.account.as_ref()))).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| text(call.module.as_str())).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| signed(call.created_ms)).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| signed(call.message.body.len() as u64)).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| json(&call.message)).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(failed(CHANGE))
}

impl PostgresStore {
    /// Nobody else stores or removes calls until the transaction ends. After the configuration lock, where both are taken.
    pub(super) async fn lock_stored_calls(transaction: &mut Running) -> StoreResult<()> {
        sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
            .bind(CALLS_LOCK.0)
            .bind(CALLS_LOCK.1)
            .execute(&mut **transaction)
            .await
            .map(drop)
            .map_err(failed(CHANGE))
    }

    async fn change_calls(&self, changes: &[CallChange], bounds: &CallBounds) -> StoreResult<Vec<bool>> {
        let mut transaction = self.begin(CHANGE).await?;
        Self::lock_stored_calls(&mut transaction).await?;
        let (mut waiting, mut new) = (Waiting::new(), Vec::new());
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            done.push(match change {
                CallChange::Keep(call) => {
                    let has_room = kept(&mut transaction, &mut waiting, call, bounds).await?;
                    if has_room {
                        new.push(&**call);
                    }
                    has_room
                }
                CallChange::Made { id, lease } => removed(&mut transaction, id, lease).await?,
                CallChange::GivenUp { id, lease, letter } => {
                    let was_held = removed(&mut transaction, id, lease).await?;
                    if was_held {
                        Self::insert_dead_letters(&mut *transaction, std::slice::from_ref(letter)).await?;
                    }
                    was_held
                }
                CallChange::PutBack { id, lease, free_ms } => {
                    let put_back =
                        sqlx::query("UPDATE stored_calls SET free_ms = $1, lease = NULL WHERE id = $2 AND lease = $3")
                            .bind(signed(*free_ms))
                            .bind(text(id))
                            .bind(text(&lease.0))
                            .execute(&mut *transaction)
                            .await;
                    put_back.map_err(failed(CHANGE))?.rows_affected() > 0
                }
            });
        }
        keep(&mut transaction, &new).await?;
        transaction.commit().await.map_err(failed(CHANGE))?;
        Ok(done)
    }

    async fn claim_calls(
        &self,
        line: &CallLine,
        now_ms: UnixMs,
        until_ms: UnixMs,
        limit: u32,
    ) -> StoreResult<Vec<StoredCall>> {
        let doing = failed(CLAIM);
        let mut transaction = self.begin(CLAIM).await?;
        let rows = sqlx::query(
            "WITH free AS MATERIALIZED
               (SELECT seq FROM stored_calls WHERE module = $2 AND account = $3 AND free_ms <= $4
                ORDER BY free_ms, seq LIMIT $5 FOR UPDATE SKIP LOCKED)
             UPDATE stored_calls SET lease = replace(gen_random_uuid()::text, '-', ''), free_ms = $1
             FROM free WHERE stored_calls.seq = free.seq
             RETURNING stored_calls.seq, id, account, module, lease, created_ms, message",
        )
        .bind(signed(until_ms))
        .bind(text(line.module.as_str()))
        .bind(text(name_of(line.account.as_ref())))
        .bind(signed(now_ms))
        .bind(i64::from(limit))
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
                    Self::lock_stored_calls(&mut transaction).await?;
                    let gone = sqlx::query("DELETE FROM stored_calls WHERE seq = $1").bind(seq);
                    gone.execute(&mut *transaction).await.map_err(&doing)?;
                }
                Err(error) => return Err(error),
            }
        }
        transaction.commit().await.map_err(&doing)?;
        claimed.sort_by_key(|(seq, _)| *seq);
        Ok(claimed.into_iter().map(|(_, call)| call).collect())
    }
}

#[async_trait]
impl StoredCalls for PostgresStore {
    async fn change_stored_calls(&self, changes: &[CallChange], bounds: &CallBounds) -> StoreResult<Vec<bool>> {
        again!(self.change_calls(changes, bounds))
    }

    async fn stored_call_lines(&self) -> StoreResult<Vec<CallLine>> {
        let rows = sqlx::query("SELECT module, account, calls FROM stored_call_lines ORDER BY module, account")
            .fetch_all(&self.pool)
            .await
            .map_err(failed(COUNT))?;
        each(rows, call_line)
    }

    async fn stored_call_count(&self, module: &ModuleId) -> StoreResult<u64> {
        let count: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(calls), 0)::bigint FROM stored_call_lines WHERE module = $1")
                .bind(text(module.as_str()))
                .fetch_one(&self.pool)
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
        again!(self.claim_calls(line, now_ms, until_ms, limit))
    }
}
