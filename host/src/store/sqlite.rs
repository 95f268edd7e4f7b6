//! The embedded store: one SQLite file, needs nothing else.
//!
//! One connection writes, a few read; readers never wait for the writer (write-ahead log). Every commit is on the disk
//! before a call returns (`synchronous = FULL`), so it survives a power cut. Other processes may open the same file
//! (`hookbox import` beside a running host): they wait for each other's writes.

mod accounts;
mod commit;
mod firings;
mod hooks;
mod opening;
mod upkeep;

use std::sync::{Arc, atomic::AtomicUsize};

use async_trait::async_trait;
use sqlx::{Sqlite, SqlitePool, Transaction, sqlite::SqliteRow};

use super::{
    Changes, DeadLetter, Entry, FiringCounts, HookChange, ModuleRecord, Notice, Store, StoreError, StoreResult,
};
use crate::{
    account::{Account, KeyRecord},
    hook::HookRecord,
    message::{AccountId, Firing, HookId, Object, UnixMs, WebhookId},
};

/// The store in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Attempts recorded by this process since the last time that they were indexed.
    unindexed: Arc<AtomicUsize>,
}

impl SqliteStore {
    /// Opens the file of `sqlite:PATH`, made when missing, and brings its schema up to date.
    pub async fn open(url: &str) -> StoreResult<Self> {
        opening::open(url).await
    }

    /// Begins a transaction that writes; it takes the write lock at once, so that it cannot fail half-way.
    async fn begin(&self, doing: &'static str) -> StoreResult<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(doing))
    }
}

/// A driver's error with what was being done.
fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source }
}

/// Times and counts as SQLite has them.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// … and back.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// JSON for a column.
fn json(value: &impl serde::Serialize) -> String {
    // Only maps with keys that are no text cannot be written, and there are none in what is stored.
    serde_json::to_string(value).unwrap_or_default()
}

/// A JSON column, read back.
fn parsed<T: serde::de::DeserializeOwned>(what: &'static str, id: &str, text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable {
        what,
        id: id.to_owned(),
        reason: error.to_string(),
    })
}

/// Rows into values; the first that cannot be read ends it.
fn each<T>(rows: Vec<SqliteRow>, read: impl Fn(&SqliteRow) -> StoreResult<T>) -> StoreResult<Vec<T>> {
    rows.iter().map(read).collect()
}

#[async_trait]
impl Store for SqliteStore {
    async fn accounts(&self) -> StoreResult<Vec<Account>> {
        self.list_accounts().await
    }

    async fn put_accounts(&self, accounts: &[Account], _now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        self.write_accounts(accounts).await
    }

    async fn accounts_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<Result<Account, AccountId>>> {
        self.account_changes(cursor, limit).await
    }

    async fn delete_account(&self, id: &AccountId, _now_ms: UnixMs) -> StoreResult<bool> {
        self.remove_account(id).await
    }

    async fn numbers(&self) -> StoreResult<Vec<(String, AccountId)>> {
        self.list_numbers().await
    }

    async fn put_numbers(&self, numbers: &[(String, AccountId)]) -> StoreResult<Vec<bool>> {
        self.write_numbers(numbers).await
    }

    async fn put_key(&self, key: &KeyRecord) -> StoreResult<bool> {
        self.write_key(key).await
    }

    async fn key(&self, hash: &str) -> StoreResult<Option<KeyRecord>> {
        self.find_key(hash).await
    }

    async fn keys(&self, account: &AccountId) -> StoreResult<Vec<KeyRecord>> {
        self.list_keys(account).await
    }

    async fn delete_key(&self, hash: &str) -> StoreResult<bool> {
        self.remove_key(hash).await
    }

    async fn hook(&self, id: &HookId) -> StoreResult<Option<HookRecord>> {
        self.find_hook(id).await
    }

    async fn put_hooks(&self, records: &[HookRecord], _now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        self.write_hooks(records).await
    }

    async fn delete_hook(&self, id: &HookId, _now_ms: UnixMs) -> StoreResult<bool> {
        self.remove_hook(id).await
    }

