//! Acts on what the failure window says: warns of hooks that keep failing, switches them off, and tells the platform so.
//!
//! Failures are rows in the store, written with the attempts; so all nodes see the same count, and a restart forgets
//! nothing. A hook is judged as each of its failures is recorded, and all hooks are every quarter of the window. The
//! hook, its waiting firings and the notices to the platform change in one transaction ([`Store::disable_hook`]); of
//! several nodes that see the threshold reached, one does it.
//!
//! A warning comes once a spell: from when half of the threshold is reached until the hook has no failure in its window
//! any more, because time has passed or because it was edited, enabled again or disabled. The store keeps the mark of it
//! with the failures ([`Store::warn_of_hook`]), so that no other node warns again, nor a restart.
//!
//! [`Store::disable_hook`]: crate::store::Store::disable_hook
//! [`Store::warn_of_hook`]: crate::store::Store::warn_of_hook

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use metrics::counter;
use tokio::sync::Notify;

use super::{
    failure_window::{Limits, Standing, is_disabler_off, standing},
    notices::{disabled_notices, failing_notice},
};
use crate::{
    account::AccountTree,
    clock::Clock,
    message::{AccountId, HookId, UnixMs},
    settings::WebhookSettings,
    store::{SharedStore, StoreResult},
};

/// KAZOO's reason.
pub const TOO_MANY_FAILURES: &str = "too many failed attempts";
/// The receiver said that it is gone for good.
pub const GONE: &str = "the receiver answered 410 Gone";
/// Settings are read from the store when those at hand are older.
const SETTINGS_FRESH_MS: u64 = 1000;

/// A hook that was switched off: what the caller has to take out of the hook table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub hook: HookId,
    /// Why.
    pub reason: String,
    /// Whether this call did it; `false` when it was disabled, or deleted, before.
    pub by_us: bool,
}

/// What was effective a moment ago.
#[derive(Clone, Copy, Debug)]
struct Effective {
    read_ms: UnixMs,
    disabler_off: bool,
    limits: Limits,
}

/// The disabler.
pub struct Disabler {
    store: SharedStore,
    accounts: Arc<AccountTree>,
    file: WebhookSettings,
    clock: Clock,
    node: String,
    to_tell: Arc<Notify>,
    on_disabled: OnDisabled,
    effective: DashMap<Option<AccountId>, Effective>,
    /// Hooks with a failure that counts, as the last sweep found them.
    failing: AtomicUsize,
}

type OnDisabled = Box<dyn Fn(&Disabled) + Send + Sync>;

impl Disabler {
    /// One that reads accounts' and the system's settings from the store, over `file`. `node` is what notices name as
    /// their sender, e.g. `hookbox@host`; `to_tell` is rung when one was written that is to be published.
    pub fn new(
        store: SharedStore,
        accounts: Arc<AccountTree>,
        file: WebhookSettings,
        clock: Clock,
        node: String,
        to_tell: Arc<Notify>,
    ) -> Self {
        let on_disabled = Box::new(|_: &Disabled| ());
        let (effective, failing) = (DashMap::new(), AtomicUsize::new(0));
        Self { store, accounts, file, clock, node, to_tell, on_disabled, effective, failing }
    }

    /// Calls `act` with every hook that is off now, whatever found it: to take it out of the hook table. It
    /// must not block.
    pub fn on_disabled(mut self, act: impl Fn(&Disabled) + Send + Sync + 'static) -> Self {
        self.on_disabled = Box::new(act);
        self
    }

