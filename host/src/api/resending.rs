//! What never arrived, and sending again: one attempt's event, some or all undelivered firings of a hook. Bulk resends over
//! a time are [`super::resend_jobs`].

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::InAccount,
    data::{Fields, OptionalData},
    described::{AnyObject, Pages, Problems, Success},
    long_entries::LongEntries,
    paging::Paging,
    problem::Problem,
};
use crate::{
    clock::gregorian_s,
    firing::resend,
    hook::{HookRecord, editing},
    message::{AccountId, HookId, Object, UnixMs, WebhookId},
    store::{UndeliveredQuery, UndeliveredRow},
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(undelivered))
        .routes(routes!(resend_undelivered))
        .routes(routes!(resend_attempt))
}

/// A firing that ended without being delivered.
#[derive(ToSchema)]
pub struct UndeliveredBody {
    /// Its `webhook-id`.
    pub id: String,
    /// The event.
    #[schema(example = "channel_create")]
    pub hook_event: String,
    /// The event's payload, before the hook's `custom_data`.
    pub payload: AnyObject,
    /// Tries that were made.
    pub tries: u32,
    /// Why it was given up.
    pub reason: String,
    /// When the message was taken in, seconds since year 0.
    pub created: u64,
    /// When it was given up, seconds since year 0.
    pub ended: u64,
}

/// What may come in.
#[derive(ToSchema)]
#[expect(missing_docs, reason = "the wrapper's one field is what it wraps")]
pub struct ResendEnvelope {
    pub data: ResendBody,
}

/// What to send again; all undelivered firings of the hook when `ids` is absent.
#[derive(ToSchema)]
pub struct ResendBody {
    /// Webhook ids; at most `api.resend_ids_max`.
    pub ids: Option<Vec<String>>,
}

/// What is sent again.
#[derive(ToSchema)]
pub struct Resent {
    /// How many firings wait to be sent now.
    pub resent: u64,
    /// Ids that were named and are not in the list of undelivered.
    pub missing: Vec<String>,
}

/// An event that is sent again.
#[derive(ToSchema)]
pub struct ResentAttempt {
    /// The same `webhook-id` as before: the receiver knows the event by it.
    pub webhook_id: String,
    /// To which hook.
    pub hook_id: String,
}

/// List what a hook was never delivered, what was given up last first.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/undelivered", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which"), Pages),
    responses((status = 200, description = "A page of firings", body = Success<Vec<UndeliveredBody>>), Problems),
)]
async fn undelivered(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    paging: Paging,
) -> Result<Answer, Problem> {
    let hook = api.hook_of(&account, &hook).await?.id;
    let mut entries: LongEntries<'_, (UnixMs, i64)> = LongEntries::new(&paging, &api);
    let limit = entries.rows_to_fetch();
    let mut query = UndeliveredQuery { after: paging.after()?, ..UndeliveredQuery::newest(account, Some(hook), limit) };
    loop {
        let rows = api.store.undelivered(&query).await?;
        query.after = rows.last().map(|row| row.cursor);
        let is_last = rows.len() < limit as usize;
        for row in rows {
            entries.push(row.cursor, shown(&row));
        }
        if is_last || entries.is_full() {
            return entries.answer();
        }
    }
}

