//! Limits for all modules and transforms of one account, set by an account above it.
//!
//! They bind the account and everything below it: what counts for an account is the smallest of the operator's setting,
//! what is set for it, and what is set for each account above it. The names are those of the settings in `[modules]`.
//! A call has the limits of whoever owns the component, not of whoever's hook or post it is made for: else the owner of a
//! component that is offered, or the operator, would be charged with what somebody else's limits make of it.
//!
//! [`super::stored`] puts in here what the store has; it is asked at every call, so what is set counts from the next one on.

use std::{collections::HashMap, fmt};

use arc_swap::ArcSwap;
use serde_json::Value;

use super::guest::GuestLimits;
use crate::{
    account::AccountTree,
    message::{AccountId, Object},
    settings::ModuleSettings,
};

/// A limit that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// How long one call may run, ms.
    TimeLimitMs,
    /// What one call may burn.
    FuelMax,
    /// Memory of one call, bytes.
    MemoryBytesMax,
    /// What one call may log, bytes.
    LogBytesMax,
    /// Calls of one module at once.
    InstancesPerModuleMax,
    /// Calls charged to the account at once.
    InstancesPerAccountMax,
    /// Calls that one instance may serve.
    ReuseMax,
    /// One component, bytes.
    ComponentBytesMax,
    /// Modules and transforms.
    ModulesPerAccountMax,
    /// Versions of one of them.
    VersionsPerModuleMax,
    /// All components, bytes.
    UploadBytesPerAccountMax,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::TimeLimitMs,
        Self::FuelMax,
        Self::MemoryBytesMax,
        Self::LogBytesMax,
        Self::InstancesPerModuleMax,
        Self::InstancesPerAccountMax,
        Self::ReuseMax,
        Self::ComponentBytesMax,
        Self::ModulesPerAccountMax,
        Self::VersionsPerModuleMax,
        Self::UploadBytesPerAccountMax,
    ];

    /// Its name: the setting's in `[modules]`.
    pub fn key(self) -> &'static str {
        match self {
            Self::TimeLimitMs => "time_limit_ms",
            Self::FuelMax => "fuel_max",
            Self::MemoryBytesMax => "memory_bytes_max",
            Self::LogBytesMax => "log_bytes_max",
            Self::InstancesPerModuleMax => "instances_per_module_max",
            Self::InstancesPerAccountMax => "instances_per_account_max",
            Self::ReuseMax => "reuse_max",
            Self::ComponentBytesMax => "component_bytes_max",
            Self::ModulesPerAccountMax => "modules_per_account_max",
            Self::VersionsPerModuleMax => "versions_per_module_max",
            Self::UploadBytesPerAccountMax => "upload_bytes_per_account_max",
        }
    }

    /// The least that may be set: as the operator's own.
    pub fn least(self) -> u64 {
        match self {
            Self::TimeLimitMs | Self::InstancesPerModuleMax | Self::InstancesPerAccountMax => 1,
            Self::ReuseMax | Self::VersionsPerModuleMax => 1,
            Self::FuelMax => 100_000,
            Self::MemoryBytesMax => 1_048_576,
            Self::ComponentBytesMax => 1024,
            Self::LogBytesMax | Self::ModulesPerAccountMax | Self::UploadBytesPerAccountMax => 0,
        }
    }

    /// What the operator's settings have.
    pub fn of_operator(self, settings: &ModuleSettings) -> u64 {
        match self {
            Self::TimeLimitMs => settings.time_limit_ms,
            Self::FuelMax => settings.fuel_max,
            Self::MemoryBytesMax => settings.memory_bytes_max,
            Self::LogBytesMax => settings.log_bytes_max,
            Self::InstancesPerModuleMax => settings.instances_per_module_max,
            Self::InstancesPerAccountMax => settings.instances_per_account_max,
            Self::ReuseMax => settings.reuse_max,
            Self::ComponentBytesMax => settings.component_bytes_max,
            Self::ModulesPerAccountMax => settings.modules_per_account_max,
            Self::VersionsPerModuleMax => settings.versions_per_module_max,
            Self::UploadBytesPerAccountMax => settings.upload_bytes_per_account_max,
        }
    }
}

/// Whose limit it is that binds, which says who can change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// The operator's setting.
    #[default]
    Operator,
    /// Set for this account, by one above it.
    Account(AccountId),
    /// The module's own, set by its owner.
    Module,
}

/// How much there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Of what.
    pub limit: Limit,
    /// So much.
    pub most: u64,
    /// By whose say.
    pub whose: Whose,
}

/// Names the limit, whose it is, and who can change it.
impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whose.name(self.limit.key(), f)
    }
}

