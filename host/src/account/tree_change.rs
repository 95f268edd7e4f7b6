//! What a move, or another reseller, makes of a subtree. Plain functions: records in, records out; the store writes them
//! all or none ([`crate::store::Store::save_accounts`]).

use std::collections::BTreeSet;

use super::AccountRecord;
use crate::message::AccountId;

/// The reseller of an account with this tree: the nearest above it; the root when none is marked as one.
pub fn nearest_reseller(tree: &[AccountId], is_reseller: impl Fn(&AccountId) -> bool) -> Option<AccountId> {
    tree.iter().rev().find(|ancestor| is_reseller(ancestor)).or(tree.first()).cloned()
}

/// A subtree put where its top has the tree `above`, each account with its place and its reseller as they are then.
/// `resellers_above` are those of `above` that are resellers. The top comes first; the rest in any order. Whoever is not
/// below the top is left out.
pub fn placed(
    subtree: &[AccountRecord],
    above: &[AccountId],
    resellers_above: &BTreeSet<AccountId>,
) -> Vec<AccountRecord> {
    let Some(top) = subtree.first() else { return Vec::new() };
    let marked: BTreeSet<&AccountId> =
        subtree.iter().filter(|record| record.is_reseller).map(|record| &record.account.id).collect();
    let is_reseller = |id: &AccountId| marked.contains(id) || resellers_above.contains(id);
    subtree
        .iter()
        .filter_map(|record| {
            let mut record = record.clone();
            let within = tree_within(&record, &top.account.id)?;
            record.account.tree = [above, within].concat();
            record.account.reseller = nearest_reseller(&record.account.tree, is_reseller);
            Some(record)
        })
        .collect()
}

/// From the top down to the account's parent; nothing for the top itself.
fn tree_within<'a>(record: &'a AccountRecord, top: &AccountId) -> Option<&'a [AccountId]> {
    if record.account.id == *top {
        return Some(&[]);
    }
    let at = record.account.tree.iter().position(|ancestor| ancestor == top)?;
    record.account.tree.get(at..)
}

/// Levels of the tree down to the deepest of these accounts, the root's included.
pub fn depth(records: &[AccountRecord]) -> usize {
    records.iter().map(|record| record.account.tree.len() + 1).max().unwrap_or_default()
}

/// Of accounts after a change, those that it changed, with what each was before: the ones to tell of.
pub fn concerned<'a>(
    before: &'a [AccountRecord],
    after: &'a [AccountRecord],
) -> impl Iterator<Item = &'a AccountRecord> {
    before.iter().zip(after).filter(|(before, after)| before != after).map(|(_, after)| after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{account::Account, message::Object};

    fn ids(tree: &[&str]) -> Vec<AccountId> {
        tree.iter().map(|id| AccountId::from(*id)).collect()
    }

    fn record(id: &str, tree: &[&str], reseller: &str, is_reseller: bool) -> AccountRecord {
        let account =
            Account { id: id.into(), name: id.into(), tree: ids(tree), reseller: Some(AccountId::from(reseller)) };
        AccountRecord { account, is_reseller, document: Object::new(), revision: 1, created_ms: 0 }
    }

    fn subtree() -> Vec<AccountRecord> {
        vec![
            record("shop", &["master", "north"], "north", false),
            record("branch", &["master", "north", "shop"], "north", true),
            record("till", &["master", "north", "shop", "branch"], "branch", false),
        ]
    }

    fn places(records: &[AccountRecord]) -> Vec<(String, String)> {
        let tree =
            |record: &AccountRecord| record.account.tree.iter().map(AccountId::as_str).collect::<Vec<_>>().join("/");
        let reseller = |record: &AccountRecord| record.account.reseller.as_ref().map(ToString::to_string);
        records.iter().map(|record| (tree(record), reseller(record).unwrap_or_default())).collect()
    }

    #[test]
    fn the_nearest_reseller_counts_and_the_root_is_the_last() {
        let tree = ids(&["master", "north", "shop"]);
        let north = AccountId::from("north");
        assert_eq!(nearest_reseller(&tree, |id| *id == north), Some(north));
        assert_eq!(nearest_reseller(&tree, |_| true), Some("shop".into()));
        assert_eq!(nearest_reseller(&tree, |_| false), Some("master".into()));
        assert_eq!(nearest_reseller(&[], |_| true), None);
    }

    #[test]
    fn a_moved_subtree_takes_its_order_along_and_gets_the_resellers_of_its_new_place() {
        let moved = placed(&subtree(), &ids(&["master", "south", "west"]), &BTreeSet::from(["south".into()]));
        let expected = [
            ("master/south/west", "south"),
            ("master/south/west/shop", "south"),
            ("master/south/west/shop/branch", "branch"),
        ];
        assert_eq!(places(&moved), expected.map(|(tree, reseller)| (tree.to_owned(), reseller.to_owned())));
        assert_eq!(depth(&moved), 6);
        assert_eq!(concerned(&subtree(), &moved).count(), 3);
    }

    #[test]
    fn a_promoted_account_is_the_reseller_of_those_below_it_only() {
        let before = subtree();
        let mut promoted = before.clone();
        promoted[0].is_reseller = true;
        let placed = placed(&promoted, &ids(&["master", "north"]), &BTreeSet::from(["master".into(), "north".into()]));
        let resellers: Vec<_> = places(&placed).into_iter().map(|(_, reseller)| reseller).collect();
        assert_eq!(resellers, ["north", "shop", "branch"]);
        let told: Vec<_> = concerned(&before, &placed).map(|record| record.account.id.as_str()).collect();
        assert_eq!(told, ["shop", "branch"], "nothing has changed for the third");
    }

    #[test]
    fn who_is_not_below_the_top_is_left_out() {
        let mut records = subtree();
        records.push(record("stranger", &["master"], "master", false));
        assert_eq!(placed(&records, &[], &BTreeSet::new()).len(), 3);
        assert!(placed(&[], &[], &BTreeSet::new()).is_empty());
    }
}
