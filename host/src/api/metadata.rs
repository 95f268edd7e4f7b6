//! The kinds of events that there are: `/v2/webhooks` and the samples. For everybody; who is logged in sees those of its
//! account's modules, and of those offered to it, too.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared,
    answer::Answer,
    auth::Caller,
    described::{AnyObject, Problems, Success},
    filters::Times,
    problem::Problem,
    query::Query,
};
use crate::{hook::modifiers, message::Object, module::Module};

/// What KAZOO's sample ids, and the ids of its metadata documents, begin with.
const PREFIX: &str = "webhooks_";

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, no_create, no_change))
        .routes(routes!(samples))
        .routes(routes!(samples_of))
}

/// A kind of event.
#[derive(ToSchema)]
pub struct EventKind {
    /// What a hook's `hook` names.
    #[schema(example = "channel_create")]
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// What a hook's `custom_data` must say to choose among its events.
    #[schema(value_type = Option<Object>)]
    pub modifiers: Option<Value>,
}

/// The order of a list.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Order {
    /// `true` for names from A to Z; from Z to A otherwise, as in KAZOO.
    pub ascending: Option<bool>,
}

/// List the kinds of events that hooks can take.
#[utoipa::path(
    get, path = "/v2/webhooks", tag = "events", params(Order), security(()),
    responses((status = 200, description = "All of them", body = Success<Vec<EventKind>>), Problems),
)]
async fn list(State(api): State<Shared>, caller: Option<Caller>, query: Query) -> Result<Answer, Problem> {
    let is_operator = caller.as_ref().is_some_and(|caller| caller.is_super);
    let filters = query.filters();
    let mut documents: Vec<Object> =
        seen_by(&api, caller.as_ref()).iter().map(|module| module.metadata.document()).collect();
    for document in &mut documents {
        if let Some(Value::Object(modifiers)) = document.get_mut("modifiers") {
            *modifiers = modifiers::shown(modifiers, is_operator);
        }
    }
    documents.retain(|document| filters.pass(document, Times::default()));
    documents.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    if !query.is_true("ascending") {
        documents.reverse();
    }
    Ok(Answer::list(documents.into_iter().map(Value::Object).collect()))
}

/// Not here: hooks are made in an account.
#[utoipa::path(put, path = "/v2/webhooks", tag = "events", security(()), responses(Problems))]
async fn no_create() -> Problem {
    Problem::forbidden()
}

/// Not here: hooks are enabled again in an account.
#[utoipa::path(patch, path = "/v2/webhooks", tag = "events", security(()), responses(Problems))]
async fn no_change() -> Problem {
    Problem::forbidden()
}

/// List the kinds of events that have samples.
#[utoipa::path(
    get, path = "/v2/webhooks/samples", tag = "events", security(()),
    responses((status = 200, description = "Their ids, with `webhooks_` before", body = Success<Vec<String>>), Problems),
)]
async fn samples(State(api): State<Shared>, caller: Option<Caller>) -> Answer {
    let modules = seen_by(&api, caller.as_ref());
    let mut ids: Vec<_> = modules
        .iter()
        .filter(|module| !module.metadata.samples.is_empty())
        .map(|module| format!("{PREFIX}{}", module.name()))
        .collect();
    ids.sort_unstable();
    Answer::list(ids.into_iter().map(|id| json!(id)).collect())
}

/// Fetch the sample payloads of a kind of event.
#[utoipa::path(
    get, path = "/v2/webhooks/samples/{sample_id}", tag = "events", security(()),
    params(("sample_id" = String, Path, description = "`webhooks_` and the kind's id", example = "webhooks_channel_create")),
    responses((status = 200, description = "Payloads", body = Success<Vec<AnyObject>>), Problems),
)]
async fn samples_of(
    State(api): State<Shared>,
    Path(id): Path<String>,
    caller: Option<Caller>,
    query: Query,
) -> Result<Answer, Problem> {
    let modules = seen_by(&api, caller.as_ref());
    let module = modules
        .iter()
        .find(|module| id.strip_prefix(PREFIX) == Some(module.name()))
        .filter(|module| !module.metadata.samples.is_empty())
        .ok_or_else(|| Problem::unknown(&id))?;
    let filters = query.filters();
    let samples = module.metadata.samples.iter().map(|(_, payload)| payload);
    let shown = samples.filter(|payload| filters.pass(payload, Times::default()));
    Ok(Answer::list(shown.cloned().map(Value::Object).collect()))
}

/// The modules whose events the caller's hooks may name; of two of one name, the caller's own.
fn seen_by(api: &Shared, caller: Option<&Caller>) -> Vec<Arc<Module>> {
    let account = caller.map(|caller| &caller.account);
    let mut modules = api.modules.seen_by(account);
    modules.sort_by_key(|module| module.owner.as_ref() != account);
    let mut names = BTreeSet::new();
    modules.retain(|module| names.insert(module.name().to_owned()));
    modules
}
