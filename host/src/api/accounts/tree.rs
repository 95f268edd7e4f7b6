//! Where accounts stand: who is above and below, moving, and who is a reseller. Moves and resellers are the operator's.

use std::collections::BTreeSet;

use axum::extract::State;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer,
    bodies::{AccountSummary, Move, StoredAccount},
    document, notices,
};
use crate::{
    account::{AccountRecord, tree_change},
    api::{
        Api, Shared,
        answer::Answer,
        auth::{Caller, InAccount},
        data::{Data, Fields},
        described::{Envelope, Pages, Problems, Success},
        filters::Times,
        front::RequestId,
        paging::Paging,
        problem::Problem,
        query::Query,
    },
    clock::gregorian_s,
    message::AccountId,
    notice::Change,
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(children))
        .routes(routes!(descendants))
        .routes(routes!(parents))
        .routes(routes!(move_to))
        .routes(routes!(promote, demote))
}

/// List the accounts directly below an account.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/children", tag = "accounts",
    params(("account_id" = String, Path, description = "Below which"), Pages),
    responses((status = 200, description = "A page, in order of ids", body = Success<Vec<AccountSummary>>), Problems),
)]
async fn children(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    below(&api, &account, &caller, true, &paging, &query).await
}

/// List the accounts below an account, at any depth.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/descendants", tag = "accounts",
    params(("account_id" = String, Path, description = "Below which"), Pages),
    responses((status = 200, description = "A page, in order of ids", body = Success<Vec<AccountSummary>>), Problems),
)]
async fn descendants(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    below(&api, &account, &caller, false, &paging, &query).await
}

/// List the accounts above an account, the topmost first: from the caller's own account down.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/parents", tag = "accounts",
    params(("account_id" = String, Path, description = "Above which")),
    responses((status = 200, description = "All that the caller may see", body = Success<Vec<AccountSummary>>), Problems),
)]
async fn parents(State(api): State<Shared>, InAccount { account, caller }: InAccount) -> Result<Answer, Problem> {
    let record = api.account_of(&account).await?;
    let mut parents = Vec::new();
    for id in visible(&record.account.tree, &account, &caller) {
        if let Some(parent) = api.store.account(id).await? {
            parents.push(summary(&parent, &caller));
        }
    }
    Ok(Answer::list(parents))
}

/// Move an account, with all that are below it, below another one. Resellers are worked out anew.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/move", tag = "accounts",
    params(("account_id" = String, Path, description = "Which")),
    request_body = Envelope<Move>,
    responses((status = 200, description = "The account as it is now", body = Success<StoredAccount>), Problems),
)]
async fn move_to(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    let mut fields = Fields::of(&data);
    let to = AccountId::from(fields.required_text("to", 64));
    fields.finish()?;
    if account == api.master {
        return Err(Problem::in_the_way("the master account stands above all others"));
    }
    let _turn = api.tree_changes.lock().await;
    let Some(parent) = api.store.account(&to).await? else {
        return Err(Problem::invalid_with("to", "not_found", "there is no such account", json!({"cause": to})));
    };
    if to == account || parent.account.tree.contains(&account) {
        let message = "an account cannot be moved below itself";
        return Err(Problem::invalid_with("to", "invalid", message, json!({"cause": to})));
    }
    let top = api.account_of(&account).await?;
    let above = [parent.account.tree.as_slice(), std::slice::from_ref(&to)].concat();
    place(&api, top, &above, |_| (), &request).await
}

/// Make an account a reseller: the one of all below it that have none nearer.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}/reseller", tag = "accounts",
    params(("account_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The account as it is now", body = Success<StoredAccount>), Problems),
)]
async fn promote(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    request: RequestId,
) -> Result<Answer, Problem> {
    mark(&api, &account, &caller, true, &request).await
}