impl Whose {
    fn name(&self, key: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => write!(f, "modules.{key}"),
            Self::Account(account) => write!(f, "{key} of account {account}, which an account above it can change"),
            Self::Module => write!(f, "{key} of the module, which its owner can change"),
        }
    }

    /// As [`Ceiling`]'s words.
    pub fn naming(&self, limit: Limit) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| self.name(limit.key(), f))
    }
}

/// What is set for accounts, as the store has it: for few of them, read at every call, and changed now and then.
#[derive(Debug, Default)]
pub struct AccountLimits {
    by_account: ArcSwap<HashMap<AccountId, SetLimits>>,
}

/// What is set for one account, in the order of [`Limit::ALL`].
type SetLimits = [Option<u64>; Limit::ALL.len()];

impl AccountLimits {
    /// Takes in what is set for accounts, in the place of what was; nothing, where the object is empty. What is no limit of
    /// this version is passed over.
    pub fn put(&self, changes: &[(AccountId, Object)]) {
        self.by_account.rcu(|there| {
            let mut there = HashMap::clone(there);
            for (account, limits) in changes {
                if limits.is_empty() {
                    there.remove(account);
                } else {
                    let set = Limit::ALL.map(|limit| limits.get(limit.key()).and_then(Value::as_u64));
                    there.insert(account.clone(), set);
                }
            }
            there
        });
    }

    /// What counts for an account.
    pub fn ceiling(&self, limit: Limit, account: &AccountId, tree: &AccountTree, settings: &ModuleSettings) -> Ceiling {
        let mut ceiling = Ceiling::of_operator(limit, settings);
        self.along(account, tree, |account, set| ceiling.lower(account, set));
        ceiling
    }

    /// What counts for an account without what is set for itself: as much as may be set for it.
    pub fn ceiling_above(
        &self,
        limit: Limit,
        account: &AccountId,
        tree: &AccountTree,
        settings: &ModuleSettings,
    ) -> Ceiling {
        let mut ceiling = Ceiling::of_operator(limit, settings);
        self.along(account, tree, |above, set| {
            if above != account {
                ceiling.lower(above, set);
            }
        });
        ceiling
    }

    /// The bounds of a call of a component that this account owns, by those that the component has without it.
    pub fn bound(&self, limits: &GuestLimits, owner: &AccountId, tree: &AccountTree) -> GuestLimits {
        let mut limits = limits.clone();
        self.along(owner, tree, |account, set| limits.lower(account, set));
        limits
    }

    /// Calls that are charged to an account and may run at once, as far as anything is set.
    pub fn instances_at_once(&self, account: &AccountId, tree: &AccountTree) -> usize {
        let mut most = usize::MAX;
        self.along(account, tree, |_, set| {
            if let Some(set) = set[Limit::InstancesPerAccountMax as usize] {
                most = most.min(usize::try_from(set).unwrap_or(usize::MAX));
            }
        });
        most
    }

    /// From the root down to the account itself, wherever something is set.
    fn along(&self, account: &AccountId, tree: &AccountTree, mut visit: impl FnMut(&AccountId, &SetLimits)) {
        let by_account = self.by_account.load();
        if by_account.is_empty() {
            return;
        }
        let above = tree.ancestors(account);
        for account in above.iter().flat_map(|above| above.iter()).chain([account]) {
            if let Some(set) = by_account.get(account) {
                visit(account, set);
            }
        }
    }
}

impl Ceiling {
    /// Where nothing is set.
    pub fn of_operator(limit: Limit, settings: &ModuleSettings) -> Self {
        Self { limit, most: limit.of_operator(settings), whose: Whose::Operator }
    }

    /// Why there may not be so many.
    pub fn refusal(&self, number: u64) -> String {
        match self.whose {
            Whose::Operator => format!("{number} is over the operator's own limit ({self})"),
            _ => format!("{number} is over {self}"),
        }
    }

    fn lower(&mut self, account: &AccountId, set: &SetLimits) {
        if let Some(set) = set[self.limit as usize].filter(|set| *set < self.most) {
            self.most = set;
            self.whose = Whose::Account(account.clone());
        }
    }
}

