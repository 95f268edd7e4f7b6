//! Uploading a component: read into bounded memory, checked, kept as a version.
//!
//! The same bytes twice give the version that is there. What is refused leaves nothing behind. Once the body is here, the
//! work goes on although the caller may have gone: its place is given back when it has ended, so that callers who come and
//! go do not have more checked at once than may be.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, header},
};
use semver::Version;

use super::bodies::{self, StoredVersion};
use crate::{
    api::{
        Api, Shared,
        answer::Answer,
        auth::{Caller, InAccount},
        described::{Failure, Problems, Success},
        front::RequestId,
        problem::Problem,
        query::Query,
        streamed::StreamedBody,
        token::Holder,
    },
    error_chain::chain,
    firing::given::{self, GivenFiring},
    message::AccountId,
    module::{
        Limit, ModuleError,
        check::{Checked, Subject, TrialFiring},
        description::is_module_id,
        loaded::digest_of,
    },
    notice::{self, Change},
    store::registered_modules::{Kept, ModuleVersion, RegisteredModule, VersionBounds},
};

/// When to come again, seconds, for who finds no place: a check takes about so long.
const RETRY_AFTER_S: u64 = 5;
/// The longest semantic version.
const VERSION_BYTES_MAX: usize = 64;

/// A component.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Component(pub Vec<u8>);

/// How a component is kept.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HowToKeep {
    /// Make it the active version at once.
    pub activate: Option<bool>,
    /// The semantic version of a transform; the next patch of the greatest that is there when absent. A module says its own.
    #[param(max_length = 64)]
    pub version: Option<String>,
}

/// Upload a component (`application/wasm`) as a version of a module or transform, which is made when there is none of this
/// name. It is checked first; nothing becomes active unless `activate` says so.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/versions", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Whose it will be"),
        ("module_name" = String, Path, description = "`[a-z0-9_]{1,64}`; a module's is the id in its metadata"),
        HowToKeep,
    ),
    request_body(content = Component, content_type = "application/wasm", description = "The component; at most modules.component_bytes_max"),
    responses(
        (status = 200, description = "The same component is there already, as this version", body = Success<StoredVersion>),
        (status = 201, description = "It is kept, with what the check found", body = Success<StoredVersion>),
        (status = 415, description = "The body is not application/wasm", body = Failure),
        (status = 422, description = "The check refuses it; `data` says at which step and why", body = Failure),
        Problems,
    ),
)]
pub async fn upload(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    query: Query,
    request: RequestId,
    body: StreamedBody,
) -> Result<Answer, Problem> {
    if !is_module_id(&name) || name == crate::hook::EVENT_ALL {
        let message = "a module's name is 1 to 64 of a-z, 0-9 and _, and not `all`";
        return Err(Problem::invalid("module_name", "pattern", message));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/wasm") {
        return Err(Problem::wrong_content_type("application/wasm"));
    }
    let activate = match query.get("activate") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("activate", "type", "Value did not match type(s): boolean")),
    };
    let version = query.get("version").map(version).transpose()?;
    let Ok(place) = Arc::clone(&api.uploads).try_acquire_owned() else {
        let most = api.modules_settings.uploads_max;
        return Err(Problem::come_again(
            &format!("{most} uploads are being checked already (modules.uploads_max); try again"),
            Duration::from_secs(RETRY_AFTER_S),
        ));
    };
    let most = api.modules.ceiling(Limit::ComponentBytesMax, &account);
    let component = body.read(most.most, &most.to_string()).await?;
    let upload = Upload { account, caller, name, version, component: component.into(), activate, request };
    let working = tokio::spawn(async move {
        let _place = place;
        upload.keep(&api).await
    });
    working.await.unwrap_or_else(|panic| {
        tracing::error!(error = chain(&panic), "an upload was cut off");
        Err(Problem::internal())
    })
}

