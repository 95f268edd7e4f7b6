//! Accounts, their API keys, and numbers.

use serde_json::Value;

use super::{Import, text};
use crate::{
    account::{Account, AccountFields, KeyRecord},
    message::{AccountId, Object},
    store::{StoreResult, origins::Thing},
};

/// Rows that are written in one transaction.
const ROWS_AT_ONCE: usize = 500;
/// What a key from KAZOO is called.
const KEY_NAME: &str = "pvt_api_key";

impl Import<'_> {
    pub(super) async fn load_accounts(&mut self, documents: &[Object]) -> StoreResult<()> {
        let mut read = Vec::with_capacity(documents.len());
        for document in documents {
            let Some(id) = self.id(document, "account") else { continue };
            match self.account(id, document) {
                Ok(account) => read.push((account, document)),
                Err(reason) => self.report.refuse(id, reason),
            }
        }
        // Parents have shorter trees than their children; whatever is refused takes along what is below it.
        read.sort_by_key(|(account, _)| account.tree.len());
        let mut accounts = Vec::with_capacity(read.len());
        let (mut fields, mut keys) = (Vec::new(), Vec::new());
        for (account, document) in read {
            if let Some(unknown) = account.tree.iter().find(|ancestor| !self.knows(ancestor)) {
                let reason = format!("account {unknown} of its pvt_tree is not known; put it into the file too");
                self.report.refuse(account.id.as_str(), reason);
                continue;
            }
            self.loaded.insert(account.id.clone());
            self.report.came(account.id.as_str(), Thing::Account(account.id.clone()), &account.id);
            if let Some(key) = text(document, "pvt_api_key").filter(|key| !key.is_empty()) {
                keys.push(KeyRecord::new(key, account.id.clone(), KEY_NAME, self.to.now_ms));
            }
            fields.push(fields_of(&account, document));
            accounts.push(account);
        }
        for (some, fields) in accounts.chunks(ROWS_AT_ONCE).zip(fields.chunks(ROWS_AT_ONCE)) {
            let places = self.to.store.put_accounts(some, self.to.now_ms).await?;
            let rest = self.to.store.put_account_fields(fields).await?;
            for (place_changed, rest_changed) in places.into_iter().zip(rest) {
                self.report.accounts.add(place_changed || rest_changed);
            }
        }
        self.load_keys(keys).await
    }

    /// A key that opens an account already is never moved to another, nor given another name.
    async fn load_keys(&mut self, keys: Vec<KeyRecord>) -> StoreResult<()> {
        let mut missing: Vec<KeyRecord> = Vec::new();
        for key in keys {
            let namesake = missing.iter().find(|other| other.hash == key.hash).cloned();
            let found = match namesake {
                Some(namesake) => Some(namesake),
                None => self.to.store.key(&key.hash).await?,
            };
            if let Some(found) = found.as_ref().filter(|found| found.account != key.account) {
                let reason =
                    format!("its pvt_api_key is the key of account {} already; give it another", found.account);
                self.report.refuse(key.account.as_str(), reason);
                continue;
            }
            self.report.came(key.account.as_str(), Thing::Key(key.hash.clone()), &key.account);
            match found {
                Some(_) => self.report.keys.add(false),
                None => missing.push(key),
            }
        }
        for some in missing.chunks(ROWS_AT_ONCE) {
            for changed in self.to.store.put_keys(some).await? {
                self.report.keys.add(changed);
            }
        }
        Ok(())
    }

    fn account(&self, id: &str, document: &Object) -> Result<Account, String> {
        if !AccountId::is_valid(id) {
            return Err("_id cannot be an account's; it has to be 1 to 64 of a-z 0-9 _ -".into());
        }
        let mut tree = match document.get("pvt_tree") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(ids)) => ids
                .iter()
                .map(|id| id.as_str().map(AccountId::from))
                .collect::<Option<Vec<_>>>()
                .ok_or("pvt_tree has to be a list of account ids")?,
            Some(_) => return Err("pvt_tree has to be a list of account ids".into()),
        };
        let id = AccountId::from(id);
        if tree.contains(&id) {
            return Err("it stands in its own pvt_tree; mend the tree".into());
        }
        // All that comes from elsewhere stands below the account that has been here from the start.
        if id == *self.to.master {
            tree.clear();
        } else if tree.first() != Some(self.to.master) {
            if tree.contains(self.to.master) {
                return Err(format!(
                    "the master account {} is not at the root of its pvt_tree; mend it",
                    self.to.master
                ));
            }
            tree.insert(0, self.to.master.clone());
        }
        let reseller = text(document, "pvt_reseller_id")
            .and_then(|reseller| tree.iter().find(|ancestor| ancestor.as_str() == reseller))
            .or(tree.first())
            .cloned();
        let name = text(document, "name").unwrap_or(id.as_str()).to_owned();
        Ok(Account { id, name, tree, reseller })
    }

    pub(super) async fn load_numbers(&mut self, documents: &[Object]) -> StoreResult<()> {
        let mut numbers = Vec::with_capacity(documents.len());
        for document in documents {
            let Some(id) = self.id(document, "number") else { continue };
            match text(document, "pvt_assigned_to").map(AccountId::from) {
                Some(account) if self.knows(&account) => {
                    self.report.came(id, Thing::Number(id.to_owned()), &account);
                    numbers.push((id.to_owned(), account));
                }
                Some(account) => {
                    let reason = format!("account {account} (pvt_assigned_to) is not known; put it into the file too");
                    self.report.refuse(id, reason);
                }
                None => self.report.refuse(id, "pvt_assigned_to is missing: the number belongs to nobody"),
            }
        }
        for some in numbers.chunks(ROWS_AT_ONCE) {
            for changed in self.to.store.put_numbers(some).await? {
                self.report.numbers.add(changed);
            }
        }
        Ok(())
    }
}

/// What a document says besides name and place: its realm and other public fields, and whether it is a reseller.
fn fields_of(account: &Account, document: &Object) -> AccountFields {
    let mut public: Object = document
        .iter()
        .filter(|(name, _)| !name.starts_with('_') && !name.starts_with("pvt_"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    public.insert("name".to_owned(), account.name.as_str().into());
    let is_reseller = document.get("pvt_reseller") == Some(&Value::Bool(true));
    AccountFields { id: account.id.clone(), document: public, is_reseller }
}
