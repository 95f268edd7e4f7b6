//! What becomes of a save over a revision: decided from what is stored, which the backend holds fast meanwhile.

use std::collections::BTreeSet;

use super::{Saved, columns::json};
use crate::{
    account::AccountRecord,
    hook::HookRecord,
    message::{AccountId, Object},
};

/// What is stored under the id of a thing that is to be saved.
pub(super) struct Standing {
    pub(super) revision: i64,
    pub(super) deleted: bool,
    /// Writing would change nothing.
    pub(super) same: bool,
}

/// The revision to write, or what to answer without writing.
pub(super) fn revision_over(based_on: Option<i64>, stored: Option<&Standing>) -> Result<i64, Saved> {
    match (based_on, stored) {
        (None, None) => Ok(1),
        // One that was deleted is made again, and its revisions go on counting.
        (None, Some(stored)) if stored.deleted => Ok(stored.revision + 1),
        (Some(base), Some(stored)) if !stored.deleted && stored.revision == base => match stored.same {
            true => Err(Saved::Done(base)),
            false => Ok(base + 1),
        },
        _ => Err(Saved::Conflict),
    }
}

/// Whether writing the one over the other would change nothing. Documents as texts, because the order of the fields is
/// the tenant's.
pub(super) fn same_account(stored: &AccountRecord, record: &AccountRecord) -> bool {
    stored.account == record.account
        && stored.is_reseller == record.is_reseller
        && json(&stored.document) == json(&named(record))
}

/// … of hooks.
pub(super) fn same_hook(stored: &HookRecord, record: &HookRecord) -> bool {
    json(&stored.document) == json(&record.document)
        && stored.disabled_message == record.disabled_message
        && stored.secrets == record.secrets
}

/// Those accounts that are below no other of them: whoever is below one of them all is below one of these.
pub(super) fn topmost(accounts: &[AccountRecord]) -> impl Iterator<Item = &AccountRecord> {
    let listed: BTreeSet<&AccountId> = accounts.iter().map(|record| &record.account.id).collect();
    accounts.iter().filter(move |record| !record.account.tree.iter().any(|above| listed.contains(above)))
}

/// The document with the account's name in it.
pub(super) fn named(record: &AccountRecord) -> Object {
    let mut document = record.document.clone();
    document.insert("name".into(), record.account.name.as_str().into());
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_written_over_the_revision_that_it_is_based_on_and_no_other() {
        let standing = |deleted, same| Some(Standing { revision: 3, deleted, same });
        for (based_on, stored, expected) in [
            (None, None, Ok(1)),
            (Some(1), None, Err(Saved::Conflict)),
            (None, standing(false, false), Err(Saved::Conflict)),
            (None, standing(true, false), Ok(4)),
            (Some(3), standing(true, true), Err(Saved::Conflict)),
            (Some(3), standing(false, false), Ok(4)),
            (Some(3), standing(false, true), Err(Saved::Done(3))),
            (Some(2), standing(false, true), Err(Saved::Conflict)),
        ] {
            assert_eq!(revision_over(based_on, stored.as_ref()), expected, "{based_on:?}");
        }
    }
}