/// Make an account a reseller no more: all below it get the next one above.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/reseller", tag = "accounts",
    params(("account_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The account as it is now", body = Success<StoredAccount>), Problems),
)]
async fn demote(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    request: RequestId,
) -> Result<Answer, Problem> {
    if account == api.master {
        caller.must_be_super()?;
        return Err(Problem::in_the_way("the master account is the reseller of all that have no other"));
    }
    mark(&api, &account, &caller, false, &request).await
}

async fn mark(
    api: &Shared,
    account: &AccountId,
    caller: &Caller,
    is_reseller: bool,
    request: &RequestId,
) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    let _turn = api.tree_changes.lock().await;
    let top = api.account_of(account).await?;
    let above = top.account.tree.clone();
    place(api, top, &above, |top| top.is_reseller = is_reseller, request).await
}

/// Writes a subtree at its place, all of it or nothing, and tells of those that are not as they were.
async fn place(
    api: &Shared,
    top: AccountRecord,
    above: &[AccountId],
    mark: impl FnOnce(&mut AccountRecord),
    request: &RequestId,
) -> Result<Answer, Problem> {
    let before = api.subtree(top).await?;
    let mut marked = before.clone();
    if let Some(top) = marked.first_mut() {
        mark(top);
    }
    let after = tree_change::placed(&marked, above, &api.resellers_among(above).await?);
    api.must_not_be_too_deep(&after)?;
    let sender = api.sender(request);
    let notices = notices(tree_change::concerned(&before, &after), Change::Edited, &sender);
    if !api.store.save_accounts(&after, &notices, sender.now_ms).await? {
        return Err(Problem::conflict());
    }
    api.changed().await?;
    match before.first() {
        Some(top) => Ok(answer(&api.account_of(&top.account.id).await?)),
        None => Err(Problem::internal()),
    }
}

async fn below(
    api: &Shared,
    account: &AccountId,
    caller: &Caller,
    children_only: bool,
    paging: &Paging,
    query: &Query,
) -> Result<Answer, Problem> {
    let filters = query.filters();
    let mut after: Option<AccountId> = paging.after()?;
    let mut entries = Vec::new();
    // With filters a page may take several looks; without, one.
    loop {
        let rows = api.store.accounts_below(account, children_only, after.as_ref(), paging.rows_to_fetch()).await?;
        let is_last = rows.len() < paging.page_size + 1;
        after = rows.last().map(|record| record.account.id.clone());
        let kept = rows.into_iter().filter(|record| {
            let times = Times { created_s: Some(gregorian_s(record.created_ms)), modified_s: None };
            filters.pass(&document::shown(record), times)
        });
        entries.extend(kept.map(|record| (record.account.id.clone(), summary(&record, caller))));
        if is_last || entries.len() > paging.page_size {
            break;
        }
    }
    let (data, page) = paging.cut(entries)?;
    Ok(Answer::page(data, page))
}

fn summary(record: &AccountRecord, caller: &Caller) -> Value {
    let account = &record.account;
    let mut summary = json!({
        "id": account.id,
        "name": account.name,
        "is_reseller": record.is_reseller,
        "tree": visible(&account.tree, &account.id, caller),
    });
    if let Some(realm) = document::realm(&record.document) {
        summary["realm"] = json!(realm);
    }
    summary
}

/// What a caller may see of an account's tree: from its own account down; nothing above its own account.
fn visible<'a>(tree: &'a [AccountId], account: &AccountId, caller: &Caller) -> &'a [AccountId] {
    if caller.is_super {
        return tree;
    }
    if *account == caller.account {
        return &[];
    }
    let at = tree.iter().position(|ancestor| *ancestor == caller.account);
    at.and_then(|at| tree.get(at..)).unwrap_or_default()
}

impl Api {
    /// Those of the accounts that are resellers.
    pub(super) async fn resellers_among(&self, ids: &[AccountId]) -> Result<BTreeSet<AccountId>, Problem> {
        let mut resellers = BTreeSet::new();
        for id in ids {
            if self.store.account(id).await?.is_some_and(|record| record.is_reseller) {
                resellers.insert(id.clone());
            }
        }
        Ok(resellers)
    }
}
