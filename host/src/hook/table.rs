//! The hook table: what is subscribed, by account and event. One a process, filled from the store at the start and kept
//! fresh by edits and change notices; it outlives the restart of any part.
//!
//! Each account has its hooks twice, as two sorted lists: by id, and by a short tag that is made of the event's name. So
//! an event looks up its account and each ancestor, and at each the hooks of its own name and of `all` by bisection;
//! hooks of other names are not touched. Ids of accounts and names of events are shared between hooks.
//!
//! Invariants: a hook stands in both lists of its account or in none; both change under one lock, so that
//! [`HookTable::get`] never misses a hook that is being replaced.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    ops::Range,
    sync::Arc,
};

use dashmap::{DashMap, DashSet};

use super::{
    EVENT_ALL, Hook,
    matching::{self, Reach},
};
use crate::message::{AccountId, Event, HookId};

/// All hooks that are known here, disabled ones included.
#[derive(Debug, Default)]
pub struct HookTable {
    accounts: DashMap<AccountId, AccountHooks>,
    event_names: DashSet<Arc<str>>,
}

/// How many hooks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookCounts {
    /// That may fire.
    pub enabled: usize,
    /// That may not.
    pub disabled: usize,
}

/// The hooks of one account.
#[derive(Debug, Default)]
struct AccountHooks {
    /// Sorted by id.
    by_id: Vec<Arc<Hook>>,
    /// Sorted by key, then id.
    by_event: Vec<(EventKey, Arc<Hook>)>,
}

/// Disabled or not, for subaccounts or not, and the tag of the event's name: what a look-up bisects by without touching
/// the hook itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EventKey(u32);

const DISABLED: u32 = 1 << 31;
const SUBACCOUNTS: u32 = 1 << 30;

impl EventKey {
    fn of(hook: &Hook) -> Self {
        let disabled = if hook.enabled { 0 } else { DISABLED };
        let subaccounts = if hook.include_subaccounts { SUBACCOUNTS } else { 0 };
        Self(disabled | subaccounts | tag(&hook.event))
    }
}

/// 30 bits of the name; names that meet in one tag are told apart by [`matching::wants`].
fn tag(event: &str) -> u32 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(event);
    u32::try_from(hash & u64::from(SUBACCOUNTS - 1)).unwrap_or_default()
}

impl AccountHooks {
    fn position(&self, id: &HookId) -> Result<usize, usize> {
        self.by_id.binary_search_by(|hook| hook.id.cmp(id))
    }

    fn insert(&mut self, hook: Arc<Hook>) -> Option<Arc<Hook>> {
        let old = self.remove(&hook.id);
        let at = self.position(&hook.id).unwrap_or_else(|at| at);
        make_room(&mut self.by_id);
        make_room(&mut self.by_event);
        self.by_id.insert(at, Arc::clone(&hook));
        let key = EventKey::of(&hook);
        let at = self.by_event.partition_point(|(other, held)| (*other, &held.id) < (key, &hook.id));
        self.by_event.insert(at, (key, hook));
        old
    }

    fn remove(&mut self, id: &HookId) -> Option<Arc<Hook>> {
        let hook = self.by_id.remove(self.position(id).ok()?);
        let key = EventKey::of(&hook);
        if let Ok(at) = self.by_event.binary_search_by(|(other, held)| (*other, &held.id).cmp(&(key, id))) {
            self.by_event.remove(at);
        }
        Some(hook)
    }

    fn range(&self, key: u32) -> Range<usize> {
        let start = self.by_event.partition_point(|(other, _)| other.0 < key);
        let length = self.by_event[start..].iter().take_while(|(other, _)| other.0 == key).count();
        start..start + length
    }

    /// Adds the hooks of one kind (own, or for subaccounts) that want the event.
    fn collect(&self, kind: u32, tags: EventTags, event: &Event, found: &mut Vec<Arc<Hook>>) {
        for tag in [Some(tags.own), (tags.all != tags.own).then_some(tags.all)].into_iter().flatten() {
            let hooks = self.by_event[self.range(kind | tag)].iter().map(|(_, hook)| hook);
            found.extend(hooks.filter(|hook| matching::wants(hook, event)).cloned());
        }
    }
}

/// Grows by a quarter, not to the double: most accounts have few hooks, and there are many accounts.
fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(1));
    }
}

