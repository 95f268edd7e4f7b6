//! Where everything that outlives the process is kept.
//!
//! One trait, two backends: [`sqlite`] (embedded, the default) and [`postgres`] (shared by many nodes). The rule that the
//! rest stands on: when a call returns `Ok`, what it wrote survives a `kill -9` of the process and a power cut. Both do the
//! same by one suite of tests (`behaviour`).
//!
//! Rows that come by the thousand a second, attempts and the firings they end, are not written one by one: they go
//! through [`crate::attempt::log`], which hands them over in groups ([`Store::commit`]), all of a group or none.

pub mod audit;
#[cfg(test)]
pub(crate) mod behaviour;
pub mod bound_bindings;
mod columns;
mod disabling;
pub mod entry;
pub mod error;
mod group_plan;
pub mod group_writer;
pub mod job;
pub mod listing;
mod migrations;
pub mod module_costs;
pub mod module_faults;
pub mod module_limits;
pub mod origins;
pub mod postgres;
pub mod registered_modules;
mod rows;
mod saving;
pub mod secrets;
pub mod sqlite;
pub mod stored_calls;
pub mod traffic;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::{
    entry::{Entry, FiringChange},
    error::{StoreError, StoreResult},
    job::{JobState, ResendJob, ResendOutcome},
    listing::{AttemptQuery, AttemptRow, DeadLetterQuery, UndeliveredQuery, UndeliveredRow},
};
use crate::{
    account::{Account, AccountFields, AccountRecord, KeyRecord},
    hook::HookRecord,
    message::{AccountId, Firing, HookId, LeaseToken, Message, ModuleId, Object, UnixMs, WebhookId},
    settings::{Settings, StoreSettings},
};

pub use crate::notice::Notice;

/// What came of a save that names the revision that it is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is written, and this is its revision now. Saving what is there already changes nothing and gives its revision.
    Done(i64),
    /// Somebody else was faster: it is missing, has another revision, or is there although it was to be made. Nothing
    /// was written.
    Conflict,
}

/// What another node has said that it is worth looking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Firings that were stored, or freed.
    Firings,
    /// Changes: accounts, numbers, hooks, modules, notices.
    Changes,
}

/// A hook that changed since some moment.
#[derive(Debug)]
pub enum HookChange {
    /// Made or edited.
    Saved(HookRecord),
    /// Deleted.
    Deleted(AccountId, HookId),
}

/// A page of changes.
#[derive(Debug)]
pub struct Changes<T> {
    /// What changed, oldest first.
    pub changes: Vec<T>,
    /// Where to go on reading.
    pub cursor: i64,
}

/// A message that a module failed on, kept to be replayed to that module.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Counts up; 0 before it is stored.
    pub id: i64,
    /// When it was kept.
    pub at_ms: UnixMs,
    /// The module, none for a message that never reached one (the broker gave it up).
    pub module: Option<ModuleId>,
    /// The module's version then.
    pub module_version: String,
    /// What went wrong, for people.
    pub reason: String,
    /// The tenant who may see it, besides the operator: who posted the message, or whose module failed.
    pub owner: Option<AccountId>,
    /// The message, whole.
    pub message: Message,
}

/// What is stored of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleRecord {
    /// Its id.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its metadata, as a JSON object in the form of KAZOO's `webhook_meta` documents.
    pub metadata: Object,
}

/// A hook with stored firings that are due and free. In the order in which they are listed: whose firing is due or free
/// for the longest time comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueHook {
    /// Since when its first one is: its time, or the end of its lease.
    pub since_ms: UnixMs,
    /// Whose hook.
    pub account: AccountId,
    /// Which; one that travels in messages has an id too, which may be empty.
    pub hook: HookId,
}

/// How many firings of a hook somebody takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose hook.
    pub account: AccountId,
    /// Which.
    pub hook: HookId,
    /// At most so many.
    pub rows_max: u32,
}

/// How many firings the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiringCounts {
    /// Waiting for their time, or under a lease.
    pub waiting: u64,
    /// Ended undelivered.
    pub undelivered: u64,
}

