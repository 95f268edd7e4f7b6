//! The embedded store: one SQLite file, needs nothing else.
//!
//! One connection writes, a few read; readers never wait for the writer (write-ahead log). Every commit is on the disk
//! before a call returns (`synchronous = FULL`), so it survives a power cut. Other processes may open the same file
//! (`hookbox import` beside a running host): they wait for each other's writes.

mod account_writes;
mod accounts;
mod attempts;
mod audit;
mod bound_bindings;
mod claiming;
mod commit;
mod dead_letters;
mod firings;
mod hooks;
mod jobs;
mod keys;
mod module_costs;
mod module_faults;
mod module_limits;
mod numbers;
mod opening;
mod origins;
mod registered_modules;
mod stored_calls;
mod traffic;
mod upkeep;

use std::sync::{Arc, atomic::AtomicUsize};

use async_trait::async_trait;
use sqlx::{Row, Sqlite, SqlitePool, Transaction, sqlite::SqliteRow};

use super::{
    AttemptQuery, AttemptRow, Changes, Claim, DeadLetter, DeadLetterQuery, DueHook, Entry, FiringCounts, HookChange,
    ModuleRecord, Notice, ResendJob, Saved, Store, StoreResult, UndeliveredQuery, UndeliveredRow,
    columns::{Columns, failed},
};
use crate::{
    account::{Account, AccountFields, AccountRecord, KeyRecord},
    hook::HookRecord,
    message::{AccountId, Firing, HookId, LeaseToken, ModuleId, Object, UnixMs, WebhookId},
};

/// Rows that one transaction prunes: few, so that groups of attempts get in between.
const PRUNED_AT_ONCE: u32 = 500;

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

