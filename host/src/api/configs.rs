//! KAZOO's settings of the section `webhooks`, as far as they are read live: an account's own
//! (`/v2/accounts/{account_id}/configs/webhooks`) and the system's (`/v2/system_configs/webhooks`). What is set counts
//! on every node within a second; what is not set comes from the reseller, the system, and `[webhooks]` of the settings
//! file, in that order.

use axum::extract::State;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::{Caller, InAccount},
    data::{Data, Fields},
    described::{Envelope, Problems, Success},
    problem::Problem,
};
use crate::{
    attempt::failure_window::{Limits, is_disabler_off},
    message::{AccountId, Object},
    settings::{ATTEMPT_FAILURE_COUNT, ATTEMPT_FAILURE_EXPIRY_MS},
};

const COUNT: &str = "attempt_failure_count";
const EXPIRY_MS: &str = "attempt_failure_expiry_ms";
const DISABLE_DISABLER: &str = "disable_disabler";
/// What may be set for an account.
const OF_ACCOUNT: &[&str] = &[COUNT, EXPIRY_MS];
/// What may be set for the system.
const OF_SYSTEM: &[&str] = &[COUNT, EXPIRY_MS, DISABLE_DISABLER];
/// The document's id, as KAZOO shows it; not a setting.
const ID: &str = "webhooks";

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show, replace, change, clear)).routes(routes!(
        show_system,
        replace_system,
        change_system,
        clear_system
    ))
}

/// What is set for an account. What is absent, is not set.
#[derive(ToSchema)]
pub struct AccountConfig {
    /// A hook is disabled at this many failures…
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub attempt_failure_count: Option<u32>,
    /// … within this time, ms.
    #[schema(minimum = 1000, maximum = 86_400_000)]
    pub attempt_failure_expiry_ms: Option<u64>,
}

/// What is set for the system. What is absent, is not set.
#[derive(ToSchema)]
pub struct SystemConfig {
    /// A hook is disabled at this many failures…
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub attempt_failure_count: Option<u32>,
    /// … within this time, ms.
    #[schema(minimum = 1000, maximum = 86_400_000)]
    pub attempt_failure_expiry_ms: Option<u64>,
    /// `true`: hooks are never disabled for failing.
    pub disable_disabler: Option<bool>,
}

/// What is set, and what counts.
#[derive(ToSchema)]
pub struct StoredConfig {
    /// `webhooks`.
    #[schema(example = "webhooks")]
    pub id: String,
    /// A hook is disabled at this many failures…
    pub attempt_failure_count: Option<u32>,
    /// … within this time, ms.
    pub attempt_failure_expiry_ms: Option<u64>,
    /// `true`: hooks are never disabled for failing. The system's only.
    pub disable_disabler: Option<bool>,
    /// What counts now.
    #[schema(rename = "_read_only")]
    pub read_only: Effective,
}

/// What counts now.
#[derive(ToSchema)]
pub struct Effective {
    /// Each setting, wherever its value comes from.
    pub effective: EffectiveConfig,
}

/// Each setting, wherever its value comes from.
#[derive(ToSchema)]
pub struct EffectiveConfig {
    /// A hook is disabled at this many failures…
    pub attempt_failure_count: u32,
    /// … within this time, ms.
    pub attempt_failure_expiry_ms: u64,
    /// `true`: hooks are never disabled for failing.
    pub disable_disabler: bool,
}

/// Fetch what is set for an account, and what counts there.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/configs/webhooks", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose settings")),
    responses((status = 200, description = "The settings", body = Success<StoredConfig>), Problems),
)]
async fn show(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    answer(&api, Some(&account)).await
}

/// Set an account's settings in place of all that were set.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/configs/webhooks", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose settings")),
    request_body = Envelope<AccountConfig>,
    responses((status = 200, description = "The settings as they are now", body = Success<StoredConfig>), Problems),
)]
async fn replace(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Data(data): Data,
) -> Result<Answer, Problem> {
    set(&api, Some(&account), data, false).await
}

/// Change some of an account's settings; null unsets.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}/configs/webhooks", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose settings")),
    request_body = Envelope<AccountConfig>,
    responses((status = 200, description = "The settings as they are now", body = Success<StoredConfig>), Problems),
)]
async fn change(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Data(data): Data,
) -> Result<Answer, Problem> {
    set(&api, Some(&account), data, true).await
}

/// Unset all that is set for an account.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/configs/webhooks", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose settings")),
    responses((status = 200, description = "The settings as they are now", body = Success<StoredConfig>), Problems),
)]
async fn clear(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    set(&api, Some(&account), Object::new(), false).await
}

/// Fetch what is set for the system, and what counts where no account says otherwise.
#[utoipa::path(
    get, path = "/v2/system_configs/webhooks", tag = "accounts",
    responses((status = 200, description = "The settings", body = Success<StoredConfig>), Problems),
)]
async fn show_system(State(api): State<Shared>, caller: Caller) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    answer(&api, None).await
}

/// Set the system's settings in place of all that were set.
#[utoipa::path(
    post, path = "/v2/system_configs/webhooks", tag = "accounts",
    request_body = Envelope<SystemConfig>,
    responses((status = 200, description = "The settings as they are now", body = Success<StoredConfig>), Problems),
)]
async fn replace_system(State(api): State<Shared>, caller: Caller, Data(data): Data) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    set(&api, None, data, false).await
}