/// The store. Calls are safe to repeat: writing the same thing twice changes nothing.
#[async_trait]
pub trait Store:
    audit::Audit
    + bound_bindings::BoundBindings
    + module_costs::ModuleCosts
    + module_faults::ModuleFaults
    + module_limits::ModuleLimits
    + origins::Origins
    + registered_modules::RegisteredModules
    + stored_calls::StoredCalls
    + traffic::Traffic
    + Send
    + Sync
    + 'static
{
    // Accounts, numbers and keys.

    /// All accounts that are not deleted.
    async fn accounts(&self) -> StoreResult<Vec<Account>>;
    /// Writes an account. `true` when that changed something.
    async fn put_account(&self, account: &Account, now_ms: UnixMs) -> StoreResult<bool> {
        Ok(self.put_accounts(std::slice::from_ref(account), now_ms).await?.first().copied().unwrap_or(false))
    }
    /// Writes accounts in one transaction: their places and names; the rest of their documents is left alone. Those that
    /// are named as resellers are marked as such. Tells of each whether that changed something.
    async fn put_accounts(&self, accounts: &[Account], now_ms: UnixMs) -> StoreResult<Vec<bool>>;
    /// Writes the documents of accounts that are there, in one transaction; their names have to be those that they have.
    /// Tells of each whether that changed something. Followers do not read documents, so it is no change to them.
    async fn put_account_fields(&self, fields: &[AccountFields]) -> StoreResult<Vec<bool>>;
    /// Accounts changed since the cursor (0 for all), at most `limit`; deleted ones are given by their id alone.
    async fn accounts_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<Result<Account, AccountId>>>;
    /// The account's record; `None` when it was deleted or never was.
    async fn account(&self, id: &AccountId) -> StoreResult<Option<AccountRecord>>;
    /// The records of the accounts below one (at any depth, or its children only) in order of their ids, after an id,
    /// at most `limit`.
    async fn accounts_below(
        &self,
        root: &AccountId,
        children_only: bool,
        after: Option<&AccountId>,
        limit: u32,
    ) -> StoreResult<Vec<AccountRecord>>;
    /// The accounts whose document has this text in the field (`name`, `realm`), at most a few.
    async fn accounts_named(&self, field: &str, text: &str) -> StoreResult<Vec<AccountId>>;
    /// Makes an account (`based_on` is `None`) or writes it over that revision, and keeps the notices, in one
    /// transaction. A new one conflicts also when its parent is not there or has another place than its tree says; one
    /// that was deleted can be made again. Numbers, keys and descendants are left alone. Of the record, `revision` is not
    /// looked at, and `created_ms` only when it is made; its document gets its name.
    async fn save_account(
        &self,
        record: &AccountRecord,
        based_on: Option<i64>,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<Saved>;
    /// Writes accounts that are there, all or none, in one transaction: each over the revision that its record has
    /// (which goes up by one when that changes something). `false` when any of them has another one by now or is gone,
    /// when an account below one of them is not in the list (a move found a new descendant), or when the new parent of
    /// one that moves is not there or not at that place. For moves and changed resellers.
    async fn save_accounts(&self, records: &[AccountRecord], notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool>;
    /// Marks accounts deleted, and with each its hooks and its registered modules; their keys, numbers, settings, limits, jobs
    /// and stored calls go. Their waiting firings end undelivered with that reason; they, and attempts, stay until they are too
    /// old. Keeps the notices. One transaction. Gives how many were there. Descendants are left alone unless
    /// they are in the list.
    async fn delete_accounts(&self, ids: &[AccountId], notices: &[Notice], now_ms: UnixMs) -> StoreResult<u64>;
    /// Marks one account deleted ([`Store::delete_accounts`]). `false` when it was not there.
    async fn delete_account(&self, id: &AccountId, now_ms: UnixMs) -> StoreResult<bool> {
        Ok(self.delete_accounts(std::slice::from_ref(id), &[], now_ms).await? > 0)
    }
    /// Numbers whose account changed since the cursor (0 for all), at most `limit`; no account: it has none any more.
    async fn numbers_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<(String, Option<AccountId>)>>;
    /// All phone numbers with their accounts.
    async fn numbers(&self) -> StoreResult<Vec<(String, AccountId)>>;
    /// Takes numbers from whomever they belong to. Gives how many belonged to somebody.
    async fn delete_numbers(&self, numbers: &[String]) -> StoreResult<u64>;
    /// Assigns a number. `true` when that changed something.
    async fn put_number(&self, number: &str, account: &AccountId) -> StoreResult<bool> {
        let number = (number.to_owned(), account.clone());
        Ok(self.put_numbers(&[number]).await?.first().copied().unwrap_or(false))
    }
    /// Assigns numbers in one transaction. Tells of each whether that changed something.
    async fn put_numbers(&self, numbers: &[(String, AccountId)]) -> StoreResult<Vec<bool>>;
    /// Writes a key (its hash). `true` when that changed something; when it was made is kept as it was.
    async fn put_key(&self, key: &KeyRecord) -> StoreResult<bool> {
        Ok(self.put_keys(std::slice::from_ref(key)).await?.first().copied().unwrap_or(false))
    }
    /// Writes keys in one transaction. Tells of each whether that changed something.
    async fn put_keys(&self, keys: &[KeyRecord]) -> StoreResult<Vec<bool>>;
    /// The key of this hash, when it is not revoked.
    async fn key(&self, hash: &str) -> StoreResult<Option<KeyRecord>>;
    /// The keys of an account, oldest first.
    async fn keys(&self, account: &AccountId) -> StoreResult<Vec<KeyRecord>>;
    /// The key of this id, when it is not revoked.
    async fn key_by_id(&self, id: &str) -> StoreResult<Option<KeyRecord>>;
    /// Notes that a key was used, unless a use within the minute before is noted already.
    async fn touch_key(&self, id: &str, now_ms: UnixMs) -> StoreResult<()>;
    /// Revokes a key of the account, by its id. `false` when there is none such.
    async fn delete_key(&self, account: &AccountId, id: &str) -> StoreResult<bool>;

    // Hooks.

    /// The hook, also when it is disabled; `None` when it was deleted or never was.
    async fn hook(&self, id: &HookId) -> StoreResult<Option<HookRecord>>;
    /// Writes a hook. `true` when that changed something: then its failures are cleared, what waits of a hook that is
    /// disabled now ends undelivered, and `HookRecord::revision` in
    /// the store has gone up by one (`revision` and `created_ms` of the record are not looked at when it is there).
    async fn put_hook(&self, record: &HookRecord, now_ms: UnixMs) -> StoreResult<bool> {
        Ok(self.put_hooks(std::slice::from_ref(record), now_ms).await?.first().copied().unwrap_or(false))
    }
    /// Writes hooks in one transaction. Tells of each whether that changed something.
    async fn put_hooks(&self, records: &[HookRecord], now_ms: UnixMs) -> StoreResult<Vec<bool>>;
    /// Makes a hook (`based_on` is `None`) or writes it over that revision, clears its failures and keeps the notices,
    /// in one transaction; what waits of one that is disabled now ends undelivered in it too. A hook whose account is not there (any more), or that is another account's, conflicts. One that
    /// was deleted can be made again. Of the record, `revision` is not looked at, and `created_ms` only when it is made.
    async fn save_hook(
        &self,
        record: &HookRecord,
        based_on: Option<i64>,
        notices: &[Notice],
        now_ms: UnixMs,
    ) -> StoreResult<Saved>;
    /// The hooks of an account in order of their ids, after an id, at most `limit`.
    async fn hooks_of(&self, account: &AccountId, after: Option<&HookId>, limit: u32) -> StoreResult<Vec<HookRecord>>;
    /// How many hooks an account has.
    async fn hook_count(&self, account: &AccountId) -> StoreResult<u64>;
    /// Hooks of an account that the disabler switched off (disabled, with a `disabled_message`), in order of their ids,
    /// after an id, at most `limit`.
    async fn switched_off_hooks(
        &self,
        account: &AccountId,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<HookRecord>>;
    /// Marks a hook deleted and keeps the notices. Its waiting firings end undelivered with that reason; they, and its
    /// attempts, stay until they are too old. `false` when it was not there.
    async fn delete_hook(&self, id: &HookId, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool>;
    /// Hooks changed since the cursor (0 for all), oldest change first, at most `limit`.
    async fn hooks_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<HookChange>>;
    /// Disables a hook for the reason, ends its waiting firings as undelivered, clears its failures and keeps the notices, all in
    /// one transaction. `false` (and nothing done) when it was disabled or deleted already.
    async fn disable_hook(&self, id: &HookId, reason: &str, notices: &[Notice], now_ms: UnixMs) -> StoreResult<bool>;

    // Firings and attempts.

    /// Writes a group: all of it or nothing.
    async fn commit(&self, group: &[Entry]) -> StoreResult<()>;
    /// Hooks with a firing that is due and free, in their order, after one, at most `limit`. Each is listed once however
    /// many firings it has waiting, and that number costs nobody time: a hook with a backlog hides no other.
    async fn due_hooks(&self, now_ms: UnixMs, after: Option<&DueHook>, limit: u32) -> StoreResult<Vec<DueHook>>;
    /// Takes firings that are due and free, of each of these hooks at most so many, the longest due of each, under new
    /// leases until `until_ms`. All of them together in the order in which they became due. Of two that claim at once
    /// each gets others.
    async fn claim_due(&self, claims: &[Claim], now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Vec<Firing>>;
    /// When the first firing becomes due or free of those hooks that have none that is due or free at `after_ms`; `None`
    /// when there are no such hooks with firings that wait.
    async fn next_due_ms(&self, after_ms: UnixMs) -> StoreResult<Option<UnixMs>>;
    /// Makes leases last until `until_ms`, each unless it does not hold its firing any more: that one ended, was put back to
    /// wait, or was taken over. Never makes one shorter. Gives how many still hold.
    async fn renew_leases(&self, held: &[(WebhookId, LeaseToken)], until_ms: UnixMs) -> StoreResult<u64>;
    /// Ends leases, each unless it does not hold its firing any more: anybody may take those firings from `now_ms` on, and who
    /// held them changes nothing any more. Gives how many were held.
    async fn release_leases(&self, held: &[(WebhookId, LeaseToken)], now_ms: UnixMs) -> StoreResult<u64>;
    /// Accounts with at least so many firings that wait or are under a lease, and how many each has. Asked every second or
    /// so: no walk over all firings.
    async fn waiting_by_account(&self, at_least: u64) -> StoreResult<Vec<(AccountId, u64)>>;
    /// How many firings wait and how many were given up, of one hook or of all.
    async fn firing_counts(&self, hook: Option<&HookId>) -> StoreResult<FiringCounts>;
    /// Firings that ended undelivered.
    async fn undelivered(&self, query: &UndeliveredQuery) -> StoreResult<Vec<UndeliveredRow>>;
    /// Makes undelivered firings of a hook wait again, due now, their tries counted anew: the one of this id, or all.
    /// Gives how many.
    async fn resend(&self, hook: &HookId, id: Option<&WebhookId>, now_ms: UnixMs) -> StoreResult<u64>;
    /// Stores firings to be tried now: one that is listed as undelivered waits again, tries counted anew; one that waits
    /// already is left alone. With a job, its new state is written in the same transaction, unless the job is not
    /// running any more: then nothing is written. Gives whether it was. The job's lease lasts as long again, from now, as
    /// it was claimed for.
    async fn send_again(&self, firings: &[Firing], job: Option<&ResendJob>, now_ms: UnixMs) -> StoreResult<bool>;
    /// Recorded attempts.
    async fn attempts(&self, query: &AttemptQuery) -> StoreResult<Vec<AttemptRow>>;
    /// One attempt of the account.
    async fn attempt(&self, account: &AccountId, id: &str) -> StoreResult<Option<AttemptRow>>;
    /// Removes attempts that are older, and undelivered firings that ended before. Gives how many attempts went. A store that
    /// drops attempts by the day keeps them until the day (UTC) on which they began is over for all of them.
    async fn prune_attempts(&self, before_ms: UnixMs) -> StoreResult<u64>;

    // Failures.

    /// How often the hook failed after `after_ms`.
    async fn failure_count(&self, hook: &HookId, after_ms: UnixMs) -> StoreResult<u32>;
    /// Hooks with any failure after `after_ms`, with their accounts and counts; older failures are removed.
    async fn sweep_failures(&self, after_ms: UnixMs) -> StoreResult<Vec<(AccountId, HookId, u32)>>;
    /// Hooks of the account with any failure after `after_ms`, and their counts, in order of ids; from after a hook on.
    async fn failing_hooks(
        &self,
        account: &AccountId,
        after_ms: UnixMs,
        after: Option<&HookId>,
        limit: u32,
    ) -> StoreResult<Vec<(HookId, u32)>>;
    /// Keeps the notice that warns of a hook, once a spell of failures: `false` (and nothing done) when that was done
    /// since the hook last had no failure, or when it has none, is disabled or deleted.
    async fn warn_of_hook(&self, hook: &HookId, notice: &Notice) -> StoreResult<bool>;
    /// Forgets the hook's failures.
    async fn clear_failures(&self, hook: &HookId) -> StoreResult<()>;

    // Modules and dead letters.

    /// All modules that are known.
    async fn modules(&self) -> StoreResult<Vec<ModuleRecord>>;
    /// Writes a module's record when it is missing or differs. `true` when that changed something.
    async fn put_module(&self, record: &ModuleRecord) -> StoreResult<bool>;
    /// Keeps messages that modules failed on, all or none. Gives the dead letters' ids, in their order.
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> StoreResult<Vec<i64>>;
    /// Keeps one. Gives its id.
    async fn put_dead_letter(&self, letter: &DeadLetter) -> StoreResult<i64> {
        Ok(self.put_dead_letters(std::slice::from_ref(letter)).await?.first().copied().unwrap_or_default())
    }
    /// Dead letters.
    async fn dead_letters(&self, query: &DeadLetterQuery) -> StoreResult<Vec<DeadLetter>>;
    /// One dead letter.
    async fn dead_letter(&self, id: i64) -> StoreResult<Option<DeadLetter>>;
    /// How many dead letters the module has.
    async fn dead_letter_count(&self, module: &ModuleId) -> StoreResult<u64>;
    /// Removes a dead letter. `false` when it was not there.
    async fn delete_dead_letter(&self, id: i64) -> StoreResult<bool>;
    /// Removes dead letters that are older than `before_ms`, and the oldest of those over `rows_max`. Gives how many went.
    async fn prune_dead_letters(&self, before_ms: UnixMs, rows_max: u64) -> StoreResult<u64>;
    /// Removes the oldest dead letters of each module over `rows_max`, those of each owner counted apart, so that nobody's
    /// flood takes the place of what others have. Gives how many went.
    async fn trim_dead_letters(&self, rows_max: u64) -> StoreResult<u64>;

    // Jobs.

    /// Keeps a new job.
    async fn put_job(&self, job: &ResendJob) -> StoreResult<()>;
    /// A job of the account.
    async fn job(&self, account: &AccountId, id: &str) -> StoreResult<Option<ResendJob>>;
    /// The jobs of an account, newest first.
    async fn jobs(&self, account: &AccountId, limit: u32) -> StoreResult<Vec<ResendJob>>;
    /// Takes the running job that has waited longest and is free, until `until_ms`: others leave it alone so long. Who is
    /// slower than that may find a page sent twice; its firings are the same, so those that still wait are stored once.
    async fn claim_job(&self, now_ms: UnixMs, until_ms: UnixMs) -> StoreResult<Option<ResendJob>>;
    /// Stops a running job. `false` when it is not running, or not there.
    async fn stop_job(&self, account: &AccountId, id: &str, now_ms: UnixMs) -> StoreResult<bool>;
    /// Removes jobs that ended before. Gives how many.
    async fn prune_jobs(&self, before_ms: UnixMs) -> StoreResult<u64>;

    // Notices and settings.

    /// Keeps a notice to be published.
    async fn put_notice(&self, notice: &Notice) -> StoreResult<()>;
    /// The oldest notices that were not yet confirmed.
    async fn notices(&self, limit: u32) -> StoreResult<Vec<Notice>>;
    /// Removes a notice that the broker has confirmed.
    async fn delete_notice(&self, id: i64) -> StoreResult<()>;
    /// A value that the host made once and keeps (`master.account_id`, `kazoo.cluster_id`, …).
    async fn kept_value(&self, key: &str) -> StoreResult<Option<String>>;
    /// Keeps a value when there is none under that key yet; gives the one that is kept then.
    async fn keep_value(&self, key: &str, value: &str) -> StoreResult<String>;
    /// Settings of KAZOO's `webhooks` section that were set for an account, or for the system (`None`).
    async fn webhook_settings(&self, account: Option<&AccountId>) -> StoreResult<Object>;
    /// All that were set, `None` first when the system has some.
    async fn all_webhook_settings(&self) -> StoreResult<Vec<(Option<AccountId>, Object)>>;
    /// Sets them in place of those that were set before; an empty object removes them.
    async fn put_webhook_settings(&self, account: Option<&AccountId>, settings: &Object) -> StoreResult<()>;

    /// Waits until another node says that something is worth looking for. It may be said for nothing, and it may not be said at
    /// all: whoever waits looks now and then all the same. With a store that no other node can change nothing is ever said.
    /// For one waiter.
    async fn hint(&self) -> Hint {
        std::future::pending().await
    }
    /// Whether the store answers.
    async fn ping(&self) -> StoreResult<()>;
    /// Ends all connections after what is under way.
    async fn close(&self);
}

/// The store, shared.
pub type SharedStore = Arc<dyn Store>;

/// Opens the store of `store.url`, with the defaults of everything else.
pub async fn open(url: &str) -> StoreResult<SharedStore> {
    open_as(&StoreSettings { url: url.to_owned(), ..Settings::default().store }).await
}

/// Opens the store as the settings say.
pub async fn open_as(settings: &StoreSettings) -> StoreResult<SharedStore> {
    match settings.url.split(':').next() {
        Some("postgres" | "postgresql") => Ok(Arc::new(postgres::PostgresStore::open(settings).await?)),
        // The settings take no other kind; of one that is, SQLite's message says what to write.
        _ => Ok(Arc::new(sqlite::SqliteStore::open(&settings.url).await?)),
    }
}

/// `store.url` as it may be shown: without what a password may be in.
pub fn shown_url(url: &str) -> String {
    match url.split(':').next() {
        Some("sqlite") => url.to_owned(),
        _ => postgres::shown_url(url),
    }
}
