//! The store that many nodes share: one PostgreSQL database.
//!
//! Transactions are READ COMMITTED: each statement sees what was committed when it began. What is read and then written
//! is held fast in between, by one of three means:
//!
//! - **The configuration lock.** Whoever writes accounts, numbers, hooks, registered modules, or takes failures away, first takes one
//!   advisory lock of the database and keeps it until the transaction ends ([`PostgresStore::begin_change`]). So the
//!   configuration has one writer at a time, as with SQLite, and what a save has read stands until it is written. It also
//!   makes change numbers become visible in their order: a number is taken under the lock, and the lock goes to the next
//!   after the commit. Without it, a slower transaction could commit a lower number after a follower had read past it, and
//!   the follower would never see that change.
//! - **Conditions in the statement.** Firings, jobs and kept values are changed by statements that say what has to be so
//!   (this lease, this state): of two that run at once the second waits for the first, and then looks again.
//! - **Row locks** for claims: `FOR UPDATE SKIP LOCKED`, so that of two that claim at once each gets others.
//!
//! The hot path ([`commit`]) takes no lock that all share. Two transactions that hold what the other waits for are
//! broken up by the server; the one that was ended is run again.
//!
//! A node that stands still in the middle of a transaction (a stopped process, a machine that is gone) is put out by the
//! server after `store.statement_timeout_ms`, and its locks go.

/// Runs a call again when the server has ended it to break up a deadlock, which left nothing of it.
macro_rules! again {
    ($call:expr) => {{
        let mut tries = 1;
        loop {
            match $call.await {
                Err(error) if tries < TRIES_MAX && is_broken_up(&error) => tries += 1,
                done => break done,
            }
        }
    }};
}

mod account_writes;
mod accounts;
mod attempts;
mod audit;
mod bound_bindings;
mod claiming;
mod commit;
mod days;
mod dead_letters;
mod firings;
mod hints;
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
mod text;
mod traffic;
mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgPool, Postgres, Row, Transaction, postgres::PgRow};

pub use self::opening::{problem_of_url, shown_url};
use self::{days::Days, hints::Hints};
use super::{
    AttemptQuery, AttemptRow, Changes, Claim, DeadLetter, DeadLetterQuery, DueHook, Entry, FiringCounts, Hint,
    HookChange, ModuleRecord, Notice, ResendJob, Saved, Store, StoreError, StoreResult, UndeliveredQuery,
    UndeliveredRow,
    columns::{Columns, failed},
};
use crate::{
    account::{Account, AccountFields, AccountRecord, KeyRecord},
    hook::HookRecord,
    message::{AccountId, Firing, HookId, LeaseToken, ModuleId, Object, UnixMs, WebhookId},
    settings::StoreSettings,
};

/// Rows that one transaction prunes: few, so that nothing else waits long for them.
const PRUNED_AT_ONCE: u32 = 5000;
/// What the configuration lock is called among the database's advisory locks: "Hook", and a number.
const CONFIGURATION_LOCK: (i32, i32) = (0x486f_6f6b, 1);
/// How often a transaction is run again that the server ended because it held what another waited for.
const TRIES_MAX: u32 = 5;

/// The store in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
    /// The days that attempts can be recorded of.
    days: Arc<Days>,
    hints: Arc<Hints>,
}

impl PostgresStore {
    /// Opens the database of `store.url`, and brings its schema up to date.
    pub async fn open(settings: &StoreSettings) -> StoreResult<Self> {
        opening::open(settings).await
    }

    /// Begins a transaction.
    async fn begin(&self, doing: &'static str) -> StoreResult<Transaction<'static, Postgres>> {
        // Whatever the server's default is: a lock is of use only when the statement after it sees what came before it.
        self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await.map_err(failed(doing))
    }

    /// Begins a transaction that changes the configuration: nobody else changes it until this one ends.
    async fn begin_change(&self, doing: &'static str) -> StoreResult<Transaction<'static, Postgres>> {
        let mut transaction = self.begin(doing).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
            .bind(CONFIGURATION_LOCK.0)
            .bind(CONFIGURATION_LOCK.1)
            .execute(&mut *transaction)
            .await
            .map_err(failed(doing))?;
        Ok(transaction)
    }

    /// Ends a transaction that changed the configuration, and has the other nodes look.
    async fn finish_change(&self, transaction: Transaction<'static, Postgres>, doing: &'static str) -> StoreResult<()> {
        transaction.commit().await.map_err(failed(doing))?;
        self.hints.tell(Hint::Changes);
        Ok(())
    }
}

/// Whether the server ended a transaction so that others could go on.
fn is_broken_up(error: &StoreError) -> bool {
    matches!(code_of(error).as_deref(), Some("40P01" | "40001"))
}

/// PostgreSQL's code of an error (SQLSTATE).
fn code_of(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Database { source, .. } => source.as_database_error()?.code().map(|code| code.into_owned()),
        _ => None,
    }
}

impl Columns for PgRow {
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get::<Option<String>, _>(column).map(|text| text.map(text::read))
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
impl Store for PostgresStore {
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
        again!(self.remove_accounts(ids, notices, now_ms))
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
        again!(self.write_keys(keys))
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
        again!(self.write_hooks(records, now_ms))
    }

    async fn save_hook(
        &self,
        record: &HookRecord,
        based_on: Option<i64>,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<Saved> {
        again!(self.save_one_hook(record, based_on, notices, now_ms))
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
        again!(self.remove_hook(id, notices, now_ms))
    }

    async fn hooks_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<HookChange>> {
        self.hook_changes(cursor, limit).await
    }

    async fn disable_hook(&self, id: &HookId, reason: &str, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool> {
        again!(self.switch_off_hook(id, reason, notices, now_ms))
    }

    async fn commit(&self, group: &[Entry]) -> StoreResult<()> {
        again!(self.commit_group(group))
    }

    async fn due_hooks(&self, now_ms: UnixMs, after: Option<&DueHook>, limit: u32) -> StoreResult<Vec<DueHook>> {
        self.list_due_hooks(now_ms, after, limit).await
    }

    async fn claim_due(&self, claims: &[Claim], now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Vec<Firing>> {
        again!(self.claim(claims, now_ms, until_ms))
    }

    async fn next_due_ms(&self, after_ms: UnixMs) -> StoreResult<Option<UnixMs>> {
        self.next_free_ms(after_ms).await
    }

    async fn renew_leases(&self, held: &[(WebhookId, LeaseToken)], until_ms: UnixMs) -> StoreResult<u64> {
        again!(self.lengthen_leases(held, until_ms))
    }

    async fn release_leases(&self, held: &[(WebhookId, LeaseToken)], now_ms: UnixMs) -> StoreResult<u64> {
        again!(self.end_leases(held, now_ms))
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
        again!(self.requeue_undelivered(hook, id, now_ms))
    }

    async fn send_again(&self, firings: &[Firing], job: Option<&ResendJob>, now_ms: UnixMs) -> StoreResult<bool> {
        again!(self.store_again(firings, job, now_ms))
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
        again!(self.forget_and_count_failures(after_ms))
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
        again!(self.forget_failures(hook))
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
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(doing)
    }

    async fn hint(&self) -> Hint {
        self.hints.heard().await
    }

    async fn close(&self) {
        self.hints.close().await;
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests;