/// Change some of the system's settings; null unsets.
#[utoipa::path(
    patch, path = "/v2/system_configs/webhooks", tag = "accounts",
    request_body = Envelope<SystemConfig>,
    responses((status = 200, description = "The settings as they are now", body = Success<StoredConfig>), Problems),
)]
async fn change_system(State(api): State<Shared>, caller: Caller, Data(data): Data) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    set(&api, None, data, true).await
}

/// Unset all that is set for the system: the settings file counts.
#[utoipa::path(
    delete, path = "/v2/system_configs/webhooks", tag = "accounts",
    responses((status = 200, description = "The settings as they are now", body = Success<StoredConfig>), Problems),
)]
async fn clear_system(State(api): State<Shared>, caller: Caller) -> Result<Answer, Problem> {
    caller.must_be_super()?;
    set(&api, None, Object::new(), false).await
}

/// Sets them; merged into what was set, or in its place.
async fn set(api: &Shared, account: Option<&AccountId>, data: Object, merge: bool) -> Result<Answer, Problem> {
    let known = if account.is_some() { OF_ACCOUNT } else { OF_SYSTEM };
    let checked = checked(&data, known)?;
    let turn = api.tree_changes.lock().await;
    if let Some(account) = account {
        // Else settings would be left behind for an account that is gone.
        api.account_of(account).await?;
    }
    let mut set = if merge { api.store.webhook_settings(account).await? } else { Object::new() };
    set.retain(|key, _| !data.contains_key(key));
    set.extend(checked);
    api.store.put_webhook_settings(account, &set).await?;
    drop(turn);
    answer(api, account).await
}

/// The settings of a `data` object, as they are stored; null is left out.
fn checked(data: &Object, known: &[&str]) -> Result<Object, Problem> {
    let mut fields = Fields::of(data);
    for name in data.keys().filter(|name| *name != ID && !known.contains(&name.as_str())) {
        let message = format!("is no setting that can be set here; those are {}", known.join(", "));
        fields.wrong(name, "unknown", &message, json!({"target": known}));
    }
    let mut checked = Object::new();
    for (name, bounds) in [(COUNT, ATTEMPT_FAILURE_COUNT), (EXPIRY_MS, ATTEMPT_FAILURE_EXPIRY_MS)] {
        match fields.number(name) {
            Some(value) if value < *bounds.start() => {
                let message = format!("Value must be at least {}", bounds.start());
                fields.wrong(name, "minimum", &message, json!({"target": bounds.start(), "value": value}));
            }
            Some(value) if value > *bounds.end() => {
                let message = format!("Value must be at most {}", bounds.end());
                fields.wrong(name, "maximum", &message, json!({"target": bounds.end(), "value": value}));
            }
            Some(value) => drop(checked.insert(name.into(), json!(value))),
            None => {}
        }
    }
    if known.contains(&DISABLE_DISABLER)
        && let Some(off) = fields.boolean(DISABLE_DISABLER)
    {
        checked.insert(DISABLE_DISABLER.into(), json!(off));
    }
    fields.finish()?;
    Ok(checked)
}

async fn answer(api: &Api, account: Option<&AccountId>) -> Result<Answer, Problem> {
    let system = api.store.webhook_settings(None).await?;
    let of_system = Limits::of_system(&system, &api.webhooks);
    let (set, limits) = match account {
        None => (system.clone(), of_system),
        Some(account) => {
            let own = api.store.webhook_settings(Some(account)).await?;
            let resellers = match api.accounts.reseller(account) {
                Some(reseller) => api.store.webhook_settings(Some(&reseller)).await?,
                None => Object::new(),
            };
            let limits = Limits::of_account(&own, &resellers, of_system);
            (own, limits)
        }
    };
    let effective = json!({
        COUNT: limits.threshold,
        EXPIRY_MS: limits.window_ms,
        DISABLE_DISABLER: is_disabler_off(&system, &api.webhooks),
    });
    let mut shown = set;
    shown.insert("id".into(), json!(ID));
    shown.insert("_read_only".into(), json!({"effective": effective}));
    Ok(Answer::of(Value::Object(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn settings_are_kept_as_what_they_mean() {
        let data = object(
            json!({"attempt_failure_count": "7", "attempt_failure_expiry_ms": null, "disable_disabler": "true"}),
        );
        let set = checked(&data, OF_SYSTEM).expect("they are taken");
        assert_eq!(Value::Object(set), json!({"attempt_failure_count": 7, "disable_disabler": true}));
    }

    #[test]
    fn each_fault_is_named() {
        for (data, pointer) in [
            (json!({"attempt_failure_count": 0}), "/attempt_failure_count/minimum"),
            (json!({"attempt_failure_count": 1_000_001}), "/attempt_failure_count/maximum"),
            (json!({"attempt_failure_count": -1}), "/attempt_failure_count/type"),
            (json!({"attempt_failure_expiry_ms": 999}), "/attempt_failure_expiry_ms/minimum"),
            (json!({"attempt_failure_expiry_ms": []}), "/attempt_failure_expiry_ms/type"),
            (json!({"disable_disabler": true}), "/disable_disabler/unknown"),
            (json!({"log_successful_attempts": true}), "/log_successful_attempts/unknown"),
        ] {
            let problem = checked(&object(data.clone()), OF_ACCOUNT).expect_err("it is refused");
            assert!(problem.data.pointer(pointer).is_some(), "{data} {pointer}: {}", problem.data);
        }
        assert!(checked(&object(json!({"disable_disabler": "maybe"})), OF_SYSTEM).is_err());
    }
}
