//! An account's hooks: `/v2/accounts/{account_id}/webhooks`, as KAZOO's `cb_webhooks`, and better where it is at fault:
//! whose hook it is, is asked on every call.

pub mod bodies;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, header},
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::bodies::{HookBody, HookSummary, StoredHook};
use super::{
    Shared,
    answer::Answer,
    auth::{Caller, InAccount},
    data::Data,
    described::{AnyObject, Envelope, Pages, Problems, Success},
    filters::Times,
    front::{self, RequestId},
    paging::Paging,
    problem::Problem,
    query::Query,
};
use crate::{
    attempt::re_enable,
    clock::gregorian_s,
    firing::signature::Secret,
    hook::{HookProblems, HookRecord, SealedSecret, document::Completed, editing},
    message::{AccountId, HookId, Object},
    notice::{self, Change, Sender},
    store::Saved,
};

/// Hooks that are read at once when a filter may pass over many.
const ROWS_FILTERED_AT_ONCE: u32 = 1000;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create, re_enable_own))
        .routes(routes!(re_enable_descendants))
        .routes(routes!(show, replace, change, delete))
}

/// List an account's hooks.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks", tag = "webhooks",
    params(("account_id" = String, Path, description = "Whose hooks"), Pages),
    responses((status = 200, description = "A page of hooks, in order of their ids", body = Success<Vec<HookSummary>>), Problems),
)]
async fn list(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    let filters = query.filters();
    let mut after: Option<HookId> = paging.after()?;
    let mut entries = Vec::new();
    let looks_max = u32::try_from(api.settings.list_looks_max).unwrap_or(u32::MAX);
    // With filters a page may take several looks; without, one.
    let rows_at_once = match filters.is_empty() {
        true => paging.rows_to_fetch(),
        false => paging.rows_to_fetch().max(ROWS_FILTERED_AT_ONCE.min(looks_max)),
    };
    let mut looks_left = looks_max;
    loop {
        let rows = api.store.hooks_of(&account, after.as_ref(), rows_at_once).await?;
        let is_last = rows.len() < rows_at_once as usize;
        after = rows.last().map(|record| record.id.clone());
        looks_left = looks_left.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        let kept = rows.into_iter().filter(|record| filters.pass(&editing::shown(record), times(record)));
        entries.extend(kept.map(|record| (record.id.clone(), Value::Object(editing::summary(&record)))));
        if is_last || entries.len() > paging.page_size {
            break;
        }
        if looks_left == 0 && !paging.whole {
            // Enough for one call; the next one goes on behind what was looked at.
            let page = paging.ended_after(entries.len(), after.as_ref());
            return Ok(Answer::page(entries.into_iter().map(|(_, summary)| summary).collect(), page));
        }
    }
    let (data, page) = paging.cut(entries)?;
    Ok(Answer::page(data, page))
}

/// Make a hook. Its secret is answered here, and never again.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}/webhooks", tag = "webhooks",
    params(("account_id" = String, Path, description = "Whose hook it will be")),
    request_body = Envelope<HookBody>,
    responses((status = 201, description = "It is made, and active on every node", body = Success<StoredHook>), Problems),
)]
async fn create(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let Completed { document, secret } = api.checked(&account, &caller, |rules| rules.whole(data, None))?;
    let most = api.settings.hooks_per_account_max;
    if api.store.hook_count(&account).await? >= most {
        let message = format!("the account has {most} hooks (api.hooks_per_account_max); delete one first");
        return Err(Problem::in_the_way(&message));
    }
    let id = HookId::from(hex::encode(rand::random::<[u8; 16]>()));
    let secret = secret_of(secret.as_deref());
    let record = HookRecord {
        secrets: vec![api.sealed(&id, &secret)?],
        id,
        account,
        document,
        disabled_message: None,
        revision: 1,
        created_ms: api.clock.now_ms(),
    };
    save(&api, &record, None, &request).await?;
    let mut shown = editing::shown(&record);
    shown.insert("secret".into(), json!(secret.to_text()));
    Ok(Answer::of(shown).created(record.id.as_str()).revision(1))
}

