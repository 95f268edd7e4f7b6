//! Limits of an account's modules: `/v2/accounts/{account_id}/configs/webhook_modules`. Set by an account above, read by the
//! account itself too, which they bind: it cannot change them. What is set counts on every node within a second, for the
//! account and for all below it; what counts is the smallest on the way up ([`crate::module::account_limits`]).

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::InAccount,
    data::{Data, Fields},
    described::{Envelope, Problems, Success},
    front::RequestId,
    problem::Problem,
};
use crate::{
    message::{AccountId, Object},
    module::{Limit, Whose},
    notice,
};

/// The document's `id`, as those of KAZOO's settings have one; no limit.
const ID: &str = "webhook_modules";

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show, replace, change, clear))
}

/// What is set for an account's modules and transforms. What is absent, is not set. Each is at most the operator's setting of
/// the same name in `[modules]`, and what is set for the accounts above.
#[derive(Serialize, ToSchema)]
pub struct ModuleLimits {
    /// How long one call may run, ms.
    #[schema(minimum = 1)]
    pub time_limit_ms: Option<u64>,
    /// What one call may burn, about one unit an instruction.
    #[schema(minimum = 100_000)]
    pub fuel_max: Option<u64>,
    /// Memory of one call, bytes.
    #[schema(minimum = 1_048_576)]
    pub memory_bytes_max: Option<u64>,
    /// What one call may log, bytes.
    pub log_bytes_max: Option<u64>,
    /// Calls of one module that run at once.
    #[schema(minimum = 1)]
    pub instances_per_module_max: Option<u64>,
    /// Calls that are charged to the account and run at once.
    #[schema(minimum = 1)]
    pub instances_per_account_max: Option<u64>,
    /// Calls that one instance may serve.
    #[schema(minimum = 1)]
    pub reuse_max: Option<u64>,
    /// The largest component, bytes.
    #[schema(minimum = 1024)]
    pub component_bytes_max: Option<u64>,
    /// Modules and transforms that an account may have.
    pub modules_per_account_max: Option<u64>,
    /// Versions that one of them may have.
    #[schema(minimum = 1)]
    pub versions_per_module_max: Option<u64>,
    /// All components of an account, bytes.
    pub upload_bytes_per_account_max: Option<u64>,
}

/// What is set, and what counts.
#[derive(Serialize, ToSchema)]
pub struct StoredModuleLimits {
    /// What is set.
    #[serde(flatten)]
    pub set: ModuleLimits,
    /// `webhook_modules`.
    #[schema(example = "webhook_modules")]
    pub id: String,
    /// What counts now.
    #[serde(rename = "_read_only")]
    pub read_only: EffectiveLimits,
}

/// What counts now.
#[derive(Serialize, ToSchema)]
pub struct EffectiveLimits {
    /// Each limit, whosever it is.
    #[schema(example = json!({"fuel_max": 5_000_000, "time_limit_ms": 50}))]
    pub effective: BTreeMap<String, u64>,
    /// For which account those are set that are not the operator's: it itself, or one above it.
    #[schema(example = json!({"fuel_max": "acme"}))]
    pub set_for: BTreeMap<String, String>,
}

/// Fetch the limits of an account's modules: what is set, and what counts.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/configs/webhook_modules", tag = "modules",
    params(("account_id" = String, Path, description = "Whose limits")),
    responses((status = 200, description = "The limits", body = Success<StoredModuleLimits>), Problems),
)]
async fn show(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    answer(&api, &account).await
}

/// Set limits for an account's modules in place of all that were set. For an account above it.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/configs/webhook_modules", tag = "modules",
    params(("account_id" = String, Path, description = "Whose limits")),
    request_body = Envelope<ModuleLimits>,
    responses((status = 200, description = "The limits as they are now", body = Success<StoredModuleLimits>), Problems),
)]
async fn replace(
    State(api): State<Shared>,
    whose: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    set(&api, whose, data, false, &request).await
}