impl Columns for SqliteRow {
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn document(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn number(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
        self.try_get(column)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn accounts(&self) -> StoreResult<Vec<Account>> {
        self.list_accounts().await
    }

    async fn put_accounts(&self, accounts: &[Account], now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        self.write_accounts(accounts, now_ms).await
    }

    async fn put_account_fields(&self, fields: &[AccountFields]) -> StoreResult<Vec<bool>> {
        self.write_account_fields(fields).await
    }

    async fn accounts_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<Result<Account, AccountId>>> {
        self.account_changes(cursor, limit).await
    }

    async fn account(&self, id: &AccountId) -> StoreResult<Option<AccountRecord>> {
        self.find_account(id).await
    }

    async fn accounts_below(
        &self,
        root: &AccountId,
        children_only: bool,
        after: Option<&AccountId>,
        limit: u32,
    ) -> StoreResult<Vec<AccountRecord>> {
        self.list_accounts_below(root, children_only, after, limit).await
    }

    async fn accounts_named(&self, field: &str, text: &str) -> StoreResult<Vec<AccountId>> {
        self.find_accounts_named(field, text).await
    }

    async fn save_account(
        &self,
        record: &AccountRecord,
        based_on: Option<i64>,
        notices: &[Notice],
        _now_ms: UnixMs,
    ) -> StoreResult<Saved> {
        self.save_one_account(record, based_on, notices).await
    }

    async fn save_accounts(&self, records: &[AccountRecord], notices: &[Notice], _now_ms: UnixMs) -> StoreResult<bool> {
        self.save_many_accounts(records, notices).await
    }

    async fn delete_accounts(&self, ids: &[AccountId], notices: &[Notice], now_ms: UnixMs) -> StoreResult<u64> {
        self.remove_accounts(ids, notices, now_ms).await
    }

    async fn numbers_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<(String, Option<AccountId>)>> {
        self.number_changes(cursor, limit).await
    }

    async fn numbers(&self) -> StoreResult<Vec<(String, AccountId)>> {
        self.list_numbers().await
    }

    async fn delete_numbers(&self, numbers: &[String]) -> StoreResult<u64> {
        self.remove_numbers(numbers).await
    }

    async fn put_numbers(&self, numbers: &[(String, AccountId)]) -> StoreResult<Vec<bool>> {
        self.write_numbers(numbers).await
    }

    async fn put_keys(&self, keys: &[KeyRecord]) -> StoreResult<Vec<bool>> {
        self.write_keys(keys).await
    }

    async fn key(&self, hash: &str) -> StoreResult<Option<KeyRecord>> {
        self.find_key(hash).await
    }

    async fn keys(&self, account: &AccountId) -> StoreResult<Vec<KeyRecord>> {
        self.list_keys(account).await
    }

    async fn key_by_id(&self, id: &str) -> StoreResult<Option<KeyRecord>> {
        self.find_key_by_id(id).await
    }

    async fn touch_key(&self, id: &str, now_ms: UnixMs) -> StoreResult<()> {
        self.note_use_of_key(id, now_ms).await
    }

    async fn delete_key(&self, account: &AccountId, id: &str) -> StoreResult<bool> {
        self.remove_key(account, id).await
    }

    async fn hook(&self, id: &HookId) -> StoreResult<Option<HookRecord>> {
        self.find_hook(id).await
    }

    async fn put_hooks(&self, records: &[HookRecord], now_ms: UnixMs) -> StoreResult<Vec<bool>> {
        self.write_hooks(records, now_ms).await
    }

    async fn save_hook(
        &self,
        record: &HookRecord,
        based_on: Option<i64>,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<Saved> {
        self.save_one_hook(record, based_on, notices, now_ms).await
    }

    async fn hooks_of(&self, account: &AccountId, after: Option<&HookId>, limit: u32) -> StoreResult<Vec<HookRecord>> {
        self.list_hooks_of(account, false, after, limit).await
    }

    async fn hook_count(&self, account: &AccountId) -> StoreResult<u64> {
        self.count_hooks_of(account).await
    }

    async fn switched_off_hooks(
        &self,
        account: &AccountId,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<HookRecord>> {
        self.list_hooks_of(account, true, after, limit).await
    }

    async fn delete_hook(&self, id: &HookId, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool> {
        self.remove_hook(id, notices, now_ms).await
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

    async fn due_hooks(&self, now_ms: UnixMs, after: Option<&DueHook>, limit: u32) -> StoreResult<Vec<DueHook>> {
        self.list_due_hooks(now_ms, after, limit).await
    }

    async fn claim_due(&self, claims: &[Claim], now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Vec<Firing>> {
        self.claim(claims, now_ms, until_ms).await
    }

    async fn next_due_ms(&self, after_ms: UnixMs) -> StoreResult<Option<UnixMs>> {
        self.next_free_ms(after_ms).await
    }

    async fn renew_leases(&self, held: &[(WebhookId, LeaseToken)], until_ms: UnixMs) -> StoreResult<u64> {
        self.change_leases(claiming::RENEW, held, until_ms).await
    }

    async fn release_leases(&self, held: &[(WebhookId, LeaseToken)], now_ms: UnixMs) -> StoreResult<u64> {
        self.change_leases(claiming::RELEASE, held, now_ms).await
    }

    async fn waiting_by_account(&self, at_least: u64) -> StoreResult<Vec<(AccountId, u64)>> {
        self.count_waiting_by_account(at_least).await
    }

    async fn firing_counts(&self, hook: Option<&HookId>) -> StoreResult<FiringCounts> {
        self.count_firings(hook).await
    }

    async fn undelivered(&self, query: &UndeliveredQuery) -> StoreResult<Vec<UndeliveredRow>> {
        self.list_undelivered(query).await
    }

    async fn resend(&self, hook: &HookId, id: Option<&WebhookId>, now_ms: UnixMs) -> StoreResult<u64> {
        self.requeue_undelivered(hook, id, now_ms).await
    }

    async fn send_again(&self, firings: &[Firing], job: Option<&ResendJob>, now_ms: UnixMs) -> StoreResult<bool> {
        self.store_again(firings, job, now_ms).await
    }

    async fn attempts(&self, query: &AttemptQuery) -> StoreResult<Vec<AttemptRow>> {
        self.list_attempts(query).await
    }

    async fn attempt(&self, account: &AccountId, id: &str) -> StoreResult<Option<AttemptRow>> {
        self.find_attempt(account, id).await
    }

    async fn prune_attempts(&self, before_ms: UnixMs) -> StoreResult<u64> {
        let pruned = self.remove_old_attempts(before_ms).await?;
        self.prune_undelivered(before_ms).await?;
        Ok(pruned)
    }

    async fn failure_count(&self, hook: &HookId, after_ms: UnixMs) -> StoreResult<u32> {
        self.count_failures(hook, after_ms).await
    }

    async fn sweep_failures(&self, after_ms: UnixMs) -> StoreResult<Vec<(AccountId, HookId, u32)>> {
        self.forget_and_count_failures(after_ms).await
    }

    async fn failing_hooks(
        &self,
        account: &AccountId,
        after_ms: UnixMs,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<(HookId, u32)>> {
        self.list_failing_hooks(account, after_ms, after, limit).await
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

    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> StoreResult<Vec<i64>> {
        self.write_dead_letters(letters).await
    }

    async fn dead_letters(&self, query: &DeadLetterQuery) -> StoreResult<Vec<DeadLetter>> {
        self.list_dead_letters(query).await
    }

    async fn dead_letter(&self, id: i64) -> StoreResult<Option<DeadLetter>> {
        self.find_dead_letter(id).await
    }

    async fn dead_letter_count(&self, module: &ModuleId) -> StoreResult<u64> {
        self.count_dead_letters(module).await
    }

    async fn delete_dead_letter(&self, id: i64) -> StoreResult<bool> {
        self.remove_dead_letter(id).await
    }

    async fn prune_dead_letters(&self, before_ms: UnixMs, rows_max: u64) -> StoreResult<u64> {
        self.remove_old_dead_letters(before_ms, rows_max).await
    }

    async fn trim_dead_letters(&self, rows_max: u64) -> StoreResult<u64> {
        self.remove_dead_letters_over(rows_max).await
    }

    async fn put_job(&self, job: &ResendJob) -> StoreResult<()> {
        self.write_job(job).await
    }

    async fn job(&self, account: &AccountId, id: &str) -> StoreResult<Option<ResendJob>> {
        self.find_job(account, id).await
    }

    async fn jobs(&self, account: &AccountId, limit: u32) -> StoreResult<Vec<ResendJob>> {
        self.list_jobs(account, limit).await
    }

    async fn claim_job(&self, now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Option<ResendJob>> {
        self.take_job(now_ms, until_ms).await
    }

    async fn stop_job(&self, account: &AccountId, id: &str, now_ms: UnixMs) -> StoreResult<bool> {
        self.end_job(account, id, now_ms).await
    }

    async fn prune_jobs(&self, before_ms: UnixMs) -> StoreResult<u64> {
        self.remove_old_jobs(before_ms).await
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