/// The tags that an event is looked up by.
#[derive(Clone, Copy)]
struct EventTags {
    own: u32,
    all: u32,
}

impl HookTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the hook in the place of the one with its account and id. Gives the one that it replaced.
    pub fn replace(&self, hook: Hook) -> Option<Arc<Hook>> {
        let old = self.insert(hook);
        self.forget_event(old.as_deref());
        old
    }

    /// Fills the table at the start: as [`HookTable::replace`] for each. Fastest when they come in order of their ids.
    pub fn extend(&self, hooks: impl IntoIterator<Item = Hook>) {
        for hook in hooks {
            self.insert(hook);
        }
    }

    fn insert(&self, mut hook: Hook) -> Option<Arc<Hook>> {
        hook.event = self.shared_event(&hook.event);
        let mut account = self.accounts.entry(hook.account.clone()).or_default();
        hook.account = account.key().clone();
        account.insert(Arc::new(hook))
    }

    /// Takes the hook out. Gives it when it was there.
    pub fn remove(&self, account: &AccountId, id: &HookId) -> Option<Arc<Hook>> {
        let old = self.accounts.get_mut(account)?.remove(id);
        self.accounts.remove_if(account, |_, hooks| hooks.by_id.is_empty());
        self.forget_event(old.as_deref());
        old
    }

    /// Takes out all hooks of an account, as when it is deleted. Gives them.
    pub fn remove_account(&self, account: &AccountId) -> Vec<Arc<Hook>> {
        let hooks = self.accounts.remove(account).map_or_else(Vec::new, |(_, hooks)| hooks.by_id);
        hooks.iter().for_each(|hook| self.forget_event(Some(hook)));
        hooks
    }

    /// The hook, enabled or not.
    pub fn get(&self, account: &AccountId, id: &HookId) -> Option<Arc<Hook>> {
        let hooks = self.accounts.get(account)?;
        hooks.position(id).ok().map(|at| Arc::clone(&hooks.by_id[at]))
    }

    /// All hooks of an account, in order of their ids.
    pub fn of_account(&self, account: &AccountId) -> Vec<Arc<Hook>> {
        self.accounts.get(account).map_or_else(Vec::new, |hooks| hooks.by_id.clone())
    }

    /// The hooks that want the event: those of its account, then those of each ancestor that look at subaccounts, root
    /// first. `ancestors` is the account's line from the root down to its parent.
    pub fn matching(&self, ancestors: &[AccountId], event: &Event) -> Vec<Arc<Hook>> {
        let mut found = Vec::new();
        let Some(reach) = Reach::of(event, ancestors) else {
            return found;
        };
        let tags = EventTags { own: tag(&event.hook_event), all: tag(EVENT_ALL) };
        if let Some(hooks) = self.accounts.get(&event.account) {
            hooks.collect(0, tags, event, &mut found);
            hooks.collect(SUBACCOUNTS, tags, event, &mut found);
        }
        for ancestor in reach.ancestors.iter().filter(|ancestor| **ancestor != event.account) {
            if let Some(hooks) = self.accounts.get(ancestor) {
                hooks.collect(SUBACCOUNTS, tags, event, &mut found);
            }
        }
        if let Some(owner) = &event.hooks_of {
            found.retain(|hook| hook.account == *owner);
        }
        found
    }

    /// How many hooks there are.
    pub fn len(&self) -> usize {
        self.accounts.iter().map(|account| account.by_id.len()).sum()
    }

    /// How many hooks may fire and how many may not.
    pub fn counts(&self) -> HookCounts {
        self.accounts.iter().fold(HookCounts::default(), |counts, account| {
            // Disabled ones have the highest keys.
            let enabled = account.by_event.partition_point(|(key, _)| key.0 < DISABLED);
            let disabled = counts.disabled + account.by_event.len() - enabled;
            HookCounts { enabled: counts.enabled + enabled, disabled }
        })
    }

    /// Whether there is no hook.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    fn shared_event(&self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.event_names.get(&**name) {
            return Arc::clone(&known);
        }
        self.event_names.insert(Arc::clone(name));
        Arc::clone(name)
    }

    /// Drops the event's name when this was the last hook that had it: the set and `hook` are then its only holders.
    fn forget_event(&self, hook: Option<&Hook>) {
        if let Some(hook) = hook {
            self.event_names.remove_if(&*hook.event, |name| Arc::strong_count(name) <= 2);
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