/// Change some of the limits of an account's modules; null unsets. For an account above it.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}/configs/webhook_modules", tag = "modules",
    params(("account_id" = String, Path, description = "Whose limits")),
    request_body = Envelope<ModuleLimits>,
    responses((status = 200, description = "The limits as they are now", body = Success<StoredModuleLimits>), Problems),
)]
async fn change(
    State(api): State<Shared>,
    whose: InAccount,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    set(&api, whose, data, true, &request).await
}

/// Unset all limits that are set for an account's modules. For an account above it.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/configs/webhook_modules", tag = "modules",
    params(("account_id" = String, Path, description = "Whose limits")),
    responses((status = 200, description = "The limits as they are now", body = Success<StoredModuleLimits>), Problems),
)]
async fn clear(State(api): State<Shared>, whose: InAccount, request: RequestId) -> Result<Answer, Problem> {
    set(&api, whose, Object::new(), false, &request).await
}

/// Sets them; merged into what was set, or in its place.
async fn set(
    api: &Shared,
    whose: InAccount,
    data: Object,
    merge: bool,
    request: &RequestId,
) -> Result<Answer, Problem> {
    let InAccount { account, caller } = whose;
    if caller.account == account {
        return Err(Problem::forbidden_because(&match account == api.master {
            true => {
                "the operator's own limits are the settings of [modules], and are changed in the settings file".into()
            }
            false => format!("limits of account {account} bind it: only an account above it can change them"),
        }));
    }
    let turn = api.tree_changes.lock().await;
    let checked = checked(api, &account, &data)?;
    let mut set = if merge { api.store.module_limits(&account).await? } else { Object::new() };
    set.retain(|key, _| !data.contains_key(key));
    set.extend(checked);
    let notice = notice::of_module_limits(&account, &api.sender(request));
    if !api.store.put_module_limits(&account, &set, &[notice]).await? {
        return Err(Problem::unknown(account.as_str()));
    }
    drop(turn);
    api.modules_changed().await?;
    answer(api, &account).await
}

/// The limits of a `data` object, as they are stored; null is left out.
fn checked(api: &Api, account: &AccountId, data: &Object) -> Result<Object, Problem> {
    let mut fields = Fields::of(data);
    let known = Limit::ALL.map(Limit::key);
    for name in data.keys().filter(|name| name.as_str() != "id" && !known.contains(&name.as_str())) {
        let message = format!("is no limit that can be set here; those are {}", known.join(", "));
        fields.wrong(name, "unknown", &message, json!({"target": known}));
    }
    let mut checked = Object::new();
    for limit in Limit::ALL {
        let Some(number) = fields.number(limit.key()) else { continue };
        let ceiling = api.modules.ceiling_above(limit, account);
        if number < limit.least() {
            let message = format!("Value must be at least {}", limit.least());
            fields.wrong(limit.key(), "minimum", &message, json!({"target": limit.least(), "value": number}));
        } else if number > ceiling.most {
            let details = json!({"target": ceiling.most, "value": number});
            fields.wrong(limit.key(), "maximum", &ceiling.refusal(number), details);
        }
        checked.insert(limit.key().into(), json!(number));
    }
    fields.finish()?;
    Ok(checked)
}

async fn answer(api: &Api, account: &AccountId) -> Result<Answer, Problem> {
    let mut shown = api.store.module_limits(account).await?;
    let (mut effective, mut set_for) = (Object::new(), Object::new());
    for limit in Limit::ALL {
        let ceiling = api.modules.ceiling(limit, account);
        effective.insert(limit.key().into(), json!(ceiling.most));
        if let Whose::Account(whose) = ceiling.whose {
            set_for.insert(limit.key().into(), json!(whose.as_str()));
        }
    }
    shown.insert("id".into(), json!(ID));
    shown.insert("_read_only".into(), json!({"effective": effective, "set_for": set_for}));
    Ok(Answer::of(Value::Object(shown)))
}
