//! Trying out a module or a transform: one message, or one firing, through one version in the real sandbox. Nothing is fired,
//! kept or charged.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bodies::{Rehearsal, RehearsalBody};
use crate::{
    api::{
        Api, Shared,
        answer::Answer,
        auth::InAccount,
        data,
        described::{Envelope, Failure, Problems, Success},
        front::RequestBody,
        messages::{Posted, decode},
        problem::Problem,
    },
    firing::{
        given::GivenFiring,
        transform::{Bounds, Rewritten},
    },
    message::{AccountId, Message, ModuleId},
    module::{
        Handled, Kind, Made, Module, ModuleError, dry_run::Rehearsed, sandbox::Called, transform::TransformInput,
    },
    store::registered_modules::RegisteredModule,
};

/// As it comes in: a message for a module, its body kept as it is written; a firing for a transform.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    message: Option<Posted<'a>>,
    firing: Option<GivenFiring>,
    version: Option<String>,
}

/// Hand a message to a module, or a firing to a transform, as if it had come in: what would come of it, what the component
/// says, what the call costs. Nothing is fired. One that an account above offers can be tried out too, and the operator's.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/test", tag = "modules",
    params(
        ("account_id" = String, Path, description = "In whose name; nothing may come of it outside its tree"),
        ("module_name" = String, Path, description = "Which"),
    ),
    request_body = Envelope<RehearsalBody>,
    responses(
        (status = 200, description = "What came of it, well or badly", body = Success<Rehearsal>),
        (
            status = 422, description = "The message or the firing can never be one, or the version cannot be loaded",
            body = Failure,
        ),
        Problems,
    ),
)]
pub async fn test(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    Extension(RequestBody(body)): Extension<RequestBody>,
) -> Result<Answer, Problem> {
    let found = Found::of(&api, &account, &name).await?;
    let kind = found.kind();
    let data = data::Envelope::parse(&body)?.required_data()?;
    let asked: Asked<'_> = serde_json::from_str(data.get())
        .map_err(|error| Problem::invalid("data", "invalid", &format!("{error}; {}", how_to_ask(kind))))?;
    let version = asked.version.as_deref();
    match (kind, found, asked.message, asked.firing) {
        (Kind::Module, found, Some(message), None) => {
            let message =
                decode(&api, &message, Some(&account)).map_err(|error| Problem::unusable(&error.to_string()))?;
            let module = found.module(&api, version, &account).await?;
            test_module(&api, &module, Arc::new(belonging(message, &account))).await
        }
        (Kind::Transform, Found::Registered(record), None, Some(firing)) => {
            test_transform(&api, &record, version, account, firing).await
        }
        _ => Err(Problem::invalid("data", "invalid", how_to_ask(kind))),
    }
}

/// What is to be tried out: what the account has or is offered, else what the operator brought.
pub(super) enum Found {
    Registered(Box<RegisteredModule>),
    Operators(Arc<Module>),
}

impl Found {
    pub(super) async fn of(api: &Api, account: &AccountId, name: &str) -> Result<Self, Problem> {
        match api.module_seen(account, name).await {
            Ok(record) => Ok(Self::Registered(Box::new(record))),
            Err(unknown) if unknown.status == StatusCode::NOT_FOUND => {
                let module = api.modules.get(&name.into()).filter(|module| module.owner.is_none());
                module.map(Self::Operators).ok_or(unknown)
            }
            Err(problem) => Err(problem),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Registered(record) => record.kind,
            Self::Operators(_) => Kind::Module,
        }
    }

    /// A version of it, loaded. The operator's has the one that is active, and no other to name.
    async fn module(self, api: &Api, version: Option<&str>, account: &AccountId) -> Result<Arc<Module>, Problem> {
        match (self, version) {
            (Self::Registered(record), version) => version_to_try(api, &record, version, account).await,
            (Self::Operators(_), Some(named)) => Err(Problem::bad_identifier(named)),
            (Self::Operators(module), None) => Ok(module),
        }
    }
}

fn how_to_ask(kind: Kind) -> &'static str {
    match kind {
        Kind::Module => "send {\"message\": {exchange, routing_key, body, message_id?}, \"version\"?}",
        Kind::Transform => {
            "send {\"firing\": {payload?, uri?, verb?, headers?, content_type?, hook_event?, attempt?}, \"version\"?}"
        }
    }
}

async fn test_module(api: &Api, module: &Arc<Module>, message: Arc<Message>) -> Result<Answer, Problem> {
    let wanted = module
        .bindings
        .iter()
        .any(|binding| binding.exchange == message.exchange && binding.wants(&message.category, &message.name));
    let Rehearsed { called, took } =
        api.modules.dry_run(module, &message).await.map_err(|error| not_made(module.id(), &error))?;
    let (outcome, events, reason) = match &called.result {
        Ok(Handled::Events(events)) => ("events", events.iter().map(event_shown).collect(), None),
        Ok(Handled::NotMine) => ("not_mine", Vec::new(), None),
        Ok(Handled::Malformed(reason)) => ("malformed", Vec::new(), Some(reason.clone())),
        Err(error) => ("failed", Vec::new(), Some(error.to_string())),
    };
    let mut shown = shown(&module.metadata.version, &called, took, outcome, reason);
    shown["wanted"] = json!(wanted);
    shown["events"] = Value::Array(events);
    Ok(Answer::of(shown))
}