impl GuestLimits {
    fn lower(&mut self, account: &AccountId, set: &SetLimits) {
        let whose = || Whose::Account(account.clone());
        let set = |limit: Limit| set[limit as usize];
        if let Some(most) = set(Limit::TimeLimitMs).filter(|most| *most < self.time_limit_ms) {
            (self.time_limit_ms, self.whose.time) = (most, whose());
        }
        if let Some(most) = set(Limit::FuelMax).filter(|most| *most < self.fuel_max) {
            (self.fuel_max, self.whose.fuel) = (most, whose());
        }
        if let Some(most) = set(Limit::MemoryBytesMax).filter(|most| *most < self.memory_bytes_max as u64) {
            (self.memory_bytes_max, self.whose.memory) = (usize::try_from(most).unwrap_or(usize::MAX), whose());
        }
        let size = |there: usize, limit: Limit| {
            set(limit).map_or(there, |most| there.min(usize::try_from(most).unwrap_or(usize::MAX)))
        };
        self.log_bytes_max = size(self.log_bytes_max, Limit::LogBytesMax);
        self.instances = size(self.instances, Limit::InstancesPerModuleMax);
        self.reuse = set(Limit::ReuseMax).map_or(self.reuse, |most| self.reuse.min(most));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{account::Account, settings::Settings};

    fn tree() -> AccountTree {
        let account = |id: &str, tree: &[&str]| Account {
            id: id.into(),
            name: id.to_owned(),
            tree: tree.iter().map(|id| AccountId::from(*id)).collect(),
            reseller: None,
        };
        let accounts = vec![
            account("master", &[]),
            account("reseller", &["master"]),
            account("customer", &["master", "reseller"]),
            account("other", &["master"]),
        ];
        AccountTree::new(accounts, Vec::new())
    }

    fn set(limits: &AccountLimits, account: &str, what: Value) {
        limits.put(&[(account.into(), what.as_object().expect("an object").clone())]);
    }

    #[test]
    fn the_smallest_along_the_tree_counts_and_says_whose_it_is() {
        let (limits, tree, settings) = (AccountLimits::default(), tree(), Settings::default().modules);
        let fuel = |account: &str| {
            let ceiling = limits.ceiling(Limit::FuelMax, &account.into(), &tree, &settings);
            (ceiling.most, ceiling.to_string())
        };
        let of_operator = (settings.fuel_max, "modules.fuel_max".to_owned());
        assert_eq!(fuel("customer"), of_operator);
        set(&limits, "customer", json!({"fuel_max": 300_000}));
        set(&limits, "reseller", json!({"fuel_max": 500_000, "time_limit_ms": 7}));
        let of = |account: &str| format!("fuel_max of account {account}, which an account above it can change");
        assert_eq!(fuel("customer"), (300_000, of("customer")));
        assert_eq!(fuel("reseller"), (500_000, of("reseller")));
        assert_eq!(fuel("other"), of_operator);
        let above = limits.ceiling_above(Limit::FuelMax, &"customer".into(), &tree, &settings);
        assert_eq!((above.most, above.to_string()), (500_000, of("reseller")));
        // Lowered since: what is set below it stays, and counts again when it is raised.
        set(&limits, "reseller", json!({"fuel_max": 200_000}));
        assert_eq!(fuel("customer"), (200_000, of("reseller")));
        set(&limits, "reseller", json!({}));
        assert_eq!(fuel("customer"), (300_000, of("customer")));
        set(&limits, "customer", json!({"fuel_max": u64::MAX, "no_such": 1}));
        assert_eq!(fuel("customer"), of_operator, "never over the operator's");
    }

    #[test]
    fn a_call_has_what_its_owners_accounts_have_or_less() {
        let (limits, tree, settings) = (AccountLimits::default(), tree(), Settings::default().modules);
        let own = GuestLimits { time_limit_ms: 9, ..GuestLimits::new(&settings) };
        assert_eq!(limits.bound(&own, &"customer".into(), &tree), own);
        let all = json!({
            "time_limit_ms": 10, "fuel_max": 100_000, "memory_bytes_max": 1_048_576, "log_bytes_max": 3,
            "instances_per_module_max": 2, "reuse_max": 1, "instances_per_account_max": 3,
        });
        set(&limits, "reseller", all);
        let bound = limits.bound(&own, &"customer".into(), &tree);
        assert_eq!((bound.time_limit_ms, &bound.whose.time), (9, &Whose::Operator), "the component's own is less");
        let whose = Whose::Account("reseller".into());
        assert_eq!((bound.fuel_max, &bound.whose.fuel), (100_000, &whose));
        assert_eq!((bound.memory_bytes_max, &bound.whose.memory), (1_048_576, &whose));
        assert_eq!((bound.log_bytes_max, bound.instances, bound.reuse), (3, 2, 1));
        assert_eq!(limits.bound(&own, &"other".into(), &tree), own);
        let at_once = |account: &str| limits.instances_at_once(&account.into(), &tree);
        assert_eq!((at_once("customer"), at_once("other")), (3, usize::MAX));
    }

    #[test]
    fn every_limit_is_a_setting_of_the_same_name_and_with_the_same_least() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at, "{}", limit.key());
            let settings = |value: u64| {
                let variable = format!("HOOKBOX_MODULES__{}", limit.key().to_uppercase());
                Settings::from_parts(None, [(variable, value.to_string())].into_iter())
            };
            let least = settings(limit.least()).unwrap_or_else(|error| panic!("{}: {error}", limit.key())).modules;
            assert_eq!(limit.of_operator(&least), limit.least(), "{}", limit.key());
            assert!(limit.least() == 0 || settings(limit.least() - 1).is_err(), "{}", limit.key());
        }
    }
}