    async fn hooks_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<HookChange>> {
        self.hook_changes(cursor, limit).await
    }

    async fn disable_hook(&self, id: &HookId, reason: &str, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool> {
        self.switch_off_hook(id, reason, notices, now_ms).await
    }

    async fn commit(&self, group: &[Entry]) -> StoreResult<()> {
        self.commit_group(group).await
    }

    async fn claim_due(&self, now_ms: UnixMs, until_ms: UnixMs, limit: u32) -> StoreResult<Vec<Firing>> {
        self.claim(now_ms, until_ms, limit).await
    }

    async fn next_due_ms(&self) -> StoreResult<Option<UnixMs>> {
        self.next_free_ms().await
    }

    async fn firing_counts(&self, hook: Option<&HookId>) -> StoreResult<FiringCounts> {
        self.count_firings(hook).await
    }

    async fn undelivered(&self, hook: &HookId, limit: u32) -> StoreResult<Vec<(Firing, String)>> {
        self.list_undelivered(hook, limit).await
    }

    async fn resend(&self, hook: &HookId, id: Option<&WebhookId>, now_ms: UnixMs) -> StoreResult<u64> {
        self.requeue_undelivered(hook, id, now_ms).await
    }

    async fn attempts(&self, account: &AccountId, hook: Option<&HookId>, limit: u32) -> StoreResult<Vec<Object>> {
        self.list_attempts(account, hook, limit).await
    }

    async fn prune_attempts(&self, before_ms: UnixMs) -> StoreResult<u64> {
        self.prune(before_ms).await
    }

    async fn failure_count(&self, hook: &HookId, after_ms: UnixMs) -> StoreResult<u32> {
        self.count_failures(hook, after_ms).await
    }

    async fn sweep_failures(&self, after_ms: UnixMs) -> StoreResult<Vec<(AccountId, HookId, u32)>> {
        self.failing_hooks(after_ms).await
    }

    async fn warn_of_hook(&self, hook: &HookId, notice: &Notice) -> StoreResult<bool> {
        self.mark_warned(hook, notice).await
    }

    async fn clear_failures(&self, hook: &HookId) -> StoreResult<()> {
        self.forget_failures(hook).await
    }

    async fn modules(&self) -> StoreResult<Vec<ModuleRecord>> {
        self.list_modules().await
    }

    async fn put_module(&self, record: &ModuleRecord) -> StoreResult<bool> {
        self.write_module(record).await
    }

    async fn put_dead_letter(&self, letter: &DeadLetter) -> StoreResult<i64> {
        self.write_dead_letter(letter).await
    }

    async fn dead_letters(&self, limit: u32) -> StoreResult<Vec<DeadLetter>> {
        self.list_dead_letters(limit).await
    }

    async fn put_notice(&self, notice: &Notice) -> StoreResult<()> {
        self.write_notice(notice).await
    }

    async fn notices(&self, limit: u32) -> StoreResult<Vec<Notice>> {
        self.list_notices(limit).await
    }

    async fn delete_notice(&self, id: i64) -> StoreResult<()> {
        self.remove_notice(id).await
    }

    async fn kept_value(&self, key: &str) -> StoreResult<Option<String>> {
        self.find_kept_value(key).await
    }

    async fn keep_value(&self, key: &str, value: &str) -> StoreResult<String> {
        self.write_kept_value(key, value).await
    }

    async fn webhook_settings(&self, account: Option<&AccountId>) -> StoreResult<Object> {
        self.find_webhook_settings(account).await
    }

    async fn all_webhook_settings(&self) -> StoreResult<Vec<(Option<AccountId>, Object)>> {
        self.list_webhook_settings().await
    }

    async fn put_webhook_settings(&self, account: Option<&AccountId>, settings: &Object) -> StoreResult<()> {
        self.write_webhook_settings(account, settings).await
    }

    async fn ping(&self) -> StoreResult<()> {
        let doing = failed("answer a ping");
        sqlx::query("SELECT 1").execute(&self.readers).await.map(drop).map_err(doing)
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

#[cfg(test)]
mod tests;
