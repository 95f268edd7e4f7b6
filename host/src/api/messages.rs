//! HTTP ingress: `PUT /v2/accounts/{id}/messages`, one message or a list, through the same pipeline as the broker's.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared,
    answer::Answer,
    auth::InAccount,
    data,
    described::{AnyObject, Envelope, Failure, Problems, Success},
    front::RequestBody,
    problem::Problem,
};
use crate::{
    ingress::{
        Settlement,
        decode::{DecodeError, Incoming},
    },
    message::{AccountId, Message, Source},
    pipeline::Pipeline,
    telemetry::{
        meters::meters,
        trace_context::{self, TraceContext},
    },
};

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(put))
}

/// Messages of one post that are worked on at once.
const AT_ONCE: usize = 64;

/// One message as it is posted. `body` is kept as it came, so that its bytes make the same `webhook-id` every time.
#[derive(Deserialize)]
pub(super) struct Posted<'a> {
    exchange: String,
    routing_key: String,
    #[serde(borrow)]
    body: &'a RawValue,
    message_id: Option<String>,
    content_type: Option<String>,
    // Part of what `hookbox publish` sends to brokers; of an HTTP message only its trace hangs on them.
    headers: Option<Value>,
    #[serde(default, rename = "content_encoding")]
    _content_encoding: Option<serde::de::IgnoredAny>,
}

impl Posted<'_> {
    /// The `traceparent` among its headers.
    fn trace(&self) -> Option<TraceContext> {
        self.headers.as_ref()?.get(trace_context::HEADER)?.as_str()?.parse().ok()
    }
}

/// One message, as `/openapi.json` describes it.
#[derive(ToSchema)]
pub struct PostedMessage {
    /// The exchange that the platform would publish it to.
    #[schema(example = "callevt")]
    pub exchange: String,
    /// The key that the platform would publish it with.
    #[schema(example = "call.CHANNEL_CREATE.b1946ac9")]
    pub routing_key: String,
    /// The message, with its `Event-Category` and `Event-Name`.
    #[schema(example = json!({"Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE", "Call-ID": "b1946ac9"}))]
    pub body: AnyObject,
    /// Makes repeats of the message recognisable, with the rest of it.
    pub message_id: Option<String>,
    /// `application/json` when absent.
    pub content_type: Option<String>,
    /// Of these `traceparent` is looked at: the trace that the message belongs to.
    pub headers: Option<AnyObject>,
}

/// What became of a message.
#[derive(ToSchema)]
pub struct SettledMessage {
    /// `ack`, `discard` (it can never work) or `requeue` (not now).
    #[schema(example = "ack")]
    pub settlement: String,
    /// How many events modules made of it; 0 when none wants it.
    pub events: Option<u64>,
    /// How many hooks were fired.
    pub firings: Option<u64>,
    /// Why it was not taken.
    pub reason: Option<String>,
}

/// Take messages for an account: one, or a list.
#[utoipa::path(
    put, path = "/v2/accounts/{account_id}/messages", tag = "messages",
    params(
        ("account_id" = String, Path, description = "In whose name; nothing may come of them outside its tree"),
        ("traceparent" = Option<String>, Header, description = "The trace (W3C) of those messages that name none in their headers"),
    ),
    request_body = Envelope<Vec<PostedMessage>>,
    responses(
        (status = 202, description = "At least one was taken", body = Success<Vec<SettledMessage>>),
        (status = 422, description = "None can ever work", body = Failure),
        Problems,
    ),
)]
async fn put(
    State(api): State<Shared>,
    InAccount { account, caller }: InAccount,
    headers: HeaderMap,
    Extension(RequestBody(body)): Extension<RequestBody>,
) -> Result<Answer, Problem> {
    // The operator speaks for the platform, like the broker; a tenant for its own subtree only.
    let within = (!caller.is_super).then_some(account);
    let posted = parse(&body)?;
    meters().taken_in(Source::Http, posted.len());
    let trace = headers.get(trace_context::HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let decoded: Vec<_> = posted
        .iter()
        .map(|posted| {
            let message = decode(&api, posted, within.as_ref())?;
            Ok(Message { trace: message.trace.or(trace), ..message })
        })
        .collect();
    let settling = decoded.into_iter().map(|decoded| settle(Arc::clone(&api.pipeline), decoded));
    let settlements: Vec<_> = stream::iter(settling).buffered(AT_ONCE).collect().await;
    let taken = settlements.iter().any(|settlement| matches!(settlement, Settlement::Ack { .. }));
    let requeued = settlements.iter().any(|settlement| matches!(settlement, Settlement::Requeue(_)));
    let status = match (taken, requeued) {
        (true, _) => StatusCode::ACCEPTED,
        (false, true) => StatusCode::SERVICE_UNAVAILABLE,
        (false, false) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let answers: Vec<_> = settlements.iter().map(answer).collect();
    let error = (!taken).then_some("no message was taken");
    Ok(Answer { error, ..Answer::of(answers).status(status) })
}

/// Makes a message of what was posted; nothing may come of it outside the subtree of `within`.
pub(super) fn decode(api: &Shared, posted: &Posted<'_>, within: Option<&AccountId>) -> Result<Message, DecodeError> {
    let incoming = Incoming {
        source: Source::Http,
        exchange: &posted.exchange,
        routing_key: &posted.routing_key,
        message_id: posted.message_id.as_deref(),
        content_type: posted.content_type.as_deref(),
        content_encoding: None,
        body: posted.body.get().as_bytes(),
        within: within.cloned(),
        trace: posted.trace(),
    };
    api.decoder.decode(&incoming, &api.accounts, api.clock.now_ms())
}

async fn settle(pipeline: Arc<Pipeline>, decoded: Result<Message, DecodeError>) -> Settlement {
    match decoded {
        Ok(message) => pipeline.handle(message).await,
        Err(error) => pipeline.refuse(Source::Http, &error),
    }
}

fn parse(body: &[u8]) -> Result<Vec<Posted<'_>>, Problem> {
    let data = data::Envelope::parse(body)?.required_data()?;
    let parsed = match data.get().trim_start().starts_with('[') {
        true => serde_json::from_str(data.get()),
        false => serde_json::from_str(data.get()).map(|one| vec![one]),
    };
    parsed.map_err(|error| {
        let message = format!("{error}; a message is {{exchange, routing_key, body, message_id?}}");
        Problem::invalid("data", "invalid", &message)
    })
}

fn answer(settlement: &Settlement) -> Value {
    match settlement {
        Settlement::Ack { events, firings } => json!({"settlement": "ack", "events": events, "firings": firings}),
        Settlement::Discard(reason) | Settlement::Requeue(reason) => {
            json!({"settlement": settlement.as_str(), "reason": reason})
        }
    }
}
