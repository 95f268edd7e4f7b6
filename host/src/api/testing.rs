//! Testing a hook: a sample of its event, or a payload of the caller's, is fired at it once, in the same way as events are.
//! The attempt is answered and recorded; nothing else follows from it ([`crate::firing::Firer::test`]).

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    attempts::AttemptBody,
    auth::InAccount,
    data::{Fields, OptionalData},
    described::{AnyObject, Problems, Success},
    problem::Problem,
};
use crate::{
    attempt::{Attempt, record},
    error_chain::chain,
    hook::{EVENT_ALL, Hook},
    message::{AccountId, Event, Firing, Object, Target, WebhookId},
    module::Module,
    store::StoreResult,
};

/// The longest name of an event or a sample.
const NAME_BYTES_MAX: usize = 200;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(test))
}

/// What may come in.
#[derive(ToSchema)]
#[expect(missing_docs, reason = "the wrapper's one field is what it wraps")]
pub struct TestEnvelope {
    pub data: TestBody,
}

/// What to fire. All may be left out.
#[derive(ToSchema)]
#[schema(example = json!({"payload": {"caller_id_number": "+13125550111"}, "event": "channel_create"}))]
pub struct TestBody {
    /// The event, for a hook of all events; the first that has a sample when absent.
    pub event: Option<String>,
    /// Which of the event's samples; the first when absent.
    pub sample: Option<String>,
    /// In the place of a sample; at most `firing.test_payload_bytes_max`. A hook of all events needs an `event` with it.
    pub payload: Option<AnyObject>,
}

/// A test that is still open.
#[derive(ToSchema)]
pub struct OpenTest {
    /// `event_id` of its attempt, once there is one.
    pub webhook_id: String,
}

/// Fire a test at a hook, also at a disabled one: once, whatever comes of it, and without counting as a failure. Its
/// `webhook-id` begins with `test_`.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/test", tag = "attempts",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    request_body = Option<TestEnvelope>,
    responses(
        (status = 200, description = "The attempt, well or badly", body = Success<AttemptBody>),
        (status = 202, description = "The receiver has not answered yet", body = Success<OpenTest>),
        Problems,
    ),
)]
async fn test(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    OptionalData(data): OptionalData,
) -> Result<Answer, Problem> {
    let (firing, hook) = firing_of(&api, &account, &hook, &data).await?;
    let id = firing.id.clone();
    // A part of the request's time, so that there is some left to say that it is still open.
    let patience = Duration::from_millis(api.settings.request_timeout_ms / 4 * 3);
    match tokio::time::timeout(patience, fire(&api, firing, hook)).await {
        Err(_) => Ok(Answer::of(json!({"webhook_id": id})).status(StatusCode::ACCEPTED)),
        Ok(Ok(Ok(Some(attempt)))) => Ok(Answer::of(record::object(&attempt))),
        Ok(Ok(Ok(None))) => Err(Problem::in_the_way(
            "as many requests of the hook are under way as may (max_in_flight, rate_limit_per_s); try again",
        )),
        Ok(Ok(Err(error))) => Err(error.into()),
        Ok(Err(_)) => Err(Problem::internal()),
    }
}

/// Goes on also when nobody waits for it any more, and is waited for when the host stops.
fn fire(api: &Api, firing: Firing, hook: Hook) -> oneshot::Receiver<StoreResult<Option<Attempt>>> {
    let (answer, answered) = oneshot::channel();
    let firer = Arc::clone(&api.firer);
    api.firer.under_way.spawn(async move {
        let tested = firer.test(firing, &hook).await;
        if let Err(Err(error)) = answer.send(tested) {
            tracing::error!(error = chain(&error), "a test that nobody waits for any more could not be recorded");
        }
    });
    answered
}

/// A test of an account's hook with the event that the caller asks for, and the hook.
pub(super) async fn firing_of(
    api: &Api,
    account: &AccountId,
    hook: &str,
    data: &Object,
) -> Result<(Firing, Hook), Problem> {
    let record = api.hook_of(account, hook).await?;
    let hook = Hook::from_record(&record, &api.firing)?;
    let firing = Firing {
        id: WebhookId::of_test(),
        target: Target::Stored(hook.account.clone(), hook.id.clone()),
        event: Arc::new(event_of(api, &hook, data)?),
        tries: 0,
        created_ms: api.clock.now_ms(),
        lease: None,
    };
    Ok((firing, hook))
}

