//! Modules and transforms that accounts have brought: who has which, their versions, and the components themselves.
//!
//! A registered thing is named by its account and its name; a version of it by the SHA-256 of its component, and by a
//! semantic version. At most one version is active. Components are kept once, however many versions refer to them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Changes, Notice, Saved, StoreResult};
use crate::{
    message::{AccountId, ModuleId, Object, UnixMs},
    module::{
        Kind,
        description::{Binding, Metadata},
    },
};

/// A module or transform of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisteredModule {
    /// Whose it is.
    pub account: AccountId,
    /// What it is called there: `[a-z0-9_]{1,64}`.
    pub name: String,
    /// Which of the two it is.
    pub kind: Kind,
    /// The digest of the active version.
    pub active: Option<String>,
    /// Digests that were active before it, the latest last; where a rollback goes.
    pub before: Vec<String>,
    /// What the `settings` import answers with.
    pub settings: BTreeMap<String, String>,
    /// Limits of its own, under the operator's ceilings (`module::limits`).
    pub limits: Object,
    /// Whether the accounts below may use it too.
    pub offered: bool,
    /// Why it is not called, when it is in quarantine.
    pub quarantine: Option<Quarantine>,
    /// Goes up by one with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: UnixMs,
}

/// Why a version is not called any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// For people.
    pub reason: String,
    /// Of the version that failed.
    pub digest: String,
    /// Its semantic version.
    pub version: String,
    /// Since when.
    pub since_ms: UnixMs,
    /// What it failed on last: the message's id (`sha256:` and the body's digest when it has none), for a transform the
    /// firing's `webhook-id`. None when another node counted the faults, and has gone since.
    pub last_message: Option<String>,
}

/// One version of a module or transform, as it was uploaded and found by the check.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleVersion {
    /// Whose it is.
    pub account: AccountId,
    /// Of which module or transform.
    pub name: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its semantic version; no other version of the same module has it.
    pub version: String,
    /// Which of the two it is.
    pub kind: Kind,
    /// The account whose key or user uploaded it.
    pub uploader: AccountId,
    /// The key that it was uploaded with, unless it was a user's token.
    pub key_id: Option<String>,
    /// When.
    pub uploaded_ms: UnixMs,
    /// Of the component.
    pub size_bytes: u64,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it says about itself; none for a transform.
    pub metadata: Option<Metadata>,
    /// What it wants; none for a transform.
    pub bindings: Vec<Binding>,
    /// What the check found, as it is shown.
    pub report: Value,
}

/// How much an account may keep.
#[derive(Clone, Copy, Debug)]
pub struct VersionBounds {
    /// `modules.modules_per_account_max`.
    pub modules_max: u64,
    /// `modules.versions_per_module_max`.
    pub versions_max: u64,
    /// `modules.upload_bytes_per_account_max`.
    pub bytes_max: u64,
}

/// What came of keeping a version.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// It is kept.
    New,
    /// The same component is there already, as this version. Nothing was written.
    There(Box<ModuleVersion>),
    /// Another component is there under the same semantic version.
    VersionTaken,
    /// The module is there as the other kind.
    OtherKind(Kind),
    /// The account has as many modules as it may.
    TooManyModules,
    /// The module has as many versions as it may.
    TooManyVersions,
    /// The account's components would have more bytes than they may.
    TooManyBytes,
    /// There is no such account (any more).
    NoAccount,
}

/// What came of deleting a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionDeleted {
    /// It is gone.
    Done,
    /// It is active, and stays.
    IsActive,
    /// It was not there.
    Missing,
}

/// A module or transform that changed since some moment.
#[derive(Debug)]
pub enum ModuleChange {
    /// Made, activated, or edited.
    Saved(Box<RegisteredModule>),
    /// Deleted.
    Deleted(AccountId, String),
}

impl RegisteredModule {
    /// The one that is made with this version, its first: nothing is active.
    pub fn new(version: &ModuleVersion) -> Self {
        Self {
            account: version.account.clone(),
            name: version.name.clone(),
            kind: version.kind,
            active: None,
            before: Vec::new(),
            settings: BTreeMap::new(),
            limits: Object::new(),
            offered: false,
            quarantine: None,
            revision: 1,
            created_ms: version.uploaded_ms,
        }
    }

    /// The id that it goes by everywhere: `account/name`.
    pub fn id(&self) -> ModuleId {
        ModuleId::of_tenant(&self.account, &self.name)
    }

    /// Makes a version active; the one that was is remembered, at most `before_max` of them.
    pub fn activate(&mut self, digest: &str, before_max: usize) {
        if self.active.as_deref() == Some(digest) {
            return;
        }
        self.before.retain(|before| before != digest);
        if let Some(active) = self.active.replace(digest.to_owned()) {
            self.before.retain(|before| *before != active);
            self.before.push(active);
        }
        let over = self.before.len().saturating_sub(before_max);
        self.before.drain(..over);
        self.lift_quarantine();
    }

