//! Accounts: `/v2/accounts/{account_id}`, as KAZOO's `cb_accounts`. Where they stand in the tree is in
//! [`tree`], what their documents may hold in [`document`].
//!
//! Changes of accounts on this node are made one at a time ([`super::Api::tree_changes`]), so that no two accounts get
//! the same realm and no child a reseller that has just ceased to be one. Between nodes that share a store, only what
//! the store checks in its transactions is certain: revisions, parents, subtrees that are whole.

pub mod bodies;
pub mod document;
pub mod tree;

use axum::{extract::State, http::HeaderMap};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    bodies::{AccountBody, MadeAccount, NewAccount, StoredAccount},
    document::shown,
};
use super::{
    Api, Shared,
    answer::Answer,
    auth::{Caller, InAccount},
    data::{Data, Fields},
    described::{AnyObject, Envelope, Problems, Success},
    front::RequestId,
    problem::Problem,
    webhooks::must_match,
};
use crate::{
    account::{Account, AccountRecord, tree_change},
    message::{AccountId, Object},
    notice::{self, Change, Notice, Sender},
    store::{AttemptQuery, DeadLetterQuery, Saved},
};

/// What the key is called that an account gets when it is made.
const FIRST_KEY: &str = "first";
/// Records read at once.
const PAGE_ROWS: u32 = 1000;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show, create, replace, change, delete)).merge(tree::routes())
}

/// Fetch an account.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}", tag = "accounts",
    params(("account_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The account", body = Success<StoredAccount>), Problems),
)]
async fn show(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    Ok(answer(&api.account_of(&account).await?))
}

/// Make an account below another, with a key. The key is answered here, and never again.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}", tag = "accounts",
    params(("account_id" = String, Path, description = "Below which")),
    request_body = Envelope<NewAccount>,
    responses((status = 201, description = "It is made", body = Success<MadeAccount>), Problems),
)]
async fn create(
    State(api): State<Shared>,
    InAccount { account: parent, caller }: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let id = wanted_id(&data)?;
    let document = document::whole(data, api.settings.account_bytes_max)?;
    let turn = api.tree_changes.lock().await;
    let parent = api.account_of(&parent).await?;
    api.must_be_free(&id, &caller).await?;
    api.realm_must_be_free(&document, &id).await?;
    let tree = [parent.account.tree.as_slice(), std::slice::from_ref(&parent.account.id)].concat();
    let resellers = api.resellers_among(&tree).await?;
    let record = AccountRecord {
        account: Account {
            id,
            name: name_of(&document),
            reseller: tree_change::nearest_reseller(&tree, |ancestor| resellers.contains(ancestor)),
            tree,
        },
        is_reseller: false,
        document,
        revision: 1,
        created_ms: api.clock.now_ms(),
    };
    api.must_not_be_too_deep(std::slice::from_ref(&record))?;
    let record = save(&api, record, None, &request).await?;
    drop(turn);
    // When this fails the account is there all the same, without a key: one can be made for it.
    let (key, _) = api.make_key(&record.account.id, FIRST_KEY).await?;
    let mut made = shown(&record);
    made.insert("api_key".into(), json!(key));
    Ok(Answer::of(made).created(record.account.id.as_str()).revision(record.revision))
}

/// Replace an account's document. Its place, its keys and its hooks stay.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}", tag = "accounts",
    params(
        ("account_id" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when the account is at this revision"),
    ),
    request_body = Envelope<AccountBody>,
    responses((status = 200, description = "The account as it is now", body = Success<StoredAccount>), Problems),
)]
async fn replace(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    headers: HeaderMap,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let document = document::whole(data, api.settings.account_bytes_max)?;
    let _turn = api.tree_changes.lock().await;
    let stored = api.account_of(&account).await?;
    must_match(&headers, stored.revision)?;
    edit(&api, stored, document, &request).await
}

/// Change some fields of an account: each replaces what was there, null removes it.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}", tag = "accounts",
    params(
        ("account_id" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when the account is at this revision"),
    ),
    request_body(content = Envelope<AnyObject>, example = json!({"data": {"name": "Acme North"}})),
    responses((status = 200, description = "The account as it is now", body = Success<StoredAccount>), Problems),
)]
async fn change(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    headers: HeaderMap,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let _turn = api.tree_changes.lock().await;
    let stored = api.account_of(&account).await?;
    must_match(&headers, stored.revision)?;
    let document = document::merged(&stored.document, data, api.settings.account_bytes_max)?;
    edit(&api, stored, document, &request).await
}

/// Delete an account and all accounts below it, with their hooks, keys, numbers, settings and jobs. Nobody deletes the
/// account by whose key or token they call.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}", tag = "accounts",
    params(
        ("account_id" = String, Path, description = "At the top of what is deleted"),
        ("If-Match" = Option<String>, Header, description = "Only when the account is at this revision"),
    ),
    responses((status = 200, description = "The account as it was last", body = Success<StoredAccount>), Problems),
)]
async fn delete(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    headers: HeaderMap,
    request: RequestId,
) -> Result<Answer, Problem> {
    // The master account is nobody else's to delete: who may act for it is of it.
    if account == caller.account || account == api.master {
        return Err(Problem::forbidden());
    }
    let _turn = api.tree_changes.lock().await;
    let stored = api.account_of(&account).await?;
    must_match(&headers, stored.revision)?;
    let sender = api.sender(&request);
    let mut gone = api.subtree(stored.clone()).await?;
    // All at once; then those that another node put below one of them meanwhile. Below what is gone nothing is made.
    while !gone.is_empty() {
        let ids: Vec<AccountId> = gone.iter().map(|record| record.account.id.clone()).collect();
        let notices = notices(gone.iter(), Change::Deleted, &sender);
        api.store.delete_accounts(&ids, &notices, sender.now_ms).await?;
        gone = api.below(&account).await?;
    }
    api.changed().await?;
    let mut shown = shown(&stored);
    shown.insert("_read_only".into(), json!({"deleted": true}));
    Ok(Answer::of(shown))
}

