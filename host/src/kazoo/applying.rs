//! From documents to rows: what is new or edited is written, what has gone is taken out.
//!
//! Of each document, what came of it before is known ([`crate::store::origins`]). What comes of it now is written and
//! noted; what came of it before and does not any more goes: the hook of a deleted document, the key that an account
//! had, the second hook of what is no fax hook any longer. A document that is refused counts as one of which nothing comes.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::{Value, json};

use super::import::{self, Destination, Refused, is_deleted, text};
use crate::{
    account::AccountTree,
    changes::Follower,
    clock::Clock,
    hook::{Hook, HookRecord},
    message::{AccountId, Object},
    settings::FiringSettings,
    store::{
        SharedStore, StoreResult,
        origins::{Origin, Thing},
        secrets::HostKey,
    },
};

/// Writes what was fetched.
pub struct Applier {
    /// Where to.
    pub store: SharedStore,
    /// Seals the secrets of new hooks.
    pub key: Arc<HostKey>,
    /// The account above all others, which is never taken out.
    pub master: AccountId,
    /// The accounts that are known.
    pub accounts: Arc<AccountTree>,
    /// Reads what was written into the account tree and the hook table.
    pub follower: Arc<Follower>,
    /// Which hooks are valid.
    pub firing: Arc<FiringSettings>,
    /// What time it is.
    pub clock: Clock,
    /// The reading of everything that is under way, or was last.
    pub round: AtomicI64,
}

/// What came of documents.
#[derive(Debug, Default)]
pub struct Applied {
    /// Documents that were written.
    pub written: u64,
    /// Documents whose revision was written before.
    pub unchanged: u64,
    /// Things that were taken out.
    pub removed: u64,
    /// Documents that were refused.
    pub refused: Vec<Refused>,
}

impl Applied {
    /// Adds what came of others.
    pub fn add(&mut self, other: Self) {
        self.written += other.written;
        self.unchanged += other.unchanged;
        self.removed += other.removed;
        self.refused.extend(other.refused);
    }
}

impl Applier {
    /// Writes documents of one database, each as a whole; when it returns, the account tree and the hook table have it.
    pub async fn apply(&self, database: &str, documents: Vec<Object>) -> StoreResult<Applied> {
        let documents: Vec<_> =
            documents.into_iter().filter(|document| !id(document).starts_with("_design/")).collect();
        let ids: Vec<String> = documents.iter().map(|document| id(document).to_owned()).collect();
        let before = self.store.came_of(database, &ids).await?;
        let written: HashSet<(&str, &str)> =
            before.iter().map(|origin| (origin.document.as_str(), origin.revision.as_str())).collect();
        let is_written = |document: &Object| {
            let revision = revision(document);
            !revision.is_empty() && !is_gone(document) && written.contains(&(id(document), revision))
        };
        let (same, changed): (Vec<_>, Vec<_>) = documents.into_iter().partition(is_written);
        let round = self.round.load(Ordering::Relaxed);
        let same: HashSet<&str> = same.iter().map(id).collect();
        let (seen, before): (Vec<Origin>, Vec<Origin>) =
            before.iter().cloned().partition(|origin| same.contains(origin.document.as_str()));
        self.store.note_origins(&seen, round).await?;
        let mut applied = Applied { unchanged: same.len().try_into().unwrap_or(u64::MAX), ..Applied::default() };
        if changed.is_empty() {
            return Ok(applied);
        }
        // What came of an account that was deleted here, and is edited there, is to come again.
        for account in changed.iter().filter_map(|document| self.newcomer(document)) {
            self.store.forget_origin(&Thing::Account(account)).await?;
        }
        let now = self.write(database, changed, &mut applied).await?;
        let things: HashSet<&Thing> = now.iter().map(|origin| &origin.thing).collect();
        for origin in before.iter().filter(|origin| !things.contains(&origin.thing)) {
            self.remove(origin).await?;
            applied.removed += 1;
        }
        // Last: a revision that is noted is not looked at again, so all else has to be done by then.
        self.store.note_origins(&now, round).await?;
        self.follower.catch_up().await?;
        Ok(applied)
    }

    /// Takes out what came of a document that is no more.
    pub async fn remove_document(&self, database: &str, document: &str) -> StoreResult<Applied> {
        let gone = json!({"_id": document, "_deleted": true});
        self.apply(database, gone.as_object().cloned().into_iter().collect()).await
    }

