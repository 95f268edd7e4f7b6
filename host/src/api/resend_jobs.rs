//! Bulk resends: `/v2/accounts/{account_id}/webhooks/resend_jobs`. The work is done by [`crate::firing::resend_jobs`].

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared,
    answer::Answer,
    auth::InAccount,
    data::{Data, Fields},
    described::{Envelope, Problems, Success},
    problem::Problem,
    resending::must_be_enabled,
    time_range::TimeRange,
};
use crate::{
    clock::gregorian_s,
    firing::resend_jobs::Progress,
    store::{JobState, ResendJob, ResendOutcome},
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, stop))
}

/// What to send again.
#[derive(ToSchema)]
#[schema(example = json!({"outcome": "undelivered", "created_from": 63_880_000_000_u64}))]
pub struct ResendJobBody {
    /// One hook only; it must be enabled. All hooks of the account when absent.
    pub hook_id: Option<String>,
    /// From when on, seconds since year 0: when an undelivered firing was given up, or a delivered one was tried. From the
    /// beginning when absent.
    pub created_from: Option<u64>,
    /// Until when, seconds since year 0; now when absent, and never later.
    pub created_to: Option<u64>,
    /// `undelivered` (the default), `delivered` or `all`.
    #[schema(example = "undelivered")]
    pub outcome: Option<String>,
}

/// A bulk resend.
#[derive(ToSchema)]
pub struct ResendJobAnswer {
    /// 32 hex digits.
    pub id: String,
    /// One hook only.
    pub hook_id: Option<String>,
    /// From when on, seconds since year 0.
    pub created_from: u64,
    /// Until when, seconds since year 0.
    pub created_to: u64,
    /// `undelivered`, `delivered` or `all`.
    pub outcome: String,
    /// `running`, `done`, `stopped` or `failed`.
    #[schema(example = "running")]
    pub state: String,
    /// Which list it is going through, from the newest back: `delivered`, then `undelivered`.
    pub progress: Option<String>,
    /// Firings that were sent again so far.
    pub resent: u64,
    /// Firings that could not be: their hook is gone or disabled, or what was sent is not kept.
    pub skipped: u64,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was asked for, seconds since year 0.
    pub created: u64,
    /// When it last came on, seconds since year 0.
    pub updated: u64,
}

/// List an account's bulk resends, newest first: `api.list_rows_max` at most.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/resend_jobs", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks")),
    responses((status = 200, description = "All that are kept", body = Success<Vec<ResendJobAnswer>>), Problems),
)]
async fn list(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    let limit = u32::try_from(api.settings.list_rows_max).unwrap_or(u32::MAX);
    let jobs = api.store.jobs(&account, limit).await?;
    Ok(Answer::list(jobs.iter().map(shown).collect()))
}

/// Begin a bulk resend.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}/webhooks/resend_jobs", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks")),
    request_body = Envelope<ResendJobBody>,
    responses((status = 201, description = "It is begun", body = Success<ResendJobAnswer>), Problems),
)]
async fn create(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let mut fields = Fields::of(&data);
    let (hook, from_s, to_s) = (fields.text("hook_id"), fields.number("created_from"), fields.number("created_to"));
    let outcome = match fields.word("outcome", &["undelivered", "delivered", "all"]) {
        Some("delivered") => ResendOutcome::Delivered,
        Some("all") => ResendOutcome::All,
        _ => ResendOutcome::Undelivered,
    };
    fields.finish()?;
    let now_ms = api.clock.now_ms();
    // What the job itself sends again must not come into its range.
    let range = TimeRange::between(from_s.unwrap_or(0), to_s.unwrap_or_else(|| gregorian_s(now_ms)))?;
    let hook = match hook {
        Some(hook) => {
            let record = api.hook_of(&account, hook).await?;
            must_be_enabled(&record)?;
            Some(record.id)
        }
        None => None,
    };
    let limit = u32::try_from(api.settings.list_rows_max).unwrap_or(u32::MAX);
    let jobs = api.store.jobs(&account, limit).await?;
    let running = jobs.iter().filter(|job| job.state == JobState::Running).count() as u64;
    if running >= api.firing.resend_jobs_max {
        let message =
            format!("{running} bulk resends of this account are running (firing.resend_jobs_max); wait, or stop one");
        return Err(Problem::in_the_way(&message));
    }
    let job = ResendJob {
        id: hex::encode(rand::random::<[u8; 16]>()),
        account,
        hook,
        from_ms: range.from_ms,
        to_ms: range.to_ms.min(now_ms),
        outcome,
        state: JobState::Running,
        progress: String::new(),
        resent: 0,
        skipped: 0,
        reason: None,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    api.store.put_job(&job).await?;
    api.job_made.notify_one();
    Ok(Answer::of(shown(&job)).created(&job.id))
}

/// Fetch a bulk resend: how far it has come.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/resend_jobs/{job_id}", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks"), ("job_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The bulk resend", body = Success<ResendJobAnswer>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let job = api.store.job(&account, &id).await?.ok_or_else(|| Problem::bad_identifier(&id))?;
    Ok(Answer::of(shown(&job)))
}

/// Stop a bulk resend. What it has sent again so far stays sent.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhooks/resend_jobs/{job_id}", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hooks"), ("job_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The bulk resend as it was stopped", body = Success<ResendJobAnswer>), Problems),
)]
async fn stop(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, id)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let stopped = api.store.stop_job(&account, &id, api.clock.now_ms()).await?;
    let job = api.store.job(&account, &id).await?.ok_or_else(|| Problem::bad_identifier(&id))?;
    match stopped {
        true => Ok(Answer::of(shown(&job))),
        false => Err(Problem::in_the_way("the bulk resend is not running any more")),
    }
}

fn shown(job: &ResendJob) -> Value {
    let mut shown = json!({
        "id": job.id,
        "created_from": gregorian_s(job.from_ms),
        "created_to": gregorian_s(job.to_ms),
        "outcome": job.outcome,
        "state": job.state,
        "resent": job.resent,
        "skipped": job.skipped,
        "created": gregorian_s(job.created_ms),
        "updated": gregorian_s(job.updated_ms),
    });
    if let Some(hook) = &job.hook {
        shown["hook_id"] = json!(hook);
    }
    if let Some(progress) = Progress::of(job).ok().filter(|_| job.state == JobState::Running) {
        shown["progress"] = json!(progress.list());
    }
    if let Some(reason) = &job.reason {
        shown["reason"] = json!(reason);
    }
    shown
}
