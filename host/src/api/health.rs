//! Alive, ready and if not why, and the counters.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;
use crate::{ingress::amqp::BrokerState, kazoo::reader::ReaderState, telemetry};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(metrics))
}

/// Whether the process answers.
#[derive(ToSchema)]
pub struct Alive {
    /// `alive`.
    #[schema(example = "alive")]
    pub status: String,
}

/// Whether messages can be taken and fired.
#[derive(ToSchema)]
pub struct Readiness {
    /// `ready` or `not ready`.
    #[schema(example = "ready")]
    pub status: String,
    /// Why not.
    pub reasons: Vec<String>,
    /// What operators should see to, though messages are taken and fired.
    pub warnings: Vec<String>,
}

/// 200 as long as the process answers at all.
#[utoipa::path(
    get, path = "/healthz", tag = "host", security(()),
    responses((status = 200, description = "The process answers", body = Alive)),
)]
pub async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// 200 when messages can be taken and fired; else 503 with the reasons. A host that is about to stop says so here before it
/// takes no more (`shutdown.unready_ms`).
#[utoipa::path(
    get, path = "/readyz", tag = "host", security(()),
    responses(
        (status = 200, description = "Messages can be taken and fired", body = Readiness),
        (status = 503, description = "They cannot; `reasons` says why", body = Readiness),
    ),
)]
pub async fn ready(State(api): State<Shared>) -> impl IntoResponse {
    let reasons = not_ready(&api).await;
    let (status, word) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let warnings: Vec<_> = api.alarm.borrow().iter().map(|alarm| format!("broker: {alarm}")).collect();
    (status, Json(json!({"status": word, "reasons": reasons, "warnings": warnings})))
}

/// Prometheus' text.
#[utoipa::path(
    get, path = "/metrics", tag = "host", security(()),
    responses((status = 200, description = "Counters, in the text format of Prometheus", body = String, content_type = "text/plain")),
)]
pub async fn metrics() -> String {
    telemetry::metrics_text()
}

async fn not_ready(api: &Shared) -> Vec<String> {
    let mut reasons = Vec::new();
    if api.announced.is_cancelled() {
        reasons.push("stopping".to_owned());
    }
    if let Err(error) = api.store.ping().await {
        reasons.push(format!("store: {error}"));
    }
    match &*api.broker.borrow() {
        BrokerState::Off => {}
        BrokerState::Away(reason) => reasons.push(format!("broker: {reason}")),
        BrokerState::Consuming { refused } => {
            reasons.extend(refused.iter().map(|reason| format!("broker refuses a binding: {reason}")));
        }
    }
    match &*api.couchdb.borrow() {
        ReaderState::Off | ReaderState::Fresh => {}
        ReaderState::Reading => reasons.push("couchdb: being read for the first time".to_owned()),
        ReaderState::Away(reason) => reasons.push(format!("couchdb: {reason}")),
    }
    let modules = api.modules.active();
    // A tenant's module is the tenant's business.
    let operators = modules.iter().filter(|module| module.owner.is_none());
    let in_quarantine = operators.filter_map(|module| Some((module.id(), module.quarantine()?)));
    reasons.extend(in_quarantine.map(|(id, reason)| format!("module {id} is in quarantine: {reason}")));
    reasons.extend(api.modules.refused().iter().map(|(name, reason)| format!("module {name} is not loaded: {reason}")));
    reasons
}
