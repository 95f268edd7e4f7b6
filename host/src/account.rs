//! The tree of accounts: resellers, their customers, and the numbers and keys that belong to them.

pub mod tree_change;

use std::sync::Arc;

use dashmap::DashMap;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{
    message::{AccountId, Object, UnixMs},
    store::{Store, StoreResult},
};

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// For people.
    pub name: String,
    /// From the root down to its parent; empty for the root. KAZOO's `pvt_tree`.
    pub tree: Vec<AccountId>,
    /// The nearest reseller above it; KAZOO's `pvt_reseller_id`.
    pub reseller: Option<AccountId>,
}

/// An account as it is stored: KAZOO's document with its place in the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRecord {
    /// Its place.
    pub account: Account,
    /// Whether it is a reseller itself: the nearest one for all accounts below it. KAZOO's `pvt_reseller`.
    pub is_reseller: bool,
    /// The public fields: `name` (the same as `account.name`), `realm` when it has one, and what else a client wrote.
    pub document: Object,
    /// Counts up with each change, moves included.
    pub revision: i64,
    /// When it was made.
    pub created_ms: UnixMs,
}

/// What an account's document says besides its place, as it comes from KAZOO.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountFields {
    /// Whose.
    pub id: AccountId,
    /// The public fields, its name among them.
    pub document: Object,
    /// Whether it is marked as a reseller. One that is a reseller for another reason stays one.
    pub is_reseller: bool,
}

/// What is kept of an API key. The key itself is shown once and never stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What names it where the key itself must not be: 32 hex digits, random.
    pub id: String,
    /// SHA-256 of the key, in hex.
    pub hash: String,
    /// The account that it opens, with all descendants.
    pub account: AccountId,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_ms: UnixMs,
    /// When it last opened something, to a minute; `None` when it never did.
    pub last_used_ms: Option<UnixMs>,
}

impl KeyRecord {
    /// The record of a key that is made now.
    pub fn new(key: &str, account: AccountId, name: &str, now_ms: UnixMs) -> Self {
        Self {
            id: hex::encode(rand::random::<[u8; 16]>()),
            hash: hash_key(key),
            account,
            name: name.to_owned(),
            created_ms: now_ms,
            last_used_ms: None,
        }
    }
}

/// An account's place, as it is asked for with every event.
#[derive(Debug)]
struct Place {
    name: Arc<str>,
    ancestors: Arc<[AccountId]>,
    reseller: Option<AccountId>,
}

/// The tree in memory: loaded at start, kept fresh by whoever hears of changes. Lookups allocate nothing.
#[derive(Debug, Default)]
pub struct AccountTree {
    places: DashMap<AccountId, Place>,
    numbers: DashMap<String, AccountId>,
}

impl AccountTree {
    /// A tree of these accounts and numbers.
    pub fn new(accounts: Vec<Account>, numbers: Vec<(String, AccountId)>) -> Self {
        let tree = Self::default();
        for account in accounts {
            tree.replace(account);
        }
        for (number, account) in numbers {
            tree.assign_number(number, account);
        }
        tree
    }

    /// The tree that the store has.
    pub async fn load(store: &dyn Store) -> StoreResult<Self> {
        Ok(Self::new(store.accounts().await?, store.numbers().await?))
    }

    /// Puts an account in, or in the place of what was known of it.
    pub fn replace(&self, account: Account) {
        let Account { id, name, tree, reseller } = account;
        self.places.insert(id, Place { name: name.into(), ancestors: tree.into(), reseller });
    }

    /// Takes an account out, and the numbers that were its own. Descendants stay.
    pub fn remove(&self, id: &AccountId) {
        self.places.remove(id);
        self.numbers.retain(|_, account| account != id);
    }

    /// Gives a number to an account.
    pub fn assign_number(&self, number: String, account: AccountId) {
        self.numbers.insert(number, account);
    }

    /// Takes a number from whomever it belongs to.
    pub fn unassign_number(&self, number: &str) {
        self.numbers.remove(number);
    }

    /// Whether there is such an account.
    pub fn contains(&self, id: &AccountId) -> bool {
        self.places.contains_key(id)
    }