    /// Notes that a document was seen, whatever has become of it.
    pub async fn keep_document(&self, database: &str, document: &str) -> StoreResult<()> {
        let origins = self.store.came_of(database, &[document.to_owned()]).await?;
        self.store.note_origins(&origins, self.round.load(Ordering::Relaxed)).await
    }

    /// Writes what comes of the documents, and gives where it came from.
    async fn write(&self, database: &str, documents: Vec<Object>, applied: &mut Applied) -> StoreResult<Vec<Origin>> {
        let documents: Vec<Object> = documents.into_iter().filter(|document| !is_gone(document)).collect();
        let mut revisions: HashMap<String, String> =
            documents.iter().map(|document| (id(document).to_owned(), revision(document).to_owned())).collect();
        let validate = |record: &HookRecord| {
            Hook::from_record(record, &self.firing).map(drop).map_err(|problems| problems.to_string())
        };
        let to = Destination {
            store: &self.store,
            key: &self.key,
            master: &self.master,
            validate: &validate,
            accounts: &self.accounts,
            now_ms: self.clock.now_ms(),
        };
        let report = import::load(documents.into_iter().map(Value::Object).collect(), &to).await?;
        // What was not written whole is tried again when it is seen again.
        for refused in &report.refused {
            revisions.remove(&refused.id);
        }
        let written: HashSet<&str> = report.came.iter().map(|came| came.document.as_str()).collect();
        applied.written += written.len().try_into().unwrap_or(u64::MAX);
        applied.refused.extend(report.refused);
        let origin = |came: import::Came| Origin {
            revision: revisions.get(&came.document).cloned().unwrap_or_default(),
            thing: came.thing,
            account: came.account,
            database: database.to_owned(),
            document: came.document,
        };
        Ok(report.came.into_iter().map(origin).collect())
    }

    /// Takes out what came of a document.
    async fn remove(&self, origin: &Origin) -> StoreResult<()> {
        let now_ms = self.clock.now_ms();
        match &origin.thing {
            Thing::Hook(hook) => drop(self.store.delete_hook(hook, &[], now_ms).await?),
            Thing::Key(hash) => {
                if let Some(key) = self.store.key(hash).await? {
                    self.store.delete_key(&key.account, &key.id).await?;
                }
            }
            Thing::Number(number) => drop(self.store.delete_numbers(std::slice::from_ref(number)).await?),
            Thing::Account(account) if *account == self.master => {
                tracing::warn!(%account, "the master account has gone from CouchDB; it stays here");
            }
            Thing::Account(account) => drop(self.store.delete_account(account, now_ms).await?),
        }
        tracing::info!(
            kind = origin.thing.kind(),
            document = origin.document,
            database = origin.database,
            "gone from CouchDB, and from here"
        );
        self.store.forget_origin(&origin.thing).await
    }

    /// The account whose document this is, when nobody knows it here yet.
    pub fn newcomer(&self, document: &Object) -> Option<AccountId> {
        let is_live = is_account(document) && !is_gone(document) && AccountId::is_valid(id(document));
        is_live.then(|| AccountId::from(id(document))).filter(|account| !self.accounts.contains(account))
    }

    /// The accounts that a document stands on (a hook's owner, an account's ancestors) and that nobody knows here.
    pub fn strangers(&self, document: &Object) -> Vec<AccountId> {
        let owner = match text(document, "pvt_type") {
            _ if is_gone(document) => return Vec::new(),
            Some("webhook") => text(document, "pvt_account_id"),
            Some("number") => text(document, "pvt_assigned_to"),
            _ => None,
        };
        let tree = document.get("pvt_tree").and_then(Value::as_array).filter(|_| is_account(document));
        let ancestors = tree.into_iter().flatten().filter_map(Value::as_str);
        let ids = owner.into_iter().chain(ancestors).filter(|id| AccountId::is_valid(id));
        ids.map(AccountId::from).filter(|id| *id != self.master && !self.accounts.contains(id)).collect()
    }
}

/// A document's `_id`.
pub(super) fn id(document: &Object) -> &str {
    text(document, "_id").unwrap_or_default()
}

/// A document's `_rev`.
pub(super) fn revision(document: &Object) -> &str {
    text(document, "_rev").unwrap_or_default()
}

/// Whether it is an account's document.
pub(super) fn is_account(document: &Object) -> bool {
    text(document, "pvt_type") == Some("account")
}

/// Whether nothing is to come of it: a document that is no more, or a number that nobody has.
pub(super) fn is_gone(document: &Object) -> bool {
    let is_spare = text(document, "pvt_type") == Some("number") && text(document, "pvt_assigned_to").is_none();
    is_deleted(document) || is_spare
}
