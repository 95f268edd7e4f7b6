//! REST: routes, and what handlers share. One file a thing under `api/`; one error body for all, in [`problem`].
//!
//! Crossbar's envelope: what comes in is `{"data": …}`, what goes out is `{"data": …, "status": …, "request_id": …}`.

pub mod auth;
pub mod health;
pub mod messages;
pub mod problem;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::{get, put},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use self::problem::Problem;
use crate::{
    account::AccountTree,
    clock::Clock,
    ingress::{amqp::BrokerState, decode::Decoder},
    kazoo::reader::ReaderState,
    message::AccountId,
    module::Modules,
    pipeline::Pipeline,
    settings::ApiSettings,
    store::SharedStore,
};

/// What handlers work with.
pub struct Api {
    /// Bounds.
    pub settings: ApiSettings,
    /// Whose accounts are known.
    pub accounts: Arc<AccountTree>,
    /// The account above all others.
    pub master: AccountId,
    /// Keys and everything that is kept.
    pub store: SharedStore,
    /// Where posted messages go.
    pub pipeline: Arc<Pipeline>,
    /// How they are read.
    pub decoder: Decoder,
    /// What could not be loaded.
    pub modules: Arc<Modules>,
    /// How it stands with the broker.
    pub broker: watch::Receiver<BrokerState>,
    /// How it stands with KAZOO's CouchDB.
    pub couchdb: watch::Receiver<ReaderState>,
    /// Slows down who guesses keys.
    pub guesses: auth::Guesses,
    /// What time it is.
    pub clock: Clock,
}

/// Handlers' state.
pub type Shared = Arc<Api>;

/// All routes.
pub fn router(api: Shared) -> Router {
    let body_bytes_max = usize::try_from(api.settings.body_bytes_max).unwrap_or(usize::MAX);
    let deadline = Duration::from_millis(api.settings.request_timeout_ms);
    let places = Arc::new(Semaphore::new(usize::try_from(api.settings.requests_max).unwrap_or(Semaphore::MAX_PERMITS)));
    Router::new()
        .route("/v2/accounts/{account}/messages", put(messages::put))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(async || Problem::not_found("there is no such path"))
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(CatchPanicLayer::custom(|_| axum::response::IntoResponse::into_response(Problem::internal())))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, deadline))
        .layer(middleware::from_fn_with_state(places, in_its_place))
        .with_state(api)
}

/// Waits for one of `api.requests_max` places.
async fn in_its_place(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let _place = places.acquire_owned().await;
    next.run(request).await
}

/// Crossbar's envelope around a success.
pub fn success(data: &Value) -> Value {
    json!({"data": data, "status": "success", "request_id": request_id()})
}

/// 32 hex digits that name a request in answers.
pub fn request_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
