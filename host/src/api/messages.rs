//! HTTP ingress: `PUT /v2/accounts/{id}/messages`, one message or a list, through the same pipeline as the broker's.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use metrics::counter;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Shared, auth::Caller, problem::Problem, success};
use crate::{
    ingress::{
        Settlement,
        decode::{DecodeError, Incoming},
    },
    message::{AccountId, Message, Source},
    pipeline::Pipeline,
};

/// Messages of one post that are worked on at once.
const AT_ONCE: usize = 64;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// One message as it is posted. `body` is kept as it came, so that its bytes make the same `webhook-id` every time.
#[derive(Deserialize)]
struct Posted<'a> {
    exchange: String,
    routing_key: String,
    #[serde(borrow)]
    body: &'a RawValue,
    message_id: Option<String>,
    content_type: Option<String>,
    // Part of what `hookbox publish` sends to brokers; nothing of an HTTP message hangs on them.
    #[serde(default, rename = "headers")]
    _headers: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "content_encoding")]
    _content_encoding: Option<serde::de::IgnoredAny>,
}

/// Takes messages for an account: 202 when any was taken, else 422 when none can ever work, else 503.
pub async fn put(
    State(api): State<Shared>,
    Path(account): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let account = AccountId::from(account);
    caller.may_act_for(&account, &api)?;
    let body = body.map_err(|_| Problem::too_large(api.settings.body_bytes_max))?;
    // The operator speaks for the platform, like the broker; a tenant for its own subtree only.
    let within = (caller.0 != api.master).then_some(account);
    let decoded: Vec<_> = parse(&body)?.iter().map(|posted| decode(&api, posted, within.as_ref())).collect();
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
    let mut envelope = success(&Value::Array(answers));
    if !taken {
        envelope["status"] = json!("error");
        envelope["error"] = json!(status.as_u16().to_string());
        envelope["message"] = json!("no message was taken");
    }
    Ok((status, Json(envelope)).into_response())
}

fn decode(api: &Shared, posted: &Posted<'_>, within: Option<&AccountId>) -> Result<Message, DecodeError> {
    counter!("hookbox_messages_total", "source" => "http").increment(1);
    let incoming = Incoming {
        source: Source::Http,
        exchange: &posted.exchange,
        routing_key: &posted.routing_key,
        message_id: posted.message_id.as_deref(),
        content_type: posted.content_type.as_deref(),
        content_encoding: None,
        body: posted.body.get().as_bytes(),
        within: within.cloned(),
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
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
        let message = format!("{error}; send {{\"data\": {{\"exchange\": …, \"routing_key\": …, \"body\": {{…}}}}}}");
        Problem::invalid("json", "invalid", &message)
    })?;
    let data = envelope.data.ok_or_else(|| Problem::invalid("data", "required", "missing required envelope `data`"))?;
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
