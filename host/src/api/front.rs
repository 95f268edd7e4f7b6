//! What stands before and behind every handler: a request gets its id, its place and its deadline, its body is read, and
//! `verb` and `auth_token` of the envelope are put where they belong; an answer gets Crossbar's envelope.
//!
//! It wraps the whole router, because `verb` chooses the route. Answers that are no envelope (`/metrics`,
//! `/openapi.json`, …) pass through.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Shared, answer::Answer, data::Envelope, problem::Problem, query::Query, streamed::StreamedBody};

/// Names a request, in Crossbar's header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A key or a token.
pub const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const PRETTY_PRINT: HeaderName = HeaderName::from_static("x-pretty-print");
/// The longest request id that is taken over from a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id, for handlers: notices carry it as `Msg-ID`.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

impl FromRequestParts<Shared> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _: &Shared) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("".into())))
    }
}

/// A request's body, read.
#[derive(Clone, Debug, Default)]
pub struct RequestBody(pub Bytes);

/// Where [`super::auth`] notes who called: `None` for a key (which is never echoed), the token otherwise.
#[derive(Clone, Debug, Default)]
pub struct LoggedIn(pub Arc<OnceLock<Option<String>>>);

/// The layer.
pub async fn front(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let id = RequestId(request_id(&parts.headers));
    let asked = Asked::of(&parts);
    let logged_in = LoggedIn::default();
    parts.extensions.insert(id.clone());
    parts.extensions.insert(logged_in.clone());
    if StreamedBody::is_of(&parts) {
        let response = streamed(&api, parts, body, next).await;
        return asked.rendered(response, &api, &id, &logged_in);
    }
    let deadline = Duration::from_millis(api.settings.request_timeout_ms);
    let serving = async {
        let _place = api.places.acquire().await;
        match read(&api, &mut parts, body).await {
            Ok(body) => next.run(Request::from_parts(parts, body)).await,
            Err(problem) => problem.into_response(),
        }
    };
    let response = match tokio::time::timeout(deadline, serving).await {
        Ok(response) => response,
        Err(_) => Problem::too_slow("api.request_timeout_ms").into_response(),
    };
    asked.rendered(response, &api, &id, &logged_in)
}

/// A request whose body its handler reads: it has a bound and a time of its own, and no envelope.
async fn streamed(api: &Shared, mut parts: request::Parts, body: Body, next: Next) -> Response {
    let body = StreamedBody::new(&parts, body);
    parts.extensions.insert(body.clone());
    let query = Query::of(&parts);
    show_token(&mut parts, query.get("auth_token"));
    let deadline = Duration::from_millis(api.modules_settings.upload_timeout_ms);
    let serving = async {
        let _place = api.places.acquire().await;
        next.run(Request::from_parts(parts, Body::empty())).await
    };
    match tokio::time::timeout(deadline, serving).await {
        Ok(response) => {
            let patience = Duration::from_millis(api.settings.request_timeout_ms);
            body.drain(api.modules_settings.component_bytes_max, patience).await;
            response
        }
        Err(_) => Problem::too_slow("modules.upload_timeout_ms").into_response(),
    }
}

/// Puts a key or token where it is looked for, unless one is there.
fn show_token(parts: &mut request::Parts, token: Option<&str>) {
    if !parts.headers.contains_key(&AUTH_TOKEN)
        && !parts.headers.contains_key(header::AUTHORIZATION)
        && let Some(token) = token.and_then(|text| HeaderValue::from_str(text).ok())
    {
        parts.headers.insert(AUTH_TOKEN, token);
    }
}

/// Reads the body, and moves what the envelope or the query says about the request itself to where it is looked for.
async fn read(api: &Shared, parts: &mut request::Parts, body: Body) -> Result<Body, Problem> {
    let query = Query::of(parts);
    let bytes = whole(body, api.settings.body_bytes_max).await?;
    let envelope = Envelope::peek(&bytes);
    let token = envelope.as_ref().and_then(|envelope| envelope.auth_token.as_deref());
    show_token(parts, token.or_else(|| query.get("auth_token")));
    if parts.method == Method::POST {
        let verb = envelope.as_ref().and_then(|envelope| envelope.verb.as_deref()).or_else(|| query.get("verb"));
        if let Some(method) = verb.and_then(|verb| Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).ok()) {
            parts.method = method;
        }
    }
    parts.extensions.insert(RequestBody(bytes.clone()));
    Ok(Body::from(bytes))
}

