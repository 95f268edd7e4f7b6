//! How a module or a transform stands with the quarantine: `/v2/accounts/{account_id}/webhook_modules/{module_name}/quarantine`,
//! shown and lifted by hand, by the account that owns it; of the operator's modules with the master account.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::bodies::{QuarantineBody, quarantine_shown};
use crate::{
    api::{
        Api, Shared,
        answer::Answer,
        auth::InAccount,
        described::{Problems, Success},
        front::RequestId,
        problem::Problem,
    },
    message::{AccountId, ModuleId},
    store::{
        module_faults::Component,
        registered_modules::{Quarantine, RegisteredModule},
    },
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show, lift))
}

/// How it stands.
#[derive(ToSchema)]
pub struct StandingBody {
    /// `account/name`, or the name alone of an operator's module.
    #[schema(example = "acme/crm")]
    pub module: String,
    /// Why it is not called, when it has failed too often; null when it is called.
    #[schema(required = true)]
    pub quarantine: Option<QuarantineBody>,
    /// Faults of the active version within the window, on all nodes; none are kept of a version in quarantine.
    pub faults: u64,
    /// So many are too many: `modules.fault_count`.
    pub fault_count: u64,
    /// The window: `modules.fault_window_ms`.
    pub fault_window_ms: u64,
}

/// Whose quarantine is meant.
enum Meant {
    /// The account's own.
    Own(Box<RegisteredModule>),
    /// The operator's.
    Operators(ModuleId),
}

/// Show whether a module or transform is in quarantine, and how near to it.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/quarantine", tag = "modules",
    params(("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which")),
    responses((status = 200, description = "How it stands", body = Success<StandingBody>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let meant = api.quarantine_meant(&account, &name).await?;
    Ok(Answer::of(api.standing_shown(&meant).await?))
}

/// Lift the quarantine of a module or transform, and forget its faults: it is called again, on this node before the answer, on
/// the others within a second.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/quarantine", tag = "modules",
    params(("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which")),
    responses((status = 200, description = "How it stands now", body = Success<StandingBody>), Problems),
)]
async fn lift(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    request: RequestId,
) -> Result<Answer, Problem> {
    let mut meant = api.quarantine_meant(&account, &name).await?;
    let id = meant.id();
    match &mut meant {
        Meant::Own(record) => {
            api.store.clear_module_faults(&id).await?;
            if record.quarantine.take().is_some() {
                **record = api.save_module(RegisteredModule::clone(record), &request).await?;
            }
        }
        Meant::Operators(id) => {
            api.store.lift_operators_quarantine(id).await?;
            api.quarantining.look().await?;
        }
    }
    // What only this node has counted, too.
    api.modules.lift_quarantine(&id);
    tracing::warn!(module = %id, %account, "the quarantine was lifted by hand, and faults forgotten");
    Ok(Answer::of(api.standing_shown(&meant).await?))
}

impl Meant {
    fn id(&self) -> ModuleId {
        match self {
            Self::Own(record) => record.id(),
            Self::Operators(id) => id.clone(),
        }
    }
}

impl Api {
    /// What an account may mean by the name: its own, else, with the master account, the operator's.
    async fn quarantine_meant(&self, account: &AccountId, name: &str) -> Result<Meant, Problem> {
        if let Some(own) = self.store.registered_module(account, name).await? {
            return Ok(Meant::Own(Box::new(own)));
        }
        let id = ModuleId::from(name);
        let is_operators =
            *account == self.master && self.modules.get(&id).is_some_and(|module| module.owner.is_none());
        match is_operators {
            true => Ok(Meant::Operators(id)),
            false => Err(Problem::bad_identifier(name)),
        }
    }

    async fn standing_shown(&self, meant: &Meant) -> Result<Value, Problem> {
        let module = meant.id();
        let (active, quarantine) = match meant {
            Meant::Own(record) => (record.active.clone(), record.quarantine.clone()),
            Meant::Operators(id) => {
                let active = self.modules.get(id).map(|module| module.digest.clone());
                let is_it =
                    |(of, quarantine): &(ModuleId, Quarantine)| of == id && Some(&quarantine.digest) == active.as_ref();
                let quarantined = self.store.quarantined_operators_modules().await?;
                let quarantine = quarantined.into_iter().find(is_it).map(|(_, quarantine)| quarantine);
                (active, quarantine)
            }
        };
        let settings = &self.modules_settings;
        let faults = match active {
            Some(digest) => {
                let after_ms = self.clock.now_ms().saturating_sub(settings.fault_window_ms);
                self.store.module_fault_count(&Component { module: module.clone(), digest }, after_ms).await?
            }
            None => 0,
        };
        Ok(json!({
            "module": module,
            "quarantine": quarantine.as_ref().map(quarantine_shown),
            "faults": faults,
            "fault_count": settings.fault_count,
            "fault_window_ms": settings.fault_window_ms,
        }))
    }
}
