//! What a hook would be sent: the very request that a test would fire, made and not sent. Where the hook has a transform it
//! is called for it, and that call is charged as any other.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared,
    answer::Answer,
    attempts::TransformRunBody,
    auth::InAccount,
    data::OptionalData,
    described::{AnyObject, Problems, Success},
    problem::Problem,
    testing::{TestEnvelope, firing_of},
};
use crate::{firing::Preview, message::Object};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(preview))
}

/// What would go out. Without `method` nothing would.
#[derive(ToSchema)]
pub struct PreviewBody {
    /// Where to.
    pub uri: String,
    /// `GET`, `POST` or `PUT`.
    pub method: Option<String>,
    /// Values of the hook's own headers are hidden. The signature is that of this moment and this `webhook-id`.
    pub headers: Option<AnyObject>,
    /// Empty for GET.
    pub body: Option<String>,
    /// Why nothing would go out.
    pub problem: Option<String>,
    /// Whether the hook's transform would drop it.
    pub dropped: bool,
    /// The hook's transform, when it has one.
    pub transform: Option<TransformRunBody>,
}

/// Make the request that a test of a hook would fire, and show it instead of sending it. The hook's transform is called for
/// it, and charged.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/preview", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    request_body = Option<TestEnvelope>,
    responses((status = 200, description = "The request, or why there would be none", body = Success<PreviewBody>), Problems),
)]
async fn preview(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    OptionalData(data): OptionalData,
) -> Result<Answer, Problem> {
    let (firing, hook) = firing_of(&api, &account, &hook, &data).await?;
    Ok(Answer::of(shown(api.firer.preview(&firing, &hook).await)))
}

fn shown(preview: Preview) -> Value {
    let Preview { uri, request, problem, transform } = preview;
    let mut shown = json!({"uri": uri, "dropped": request.is_none() && problem.is_none()});
    if let Some(request) = request {
        let headers: Object = request.headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
        shown["method"] = json!(request.method);
        shown["headers"] = Value::Object(headers);
        shown["body"] = json!(request.body);
    }
    if let Some(problem) = problem {
        shown["problem"] = json!(problem);
    }
    if let Some(run) = transform {
        shown["transform"] = json!({"module": run.id, "version": run.version, "fuel": run.fuel});
        if let Some(digest) = run.digest {
            shown["transform"]["digest"] = json!(digest);
        }
    }
    shown
}
