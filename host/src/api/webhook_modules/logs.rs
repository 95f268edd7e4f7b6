//! What a module or a transform logged last: `/v2/accounts/{account_id}/webhook_modules/{module_name}/logs`, for the account that
//! owns it; the operator's modules with the master account. Each node has the lines of the calls that it made.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        Shared,
        answer::Answer,
        auth::InAccount,
        described::{Problems, Success},
        problem::Problem,
        query::Query,
    },
    clock::gregorian_s,
    message::ModuleId,
    module::{guest_log::Level, log_book::KeptLine},
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which lines.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Those after the line of this `id`; all that are kept when absent.
    pub after: Option<u64>,
    /// `debug`, `info`, `warn` or `error`, and above; all when absent.
    pub level: Option<String>,
}

/// One line.
#[derive(ToSchema)]
pub struct LogLineBody {
    /// Grows with each line; to be named in `after` of the next call.
    pub id: u64,
    /// When the call that logged it had ended, seconds since year 0.
    pub timestamp: u64,
    /// `debug`, `info`, `warn` or `error`.
    #[schema(example = "info")]
    pub level: String,
    /// The version that said it.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// Without control characters.
    pub text: String,
}

/// List the last lines that a module or a transform logged, the oldest first: at most `modules.log_lines_kept`.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/logs", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Whose module"), ("module_name" = String, Path, description = "Which"), Which,
    ),
    responses((status = 200, description = "The lines", body = Success<Vec<LogLineBody>>), Problems),
)]
async fn list(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    query: Query,
) -> Result<Answer, Problem> {
    let after = number(&query, "after")?.unwrap_or(0);
    let least = level(&query)?;
    let mut modules = vec![ModuleId::from(format!("{account}/{name}"))];
    if account == api.master {
        modules.push(name.as_str().into());
    }
    let logs = api.modules.logs();
    if !api.is_module(&modules) && !modules.iter().any(|module| logs.has(module)) {
        // One without an active version is in the store alone; it has said nothing.
        api.module_of(&account, &name).await?;
    }
    let mut lines: Vec<_> = modules.iter().flat_map(|module| logs.read(module, after, least)).collect();
    lines.sort_by_key(|line| line.id);
    Ok(Answer::of(Value::Array(lines.iter().map(shown).collect())))
}

fn shown(line: &KeptLine) -> Value {
    json!({
        "id": line.id,
        "timestamp": gregorian_s(line.at_ms),
        "level": line.level.as_str(),
        "version": line.version,
        "text": line.text,
    })
}

fn number(query: &Query, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let details = json!({"target": "integer", "value": text});
        Problem::invalid_with(name, "type", "Value did not match type(s): integer", details)
    })
}

fn level(query: &Query) -> Result<Level, Problem> {
    let Some(text) = query.get("level").filter(|text| !text.is_empty()) else { return Ok(Level::Debug) };
    Level::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| {
        let details = json!({"target": Level::ALL.map(Level::as_str), "value": text});
        Problem::invalid_with("level", "enum", "Value not found in enumerated list of values", details)
    })
}
