//! Failures that count against hooks: `/v2/accounts/{account_id}/webhooks/failures`, and those of one hook. What KAZOO's
//! maintenance does with `failure_status`, `flush_account_failures` and `flush_hook_failures`. Shown is what is within the
//! account's window now; flushed is everything, so that a wider window finds nothing either.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared,
    answer::Answer,
    auth::InAccount,
    described::{Pages, Problems, Success},
    paging::Paging,
    problem::Problem,
};
use crate::{
    attempt::failure_window::{Limits, Standing, standing},
    hook::{HookRecord, editing},
    message::HookId,
};

/// Hooks whose failures are forgotten between two looks at the store.
const PAGE_ROWS: u32 = 1000;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, flush)).routes(routes!(show, flush_hook))
}

/// How a hook stands.
#[derive(ToSchema)]
pub struct FailuresBody {
    /// Which hook.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where it fires.
    pub uri: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Failed attempts within the window.
    pub count: u32,
    /// At so many the hook is disabled, unless the disabler is off.
    pub threshold: u32,
    /// The window, ms.
    pub window_ms: u64,
    /// `healthy`; `failing` from half of the threshold on; `at_threshold`.
    #[schema(example = "failing")]
    pub standing: String,
}

/// What is forgotten.
#[derive(ToSchema)]
pub struct FlushedBody {
    /// How many hooks had failures, within the window or before it.
    pub hooks: u64,
}

/// List the hooks of an account that failed within the window, in order of ids.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/failures", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks"), Pages),
    responses((status = 200, description = "A page of hooks", body = Success<Vec<FailuresBody>>), Problems),
)]
async fn list(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    paging: Paging,
) -> Result<Answer, Problem> {
    let limits = api.firer.disabler.limits(&account).await?;
    let after_ms = limits.after_ms(api.clock.now_ms());
    let limit = paging.rows_to_fetch();
    let mut after: Option<HookId> = paging.after()?;
    let mut entries = Vec::new();
    loop {
        let rows = api.store.failing_hooks(&account, after_ms, after.as_ref(), limit).await?;
        let is_last = rows.len() < limit as usize;
        after = rows.last().map(|(hook, _)| hook.clone());
        for (hook, count) in rows {
            // An attempt that was under way when its hook was deleted may have left a failure.
            if let Some(record) = api.store.hook(&hook).await? {
                entries.push((hook, shown(&record, count, standing(count, limits.threshold), limits)));
            }
        }
        if is_last || entries.len() > paging.page_size {
            break;
        }
    }
    let (data, page) = paging.cut(entries)?;
    Ok(Answer::page(data, page))
}

/// Forget all failures of an account's hooks. Hooks that are disabled stay so.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhooks/failures", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks")),
    responses((status = 200, description = "They are forgotten", body = Success<FlushedBody>), Problems),
)]
async fn flush(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    let (mut flushed, mut after) = (0_u64, None);
    loop {
        // Onward from the last hook: one that fails meanwhile is not come back to.
        let rows = api.store.failing_hooks(&account, 0, after.as_ref(), PAGE_ROWS).await?;
        let is_last = rows.len() < PAGE_ROWS as usize;
        for (hook, _) in &rows {
            api.store.clear_failures(hook).await?;
            flushed += 1;
        }
        after = rows.into_iter().last().map(|(hook, _)| hook);
        if is_last {
            return Ok(Answer::of(json!({"hooks": flushed})));
        }
    }
}

/// Fetch how a hook stands.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/failures", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    responses((status = 200, description = "How it stands", body = Success<FailuresBody>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let record = api.hook_of(&account, &hook).await?;
    let disabler = &api.firer.disabler;
    let (standing, count) = disabler.standing(&account, &record.id).await?;
    Ok(Answer::of(shown(&record, count, standing, disabler.limits(&account).await?)))
}

/// Forget a hook's failures. One that is disabled stays so.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/failures", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    responses((status = 200, description = "They are forgotten", body = Success<FlushedBody>), Problems),
)]
async fn flush_hook(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let hook = api.hook_of(&account, &hook).await?.id;
    let had_some = api.store.failure_count(&hook, 0).await? > 0;
    api.store.clear_failures(&hook).await?;
    Ok(Answer::of(json!({"hooks": u64::from(had_some)})))
}

fn shown(record: &HookRecord, count: u32, standing: Standing, limits: Limits) -> Value {
    json!({
        "id": record.id,
        "name": record.document.get("name"),
        "uri": record.document.get("uri"),
        "enabled": editing::is_enabled(&record.document),
        "count": count,
        "threshold": limits.threshold,
        "window_ms": limits.window_ms,
        "standing": word(standing),
    })
}

/// How a hook's standing is called in answers.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Healthy => "healthy",
        Standing::Failing => "failing",
        Standing::Disable => "at_threshold",
    }
}