    /// Sweeps every quarter of the window, for ever. What the store fails to do is done at the next sweep.
    pub async fn run(&self) -> StoreResult<()> {
        loop {
            if let Err(error) = self.sweep().await {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, %cause, "hooks could not be judged; tried again at the next sweep");
            }
            let otherwise = self.file.attempt_failure_expiry_ms / 4;
            let pause_ms = self.sweep_pause_ms().await.unwrap_or(otherwise.max(1));
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// Judges a stored hook after one of its failures was recorded. Gives the hook when it is off now.
    pub async fn judge(&self, account: &AccountId, hook: &HookId) -> StoreResult<Option<Disabled>> {
        let effective = self.effective(Some(account)).await?;
        if effective.disabler_off {
            return Ok(None);
        }
        let after_ms = effective.limits.after_ms(self.clock.now_ms());
        let count = self.store.failure_count(hook, after_ms).await?;
        match standing(count, effective.limits.threshold) {
            Standing::Disable => self.disable(account, hook, TOO_MANY_FAILURES).await.map(Some),
            Standing::Failing => self.warn(account, hook, count, effective.limits).await.map(|()| None),
            Standing::Healthy => Ok(None),
        }
    }

    /// Tells once a spell that a hook is on the way to be disabled.
    async fn warn(&self, account: &AccountId, hook: &HookId, count: u32, limits: Limits) -> StoreResult<()> {
        let notice = failing_notice(account, hook, &self.node, count, limits);
        if self.store.warn_of_hook(hook, &notice).await? {
            let Limits { threshold, window_ms } = limits;
            counter!("hookbox_disabler_actions_total", "action" => "warned").increment(1);
            tracing::warn!(%account, %hook, count, threshold, window_ms, "a hook keeps failing; at the threshold it is disabled");
            self.to_tell.notify_one();
        }
        Ok(())
    }

    /// The window and the threshold that count for an account, at most a second old.
    pub async fn limits(&self, account: &AccountId) -> StoreResult<Limits> {
        Ok(self.effective(Some(account)).await?.limits)
    }

    /// How a hook stands now, and with how many failures.
    pub async fn standing(&self, account: &AccountId, hook: &HookId) -> StoreResult<(Standing, u32)> {
        let limits = self.effective(Some(account)).await?.limits;
        let count = self.store.failure_count(hook, limits.after_ms(self.clock.now_ms())).await?;
        Ok((standing(count, limits.threshold), count))
    }

    /// How many hooks had a failure of late, as the last sweep found them.
    pub fn failing(&self) -> usize {
        self.failing.load(Ordering::Relaxed)
    }

    /// Judges all hooks that failed of late, and forgets failures that count for nobody any more.
    pub async fn sweep(&self) -> StoreResult<Vec<Disabled>> {
        let now_ms = self.clock.now_ms();
        let longest_ms = self.longest_window_ms().await?;
        let failing = self.store.sweep_failures(now_ms.saturating_sub(longest_ms)).await?;
        self.failing.store(failing.len(), Ordering::Relaxed);
        let mut disabled = Vec::new();
        for (account, hook, count) in failing {
            let effective = self.effective(Some(&account)).await?;
            if effective.disabler_off {
                break;
            }
            // The count is over the longest window; only when that one is enough, the account's own is asked for.
            if standing(count, effective.limits.threshold) != Standing::Healthy {
                disabled.extend(self.judge(&account, &hook).await?);
            }
            // Failures that a longer window of others has kept count for nobody, and end no spell as they stand.
            let after_ms = effective.limits.after_ms(now_ms);
            if effective.limits.window_ms < longest_ms && self.store.failure_count(&hook, after_ms).await? == 0 {
                self.store.clear_failures(&hook).await?;
            }
        }
        Ok(disabled)
    }

    /// Pause between sweeps: a quarter of the system's window.
    pub async fn sweep_pause_ms(&self) -> StoreResult<u64> {
        Ok((self.effective(None).await?.limits.window_ms / 4).max(1))
    }

    /// Switches a hook off, for whatever reason ([`GONE`] at once, when a receiver answers 410).
    pub async fn disable(&self, account: &AccountId, hook: &HookId, reason: &str) -> StoreResult<Disabled> {
        let now_ms = self.clock.now_ms();
        let notices = disabled_notices(account, hook, &self.node, now_ms);
        let by_us = self.store.disable_hook(hook, reason, &notices, now_ms).await?;
        if by_us {
            counter!("hookbox_disabler_actions_total", "action" => "disabled").increment(1);
            tracing::warn!(%account, %hook, reason, "a hook was disabled");
        } else {
            // Off already, yet it failed once more (a try was under way): else each sweep would come back to it.
            self.store.clear_failures(hook).await?;
        }
        let disabled = Disabled { account: account.clone(), hook: hook.clone(), reason: reason.to_owned(), by_us };
        (self.on_disabled)(&disabled);
        self.to_tell.notify_one();
        Ok(disabled)
    }

    /// The settings that count for an account (or the system), at most a second old.
    async fn effective(&self, account: Option<&AccountId>) -> StoreResult<Effective> {
        let now_ms = self.clock.now_ms();
        let key = account.cloned();
        if let Some(known) = self.effective.get(&key).filter(|known| now_ms < known.read_ms + SETTINGS_FRESH_MS) {
            return Ok(*known);
        }
        let system = self.store.webhook_settings(None).await?;
        let mut limits = Limits::of_system(&system, &self.file);
        if let Some(account) = account {
            let own = self.store.webhook_settings(Some(account)).await?;
            let resellers = match self.accounts.reseller(account) {
                Some(reseller) => self.store.webhook_settings(Some(&reseller)).await?,
                None => Default::default(),
            };
            limits = Limits::of_account(&own, &resellers, limits);
        }
        let effective = Effective { read_ms: now_ms, disabler_off: is_disabler_off(&system, &self.file), limits };
        self.effective.insert(key, effective);
        Ok(effective)
    }

    /// The longest window of anybody; failures before it count for nobody.
    async fn longest_window_ms(&self) -> StoreResult<u64> {
        // A good moment to forget accounts that have not failed since.
        let now_ms = self.clock.now_ms();
        self.effective.retain(|_, known| now_ms < known.read_ms + SETTINGS_FRESH_MS);
        let system = self.effective(None).await?.limits;
        let all = self.store.all_webhook_settings().await?;
        let windows = all
            .iter()
            .filter(|(account, _)| account.is_some())
            .map(|(_, own)| Limits::of_account(own, &Default::default(), system).window_ms);
        Ok(windows.fold(system.window_ms, u64::max))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        settings::Settings,
        store::{
            Entry, FiringChange,
            behaviour::{account, attempt, hook, object},
            sqlite::SqliteStore,
        },
    };

    const NOW: UnixMs = 1_714_100_000_000;

    struct Scene {
        disabler: Disabler,
        store: SharedStore,
        clock: Clock,
        _folder: TempDir,
    }

    async fn scene() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("hookbox.db").display());
        let store: SharedStore = Arc::new(SqliteStore::open(&url).await.expect("it opens"));
        let accounts = vec![account("r1", &[]), account("a1", &["r1"])];
        store.put_accounts(&accounts, NOW).await.expect("written");
        store.put_hook(&hook("h1", "a1"), NOW).await.expect("written");
        let clock = Clock::manual(NOW);
        let accounts = Arc::new(AccountTree::new(accounts, vec![]));
        let file = Settings::default().webhooks;
        let disabler =
            Disabler::new(Arc::clone(&store), accounts, file, clock.clone(), "hookbox@test".into(), Arc::default());
        Scene { disabler, store, clock, _folder: folder }
    }

    impl Scene {
        async fn fail(&self, times: u64) {
            let now_ms = self.clock.now_ms();
            let failure = |n| Entry {
                attempt: Some(attempt(n, "h1", now_ms)),
                counts_as_failure: true,
                change: FiringChange::None,
            };
            let group: Vec<Entry> = (0..times).map(failure).collect();
            self.store.commit(&group).await.expect("committed");
        }

        async fn judge(&self) -> Option<Disabled> {
            self.disabler.judge(&"a1".into(), &"h1".into()).await.expect("judged")
        }

        async fn set(&self, account: Option<&str>, settings: serde_json::Value) {
            let account = account.map(AccountId::from);
            let settings = object(settings);
            self.store.put_webhook_settings(account.as_ref(), &settings).await.expect("written");
            self.clock.advance(SETTINGS_FRESH_MS);
        }

        /// The names of the notices that were written since the last time.
        async fn told(&self) -> Vec<String> {
            let mut names = Vec::new();
            for notice in self.store.notices(10).await.expect("read") {
                self.store.delete_notice(notice.id).await.expect("removed");
                names.push(notice.body["Event-Name"].as_str().unwrap_or_default().to_owned());
            }
            names
        }

        async fn is_enabled(&self) -> bool {
            let record = self.store.hook(&"h1".into()).await.expect("read").expect("it is there");
            record.document["enabled"] == json!(true)
        }
    }

    #[tokio::test]
    async fn the_sixth_failure_in_a_minute_disables() {
        let mut scene = scene().await;
        let told = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&told);
        scene.disabler = scene.disabler.on_disabled(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        scene.fail(5).await;
        assert_eq!(scene.judge().await, None);
        assert_eq!(scene.told().await, ["webhook_failing"]);
        assert_eq!(scene.disabler.standing(&"a1".into(), &"h1".into()).await.expect("told"), (Standing::Failing, 5));
        scene.clock.advance(59_999);
        scene.fail(1).await;
        let disabled = scene.judge().await.expect("it is off");
        assert_eq!((disabled.reason.as_str(), disabled.by_us), (TOO_MANY_FAILURES, true));
        assert_eq!(told.load(Ordering::Relaxed), 1, "the hook table hears of it");
        assert!(!scene.is_enabled().await);
        assert_eq!(scene.told().await, ["webhook_disabled", "doc_edited"]);
    }

    #[tokio::test]
    async fn half_of_the_threshold_warns_once_a_spell() {
        let scene = scene().await;
        scene.fail(2).await;
        assert_eq!((scene.judge().await, scene.told().await), (None, vec![]));
        for _ in 0..3 {
            scene.fail(1).await;
            scene.judge().await;
            scene.clock.advance(30_000);
            scene.disabler.sweep().await.expect("swept");
        }
        assert_eq!(scene.told().await, ["webhook_failing"], "while it goes on failing, nothing more is said");

        scene.clock.advance(60_000);
        scene.disabler.sweep().await.expect("swept");
        scene.fail(3).await;
        scene.judge().await;
        assert_eq!(scene.told().await, ["webhook_failing"], "a spell was over, and this is another");
    }

    #[tokio::test]
    async fn an_edit_ends_a_spell_and_so_does_disabling() {
        let scene = scene().await;
        let mut record = scene.store.hook(&"h1".into()).await.expect("read").expect("it is there");
        for name in ["one", "two"] {
            scene.fail(3).await;
            scene.judge().await;
            assert_eq!(scene.told().await, ["webhook_failing"]);
            record.document.insert("name".into(), name.into());
            assert!(scene.store.put_hook(&record, NOW).await.expect("written"));
        }
        scene.fail(6).await;
        scene.judge().await;
        assert_eq!(scene.told().await, ["webhook_disabled", "doc_edited"]);
        scene.fail(3).await;
        scene.judge().await;
        assert_eq!(scene.told().await, [""; 0], "late failures of a hook that is off warn of nothing");
        record.document.insert("enabled".into(), true.into());
        assert!(scene.store.put_hook(&record, NOW).await.expect("written"));
        scene.fail(3).await;
        scene.judge().await;
        assert_eq!(scene.told().await, ["webhook_failing"]);
    }

    #[tokio::test]
    async fn a_spell_ends_with_the_accounts_own_window() {
        let scene = scene().await;
        scene.set(Some("r1"), json!({"attempt_failure_expiry_ms": 3_600_000})).await;
        scene.set(Some("a1"), json!({"attempt_failure_expiry_ms": 60_000})).await;
        for _ in 0..2 {
            scene.fail(3).await;
            scene.judge().await;
            assert_eq!(scene.told().await, ["webhook_failing"]);
            scene.clock.advance(60_000);
            scene.disabler.sweep().await.expect("swept");
        }
    }

    #[tokio::test]
    async fn a_threshold_of_one_and_a_disabler_that_is_off_warn_of_nothing() {
        let scene = scene().await;
        scene.set(None, json!({"disable_disabler": true})).await;
        scene.fail(3).await;
        assert_eq!((scene.judge().await, scene.told().await), (None, vec![]));
        scene.set(None, json!({"attempt_failure_count": 1})).await;
        assert!(scene.judge().await.is_some());
        assert_eq!(scene.told().await, ["webhook_disabled", "doc_edited"]);
    }

    #[tokio::test]
    async fn failures_before_the_window_do_not_count() {
        let scene = scene().await;
        scene.fail(5).await;
        scene.clock.advance(60_000);
        scene.fail(1).await;
        assert_eq!(scene.judge().await, None);
        assert_eq!(scene.disabler.sweep().await.expect("swept"), []);
        assert_eq!(scene.store.failure_count(&"h1".into(), 0).await.expect("counted"), 1, "the old ones are gone");
    }

    #[tokio::test]
    async fn a_sweep_finds_what_no_failure_led_to() {
        let scene = scene().await;
        scene.fail(4).await;
        assert_eq!(scene.disabler.sweep().await.expect("swept"), []);
        scene.set(Some("r1"), json!({"attempt_failure_count": 4})).await;
        let swept = scene.disabler.sweep().await.expect("swept");
        assert_eq!(swept.len(), 1, "its reseller's threshold is lower now");
        assert_eq!(scene.disabler.sweep().await.expect("swept"), []);
    }

    #[tokio::test]
    async fn an_accounts_long_window_keeps_its_failures() {
        let scene = scene().await;
        scene.set(Some("a1"), json!({"attempt_failure_expiry_ms": 3_600_000})).await;
        scene.fail(5).await;
        scene.clock.advance(600_000);
        assert_eq!(scene.disabler.sweep().await.expect("swept"), []);
        scene.fail(1).await;
        assert_eq!(scene.disabler.sweep().await.expect("swept").len(), 1);
    }

    #[tokio::test]
    async fn the_disabler_is_switched_off_and_on_live() {
        let scene = scene().await;
        scene.set(None, json!({"disable_disabler": true})).await;
        scene.fail(9).await;
        assert_eq!(scene.judge().await, None);
        assert_eq!(scene.disabler.sweep().await.expect("swept"), []);
        assert!(scene.is_enabled().await);
        scene.set(None, json!({})).await;
        assert_eq!(scene.disabler.sweep().await.expect("swept").len(), 1);
    }

    #[tokio::test]
    async fn gone_disables_at_once_and_once() {
        let scene = scene().await;
        let (account, hook) = (AccountId::from("a1"), HookId::from("h1"));
        assert!(scene.disabler.disable(&account, &hook, GONE).await.expect("done").by_us);
        scene.fail(9).await;
        assert!(!scene.disabler.disable(&account, &hook, GONE).await.expect("done").by_us);
        assert_eq!(scene.disabler.sweep().await.expect("swept"), [], "its late failures are forgotten");
        assert_eq!(scene.told().await, ["webhook_disabled", "doc_edited"], "told once");
    }

    #[tokio::test]
    async fn it_sweeps_every_quarter_of_the_systems_window() {
        let scene = scene().await;
        assert_eq!(scene.disabler.sweep_pause_ms().await.expect("told"), 15_000);
    }
}