async fn whole(body: Body, bytes_max: u64) -> Result<Bytes, Problem> {
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut chunks = body.into_data_stream();
    let mut read: Vec<u8> = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::invalid("json", "invalid", "the body broke off"))?;
        if chunk.len() > most - read.len() {
            return Err(Problem::too_large(bytes_max));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.into())
}

/// 32 hex digits, or what the caller calls it, when that can be shown.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits =
        |id: &&str| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match given.filter(fits) {
        Some(id) => id.into(),
        None => hex::encode(rand::random::<[u8; 16]>()).into(),
    }
}

/// What of a request its answer hangs on.
struct Asked {
    pretty: bool,
    /// `If-None-Match` of a GET.
    known: Option<String>,
}

impl Asked {
    fn of(parts: &request::Parts) -> Self {
        let text = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        Self {
            pretty: text(&PRETTY_PRINT).is_some_and(|value| value.eq_ignore_ascii_case("true")),
            known: text(&header::IF_NONE_MATCH).filter(|_| is_read).map(str::to_owned),
        }
    }

    /// The answer, or the problem, in its envelope.
    fn rendered(self, mut response: Response, api: &Shared, id: &RequestId, logged_in: &LoggedIn) -> Response {
        let answer = response.extensions_mut().remove::<Answer>();
        let problem = response.extensions_mut().remove::<Problem>();
        let token = logged_in.0.get();
        let mut envelope = match (&answer, problem) {
            (Some(answer), _) => answer.fields(),
            (None, Some(problem)) => problem_fields(&problem),
            (None, None) => {
                set_header(response.headers_mut(), REQUEST_ID, &id.0);
                return response;
            }
        };
        let made = answer.as_ref().and_then(|answer| answer.auth_token.as_ref());
        if let Some(token) = made.or_else(|| token.and_then(Option::as_ref)) {
            envelope["auth_token"] = json!(token);
            set_header(response.headers_mut(), AUTH_TOKEN, token);
        }
        if token.is_some() {
            envelope["version"] = json!(env!("CARGO_PKG_VERSION"));
        }
        envelope["node"] = json!(api.node);
        envelope["request_id"] = json!(id.0);
        envelope["timestamp"] = json!(rfc3339(api.clock.now_ms()));
        let headers = response.headers_mut();
        // Of the empty body that the router has measured.
        headers.remove(header::CONTENT_LENGTH);
        set_header(headers, REQUEST_ID, &id.0);
        set_header(headers, header::CONTENT_TYPE, "application/json");
        // What is answered hangs on the caller, and may hold what nobody else may see.
        set_header(headers, header::CACHE_CONTROL, "no-store");
        if let Some(location) = answer.as_ref().and_then(|answer| answer.location.as_deref()) {
            set_header(headers, header::LOCATION, location);
        }
        if let Some(revision) = answer.as_ref().and_then(|answer| answer.revision) {
            let tag = format!("\"{revision}\"");
            set_header(headers, header::ETAG, &tag);
            if response.status() == StatusCode::OK && self.known.is_some_and(|known| names(&known, &tag)) {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response.headers_mut().remove(header::CONTENT_TYPE);
                return response;
            }
        }
        let text = if self.pretty { serde_json::to_string_pretty(&envelope) } else { serde_json::to_string(&envelope) };
        // A JSON value can always be written.
        *response.body_mut() = Body::from(text.unwrap_or_default());
        response
    }
}

fn problem_fields(problem: &Problem) -> Value {
    json!({
        "data": problem.data,
        "error": problem.status.as_u16().to_string(),
        "message": problem.message,
        "status": "error",
    })
}

/// Whether a list of entity tags (`If-Match`, `If-None-Match`) names this one; `*` names all, weak ones count too.
pub fn names(list: &str, tag: &str) -> bool {
    let bare = tag.trim_matches('"');
    list.split(',').map(str::trim).any(|given| given == "*" || given.trim_start_matches("W/").trim_matches('"') == bare)
}

fn set_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn rfc3339(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}