/// With the settings and limits that its owner has put on it; a hook's own are not there.
async fn test_transform(
    api: &Api,
    record: &RegisteredModule,
    version: Option<&str>,
    account: AccountId,
    firing: GivenFiring,
) -> Result<Answer, Problem> {
    let mut handed = firing.handed_in().map_err(|reason| Problem::unusable(&reason))?;
    // In whose name it is tried out; it learns of no other.
    handed.account_id = account.to_string();
    let named = version_named(record, version, &account)?;
    let registered = api.modules.transforms.registered(&record.account, &record.name);
    let there = registered.as_ref().and_then(|registered| registered.version(named));
    let (Some(registered), Some(transform)) = (registered, there) else {
        // What there is is loaded; what is not, either does not exist or could not be loaded.
        api.version_of(record, named).await?;
        let reason = api.modules.set_aside().get(&record.id()).cloned().unwrap_or_else(|| "it is not loaded".into());
        return Err(Problem::unusable_component("load", &reason));
    };
    let bounds = Bounds::new(&handed, &api.firing, api.modules.output_bytes_max());
    let input = TransformInput {
        firing: handed,
        account,
        settings: Arc::clone(&registered.settings),
        limits: registered.limits.clone(),
        now_ms: api.clock.now_ms(),
    };
    let rehearsed = api.modules.dry_run_transform(&transform, input, move |given| bounds.check(given)).await;
    let Rehearsed { called, took } = rehearsed.map_err(|error| not_made(&transform.id, &error))?;
    let (outcome, sent, reason) = match &called.result {
        Ok(Some(Rewritten { uri, payload, headers, content_type })) => {
            let sent = json!({"uri": uri, "payload": payload, "headers": headers, "content_type": content_type});
            ("to_send", Some(sent), None)
        }
        Ok(None) => ("dropped", None, None),
        Err(error) => ("failed", None, Some(error.to_string())),
    };
    let mut shown = shown(&transform.version, &called, took, outcome, reason);
    if let Some(sent) = sent {
        shown["firing"] = sent;
    }
    Ok(Answer::of(shown))
}

/// Why there is no answer.
fn not_made(id: &ModuleId, error: &ModuleError) -> Problem {
    match error {
        ModuleError::NotCalled { reason } => Problem::in_the_way(reason),
        error => {
            tracing::error!(module = %id, %error, "a dry run could not be made");
            Problem::internal()
        }
    }
}

/// One that does not say whose it is, is taken for the account's own: what else would it be tried out with?
fn belonging(message: Message, account: &AccountId) -> Message {
    Message { account: message.account.or_else(|| Some(account.clone())), ..message }
}

/// The digest or the number of the version that is to be tried out. Whoever does not own the component, sees what is active
/// alone.
fn version_named<'a>(
    record: &'a RegisteredModule,
    named: Option<&'a str>,
    account: &AccountId,
) -> Result<&'a str, Problem> {
    match named {
        Some(named) if record.account == *account => Ok(named),
        Some(named) => Err(Problem::bad_identifier(named)),
        None => record
            .active
            .as_deref()
            .ok_or_else(|| Problem::in_the_way("no version of it is active; name the one that you want to try out")),
    }
}

/// That version of a module, loaded.
async fn version_to_try(
    api: &Api,
    record: &RegisteredModule,
    named: Option<&str>,
    account: &AccountId,
) -> Result<Arc<Module>, Problem> {
    let named = version_named(record, named, account)?;
    let version = api.version_of(record, named).await?;
    if let Some(loaded) = api.modules.stored(&record.id()).filter(|loaded| loaded.digest == version.digest) {
        return Ok(loaded);
    }
    match api.stored_modules.try_out(record, &version).await? {
        Ok(module) => Ok(Arc::new(module)),
        Err(error @ ModuleError::Host { .. }) => {
            tracing::error!(module = %record.id(), %error, "a version could not be loaded for a dry run");
            Err(Problem::internal())
        }
        Err(error) => Err(Problem::unusable_component("load", &error.to_string())),
    }
}

/// What is told of either.
fn shown<T>(version: &str, called: &Called<T>, took: Duration, outcome: &str, reason: Option<String>) -> Value {
    let Called { log, cost, .. } = called;
    let lines: Vec<_> = log.lines.iter().map(|line| json!({"level": line.level.as_str(), "text": line.text})).collect();
    let mut shown = json!({
        "outcome": outcome,
        "log": lines,
        "log_dropped_bytes": log.dropped_bytes,
        "fuel": cost.fuel,
        "time_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "memory_bytes": cost.memory_bytes,
        "version": version,
    });
    if let Some(reason) = reason {
        shown["reason"] = json!(reason);
    }
    shown
}

fn event_shown((event, inline): &Made) -> Value {
    json!({
        "hook_event": event.hook_event,
        "account_id": event.account,
        "payload": event.payload,
        "facets": event.facets,
        "internal_leg": event.internal_leg,
        "has_inline_hook": inline.is_some(),
    })
}