fn version(text: &str) -> Result<Version, Problem> {
    Version::parse(text)
        .ok()
        .filter(|_| text.len() <= VERSION_BYTES_MAX)
        .ok_or_else(|| Problem::invalid("version", "pattern", "a version is like 1.2.3, at most 64 characters"))
}

/// A component that has come in whole.
struct Upload {
    account: AccountId,
    caller: Caller,
    name: String,
    version: Option<Version>,
    component: Arc<[u8]>,
    activate: bool,
    request: RequestId,
}

impl Upload {
    async fn keep(self, api: &Shared) -> Result<Answer, Problem> {
        let digest = digest_of(&self.component);
        let there = api.store.module_version(&self.account, &self.name, &digest).await?;
        let (version, is_new) = match there {
            Some(there) => (there, false),
            None => self.checked_and_kept(api, digest).await?,
        };
        let mut record = api.module_of(&self.account, &self.name).await?;
        if self.activate {
            record = api.activate(record, &version, &self.request).await?;
        }
        let answer = Answer::of(bodies::version_shown(&version, &record));
        Ok(if is_new { answer.created(&version.digest) } else { answer })
    }

    /// The version as it is kept, and whether it is new.
    async fn checked_and_kept(&self, api: &Shared, digest: String) -> Result<(ModuleVersion, bool), Problem> {
        // Cheap to say, so it is said before the check.
        if let Some(reason) = api.modules.refusal(&self.id(), &self.name, &[]) {
            return Err(Problem::in_the_way(&reason));
        }
        let checked = match api.checker.check(Arc::clone(&self.component), self.subject(api)).await {
            Ok(checked) => checked,
            Err(ModuleError::Refused { step, error }) => {
                return Err(Problem::unusable_component(&step.to_string(), &error.to_string()));
            }
            Err(error) => {
                tracing::error!(%error, "an upload could not be checked");
                return Err(Problem::internal());
            }
        };
        let number = self.number(api, &checked).await?;
        if let Some(reason) = api.modules.refusal(&self.id(), &self.name, &checked.bindings) {
            return Err(Problem::unusable_component("bindings", &reason));
        }
        let Checked { kind, metadata, bindings, report } = checked;
        let version = ModuleVersion {
            account: self.account.clone(),
            name: self.name.clone(),
            digest,
            version: number,
            kind,
            uploader: self.caller.account.clone(),
            key_id: match &self.caller.holder {
                Holder::Key(id) => Some(id.clone()),
                Holder::User { .. } => None,
            },
            uploaded_ms: api.clock.now_ms(),
            size_bytes: self.component.len() as u64,
            imports: report.imports.iter().map(|import| import.name.clone()).collect(),
            metadata,
            bindings,
            report: serde_json::to_value(&report).unwrap_or_default(),
        };
        self.written(api, version).await
    }

    /// Confined as its calls will be, and tried with the last messages that it would have been handed; a transform, with the
    /// samples of all events that its account can have.
    fn subject(&self, api: &Shared) -> Subject {
        let (recent, accounts) = (Arc::clone(&api.pipeline.recent), Arc::clone(&api.accounts));
        let owner = self.account.clone();
        Subject {
            surroundings: api.modules.surroundings_of(&self.account, BTreeMap::new()),
            limits: api.modules.bounds_of(&self.account),
            messages: Box::new(move |bindings| recent.wanted_by(&owner, bindings, &accounts)),
            firings: {
                let (api, owner) = (Arc::clone(api), self.account.clone());
                Box::new(move || firings(&api, &owner))
            },
        }
    }

    fn id(&self) -> crate::message::ModuleId {
        crate::message::ModuleId::of_tenant(&self.account, &self.name)
    }