fn shown(row: &UndeliveredRow) -> Object {
    let mut shown = Object::new();
    let firing = &row.firing;
    for (name, value) in [
        ("id", json!(firing.id)),
        ("hook_event", json!(firing.event.hook_event)),
        ("payload", Value::Object(firing.event.payload.clone())),
        ("tries", json!(firing.tries)),
        ("reason", json!(row.reason)),
        ("created", json!(gregorian_s(firing.created_ms))),
        ("ended", json!(gregorian_s(row.ended_ms))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    shown
}

/// Send again what a hook was never delivered: all of it, or the firings of these ids. The hook must be enabled.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/resend", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    request_body = Option<ResendEnvelope>,
    responses((status = 202, description = "They are sent now, their tries counted anew", body = Success<Resent>), Problems),
)]
async fn resend_undelivered(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    OptionalData(data): OptionalData,
) -> Result<Answer, Problem> {
    let ids = ids_of(&api, &data)?;
    let record = api.hook_of(&account, &hook).await?;
    must_be_enabled(&record)?;
    let (mut resent, mut missing) = (0, Vec::new());
    let now_ms = api.clock.now_ms();
    match ids {
        None => resent = api.store.resend(&record.id, None, now_ms).await?,
        Some(ids) => {
            for id in ids {
                match api.store.resend(&record.id, Some(&id), now_ms).await? {
                    0 => missing.push(id),
                    count => resent += count,
                }
            }
        }
    }
    api.firer.stored.notify_one();
    Ok(Answer::of(json!({"resent": resent, "missing": missing})).status(StatusCode::ACCEPTED))
}

fn ids_of(api: &Api, data: &Object) -> Result<Option<Vec<WebhookId>>, Problem> {
    let mut fields = Fields::of(data);
    let most = api.settings.resend_ids_max;
    let ids = match data.get("ids") {
        None | Some(Value::Null) => None,
        Some(Value::Array(list)) if list.len() as u64 > most => {
            let message = format!("{} ids; use at most {most} (api.resend_ids_max)", list.len());
            fields.wrong("ids", "maxItems", &message, json!({"target": most}));
            None
        }
        Some(Value::Array(list)) => {
            if let Some(odd) = list.iter().find(|id| !id.is_string()) {
                let details = json!({"target": "string", "value": odd});
                fields.wrong("ids", "type", "Value did not match type(s): string", details);
            }
            Some(list.iter().filter_map(Value::as_str).map(WebhookId::from).collect())
        }
        Some(other) => {
            let details = json!({"target": "array", "value": other});
            fields.wrong("ids", "type", "Value did not match type(s): array", details);
            None
        }
    };
    fields.finish()?;
    Ok(ids)
}

/// Send the event of an attempt again to the hook that it was for, whether it was delivered or not. The hook must be
/// enabled.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhooks/attempts/{attempt_id}/resend", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("attempt_id" = String, Path, description = "Which")),
    responses((status = 202, description = "It is sent now, its tries counted anew", body = Success<ResentAttempt>), Problems),
)]
async fn resend_attempt(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, attempt)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let row = api.store.attempt(&account, &attempt).await?.ok_or_else(|| Problem::bad_identifier(&attempt))?;
    let hook = row.document.get("hook_id").and_then(Value::as_str).unwrap_or_default();
    match api.hook_of_account(&account, hook).await? {
        None => return Err(Problem::in_the_way("the hook is gone; what was sent to it cannot be sent again")),
        Some(record) => must_be_enabled(&record)?,
    }
    let Some(firing) = resend::firing_of(&row) else {
        return Err(Problem::in_the_way("what was sent is not kept, so it cannot be sent again"));
    };
    let data = json!({"webhook_id": firing.id, "hook_id": firing.target.hook_id()});
    api.store.send_again(&[firing], None, api.clock.now_ms()).await?;
    api.firer.stored.notify_one();
    Ok(Answer::of(data).status(StatusCode::ACCEPTED))
}

/// 409 for a disabled hook: what is sent again would be given up at once.
pub(super) fn must_be_enabled(record: &HookRecord) -> Result<(), Problem> {
    match editing::is_enabled(&record.document) {
        true => Ok(()),
        false => Err(Problem::in_the_way(
            "the hook is disabled; enable it first (PATCH it with {\"data\": {\"enabled\": true}})",
        )),
    }
}

impl Api {
    /// The hook, when it is there and the account's.
    async fn hook_of_account(&self, account: &AccountId, hook: &str) -> Result<Option<HookRecord>, Problem> {
        let found = self.store.hook(&HookId::from(hook)).await?;
        Ok(found.filter(|record| record.account == *account))
    }
}
