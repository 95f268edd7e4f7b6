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
        (name = "modules", description = "The components of accounts: what they cost and say"),
        (name = "attempts", description = "What was sent, what came back, and sending it again"),
        (name = "accounts", description = "Accounts, their keys and settings"),
        (name = "modules", description = "Modules and transforms that accounts bring"),
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

/// Gives each operation an id that no other has: its method and its path. Handlers' own names are the same in many files.
fn name_operations(description: &mut openapi::OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != "v2").collect();
        let place = parts.join("_").replace(['{', '}'], "");
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{place}"));
            }
        }
    }
}

/// Serves it.
pub fn routes(mut description: openapi::OpenApi) -> Router<Shared> {
    name_operations(&mut description);
    // What utoipa has put together can be written.
    let text: &'static str = description.to_pretty_json().unwrap_or_default().leak();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], text).into_response()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_operations_have_the_same_id() {
        let mut description = crate::api::described_routes().into_openapi();
        name_operations(&mut description);
        let text = serde_json::to_value(&description).expect("it can be written");
        let items = text["paths"].as_object().into_iter().flatten().filter_map(|(_, item)| item.as_object());
        let ids: Vec<_> = items.flatten().filter_map(|(_, operation)| operation["operationId"].as_str()).collect();
        assert!(ids.contains(&"get_accounts_account_id_webhooks_attempts"), "{ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }
}
