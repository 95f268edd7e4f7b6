//! REST: routes, and what handlers share. One file a thing under `api/`.
//!
//! The cast: [`front`] stands before and behind every handler; [`auth`] says who calls; [`data`], [`query`] and
//! [`paging`] read what was asked; a handler gives an [`answer`] or a [`problem`]. Paths, envelope and errors are
//! Crossbar's, so that KAZOO's clients find what they know. Each route is described beside its handler;
//! [`description`] puts that together for `/openapi.json`.

pub mod accounts;
pub mod answer;
pub mod attempts;
pub mod auth;
pub mod configs;
pub mod data;
pub mod dead_letters;
pub mod described;
pub mod description;
pub mod failures;
pub mod filters;
pub mod front;
pub mod health;
pub mod keys;
pub mod live;
pub mod login;
pub mod long_entries;
pub mod messages;
pub mod metadata;
pub mod module_limits;
pub mod overview;
pub mod paging;
pub mod preview;
pub mod problem;
pub mod query;
pub mod resend_jobs;
pub mod resending;
pub mod secrets;
pub mod server;
pub mod streamed;
pub mod testing;
pub mod time_range;
pub mod token;
pub mod webhook_modules;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderName, Method, header},
    middleware,
    response::IntoResponse,
};
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{Any, CorsLayer},
};
use utoipa_axum::router::OpenApiRouter;

use self::problem::Problem;
use crate::{
    account::{AccountTree, user_directory::UserDirectory},
    changes::Follower,
    clock::Clock,
    console,
    firing::Firer,
    ingress::{amqp::BrokerState, decode::Decoder},
    kazoo::reader::ReaderState,
    live::Live,
    message::AccountId,
    module::{Modules, check::Checker, quarantining::Quarantining, stored::StoredModules},
    pipeline::Pipeline,
    settings::{ApiSettings, DeadLetterSettings, FiringSettings, ModuleSettings, WebhookSettings},
    store::{SharedStore, secrets::HostKey},
};

/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_secs(86_400);

/// What handlers work with.
pub struct Api {
    /// Bounds.
    pub settings: ApiSettings,
    /// Which hooks are valid.
    pub firing: Arc<FiringSettings>,
    /// KAZOO's settings as the file has them, under those of the store.
    pub webhooks: WebhookSettings,
    /// How many dead letters one call works on.
    pub dead_letters: DeadLetterSettings,
    /// Whose accounts are known.
    pub accounts: Arc<AccountTree>,
    /// The account above all others.
    pub master: AccountId,
    /// Keys and everything that is kept.
    pub store: SharedStore,
    /// What secrets are encrypted under.
    pub key: Arc<HostKey>,
    /// Makes and checks tokens.
    pub tokens: token::Tokens,
    /// Who logs in by `user_auth`; nobody when there is none.
    pub users: Option<Arc<dyn UserDirectory>>,
    /// Held by whoever changes accounts, keys or settings: they look at what is there, then write.
    pub tree_changes: Mutex<()>,
    /// Has this node obey what was written.
    pub follower: Arc<Follower>,
    /// Rung when a notice was written that is to be published.
    pub to_tell: Arc<Notify>,
    /// Where posted messages go.
    pub pipeline: Arc<Pipeline>,
    /// Fires tests.
    pub firer: Arc<Firer>,
    /// Rung when a bulk resend was made.
    pub job_made: Arc<Notify>,
    /// How messages are read.
    pub decoder: Decoder,
    /// What there is, and what could not be loaded.
    pub modules: Arc<Modules>,
    /// What tenants may bring.
    pub modules_settings: ModuleSettings,
    /// Checks what is uploaded.
    pub checker: Arc<Checker>,
    /// Has this node obey what was written of modules.
    pub stored_modules: Arc<StoredModules>,
    /// Has this node obey which of the operator's modules are in quarantine.
    pub quarantining: Arc<Quarantining>,
    /// Uploads taken and checked at once: `modules.uploads_max`.
    pub uploads: Arc<Semaphore>,
    /// Cancelled when the host is about to stop.
    pub announced: CancellationToken,
    /// How it stands with the broker.
    pub broker: watch::Receiver<BrokerState>,
    /// Why the broker takes nothing that is published, when it does not.
    pub alarm: watch::Receiver<Option<String>>,
    /// How it stands with KAZOO's CouchDB.
    pub couchdb: watch::Receiver<ReaderState>,
    /// Slows down who guesses keys.
    pub guesses: auth::Guesses,
    /// Requests worked on at once: `api.requests_max`.
    pub places: Semaphore,
    /// What happens, for those who look on.
    pub live: Live,
    /// Who looks on.
    pub listeners: live::Listeners,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
    /// How answers and notices name this node.
    pub node: String,
    /// What time it is.
    pub clock: Clock,
}

/// Handlers' state.
pub type Shared = Arc<Api>;

/// All routes that are described.
fn described_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(description::head())
        .merge(metadata::routes())
        .merge(webhooks::routes())
        .merge(overview::routes())
        .merge(attempts::routes())
        .merge(live::routes())
        .merge(failures::routes())
        .merge(testing::routes())
        .merge(preview::routes())
        .merge(resending::routes())
        .merge(resend_jobs::routes())
        .merge(secrets::routes())
        .merge(accounts::routes())
        .merge(keys::routes())
        .merge(configs::routes())
        .merge(module_limits::routes())
        .merge(login::routes())
        .merge(webhook_modules::routes())
        .merge(webhook_modules::cost::routes())
        .merge(webhook_modules::logs::routes())
        .merge(webhook_modules::quarantine::routes())
        .merge(webhook_modules::samples::routes())
        .merge(messages::routes())
        .merge(dead_letters::routes())
        .merge(health::routes())
}

/// The whole interface: routes, and what stands before and behind them.
pub fn router(api: Shared) -> Router {
    let (routes, description) = described_routes().split_for_parts();
    let routes = routes
        .merge(description::routes(description))
        .merge(console::routes())
        .fallback(async || Problem::no_such_path())
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(CatchPanicLayer::custom(|_| Problem::internal().into_response()))
        .with_state(Arc::clone(&api));
    // Around the router, not in it: the layers decide on the route.
    Router::new().fallback_service(routes).layer(middleware::from_fn_with_state(api, front::front)).layer(cors())
}

/// Any page may call: what opens is a key, never a cookie.
fn cors() -> CorsLayer {
    let allowed = [
        header::ACCEPT,
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        front::AUTH_TOKEN,
        front::REQUEST_ID,
        HeaderName::from_static("x-pretty-print"),
    ];
    let methods =
        [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::HEAD];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(methods)
        .allow_headers(allowed)
        .expose_headers([header::ETAG, header::LOCATION, front::AUTH_TOKEN, front::REQUEST_ID])
        .max_age(CORS_MAX_AGE)
}
