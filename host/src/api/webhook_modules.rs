//! An account's own modules and transforms: `/v2/accounts/{account_id}/webhook_modules`. Uploading is in [`upload`], trying
//! out in [`test`].
//!
//! What an account above offers is listed and shown too, without what is its owner's alone; it can be tried out, and not
//! be changed.

pub mod bodies;
pub mod cost;
pub mod logs;
pub mod quarantine;
pub mod samples;
pub mod test;
pub mod upload;

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::bodies::{ActivateBody, ModuleBody, StoredModule, StoredVersion};
use super::{
    Api, Shared,
    answer::Answer,
    auth::InAccount,
    data::{Data, Fields},
    described::{Envelope, Failure, Problems, Success},
    front::RequestId,
    problem::Problem,
    webhooks::must_match,
};
use crate::{
    ingress::amqp::BrokerState,
    message::AccountId,
    module::{Kind, ModuleError, limits},
    notice::{self, Change},
    store::{
        Saved,
        registered_modules::{ModuleVersion, RegisteredModule, VersionDeleted},
    },
};

/// How long an activation waits for the broker to have bound what it brings.
const BINDING_PATIENCE: Duration = Duration::from_secs(5);
/// The longest name of a version in a path or a body: a digest has 64 bytes, a semantic version as many at most.
const VERSION_BYTES_MAX: usize = 64;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, change, delete))
        .routes(routes!(versions, upload::upload))
        .routes(routes!(version, delete_version))
        .routes(routes!(activate))
        .routes(routes!(roll_back))
        .routes(routes!(test::test))
}

/// List an account's modules and transforms, then those that the accounts above offer to it.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules", tag = "modules",
    params(("account_id" = String, Path, description = "Whose")),
    responses((status = 200, description = "All of them", body = Success<Vec<StoredModule>>), Problems),
)]
async fn list(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    let mut shown = Vec::new();
    for record in api.store.registered_modules_of(&account).await? {
        shown.push(api.module_shown(&record, &account).await?);
    }
    for ancestor in api.accounts.ancestors(&account).iter().flat_map(|line| line.iter().rev()) {
        let theirs = api.store.registered_modules_of(ancestor).await?;
        for record in theirs.iter().filter(|record| record.offered) {
            shown.push(api.module_shown(record, &account).await?);
        }
    }
    Ok(Answer::list(shown))
}

/// Fetch a module or transform: the account's own, else the nearest that is offered to it.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}", tag = "modules",
    params(("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which")),
    responses((status = 200, description = "It", body = Success<StoredModule>), Problems),
)]
async fn show(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let record = api.module_seen(&account, &name).await?;
    api.module_answer(&record, &account).await
}

/// Change a module's settings, limits, or whether it is offered to the accounts below; each replaces what was there.
#[utoipa::path(
    patch, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when it is at this revision"),
    ),
    request_body = Envelope<ModuleBody>,
    responses((status = 200, description = "It as it is now", body = Success<StoredModule>), Problems),
)]
async fn change(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let mut record = api.module_of(&account, &name).await?;
    must_match(&headers, record.revision)?;
    let mut fields = Fields::of(&data);
    if let Some(offered) = fields.boolean("offered") {
        record.offered = offered;
    }
    if let Some(settings) = settings_of(&api, data.get("settings"), &mut fields) {
        record.settings = settings;
    }
    match data.get("limits") {
        None => {}
        Some(Value::Null) => record.limits.clear(),
        Some(Value::Object(limits)) => {
            for problem in limits::problems(limits, |limit| api.modules.ceiling(limit, &account)) {
                let field = format!("limits.{}", problem.key);
                fields.wrong(&field, problem.code, &problem.message, json!({"target": problem.target}));
            }
            record.limits.clone_from(limits);
        }
        Some(other) => wrong_type("limits", other, &mut fields),
    }
    fields.finish()?;
    let record = api.save_module(record, &request).await?;
    api.module_answer(&record, &account).await
}

/// Delete a module or transform with all its versions. Hooks that name it stay, and get nothing of it any more.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when it is at this revision"),
    ),
    responses((status = 200, description = "It as it was last", body = Success<StoredModule>), Problems),
)]
async fn delete(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    request: RequestId,
) -> Result<Answer, Problem> {
    let record = api.module_of(&account, &name).await?;
    must_match(&headers, record.revision)?;
    let mut shown = api.module_shown(&record, &account).await?;
    let notice = notice::of_module(&record, record.revision + 1, Change::Deleted, &api.sender(&request));
    if !api.store.delete_registered_module(&account, &name, &[notice]).await? {
        return Err(Problem::bad_identifier(&name));
    }
    api.modules_changed().await?;
    shown["_read_only"] = json!({"deleted": true});
    Ok(Answer::of(shown))
}

