//! Keeps what there is here in step with what there is in CouchDB.
//!
//! The life of the part: read everything, then follow the notices; when notices may have been missed, when CouchDB could
//! not be read, or when `kazoo.couchdb_reread_s` have passed, read everything again. CouchDB's absence is nobody's fault
//! here: the host works on with what the store has, `/readyz` and the log say so, and it is tried again with a growing
//! pause, for ever.
//!
//! Reading everything goes in pages, accounts before what belongs to them. What it has not seen is not taken as gone:
//! each such document is asked for by its id, and goes when CouchDB says so.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, Notify, mpsc, watch};

use super::{
    ACCOUNTS, HOOKS, KazooError, NUMBERS,
    applying::{Applied, Applier, id, is_account, is_gone, revision},
    couchdb::{CouchDb, CouchDbError, Next},
    import::text,
    meeting::Meetings,
    notice::{Changed, generation},
};
use crate::{
    error_chain::chain,
    ingress::doubling_pause,
    message::{AccountId, Object},
    settings::KazooSettings,
};

/// How long the first reading waits for notices to be heard, so that nothing falls between the two.
const LISTENER_WAIT: Duration = Duration::from_secs(1);
/// How often a document is fetched that is older than its notice: a cluster's nodes differ for a moment.
const FETCHES_MAX: u64 = 6;
/// The pause before the second fetch, ms; doubled with each.
const FETCH_PAUSE_MS: u64 = 20;
/// Accounts above one that are asked for; KAZOO's trees are a handful deep.
const STRANGERS_MAX: usize = 64;
/// Documents asked for at once that no reading has seen.
const UNSEEN_ROWS: u32 = 500;

/// How it stands with CouchDB, for `/readyz` and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderState {
    /// `kazoo.couchdb_url` is unset.
    Off,
    /// It is being read for the first time.
    Reading,
    /// It cannot be read; with the reason. What the store has is worked with.
    Away(String),
    /// What there is in CouchDB is here.
    Fresh,
}

/// Reads CouchDB.
pub struct Reader {
    /// From where.
    pub couchdb: Arc<CouchDb>,
    /// To where.
    pub applier: Applier,
    /// Notices, as they are heard.
    pub notices: Mutex<mpsc::Receiver<Object>>,
    /// Rung when notices begin to be heard, or were missed.
    pub missed: Arc<Notify>,
    /// Whether there are notices at all (`amqp.url`).
    pub listens: bool,
    /// Told of each change.
    pub state: watch::Sender<ReaderState>,
    /// Accounts whose hooks are not there yet.
    pub meetings: Meetings,
    /// Held from a fetch to the end of its writing.
    pub turn: Mutex<()>,
    /// `kazoo.couchdb_reread_s`.
    pub reread: Duration,
    /// `kazoo.couchdb_retry_pause_ms_max`.
    pub retry_pause_ms_max: u64,
}

impl Reader {
    /// A reader by these settings, and where the listener puts what it hears.
    pub fn new(
        settings: &KazooSettings,
        couchdb: Arc<CouchDb>,
        applier: Applier,
        listens: bool,
    ) -> (Self, mpsc::Sender<Object>) {
        let notices_max = usize::try_from(settings.couchdb_notices_max).unwrap_or(usize::MAX);
        let (heard, notices) = mpsc::channel(notices_max);
        let reader = Self {
            couchdb,
            applier,
            notices: Mutex::new(notices),
            missed: Arc::default(),
            listens,
            state: watch::Sender::new(ReaderState::Reading),
            meetings: Meetings::default(),
            turn: Mutex::default(),
            reread: Duration::from_secs(settings.couchdb_reread_s),
            retry_pause_ms_max: settings.couchdb_retry_pause_ms_max,
        };
        (reader, heard)
    }