/// The id that a new account is to have: the one that was asked for, or 32 hex digits.
fn wanted_id(data: &Object) -> Result<AccountId, Problem> {
    let mut fields = Fields::of(data);
    let wanted = fields.text("id");
    if let Some(id) = wanted.filter(|id| !AccountId::is_valid(id)) {
        let message = "Field is not in the correct format; use 32 hex digits, or 1 to 64 of a-z 0-9 _ -";
        fields.wrong("id", "wrong_format", message, json!({"value": id}));
    }
    fields.finish()?;
    Ok(wanted.map_or_else(|| hex::encode(rand::random::<[u8; 16]>()).into(), AccountId::from))
}

fn name_of(document: &Object) -> String {
    document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn answer(record: &AccountRecord) -> Answer {
    Answer::of(shown(record)).revision(record.revision)
}

/// Saves a document over the one that was read.
async fn edit(api: &Shared, stored: AccountRecord, document: Object, request: &RequestId) -> Result<Answer, Problem> {
    api.realm_must_be_free(&document, &stored.account.id).await?;
    let based_on = stored.revision;
    let account = Account { name: name_of(&document), ..stored.account };
    let record = AccountRecord { account, document, ..stored };
    Ok(answer(&save(api, record, Some(based_on), request).await?))
}

/// Writes an account, tells of it, and has this node obey it before the caller is answered.
async fn save(
    api: &Shared,
    mut record: AccountRecord,
    based_on: Option<i64>,
    request: &RequestId,
) -> Result<AccountRecord, Problem> {
    let sender = api.sender(request);
    let (change, revision) = match based_on {
        None => (Change::Created, 1),
        Some(based_on) => (Change::Edited, based_on + 1),
    };
    let notices = notice::of_account(&record, revision, change, &sender);
    match api.store.save_account(&record, based_on, &notices, sender.now_ms).await? {
        Saved::Done(revision) => {
            api.changed().await?;
            record.revision = revision;
            Ok(record)
        }
        Saved::Conflict => Err(Problem::conflict()),
    }
}

/// What is told of accounts that change together. Each record has the revision that it had before.
fn notices<'a>(records: impl Iterator<Item = &'a AccountRecord>, change: Change, sender: &Sender<'_>) -> Vec<Notice> {
    records.flat_map(|record| notice::of_account(record, record.revision + 1, change, sender)).collect()
}

impl Api {
    /// The account's record.
    pub(super) async fn account_of(&self, account: &AccountId) -> Result<AccountRecord, Problem> {
        self.store.account(account).await?.ok_or_else(|| Problem::unknown(account.as_str()))
    }

    /// The records of the accounts below.
    async fn below(&self, top: &AccountId) -> Result<Vec<AccountRecord>, Problem> {
        let mut records: Vec<AccountRecord> = Vec::new();
        loop {
            let after = records.last().map(|record| record.account.id.clone());
            let page = self.store.accounts_below(top, false, after.as_ref(), PAGE_ROWS).await?;
            if page.is_empty() {
                return Ok(records);
            }
            records.extend(page);
        }
    }

    /// An account's record, and after it those of the accounts below.
    async fn subtree(&self, top: AccountRecord) -> Result<Vec<AccountRecord>, Problem> {
        let below = self.below(&top.account.id).await?;
        Ok(std::iter::once(top).chain(below).collect())
    }

    /// 409 when there is an account of this id. An id that was another's once is the operator's alone to give, as long
    /// as attempts or dead letters of that other one are kept: they would be the new one's to read.
    async fn must_be_free(&self, id: &AccountId, caller: &Caller) -> Result<(), Problem> {
        if self.store.account(id).await?.is_some() {
            return Err(Problem::in_the_way("there is an account of this id; choose another, or leave it out"));
        }
        if caller.is_super {
            return Ok(());
        }
        let letters = DeadLetterQuery { owner: Some(id.clone()), ..DeadLetterQuery::newest(1) };
        let is_unused = self.store.attempts(&AttemptQuery::newest(id.clone(), None, 1)).await?.is_empty()
            && self.store.dead_letters(&letters).await?.is_empty();
        match is_unused {
            true => Ok(()),
            false => {
                let message =
                    "an account of this id was deleted, and its attempts are kept; choose another, or leave it out";
                Err(Problem::in_the_way(message))
            }
        }
    }

    /// 400 when another account has the document's realm.
    async fn realm_must_be_free(&self, document: &Object, own: &AccountId) -> Result<(), Problem> {
        let Some(realm) = document::realm(document) else { return Ok(()) };
        let holders = self.store.accounts_named("realm", realm).await?;
        match holders.iter().all(|holder| holder == own) {
            true => Ok(()),
            false => {
                let message = "Account realm already in use";
                Err(Problem::invalid_with("realm", "unique", message, json!({"cause": realm})))
            }
        }
    }

    /// 409 when one of them would stand too deep in the tree.
    fn must_not_be_too_deep(&self, records: &[AccountRecord]) -> Result<(), Problem> {
        let most = self.settings.tree_depth_max;
        match tree_change::depth(records) as u64 <= most {
            true => Ok(()),
            false => {
                let message = format!("the tree of accounts would have over {most} levels (api.tree_depth_max)");
                Err(Problem::in_the_way(&message))
            }
        }
    }
}