    /// The account as it is stored.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.places.get(id).map(|place| Account {
            id: id.clone(),
            name: place.name.to_string(),
            tree: place.ancestors.to_vec(),
            reseller: place.reseller.clone(),
        })
    }

    /// The accounts above it, the root first; none when it is not known.
    pub fn ancestors(&self, id: &AccountId) -> Option<Arc<[AccountId]>> {
        self.places.get(id).map(|place| Arc::clone(&place.ancestors))
    }

    /// Whether a known account is `root` or below it.
    pub fn is_within(&self, id: &AccountId, root: &AccountId) -> bool {
        self.places.get(id).is_some_and(|place| id == root || place.ancestors.contains(root))
    }

    /// The nearest reseller above it.
    pub fn reseller(&self, id: &AccountId) -> Option<AccountId> {
        self.places.get(id).and_then(|place| place.reseller.clone())
    }

    /// The accounts below it, at any depth.
    pub fn descendants(&self, id: &AccountId) -> Vec<AccountId> {
        self.places
            .iter()
            .filter(|entry| entry.value().ancestors.contains(id))
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// Whose number it is.
    pub fn account_of_number(&self, number: &str) -> Option<AccountId> {
        self.numbers.get(number).map(|account| account.clone())
    }

    /// The accounts of this name, at most so many. Only letters and digits count, and no case: so KAZOO looks a name up.
    pub fn named(&self, name: &str, most: usize) -> Vec<AccountId> {
        let wanted: Vec<char> = plain(name).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let is_so_called = |place: &Place| plain(&place.name).eq(wanted.iter().copied());
        let found = self.places.iter().filter(|entry| is_so_called(entry.value()));
        found.take(most).map(|entry| entry.key().clone()).collect()
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// What of a name counts when accounts are looked up by it.
fn plain(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// A new API key: 64 hex digits, of 256 random bits.
pub fn new_key() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// What is stored of a key: its SHA-256 in hex. Keys are random and long, so no salt is needed.
pub fn hash_key(key: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, key.as_bytes()))
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub fn same_hash(left: &str, right: &str) -> bool {
    let difference = left.bytes().zip(right.bytes()).fold(0, |all, (left, right)| all | (left ^ right));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str, tree: &[&str], reseller: Option<&str>) -> Account {
        Account {
            id: id.into(),
            name: id.to_uppercase(),
            tree: tree.iter().map(|id| AccountId::from(*id)).collect(),
            reseller: reseller.map(AccountId::from),
        }
    }

    fn tree() -> AccountTree {
        let accounts = vec![
            account("master", &[], None),
            account("reseller", &["master"], Some("master")),
            account("customer", &["master", "reseller"], Some("reseller")),
        ];
        AccountTree::new(accounts, vec![("+13125550111".into(), "customer".into())])
    }

    #[test]
    fn a_tree_knows_who_is_above_whom() {
        let tree = tree();
        let [master, reseller, customer] = ["master", "reseller", "customer"].map(AccountId::from);
        assert_eq!(tree.ancestors(&customer).as_deref(), Some([master.clone(), reseller.clone()].as_slice()));
        assert!(tree.is_within(&customer, &reseller) && tree.is_within(&customer, &customer));
        assert!(!tree.is_within(&reseller, &customer));
        assert!(!tree.is_within(&"stranger".into(), &"stranger".into()), "nobody knows it");
        assert_eq!(tree.reseller(&customer), Some(reseller.clone()));
        assert_eq!(tree.descendants(&reseller), std::slice::from_ref(&customer));
        assert_eq!(tree.account_of_number("+13125550111"), Some(customer.clone()));
        assert_eq!(tree.account(&reseller), Some(account("reseller", &["master"], Some("master"))));
    }

    #[test]
    fn a_name_is_found_by_its_letters() {
        let tree = AccountTree::default();
        tree.replace(Account { name: "Müller & Söhne, Ltd.".into(), ..account("one", &[], None) });
        tree.replace(Account { name: "mullersohne".into(), ..account("other", &[], None) });
        assert_eq!(tree.named("MÜLLER SÖHNE LTD", 10), [AccountId::from("one")]);
        assert!(tree.named("Müller", 10).is_empty() && tree.named(" ,.", 10).is_empty());
        tree.replace(Account { name: "mÜllersöhneltd".into(), ..account("third", &[], None) });
        assert_eq!((tree.named("müllersöhneltd", 10).len(), tree.named("müllersöhneltd", 1).len()), (2, 1));
    }

    #[test]
    fn a_removed_account_takes_its_numbers_along() {
        let tree = tree();
        tree.remove(&"customer".into());
        assert_eq!((tree.len(), tree.account_of_number("+13125550111")), (2, None));
    }

    #[test]
    fn a_number_can_be_taken_away() {
        let tree = tree();
        tree.unassign_number("+13125550111");
        tree.unassign_number("nobody's");
        assert_eq!(tree.account_of_number("+13125550111"), None);
    }

    #[test]
    fn a_new_key_is_kept_as_its_hash() {
        let [first, second] = [1, 2].map(|_| KeyRecord::new("abc", "customer".into(), "laptop", 7));
        assert_eq!((first.hash.as_str(), first.id.len(), first.created_ms), (hash_key("abc").as_str(), 32, 7));
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn keys_are_long_and_hashes_compare() {
        let key = new_key();
        assert_eq!(key.len(), 64);
        assert_ne!(key, new_key());
        assert!(same_hash(&hash_key(&key), &hash_key(&key)));
        assert!(!same_hash(&hash_key(&key), &hash_key("other")));
        assert!(!same_hash(&hash_key(&key), ""));
        assert_eq!(hash_key("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
