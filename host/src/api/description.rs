//! `/openapi.json`: the whole interface described, put together from what stands beside the handlers.

use axum::{Router, http::header, response::IntoResponse, routing::get};
use utoipa::{
    OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::Shared;

/// What is said before the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hookbox",
        description = "Messages in, signed webhooks out. Paths, envelope and errors are those of KAZOO's Crossbar: what is sent \
                       is `{\"data\": …}`, what is answered is `{\"data\": …, \"status\": \"success\" | \"error\", …}`. A key opens \
                       its own account and that account's descendants."
    ),
    tags(
        (name = "webhooks", description = "Hooks: who is told of what"),
        (name = "events", description = "The kinds of events that hooks can take"),
        (name = "attempts", description = "What was sent, what came back, and sending it again"),
        (name = "accounts", description = "Accounts, their keys and settings"),
        (name = "messages", description = "Messages over HTTP, and those that failed"),
        (name = "host", description = "How the host is"),
    ),
    security(("key" = []), ("bearer" = [])),
)]
struct Head;

/// The description before any path is in it.
pub fn head() -> openapi::OpenApi {
    let mut head = Head::openapi();
    let components = head.components.get_or_insert_default();
    let key = ApiKeyValue::with_description("X-Auth-Token", "An API key, or a token of api_auth or user_auth");
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    head
}

/// Serves it.
pub fn routes(description: openapi::OpenApi) -> Router<Shared> {
    // What utoipa has put together can be written.
    let text: &'static str = description.to_pretty_json().unwrap_or_default().leak();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], text).into_response()))
}
