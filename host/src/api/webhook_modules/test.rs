//! Trying out a module: one message through one version in the real sandbox. Nothing is fired, kept or charged.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bodies::{Rehearsal, RehearsalBody};
use crate::{
    api::{
        Api, Shared,
        answer::Answer,
        auth::InAccount,
        data,
        described::{Envelope, Failure, Problems, Success},
        front::RequestBody,
        messages::{Posted, decode},
        problem::Problem,
    },
    message::{AccountId, Message},
    module::{Handled, Kind, Made, Module, ModuleError, dry_run::Rehearsed},
    store::registered_modules::RegisteredModule,
};

/// As it comes in. The message's body is kept as it is written.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    message: Posted<'a>,
    version: Option<String>,
}

/// Hand a message to a module, as if it had come in: what it would make of it, what it says, what it costs. Nothing is
/// fired. A module that an account above offers can be tried out too, and the operator's.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/test", tag = "modules",
    params(
        ("account_id" = String, Path, description = "In whose name; nothing may come of it outside its tree"),
        ("module_name" = String, Path, description = "Which"),
    ),
    request_body = Envelope<RehearsalBody>,
    responses(
        (status = 200, description = "What came of it, well or badly", body = Success<Rehearsal>),
        (status = 422, description = "The message can never be one, or the version cannot be loaded", body = Failure),
        Problems,
    ),
)]
pub async fn test(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    Extension(RequestBody(body)): Extension<RequestBody>,
) -> Result<Answer, Problem> {
    let data = data::Envelope::parse(&body)?.required_data()?;
    let asked: Asked<'_> = serde_json::from_str(data.get()).map_err(|error| {
        let message =
            format!("{error}; send {{\"message\": {{exchange, routing_key, body, message_id?}}, \"version\"?}}");
        Problem::invalid("data", "invalid", &message)
    })?;
    let message =
        decode(&api, &asked.message, Some(&account)).map_err(|error| Problem::unusable(&error.to_string()))?;
    let message = Arc::new(belonging(message, &account));
    let module = module_to_try(&api, &name, asked.version.as_deref(), &account).await?;
    let wanted = module
        .bindings
        .iter()
        .any(|binding| binding.exchange == message.exchange && binding.wants(&message.category, &message.name));
    match api.modules.dry_run(&module, &message).await {
        Ok(rehearsed) => Ok(Answer::of(shown(&module, wanted, rehearsed))),
        Err(ModuleError::NotCalled { reason }) => Err(Problem::in_the_way(&reason)),
        Err(error) => {
            tracing::error!(module = %module.id(), %error, "a dry run could not be made");
            Err(Problem::internal())
        }
    }
}

/// One that does not say whose it is, is taken for the account's own: what else would it be tried out with?
fn belonging(message: Message, account: &AccountId) -> Message {
    Message { account: message.account.or_else(|| Some(account.clone())), ..message }
}

/// What is to be tried out: the account's own, what is offered to it, else the operator's.
async fn module_to_try(
    api: &Api,
    name: &str,
    version: Option<&str>,
    account: &AccountId,
) -> Result<Arc<Module>, Problem> {
    match api.module_seen(account, name).await {
        Ok(record) if record.kind == Kind::Transform => {
            Err(Problem::in_the_way("it is a transform; try it out with a test of a hook that uses it"))
        }
        Ok(record) => version_to_try(api, &record, version, account).await,
        Err(unknown) => match (api.operators_module(name), version) {
            (Some(_), Some(named)) => Err(Problem::bad_identifier(named)),
            (found, _) => found.ok_or(unknown),
        },
    }
}

/// The version that is to be tried out, loaded. Whoever does not own the module, sees what is active alone.
async fn version_to_try(
    api: &Api,
    record: &RegisteredModule,
    named: Option<&str>,
    account: &AccountId,
) -> Result<Arc<Module>, Problem> {
    let active = || {
        record
            .active
            .as_deref()
            .ok_or_else(|| Problem::in_the_way("no version of it is active; name the one that you want to try out"))
    };
    let named = match named {
        Some(named) if record.account == *account => named,
        Some(named) => return Err(Problem::bad_identifier(named)),
        None => active()?,
    };
    let version = api.version_of(record, named).await?;
    if let Some(loaded) = api.modules.stored(&record.id()).filter(|loaded| loaded.digest == version.digest) {
        return Ok(loaded);
    }
    match api.stored_modules.try_out(record, &version).await? {
        Ok(module) => Ok(Arc::new(module)),
        Err(error @ ModuleError::Host { .. }) => {
            tracing::error!(module = %record.id(), %error, "a version could not be loaded for a dry run");
            Err(Problem::internal())
        }
        Err(error) => Err(Problem::unusable_component("load", &error.to_string())),
    }
}

fn shown(module: &Module, wanted: bool, Rehearsed { called, took }: Rehearsed) -> Value {
    let (outcome, events, reason) = match called.result {
        Ok(Handled::Events(events)) => ("events", events.iter().map(event_shown).collect(), None),
        Ok(Handled::NotMine) => ("not_mine", Vec::new(), None),
        Ok(Handled::Malformed(reason)) => ("malformed", Vec::new(), Some(reason)),
        Err(error) => ("failed", Vec::new(), Some(error.to_string())),
    };
    let log: Vec<_> =
        called.log.lines.iter().map(|line| json!({"level": line.level.as_str(), "text": line.text})).collect();
    let mut shown = json!({
        "outcome": outcome,
        "wanted": wanted,
        "events": events,
        "log": log,
        "log_dropped_bytes": called.log.dropped_bytes,
        "fuel": called.cost.fuel,
        "time_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "memory_bytes": called.cost.memory_bytes,
        "version": module.metadata.version,
    });
    if let Some(reason) = reason {
        shown["reason"] = json!(reason);
    }
    shown
}

fn event_shown((event, inline): &Made) -> Value {
    json!({
        "hook_event": event.hook_event,
        "account_id": event.account,
        "payload": event.payload,
        "facets": event.facets,
        "internal_leg": event.internal_leg,
        "has_inline_hook": inline.is_some(),
    })
}