    /// Makes the version active again that was before the active one; `false` when there was none.
    pub fn roll_back(&mut self) -> bool {
        let Some(before) = self.before.pop() else { return false };
        self.active = Some(before);
        self.lift_quarantine();
        true
    }

    /// Another version is not to blame for what the last one did.
    fn lift_quarantine(&mut self) {
        if self.quarantine.as_ref().is_some_and(|quarantine| self.active.as_ref() != Some(&quarantine.digest)) {
            self.quarantine = None;
        }
    }
}

/// Registered modules, as a store keeps them.
#[async_trait]
pub trait RegisteredModules {
    /// All that an account has, in order of their names.
    async fn registered_modules_of(&self, account: &AccountId) -> StoreResult<Vec<RegisteredModule>>;
    /// One of them; `None` when it was deleted or never was.
    async fn registered_module(&self, account: &AccountId, name: &str) -> StoreResult<Option<RegisteredModule>>;
    /// Those that changed since the cursor (0 for all), at most `limit`.
    async fn registered_modules_since(&self, cursor: i64, limit: u32) -> StoreResult<Changes<ModuleChange>>;
    /// The versions of one, those uploaded last first.
    async fn module_versions(&self, account: &AccountId, name: &str) -> StoreResult<Vec<ModuleVersion>>;
    /// One version, by its digest or its semantic version.
    async fn module_version(
        &self,
        account: &AccountId,
        name: &str,
        version: &str,
    ) -> StoreResult<Option<ModuleVersion>>;
    /// A component, by its digest.
    async fn component(&self, digest: &str) -> StoreResult<Option<Vec<u8>>>;
    /// Keeps a version and its component, within bounds, in one transaction; the module is made when there is none, with
    /// nothing active. The notices are kept when it was made.
    async fn keep_version(
        &self,
        version: &ModuleVersion,
        component: &[u8],
        bounds: &VersionBounds,
        notices: &[Notice],
    ) -> StoreResult<Kept>;
    /// Writes a module that is there over the revision that it has (`revision` of the record is not looked at), and keeps
    /// the notices, in one transaction. Conflicts also when the version that is to be active is not there. When another
    /// version is active, or the quarantine is lifted, its faults are forgotten.
    async fn save_registered_module(
        &self,
        record: &RegisteredModule,
        based_on: i64,
        notices: &[Notice],
    ) -> StoreResult<Saved>;
    /// Puts a module into quarantine, when the version of that digest is its active one and it is not in quarantine yet.
    /// `false` when nothing was done. The notices are kept with it, and that version's faults forgotten.
    async fn set_quarantine(
        &self,
        account: &AccountId,
        name: &str,
        quarantine: &Quarantine,
        notices: &[Notice],
    ) -> StoreResult<bool>;
    /// Deletes a version that is not active, and its component when no other version has it.
    async fn delete_version(&self, account: &AccountId, name: &str, digest: &str) -> StoreResult<VersionDeleted>;
    /// Deletes a module with all its versions, and keeps the notices. `false` when it was not there.
    async fn delete_registered_module(&self, account: &AccountId, name: &str, notices: &[Notice]) -> StoreResult<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> RegisteredModule {
        RegisteredModule {
            account: "a1".into(),
            name: "crm".into(),
            kind: Kind::Module,
            active: None,
            before: Vec::new(),
            settings: BTreeMap::new(),
            limits: Object::new(),
            offered: false,
            quarantine: None,
            revision: 1,
            created_ms: 0,
        }
    }

    #[test]
    fn a_rollback_goes_back_one_version_after_the_other() {
        let mut module = module();
        for digest in ["a", "b", "c", "b", "b"] {
            module.activate(digest, 10);
        }
        assert_eq!((module.active.as_deref(), module.before.join(" ").as_str()), (Some("b"), "a c"));
        assert!(module.roll_back() && module.active.as_deref() == Some("c"));
        assert!(module.roll_back() && module.active.as_deref() == Some("a"));
        assert!(!module.roll_back() && module.active.as_deref() == Some("a"));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut module = module();
        for digest in ["a", "b", "c", "d"] {
            module.activate(digest, 2);
        }
        assert_eq!(module.before, ["b", "c"]);
    }

    #[test]
    fn another_version_lifts_the_quarantine_and_the_same_does_not() {
        let mut module = module();
        module.activate("a", 10);
        module.quarantine = Some(Quarantine {
            reason: "it trapped".into(),
            digest: "a".into(),
            version: "1.0.0".into(),
            since_ms: 1,
            last_message: None,
        });
        module.activate("a", 10);
        assert!(module.quarantine.is_some());
        module.activate("b", 10);
        assert!(module.quarantine.is_none());
    }
}