/// Enable again the account's hooks that were disabled for failing.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}/webhooks", tag = "webhooks",
    params(("account_id" = String, Path, description = "Whose hooks")),
    request_body = Envelope<ReEnable>,
    responses((status = 200, description = "Done; hooks that were disabled by hand stay so", body = Success<String>), Problems),
)]
async fn re_enable_own(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    re_enable_in(&api, &data, vec![account], &request).await
}

/// Enable again the hooks of the account and of all below it that were disabled for failing.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}/descendants/webhooks", tag = "webhooks",
    params(("account_id" = String, Path, description = "At the top of whose tree")),
    request_body = Envelope<ReEnable>,
    responses((status = 200, description = "Done; hooks that were disabled by hand stay so", body = Success<String>), Problems),
)]
async fn re_enable_descendants(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let mut accounts = api.accounts.descendants(&account);
    accounts.push(account);
    re_enable_in(&api, &data, accounts, &request).await
}

/// What enables hooks again.
#[derive(utoipa::ToSchema)]
pub struct ReEnable {
    /// Must be `true`.
    #[schema(rename = "re-enable", example = true)]
    pub re_enable: bool,
}

async fn re_enable_in(
    api: &Shared,
    data: &Object,
    accounts: Vec<AccountId>,
    request: &RequestId,
) -> Result<Answer, Problem> {
    const KEY: &str = "re-enable";
    match data.get(KEY) {
        None => {
            return Err(Problem::invalid(KEY, "required", "re-enable is required to patch collections"));
        }
        Some(value) if *value != json!(true) && *value != json!("true") => {
            let message = "value not found in enumerated list of values";
            return Err(Problem::invalid_with(KEY, "enum", message, json!({"target": [true]})));
        }
        Some(_) => {}
    }
    re_enable::switched_off_hooks(&api.store, &accounts, &api.sender(request)).await?;
    api.changed().await?;
    Ok(Answer::of("hooks updated"))
}

/// Fetch a hook.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/{hook_id}", tag = "webhooks",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The hook", body = Success<StoredHook>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let record = api.hook_of(&account, &hook).await?;
    Ok(answer(&record))
}

/// Replace a hook: fields that are not named get their defaults, but the secret is kept.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhooks/{hook_id}", tag = "webhooks",
    params(
        ("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when the hook is at this revision"),
    ),
    request_body = Envelope<HookBody>,
    responses((status = 200, description = "The hook as it is now", body = Success<StoredHook>), Problems),
)]
async fn replace(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    headers: HeaderMap,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let stored = api.hook_of(&account, &hook).await?;
    must_match(&headers, stored.revision)?;
    let completed = api.checked(&account, &caller, |rules| rules.whole(data, Some(&stored)))?;
    edit(&api, stored, completed, &request).await
}

/// Change some fields of a hook: each replaces what was there, null removes it.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}/webhooks/{hook_id}", tag = "webhooks",
    params(
        ("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when the hook is at this revision"),
    ),
    request_body(content = Envelope<AnyObject>, example = json!({"data": {"enabled": true}})),
    responses((status = 200, description = "The hook as it is now", body = Success<StoredHook>), Problems),
)]
async fn change(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    headers: HeaderMap,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let stored = api.hook_of(&account, &hook).await?;
    must_match(&headers, stored.revision)?;
    let completed = api.checked(&account, &caller, |rules| rules.merged(data, &stored))?;
    edit(&api, stored, completed, &request).await
}

/// Delete a hook. What it still had to fire is dropped, its attempts stay listed for the account.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhooks/{hook_id}", tag = "webhooks",
    params(
        ("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when the hook is at this revision"),
    ),
    responses((status = 200, description = "The hook as it was last", body = Success<StoredHook>), Problems),
)]
async fn delete(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    headers: HeaderMap,
    request: RequestId,
) -> Result<Answer, Problem> {
    let stored = api.hook_of(&account, &hook).await?;
    must_match(&headers, stored.revision)?;
    let sender = api.sender(&request);
    let notice = notice::of_hook(&stored, stored.revision + 1, Change::Deleted, &sender);
    if !api.store.delete_hook(&stored.id, &[notice], sender.now_ms).await? {
        return Err(Problem::bad_identifier(&hook));
    }
    api.changed().await?;
    let mut shown = editing::shown(&stored);
    shown.insert("_read_only".into(), json!({"deleted": true}));
    Ok(Answer::of(shown))
}

