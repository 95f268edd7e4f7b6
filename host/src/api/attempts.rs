//! What was sent and what came back: `/v2/accounts/{account_id}/webhooks/attempts`, as KAZOO's, and single attempts.

use axum::extract::{Path, State};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared,
    answer::Answer,
    auth::InAccount,
    described::{AnyObject, Pages, Problems, Success},
    filters::Times,
    long_entries::LongEntries,
    paging::Paging,
    problem::Problem,
    query::Query,
    time_range::{Created, TimeRange},
};
use crate::{
    message::{AccountId, HookId},
    store::{AttemptQuery, AttemptRow},
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_of_hook)).routes(routes!(show))
}

/// One try. Fields of the answer are there when there was one.
#[derive(ToSchema)]
pub struct AttemptBody {
    /// 32 hex digits, beginning with the time.
    pub id: String,
    /// Whose hook it was made for.
    pub account_id: String,
    /// For which hook; it may be gone by now.
    pub hook_id: String,
    /// The event.
    #[schema(example = "channel_create")]
    pub hook_event: String,
    /// The `webhook-id`: the same on every try of one event for one hook.
    pub event_id: String,
    /// The module that made the event.
    pub module: String,
    /// When it began, seconds since year 0.
    pub timestamp: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// How that is made up, as far as it came. Attempts that older versions recorded have none.
    pub phases: Option<PhasesBody>,
    /// 1 for the first try.
    pub r#try: u32,
    /// Where to, as the hook said then, or its transform.
    pub uri: String,
    /// `GET`, `POST` or `PUT`; empty when no request could be made.
    pub method: String,
    /// What was sent; values of the hook's own headers are hidden.
    pub req_headers: AnyObject,
    /// What was sent; empty for GET.
    pub req_body: String,
    /// `success` or `failure`.
    pub result: String,
    /// KAZOO's words for a failure.
    pub reason: Option<String>,
    /// The status, as text.
    #[schema(example = "503")]
    pub resp_status_code: Option<String>,
    /// What was answered.
    pub resp_headers: Option<AnyObject>,
    /// What was answered, up to `firing.response_bytes_max`.
    pub resp_body: Option<String>,
    /// `true` when the answer went on after that.
    pub resp_body_cut: Option<bool>,
    /// Why there was no answer.
    pub client_error: Option<String>,
    /// Tries left, when there was no answer.
    pub retries: Option<u32>,
    /// Tries left after a failure: a number, or `retries exceeded`.
    #[schema(value_type = Option<Value>)]
    pub retries_left: Option<Value>,
    /// When the next try is due, seconds since year 0.
    pub next_try: Option<u64>,
    /// `true` when the hook's transform dropped it: nothing was sent, which is a success.
    pub dropped: Option<bool>,
    /// The hook's transform, when it has one.
    pub transform: Option<TransformRunBody>,
}

/// How long the parts of a try took, µs. What did not come about is absent.
#[derive(ToSchema)]
pub struct PhasesBody {
    /// Looking up the name, connecting, TLS; absent also when a connection was used again.
    pub connect_us: Option<u64>,
    /// From there to the head of the answer.
    pub first_byte_us: Option<u64>,
    /// From the head to the last byte that was read.
    pub body_us: Option<u64>,
}

/// The transform that a firing went through.
#[derive(ToSchema)]
pub struct TransformRunBody {
    /// `account/name`; the name alone when there is no such transform.
    #[schema(example = "acme/to_crm")]
    pub module: String,
    /// Its semantic version; what the hook asks for when that is not there.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// SHA-256 of the component, 64 hex digits.
    pub digest: Option<String>,
    /// What the call burnt, about one unit an instruction.
    pub fuel: u64,
}

/// List the attempts of all hooks of an account, also of those that are gone; newest first.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/attempts", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks"), Created, Pages),
    responses((status = 200, description = "A page of attempts", body = Success<Vec<AttemptBody>>), Problems),
)]
async fn list(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    page(&api, account, None, &paging, &query).await
}

/// List the attempts of a hook, newest first; also of one that is gone, as long as they are kept.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/attempts", tag = "attempts",
    params(
        ("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which"),
        Created, Pages,
    ),
    responses((status = 200, description = "A page of attempts", body = Success<Vec<AttemptBody>>), Problems),
)]
async fn list_of_hook(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    if let Err(unknown) = api.hook_of(&account, &hook).await {
        let of_one_gone = AttemptQuery::newest(account.clone(), Some(HookId::from(hook.as_str())), 1);
        if api.store.attempts(&of_one_gone).await?.is_empty() {
            return Err(unknown);
        }
    }
    page(&api, account, Some(hook.into()), &paging, &query).await
}

async fn page(
    api: &Shared,
    account: AccountId,
    hook: Option<HookId>,
    paging: &Paging,
    query: &Query,
) -> Result<Answer, Problem> {
    let range = TimeRange::of_query(query, api.clock.now_ms(), api.settings.attempts_range_s_max)?;
    let filters = query.filters().without_times();
    let mut entries = LongEntries::new(paging, api);
    let limit = entries.rows_to_fetch();
    let TimeRange { from_ms, to_ms } = range;
    // The store can tell by itself how they ended.
    let success = match filters.only("result") {
        Some("success") => Some(true),
        Some("failure") => Some(false),
        _ => None,
    };
    let mut query = AttemptQuery { account, hook, from_ms, to_ms, success, after: paging.after()?, limit };
    loop {
        let rows = api.store.attempts(&query).await?;
        query.after = rows.last().map(|row| row.cursor);
        let is_last = rows.len() < limit as usize;
        for AttemptRow { cursor, document, .. } in rows {
            match filters.pass(&document, Times::default()) {
                true => entries.push(cursor, document),
                false => entries.pass_over(cursor),
            }
        }
        if is_last || entries.is_full() {
            return entries.answer();
        }
    }
}

/// Fetch an attempt.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/attempts/{attempt_id}", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("attempt_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The attempt", body = Success<AttemptBody>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, attempt)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let row = api.store.attempt(&account, &attempt).await?.ok_or_else(|| Problem::bad_identifier(&attempt))?;
    Ok(Answer::of(row.document))
}