    /// The version's number: a module says its own, a transform's is the caller's to say.
    async fn number(&self, api: &Shared, checked: &Checked) -> Result<String, Problem> {
        let Some(metadata) = &checked.metadata else {
            return match &self.version {
                Some(version) => Ok(version.to_string()),
                None => {
                    let versions = api.store.module_versions(&self.account, &self.name).await?;
                    Ok(next_patch(versions.iter().map(|version| version.version.as_str())).to_string())
                }
            };
        };
        if metadata.id.as_str() != self.name {
            let reason =
                format!("its metadata says id {}, and the path {}; they must be the same", metadata.id, self.name);
            return Err(Problem::unusable_component("metadata", &reason));
        }
        match &self.version {
            Some(version) if version.to_string() != metadata.version => {
                let message = format!("the module says that it is {}; leave the version out", metadata.version);
                Err(Problem::invalid("version", "error", &message))
            }
            _ => Ok(metadata.version.clone()),
        }
    }

    async fn written(&self, api: &Shared, version: ModuleVersion) -> Result<(ModuleVersion, bool), Problem> {
        let ceiling = |limit: Limit| api.modules.ceiling(limit, &self.account);
        let modules = ceiling(Limit::ModulesPerAccountMax);
        let versions = ceiling(Limit::VersionsPerModuleMax);
        let bytes = ceiling(Limit::UploadBytesPerAccountMax);
        let bounds = VersionBounds { modules_max: modules.most, versions_max: versions.most, bytes_max: bytes.most };
        let made = RegisteredModule::new(&version);
        let notice = notice::of_module(&made, made.revision, Change::Created, &api.sender(&self.request));
        let kept = api.store.keep_version(&version, &self.component, &bounds, &[notice]).await?;
        let in_the_way = |message: String| Err(Problem::in_the_way(&message));
        match kept {
            Kept::New => {
                api.modules_changed().await?;
                Ok((version, true))
            }
            Kept::There(there) => Ok((*there, false)),
            Kept::NoAccount => Err(Problem::unknown(self.account.as_str())),
            Kept::VersionTaken => in_the_way(format!(
                "version {} of {} is there already, with another component; give this one another version",
                version.version, self.name
            )),
            Kept::OtherKind(kind) => in_the_way(format!(
                "{} is a {}, and this is a {}; choose another name",
                self.name,
                kind.as_str(),
                version.kind.as_str()
            )),
            Kept::TooManyModules => {
                in_the_way(format!("the account may have {} modules ({modules}); delete one first", modules.most))
            }
            Kept::TooManyVersions => {
                in_the_way(format!("{} may have {} versions ({versions}); delete one first", self.name, versions.most))
            }
            Kept::TooManyBytes => in_the_way(format!(
                "the account's components would have over {} bytes ({bytes}); delete some first",
                bytes.most
            )),
        }
    }
}

/// One of each sample that modules have which the account sees.
fn firings(api: &Api, account: &AccountId) -> Vec<TrialFiring> {
    let mut firings = Vec::new();
    for module in api.modules.seen_by(Some(account)) {
        for (sample, payload) in &module.metadata.samples {
            let given = GivenFiring {
                account_id: Some(account.to_string()),
                hook_event: module.name().to_owned(),
                payload: payload.clone(),
                ..GivenFiring::default()
            };
            // What is made here is what hosts hand in.
            let Ok(handed) = given.handed_in() else { continue };
            let name = format!("{} {sample}", module.name());
            firings.push(given::on_trial(name, handed, &api.firing, api.modules.output_bytes_max()));
        }
    }
    firings
}

/// The next patch of the greatest; 0.1.0 when there is none.
fn next_patch<'a>(versions: impl Iterator<Item = &'a str>) -> Version {
    let greatest = versions.filter_map(|text| Version::parse(text).ok()).max();
    match greatest {
        Some(greatest) => Version::new(greatest.major, greatest.minor, greatest.patch.saturating_add(1)),
        None => Version::new(0, 1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_without_a_version_gets_the_next() {
        assert_eq!(next_patch(std::iter::empty()).to_string(), "0.1.0");
        assert_eq!(next_patch(["0.9.1", "0.10.0", "odd", "0.10.0-beta"].into_iter()).to_string(), "0.10.1");
    }
}
