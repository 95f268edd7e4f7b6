//! Alive, ready and if not why, and the counters.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

use super::Shared;
use crate::{ingress::amqp::BrokerState, kazoo::reader::ReaderState, telemetry};

/// 200 as long as the process answers at all.
pub async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// 200 when messages can be taken and fired; else 503 with the reasons.
pub async fn ready(State(api): State<Shared>) -> impl IntoResponse {
    let reasons = not_ready(&api).await;
    let (status, word) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (status, Json(json!({"status": word, "reasons": reasons})))
}

/// Prometheus' text.
pub async fn metrics() -> String {
    telemetry::counters().render()
}

async fn not_ready(api: &Shared) -> Vec<String> {
    let mut reasons = Vec::new();
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
    let in_quarantine = modules.iter().filter_map(|module| Some((module.id(), module.quarantine()?)));
    reasons.extend(in_quarantine.map(|(id, reason)| format!("module {id} is in quarantine: {reason}")));
    reasons.extend(api.modules.refused().iter().map(|(name, reason)| format!("module {name} is not loaded: {reason}")));
    reasons
}
