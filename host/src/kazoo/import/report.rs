//! What an import did, as values; its `Display` is what the command prints.

use std::{collections::BTreeMap, fmt};

use crate::{message::AccountId, store::origins::Thing};

/// Documents of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Made, or changed.
    pub loaded: u64,
    /// There already, and the same.
    pub unchanged: u64,
}

impl Counts {
    pub(super) fn add(&mut self, changed: bool) {
        if changed {
            self.loaded += 1;
        } else {
            self.unchanged += 1;
        }
    }
}

/// A hook of an old event that became a `notifications` hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The hook's id.
    pub id: String,
    /// The event that it was for.
    pub from: String,
    /// The second hook, for errors, that was made of a fax hook.
    pub second: Option<String>,
}

/// Something that came of a document, whether that changed it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// The document's `_id`.
    pub document: String,
    /// What came of it.
    pub thing: Thing,
    /// Whose it is.
    pub account: AccountId,
}

/// A document that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its `_id`, or what else it can be found by.
    pub id: String,
    /// Why, and what to do.
    pub reason: String,
}

/// What was loaded, what was migrated, and what was refused and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Accounts.
    pub accounts: Counts,
    /// API keys.
    pub keys: Counts,
    /// Phone numbers.
    pub numbers: Counts,
    /// Hooks, with those that were made of fax hooks.
    pub hooks: Counts,
    /// Everything that came of the documents.
    pub came: Vec<Came>,
    /// Hooks whose event was an old one.
    pub migrated: Vec<Migrated>,
    /// Documents that are marked as deleted.
    pub deleted: u64,
    /// Documents of types that Hookbox has no use for, by type.
    pub passed_over: BTreeMap<String, u64>,
    /// Documents that were not loaded.
    pub refused: Vec<Refused>,
}

impl Report {
    pub(super) fn came(&mut self, document: &str, thing: Thing, account: &AccountId) {
        self.came.push(Came { document: document.to_owned(), thing, account: account.clone() });
    }

    pub(super) fn refuse(&mut self, id: &str, reason: impl Into<String>) {
        self.refused.push(Refused { id: id.to_owned(), reason: reason.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, counts) in
            [("accounts", self.accounts), ("keys", self.keys), ("numbers", self.numbers), ("webhooks", self.hooks)]
        {
            writeln!(f, "{name}: {} loaded, {} unchanged", counts.loaded, counts.unchanged)?;
        }
        if self.deleted > 0 {
            writeln!(f, "deleted documents: {} skipped", self.deleted)?;
        }
        for (kind, count) in &self.passed_over {
            writeln!(f, "{kind} documents: {count} passed over")?;
        }
        for Migrated { id, from, second } in &self.migrated {
            write!(f, "migrated {id}: {from} is now notifications with custom_data.type")?;
            match second {
                Some(second) => writeln!(f, "; {second} is its hook for errors")?,
                None => writeln!(f)?,
            }
        }
        for Refused { id, reason } in &self.refused {
            writeln!(f, "refused {id}: {reason}")?;
        }
        Ok(())
    }
}