    /// Reads everything, then follows the notices; again and again.
    pub async fn run(&self) -> Result<(), Infallible> {
        let mut notices = self.notices.lock().await;
        if self.listens && *self.state.borrow() == ReaderState::Reading {
            let _ = tokio::time::timeout(LISTENER_WAIT, self.missed.notified()).await;
        }
        let mut failures = 0;
        loop {
            let ended = match self.read_all().await {
                Ok(()) => {
                    failures = 0;
                    self.follow(&mut notices).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                self.away(&error);
                let most_ms = self.retry_pause_ms_max;
                let pause = doubling_pause(failures, (most_ms / 20).max(1), most_ms);
                failures += 1;
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Waits until the first reading has ended, well or not.
    pub async fn first_reading(&self) {
        let _ = self.state.subscribe().wait_for(|state| *state != ReaderState::Reading).await;
    }

    /// Says once that CouchDB is away.
    fn away(&self, error: &KazooError) {
        let reason = chain(error);
        if !matches!(*self.state.borrow(), ReaderState::Away(_)) {
            tracing::warn!(%reason, "KAZOO's documents cannot be read; working with what the store has, trying on");
        }
        self.state.send_replace(ReaderState::Away(reason));
    }

    /// Fetches what notices name, until everything is to be read again.
    async fn follow(&self, notices: &mut mpsc::Receiver<Object>) -> Result<(), KazooError> {
        let reread = tokio::time::sleep(self.reread);
        tokio::pin!(reread);
        loop {
            tokio::select! {
                biased;
                () = self.missed.notified() => return Ok(()),
                () = &mut reread => return Ok(()),
                notice = notices.recv() => match notice {
                    Some(notice) => self.heard(&notice).await?,
                    // Nobody listens.
                    None => tokio::select! {
                        () = self.missed.notified() => return Ok(()),
                        () = &mut reread => return Ok(()),
                    },
                },
            }
        }
    }

    /// Fetches the document that a notice names, and makes it be here too.
    async fn heard(&self, notice: &Object) -> Result<(), KazooError> {
        let Some(changed) = Changed::of_notice(notice) else { return Ok(()) };
        let Changed { database, document, .. } = &changed;
        let _turn = self.turn.lock().await;
        let applied = match self.fetch(&changed).await? {
            None => self.applier.remove_document(database, document).await?,
            Some(fetched) => {
                let mut newcomers = self.fetch_strangers(&fetched).await?;
                match self.applier.newcomer(&fetched) {
                    Some(_) => {
                        newcomers.push(fetched);
                        self.welcome(newcomers).await?
                    }
                    None => {
                        self.welcome(newcomers).await?;
                        self.applier.apply(database, vec![fetched]).await?
                    }
                }
            }
        };
        for refused in &applied.refused {
            tracing::warn!(database, document = refused.id, reason = refused.reason, "a document of KAZOO is refused");
        }
        Ok(())
    }

    /// A document, at least as new as its notice, unless CouchDB goes on showing an older one.
    async fn fetch(&self, changed: &Changed) -> Result<Option<Object>, CouchDbError> {
        let wanted = changed.revision.as_deref().map_or(0, generation);
        let mut fetches = 0;
        loop {
            let fetched = self.couchdb.document(&changed.database, &changed.document).await?;
            let is_old = match &fetched {
                Some(fetched) => generation(revision(fetched)) < wanted,
                None => !changed.is_deleted,
            };
            fetches += 1;
            if !is_old {
                return Ok(fetched);
            }
            if fetches >= FETCHES_MAX {
                let Changed { database, document, .. } = changed;
                tracing::warn!(database, document, "CouchDB shows a document older than its notice; taken as it is");
                return Ok(fetched);
            }
            tokio::time::sleep(doubling_pause(fetches - 1, FETCH_PAUSE_MS, FETCH_PAUSE_MS << FETCHES_MAX)).await;
        }
    }

    /// Fetches the accounts that a document stands on and that nobody knows here: an owner, and all above it.
    async fn fetch_strangers(&self, document: &Object) -> Result<Vec<Object>, KazooError> {
        let mut wanted = self.applier.strangers(document);
        let (mut fetched, mut asked) = (Vec::new(), Vec::new());
        while let Some(account) = wanted.pop().filter(|_| asked.len() < STRANGERS_MAX) {
            if asked.contains(&account) {
                continue;
            }
            let found = self.couchdb.document(ACCOUNTS, account.as_str()).await?.filter(is_live_account);
            asked.push(account);
            wanted.extend(found.iter().flat_map(|found| self.applier.strangers(found)));
            fetched.extend(found);
        }
        Ok(fetched)
    }

    /// Writes accounts that nobody knew, and their hooks. Until both are there, their messages wait.
    async fn welcome(&self, accounts: Vec<Object>) -> Result<Applied, KazooError> {
        let ids: Vec<AccountId> = accounts.iter().map(|account| AccountId::from(id(account))).collect();
        if ids.is_empty() {
            return Ok(Applied::default());
        }
        let _meeting = self.meetings.begin(ids.clone());
        let applied = self.applier.apply(ACCOUNTS, accounts).await?;
        for account in &ids {
            self.read_hooks_of(account).await?;
        }
        Ok(applied)
    }

    /// Asks for an account that is not known: with those above it and with the hooks of all of them. Whether it is known
    /// now.
    pub async fn meet(&self, account: &AccountId) -> Result<bool, KazooError> {
        // Most that are asked for here are not there, which is found without waiting for one's turn.
        if self.couchdb.document(ACCOUNTS, account.as_str()).await?.is_none_or(|found| !is_live_account(&found)) {
            return Ok(false);
        }
        let _turn = self.turn.lock().await;
        let Some(found) = self.couchdb.document(ACCOUNTS, account.as_str()).await? else { return Ok(false) };
        let mut accounts = self.fetch_strangers(&found).await?;
        accounts.push(found);
        self.welcome(accounts).await?;
        Ok(self.applier.accounts.contains(account))
    }

    /// Reads the hooks of one account, by the view that KAZOO has for it; without the view, by looking at all.
    async fn read_hooks_of(&self, account: &AccountId) -> Result<(), KazooError> {
        let mut next: Option<Next> = None;
        loop {
            let view = ("webhooks", "accounts_listing");
            let found = match self.couchdb.found_by(HOOKS, view, account.as_str(), next.as_ref()).await {
                Err(CouchDbError::NoDatabase { .. }) => return Ok(()),
                found => found?,
            };
            let mut page = match found {
                Some(page) => page,
                None => self.couchdb.documents(HOOKS, next.as_ref()).await?,
            };
            page.documents.retain(|document| text(document, "pvt_account_id") == Some(account.as_str()));
            self.applier.apply(HOOKS, page.documents).await?;
            match page.next {
                Some(from) => next = Some(from),
                None => return Ok(()),
            }
        }
    }

    /// Reads everything, and takes out what has gone.
    pub async fn read_all(&self) -> Result<(), KazooError> {
        let round = self.applier.store.new_round().await?;
        self.applier.round.store(round, Ordering::Relaxed);
        let accounts = self.read_accounts().await?;
        let hooks = match self.read_database(HOOKS).await {
            Err(KazooError::CouchDb(error @ CouchDbError::NoDatabase { .. })) => {
                tracing::warn!(%error, "no hooks are read");
                Applied::default()
            }
            read => read?,
        };
        let mut numbers = Applied::default();
        for database in self.couchdb.databases(NUMBERS).await? {
            numbers.add(self.read_database(&database).await?);
        }
        let removed = self.remove_unseen(round).await?;
        for (what, read) in [("accounts", accounts), ("numbers", numbers), ("hooks", hooks)] {
            let Applied { written, unchanged, removed, refused } = read;
            tracing::info!(what, written, unchanged, removed, refused = refused.len(), "KAZOO's documents read");
            if let Some(first) = refused.first() {
                let (document, reason) = (&first.id, &first.reason);
                tracing::warn!(
                    what,
                    refused = refused.len(),
                    document,
                    reason,
                    "documents of KAZOO are refused; the first of them"
                );
            }
            for refused in refused.iter().skip(1) {
                tracing::debug!(document = refused.id, reason = refused.reason, "a document of KAZOO is refused");
            }
        }
        tracing::info!(removed, "in step with CouchDB");
        self.state.send_replace(ReaderState::Fresh);
        Ok(())
    }

    /// Reads a database, page by page.
    async fn read_database(&self, database: &str) -> Result<Applied, KazooError> {
        let (mut applied, mut next) = (Applied::default(), None);
        loop {
            let _turn = self.turn.lock().await;
            let page = self.couchdb.documents(database, next.as_ref()).await?;
            applied.add(self.applier.apply(database, page.documents).await?);
            match page.next {
                Some(from) => next = Some(from),
                None => return Ok(applied),
            }
        }
    }

    /// Reads the accounts. A child may be on a page before its parent's: those are put off, by their ids alone, and
    /// fetched again when all parents are there, in the order of the tree.
    async fn read_accounts(&self) -> Result<Applied, KazooError> {
        let (mut applied, mut next) = (Applied::default(), None);
        let mut put_off: Vec<(usize, String)> = Vec::new();
        loop {
            let _turn = self.turn.lock().await;
            let page = self.couchdb.documents(ACCOUNTS, next.as_ref()).await?;
            let (ready, early): (Vec<_>, Vec<_>) =
                page.documents.into_iter().partition(|document| self.applier.strangers(document).is_empty());
            put_off.extend(early.iter().map(|document| (depth(document), id(document).to_owned())));
            applied.add(self.applier.apply(ACCOUNTS, ready).await?);
            match page.next {
                Some(from) => next = Some(from),
                None => break,
            }
        }
        put_off.sort_unstable();
        let ids: Vec<String> = put_off.into_iter().map(|(_, id)| id).collect();
        for some in ids.chunks(self.couchdb.page_rows().max(1)) {
            let _turn = self.turn.lock().await;
            let documents = self.couchdb.documents_of(ACCOUNTS, some).await?;
            applied.add(self.applier.apply(ACCOUNTS, documents).await?);
        }
        Ok(applied)
    }

    /// Takes out what came of documents that this round has not seen, when CouchDB says of each that it is not there.
    async fn remove_unseen(&self, round: i64) -> Result<u64, KazooError> {
        let mut removed = 0;
        loop {
            let unseen = self.applier.store.unseen_since(round, UNSEEN_ROWS).await?;
            if unseen.is_empty() {
                return Ok(removed);
            }
            for (database, document) in unseen {
                let _turn = self.turn.lock().await;
                removed += match self.couchdb.document(&database, &document).await {
                    Ok(None) => self.applier.remove_document(&database, &document).await?.removed,
                    Ok(Some(found)) => self.applier.apply(&database, vec![found]).await?.removed,
                    // A whole database that is not there is more likely a mistake than a removal.
                    Err(CouchDbError::NoDatabase { .. }) => {
                        self.applier.keep_document(&database, &document).await?;
                        0
                    }
                    Err(error) => return Err(error.into()),
                };
            }
        }
    }
}

/// An account's document that is not marked as deleted.
fn is_live_account(document: &Object) -> bool {
    is_account(document) && !is_gone(document)
}

/// How far an account is from its root.
fn depth(document: &Object) -> usize {
    document.get("pvt_tree").and_then(serde_json::Value::as_array).map_or(0, Vec::len)
}