/// The event that the caller asks for.
fn event_of(api: &Api, hook: &Hook, data: &Object) -> Result<Event, Problem> {
    let mut fields = Fields::of(data);
    let (event, sample) = (fields.text("event"), fields.text("sample"));
    let payload = payload_of(api, data, &mut fields);
    for (name, text) in [("event", event), ("sample", sample)] {
        if text.is_some_and(|text| text.len() > NAME_BYTES_MAX) {
            let message = format!("String must not be more than {NAME_BYTES_MAX} bytes");
            fields.wrong(name, "maxLength", &message, json!({"target": NAME_BYTES_MAX}));
        }
    }
    if payload.is_some() && sample.is_some() {
        fields.wrong("sample", "error", "name a sample or give a payload, not both", json!({}));
    }
    let modules = api.modules.seen_by(Some(&hook.account));
    let takes_all = &*hook.event == EVENT_ALL;
    let has_sample = |module: &&Arc<Module>| !module.metadata.samples.is_empty();
    let mut names: Vec<&str> = modules.iter().map(|module| module.name()).collect();
    names.sort_unstable();
    let name = match event {
        None if takes_all && payload.is_some() => {
            fields.wrong("event", "required", "Field is required but missing", json!({"target": names}));
            None
        }
        None if takes_all => modules.iter().filter(has_sample).map(|module| module.name()).min(),
        None => Some(&*hook.event),
        Some(named) if takes_all && !names.contains(&named) => {
            let details = json!({"target": names, "value": named});
            fields.wrong("event", "enum", "Value not found in enumerated list of values", details);
            None
        }
        Some(named) if !takes_all && !named.eq_ignore_ascii_case(&hook.event) => {
            let details = json!({"target": [&*hook.event], "value": named});
            fields.wrong("event", "enum", "Value not found in enumerated list of values", details);
            None
        }
        Some(_) if !takes_all => Some(&*hook.event),
        Some(named) => Some(named),
    };
    let module = modules.iter().find(|module| Some(module.name()) == name);
    let payload = payload.or_else(|| {
        let samples = module.map_or(&[][..], |module| &module.metadata.samples);
        let found = match sample {
            Some(wanted) => samples.iter().find(|(name, _)| name == wanted),
            None => samples.first(),
        };
        if found.is_none() && name.is_some() {
            let names: Vec<_> = samples.iter().map(|(name, _)| name).collect();
            let message = "the event has no such sample; name one of these, or give a payload";
            fields.wrong("sample", "enum", message, json!({"target": names, "value": sample}));
        }
        found.map(|(_, payload)| payload.clone())
    });
    fields.finish()?;
    // What is missing was said.
    let (Some(name), Some(payload)) = (name, payload) else {
        return Err(Problem::in_the_way("no module is active that has a sample; give an event and a payload"));
    };
    Ok(Event {
        module: module.map_or_else(|| name.into(), |module| module.id().clone()),
        hook_event: name.to_owned(),
        account: hook.account.clone(),
        payload,
        facets: Vec::new(),
        selectors: Arc::default(),
        internal_leg: false,
        within: None,
        hooks_of: None,
        trace: None,
    })
}

fn payload_of(api: &Api, data: &Object, fields: &mut Fields<'_>) -> Option<Object> {
    match data.get("payload")? {
        Value::Null => None,
        Value::Object(payload) => {
            let (bytes, most) =
                (serde_json::to_string(payload).map_or(0, |text| text.len()), api.firing.test_payload_bytes_max);
            if bytes as u64 > most {
                let message =
                    format!("the payload has {bytes} bytes; use at most {most} (firing.test_payload_bytes_max)");
                fields.wrong("payload", "maxLength", &message, json!({"target": most}));
            }
            Some(payload.clone())
        }
        other => {
            let details = json!({"target": "object", "value": other});
            fields.wrong("payload", "type", "Value did not match type(s): object", details);
            None
        }
    }
}
