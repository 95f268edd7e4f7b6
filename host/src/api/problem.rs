//! The one error body: Crossbar's, with a message that says what to do. Written out by [`super::front`].

use std::time::Duration;

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{error_chain::chain, hook::HookProblems, message::Object, store::StoreError};

/// A request that cannot be served; whose fault it is, is in the status.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The status; as text it is also the envelope's `error`.
    pub status: StatusCode,
    /// Crossbar's words for it.
    pub message: &'static str,
    /// What is wrong, and what to do.
    pub data: Value,
    /// When to try again, seconds, when that is known: the `retry-after` header.
    pub retry_after_s: Option<u64>,
}

/// Crossbar's word for documents that break their schema.
const VALIDATION: &str = "validation error";

impl Problem {
    fn new(status: StatusCode, message: &'static str, data: Value) -> Self {
        Self { status, message, data, retry_after_s: None }
    }

    /// 400, Crossbar's validation error: the field, the code, the words.
    pub fn invalid(field: &str, code: &str, message: &str) -> Self {
        Self::invalid_with(field, code, message, json!({}))
    }

    /// 400, with what Crossbar puts beside the message (`value`, `target`, `cause`).
    pub fn invalid_with(field: &str, code: &str, message: &str, details: Value) -> Self {
        let mut body = json!({"message": message});
        if let (Some(body), Value::Object(details)) = (body.as_object_mut(), details) {
            body.extend(details);
        }
        Self::new(StatusCode::BAD_REQUEST, VALIDATION, json!({field: {code: body}}))
    }

    /// 400: all that is wrong with a document, by field and code.
    pub fn validation(problems: Object) -> Self {
        Self::new(StatusCode::BAD_REQUEST, VALIDATION, Value::Object(problems))
    }

    /// 401: no key came with the request.
    pub fn no_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", json!({"message": "invalid credentials"}))
    }

    /// 401: the key or token is wrong, revoked or expired.
    pub fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid credentials", json!({}))
    }

    /// 403: the key does not open this.
    pub fn forbidden() -> Self {
        Self::forbidden_because("forbidden")
    }

    /// 403: the key opens the account, but not this there, for this reason.
    pub fn forbidden_because(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", json!({"message": message}))
    }

    /// 404: there is no such document (hook, key, attempt, job, …) in this account.
    pub fn bad_identifier(id: &str) -> Self {
        let data = json!({"cause": id, "message": "bad identifier"});
        Self::new(StatusCode::NOT_FOUND, "bad_identifier", data)
    }

    /// 404: there is no such account, or sample.
    pub fn unknown(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "bad identifier", json!([id]))
    }

    /// 404: there is no such path.
    pub fn no_such_path() -> Self {
        let data = json!({"message": "there is no such path; /openapi.json lists all of them"});
        Self::new(StatusCode::NOT_FOUND, "bad identifier", data)
    }

    /// 404, Crossbar's word for a page size that is none.
    pub fn faulty_request(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "faulty_request", json!({"message": message}))
    }

    /// 405.
    pub fn wrong_method() -> Self {
        let data = json!({"message": "method not allowed"});
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_method", data)
    }

    /// 408: the request was not read, or not served, within the time of this setting.
    pub fn too_slow(setting: &str) -> Self {
        let data = json!({"message": format!("the request took too long ({setting})")});
        Self::new(StatusCode::REQUEST_TIMEOUT, "request timeout", data)
    }

    /// 409: somebody else saved in between.
    pub fn conflict() -> Self {
        let data = json!({"message": "conflicting documents"});
        Self::new(StatusCode::CONFLICT, "datastore_conflict", data)
    }

    /// 409: it cannot be done as things stand, for this reason.
    pub fn in_the_way(message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", json!({"message": message}))
    }

    /// 412: `If-Match` names another revision than the one that is there.
    pub fn stale(revision: i64) -> Self {
        let message = "If-Match names another revision than the one that is there; read it again";
        let data = json!({"message": message, "revision": revision.to_string()});
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition failed", data)
    }

    /// 413: larger than what most calls may send.
    pub fn too_large(bytes_max: u64) -> Self {
        Self::too_large_for(bytes_max, "api.body_bytes_max")
    }

    /// 413: larger than this setting allows.
    pub fn too_large_for(bytes_max: u64, setting: &str) -> Self {
        let message = format!("the body has over {bytes_max} bytes ({setting})");
        let data = json!({"file": {"maxSize": {"message": message, "target": bytes_max}}});
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, VALIDATION, data)
    }

    /// 415: the body is of another type than the one that is taken.
    pub fn wrong_content_type(taken: &str) -> Self {
        let data = json!({"message": format!("send the body as {taken}")});
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid content type", data)
    }

    /// 416, Crossbar's answer to a list that would be too long.
    pub fn too_many_rows(rows_max: u64) -> Self {
        let message = format!(
            "the list has over {rows_max} entries (api.list_rows_max); leave paginate=false out and page through it"
        );
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable", json!({"message": message}))
    }

    /// 416: the list would not have too many entries, but too many bytes.
    pub fn too_many_bytes(bytes_max: u64) -> Self {
        let message = format!(
            "the list has over {bytes_max} bytes (api.list_bytes_max); leave paginate=false out and page through it"
        );
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable", json!({"message": message}))
    }

    /// 422: it was tried, and what was sent in can still not be used.
    pub fn unusable(message: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", json!({"message": message}))
    }

    /// 422: a component that the check refuses, at this step.
    pub fn unusable_component(step: &str, reason: &str) -> Self {
        let data = json!({"message": reason, "step": step});
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", data)
    }

    /// 429: too many wrong keys from this address.
    pub fn too_many_guesses() -> Self {
        let data = json!({"message": "too many wrong keys from this address; wait a minute"});
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", data)
    }

    /// 500: ours. What happened is in the log, not in the answer.
    pub fn internal() -> Self {
        let data = json!({"message": "Hookbox failed; the log says why"});
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", data)
    }

    /// 503: ours, and it may pass.
    pub fn unavailable() -> Self {
        let data = json!({"message": "the store does not answer; try again"});
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "datastore_fault", data)
    }

    /// 503: as much as may be is being worked on.
    pub fn come_again(message: &str, after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", json!({"message": message}));
        Self { retry_after_s: Some(after.as_secs()), ..problem }
    }

    /// 503: KAZOO's users cannot be asked for.
    pub fn no_directory() -> Self {
        let data = json!({"message": "KAZOO's users cannot be read (kazoo.couchdb_url); try again"});
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "datastore_unreachable", data)
    }
}

/// The store failed: ours. A row that cannot be read does not get better by trying again.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = chain(&error), "a request failed in the store");
        match error {
            StoreError::Unreadable { .. } => Self::internal(),
            _ => Self::unavailable(),
        }
    }
}

/// All that is wrong with a hook's document.
impl From<HookProblems> for Problem {
    fn from(problems: HookProblems) -> Self {
        Self::validation(problems.to_json())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