/// Saves an edited document over the one that was read. A hook that is enabled by it forgets why it was disabled.
async fn edit(api: &Shared, stored: HookRecord, completed: Completed, request: &RequestId) -> Result<Answer, Problem> {
    let based_on = stored.revision;
    let mut record = HookRecord { document: completed.document, ..stored };
    if editing::is_enabled(&record.document) {
        record.disabled_message = None;
    }
    if let Some(secret) = completed.secret.as_deref() {
        record.secrets = vec![api.sealed(&record.id, &secret_of(Some(secret)))?];
    }
    record.revision = save(api, &record, Some(based_on), request).await?;
    Ok(answer(&record))
}

/// Writes a hook, tells of it, and has this node obey it before the caller is answered.
pub(super) async fn save(
    api: &Shared,
    record: &HookRecord,
    based_on: Option<i64>,
    request: &RequestId,
) -> Result<i64, Problem> {
    let sender = api.sender(request);
    let (change, revision) = match based_on {
        None => (Change::Created, 1),
        Some(based_on) => (Change::Edited, based_on + 1),
    };
    let notice = notice::of_hook(record, revision, change, &sender);
    match api.store.save_hook(record, based_on, &[notice], sender.now_ms).await? {
        Saved::Done(revision) => {
            api.changed().await?;
            Ok(revision)
        }
        Saved::Conflict => Err(Problem::conflict()),
    }
}

fn answer(record: &HookRecord) -> Answer {
    Answer::of(editing::shown(record)).revision(record.revision)
}

fn times(record: &HookRecord) -> Times {
    Times { created_s: Some(gregorian_s(record.created_ms)), modified_s: None }
}

/// The secret that a document named, which was checked, or a new one.
fn secret_of(named: Option<&str>) -> Secret {
    named.and_then(|text| Secret::parse(text).ok()).unwrap_or_else(Secret::draw)
}

/// 412 when the caller based its change on another revision.
pub(super) fn must_match(headers: &HeaderMap, revision: i64) -> Result<(), Problem> {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(()) };
    match wanted.to_str().is_ok_and(|wanted| front::names(wanted, &revision.to_string())) {
        true => Ok(()),
        false => Err(Problem::stale(revision)),
    }
}

impl super::Api {
    /// The hook, when it is the account's.
    pub(super) async fn hook_of(&self, account: &AccountId, hook: &str) -> Result<HookRecord, Problem> {
        let found = self.store.hook(&HookId::from(hook)).await?;
        found.filter(|record| record.account == *account).ok_or_else(|| Problem::bad_identifier(hook))
    }

    /// A hook's document of this caller's, checked against the modules and transforms that the account may use.
    fn checked(
        &self,
        account: &AccountId,
        caller: &Caller,
        check: impl FnOnce(&editing::Rules<'_>) -> Result<Completed, HookProblems>,
    ) -> Result<Completed, Problem> {
        let modules = self.modules.seen_by(Some(account));
        let events = modules.iter().map(|module| (module.name(), &module.metadata.modifiers)).collect();
        let rules = editing::Rules {
            settings: &self.firing,
            events,
            transforms: self.modules.usable_transforms(account),
            is_operator: caller.is_super,
            bytes_max: usize::try_from(self.firing.hook_bytes_max).unwrap_or(usize::MAX),
        };
        Ok(check(&rules)?)
    }

    /// Encrypts a secret for storing.
    pub(super) fn sealed(&self, hook: &HookId, secret: &Secret) -> Result<SealedSecret, Problem> {
        self.key.seal(hook, secret.bytes()).map_err(|error| {
            tracing::error!(%error, %hook, "a secret could not be encrypted");
            Problem::internal()
        })
    }

    /// Who tells of what this request changes.
    pub(super) fn sender<'a>(&'a self, request: &'a RequestId) -> Sender<'a> {
        Sender { node: &self.node, request_id: Some(&request.0), now_ms: self.clock.now_ms() }
    }

    /// Has this node obey what was just written, and the others hear of it.
    pub(super) async fn changed(&self) -> Result<(), Problem> {
        self.to_tell.notify_one();
        Ok(self.follower.catch_up().await?)
    }
}