/// List the versions of a module or transform, those uploaded last first.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/versions", tag = "modules",
    params(("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which")),
    responses((status = 200, description = "All of them", body = Success<Vec<StoredVersion>>), Problems),
)]
async fn versions(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let record = api.module_of(&account, &name).await?;
    let versions = api.store.module_versions(&account, &name).await?;
    Ok(Answer::list(versions.iter().map(|version| bodies::version_shown(version, &record)).collect()))
}

/// Fetch a version, with what the check found.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/versions/{version}", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which"),
        ("version" = String, Path, description = "Its digest, or its semantic version"),
    ),
    responses((status = 200, description = "It", body = Success<StoredVersion>), Problems),
)]
async fn version(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name, named)): Path<(String, String, String)>,
) -> Result<Answer, Problem> {
    let record = api.module_of(&account, &name).await?;
    let version = api.version_of(&record, &named).await?;
    Ok(Answer::of(bodies::version_shown(&version, &record)))
}

/// Delete a version that is not active.
#[utoipa::path(
    delete, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/versions/{version}", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which"),
        ("version" = String, Path, description = "Its digest, or its semantic version"),
    ),
    responses((status = 200, description = "It as it was last", body = Success<StoredVersion>), Problems),
)]
async fn delete_version(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name, named)): Path<(String, String, String)>,
) -> Result<Answer, Problem> {
    let record = api.module_of(&account, &name).await?;
    let version = api.version_of(&record, &named).await?;
    match api.store.delete_version(&account, &name, &version.digest).await? {
        VersionDeleted::Done => {
            let mut shown = bodies::version_shown(&version, &record);
            shown["_read_only"] = json!({"deleted": true});
            Ok(Answer::of(shown))
        }
        VersionDeleted::IsActive => {
            let message = "the version is active; activate another one first, or delete the module";
            Err(Problem::in_the_way(message))
        }
        VersionDeleted::Missing => Err(Problem::bad_identifier(&named)),
    }
}

/// Make a version the active one: on this node before the answer, on the others within a second.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/activate", tag = "modules",
    params(("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which")),
    request_body = Envelope<ActivateBody>,
    responses(
        (status = 200, description = "It is active", body = Success<StoredModule>),
        (status = 422, description = "The version cannot be loaded", body = Failure),
        Problems,
    ),
)]
async fn activate(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    request: RequestId,
    Data(data): Data,
) -> Result<Answer, Problem> {
    let record = api.module_of(&account, &name).await?;
    let mut fields = Fields::of(&data);
    let named = fields.required_text("version", VERSION_BYTES_MAX);
    fields.finish()?;
    let version = api.version_of(&record, named).await?;
    let record = api.activate(record, &version, &request).await?;
    api.module_answer(&record, &account).await
}

/// Make the version active again that was active before.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/rollback", tag = "modules",
    params(("account_id" = String, Path, description = "Whose"), ("module_name" = String, Path, description = "Which")),
    responses(
        (status = 200, description = "It is active", body = Success<StoredModule>),
        (status = 422, description = "The version cannot be loaded", body = Failure),
        Problems,
    ),
)]
async fn roll_back(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    request: RequestId,
) -> Result<Answer, Problem> {
    let mut record = api.module_of(&account, &name).await?;
    if !record.roll_back() {
        return Err(Problem::in_the_way("no version was active before this one; activate the one that you want"));
    }
    let digest = record.active.clone().unwrap_or_default();
    let version = api.version_of(&record, &digest).await?;
    let record = api.put_to_work(record, &version, &request).await?;
    api.module_answer(&record, &account).await
}

/// Settings as a caller gives them: texts by names, within their bound. Null is none.
fn settings_of(api: &Api, given: Option<&Value>, fields: &mut Fields<'_>) -> Option<BTreeMap<String, String>> {
    let settings = match given? {
        Value::Null => return Some(BTreeMap::new()),
        Value::Object(settings) => settings,
        other => {
            wrong_type("settings", other, fields);
            return None;
        }
    };
    let mut given = BTreeMap::new();
    for (name, value) in settings {
        match value.as_str() {
            Some(text) => drop(given.insert(name.clone(), text.to_owned())),
            None => {
                let details = json!({"target": "string", "value": value});
                fields.wrong(&format!("settings.{name}"), "type", "Value did not match type(s): string", details);
            }
        }
    }
    let bytes: usize = given.iter().map(|(name, text)| name.len() + text.len()).sum();
    let most = api.modules_settings.settings_bytes_max;
    if bytes as u64 > most {
        let message = format!("the settings have {bytes} bytes; use at most {most} (modules.settings_bytes_max)");
        fields.wrong("settings", "maxLength", &message, json!({"target": most}));
    }
    Some(given)
}

fn wrong_type(name: &str, value: &Value, fields: &mut Fields<'_>) {
    let details = json!({"target": "object", "value": value});
    fields.wrong(name, "type", "Value did not match type(s): object", details);
}

impl Api {
    /// The account's own module of this name.
    pub(super) async fn module_of(&self, account: &AccountId, name: &str) -> Result<RegisteredModule, Problem> {
        let found = self.store.registered_module(account, name).await?;
        found.ok_or_else(|| Problem::bad_identifier(name))
    }

    /// The account's own module of this name, else that of the nearest account above that offers one.
    pub(super) async fn module_seen(&self, account: &AccountId, name: &str) -> Result<RegisteredModule, Problem> {
        if let Some(own) = self.store.registered_module(account, name).await? {
            return Ok(own);
        }
        for ancestor in self.accounts.ancestors(account).iter().flat_map(|line| line.iter().rev()) {
            let theirs = self.store.registered_module(ancestor, name).await?;
            if let Some(offered) = theirs.filter(|record| record.offered) {
                return Ok(offered);
            }
        }
        Err(Problem::bad_identifier(name))
    }

    /// A version of the module, by its digest or its semantic version.
    pub(super) async fn version_of(&self, record: &RegisteredModule, named: &str) -> Result<ModuleVersion, Problem> {
        let found = self.store.module_version(&record.account, &record.name, named).await?;
        found.ok_or_else(|| Problem::bad_identifier(named))
    }

    /// The module as an account sees it.
    async fn module_shown(&self, record: &RegisteredModule, account: &AccountId) -> Result<Value, Problem> {
        let active = match &record.active {
            Some(digest) => self.store.module_version(&record.account, &record.name, digest).await?,
            None => None,
        };
        let set_aside = self.modules.set_aside();
        let reason = set_aside.get(&record.id()).map(String::as_str);
        let mut shown = bodies::module_shown(record, active.as_ref(), reason, record.account == *account);
        if record.account == *account && record.kind == Kind::Module {
            shown["stored_calls"] = self.store.stored_call_count(&record.id()).await?.into();
        }
        Ok(shown)
    }

    /// The module as it is now, with its revision.
    async fn module_answer(&self, record: &RegisteredModule, account: &AccountId) -> Result<Answer, Problem> {
        Ok(Answer::of(self.module_shown(record, account).await?).revision(record.revision))
    }

    /// Makes a version the active one.
    pub(super) async fn activate(
        &self,
        mut record: RegisteredModule,
        version: &ModuleVersion,
        request: &RequestId,
    ) -> Result<RegisteredModule, Problem> {
        let before_max = usize::try_from(self.modules_settings.versions_per_module_max).unwrap_or(usize::MAX);
        record.activate(&version.digest, before_max);
        self.put_to_work(record, version, request).await
    }

    /// Saves a module whose active version is this one, when it may be and can be loaded; answers when this node hands
    /// messages to it, and the broker gets them here.
    async fn put_to_work(
        &self,
        record: RegisteredModule,
        version: &ModuleVersion,
        request: &RequestId,
    ) -> Result<RegisteredModule, Problem> {
        if let Some(reason) = self.modules.refusal(&record.id(), &record.name, &version.bindings) {
            return Err(Problem::in_the_way(&reason));
        }
        if record.kind == Kind::Module {
            match self.stored_modules.try_out(&record, version).await? {
                Ok(_) => {}
                Err(error @ ModuleError::Host { .. }) => {
                    tracing::error!(module = %record.id(), %error, "a version could not be tried out");
                    return Err(Problem::internal());
                }
                Err(error) => return Err(Problem::unusable_component("load", &error.to_string())),
            }
        }
        let record = self.save_module(record, request).await?;
        if matches!(&*self.broker.borrow(), BrokerState::Consuming { .. }) {
            // A broker that goes away meanwhile is asked again when it is back.
            let _ = tokio::time::timeout(BINDING_PATIENCE, self.modules.until_bound()).await;
        }
        Ok(record)
    }

    /// Writes a module over the revision that was read, tells of it, and has this node obey it.
    async fn save_module(
        &self,
        mut record: RegisteredModule,
        request: &RequestId,
    ) -> Result<RegisteredModule, Problem> {
        let notice = notice::of_module(&record, record.revision + 1, Change::Edited, &self.sender(request));
        match self.store.save_registered_module(&record, record.revision, &[notice]).await? {
            Saved::Done(revision) => record.revision = revision,
            Saved::Conflict => return Err(Problem::conflict()),
        }
        self.modules_changed().await?;
        Ok(record)
    }

    /// Has this node obey what was just written of modules, and the others hear of it.
    pub(super) async fn modules_changed(&self) -> Result<(), Problem> {
        self.to_tell.notify_one();
        Ok(self.stored_modules.catch_up().await?)
    }
}
