//! What `/openapi.json` says of bodies that all calls share: the envelopes, the problems, the usual parameters. Types for
//! the description alone; the real ones are written by [`super::front`].

use serde_json::Value;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// What a call answers that could be done.
#[derive(ToSchema)]
#[expect(missing_docs, reason = "only the wrapper's types are its own")]
pub struct Success<T: ToSchema> {
    pub data: T,
    /// `success`.
    #[schema(example = "success")]
    pub status: String,
    /// The request's `x-request-id`, or one that was made for it.
    pub request_id: String,
    /// Which node answered.
    pub node: String,
    /// When, UTC.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// The revision of the data, also as `etag`; for `If-Match`.
    pub revision: Option<String>,
    /// For lists: how many entries are in this page.
    pub page_size: Option<u64>,
    /// For lists: the key that this page was asked with.
    pub start_key: Option<String>,
    /// For lists: the key of the next page, when there is one.
    pub next_start_key: Option<String>,
    /// The token that was asked for, or that the caller showed; never a key.
    pub auth_token: Option<String>,
    /// The version of Hookbox, for callers who are logged in.
    pub version: Option<String>,
}

/// What a call answers that could not be done.
#[derive(ToSchema)]
pub struct Failure {
    /// What is wrong, and what to do: by field and code for bodies, a message otherwise.
    #[schema(value_type = Value, example = json!({"uri": {"required": {"message": "Field is required but missing"}}}))]
    pub data: Value,
    /// `error`.
    #[schema(example = "error")]
    pub status: String,
    /// The status as text.
    #[schema(example = "400")]
    pub error: String,
    /// Crossbar's words for it.
    #[schema(example = "validation error")]
    pub message: String,
    /// The request's `x-request-id`, or one that was made for it.
    pub request_id: String,
    /// Which node answered.
    pub node: String,
    /// When, UTC.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// The token that the caller showed; never a key.
    pub auth_token: Option<String>,
    /// The version of Hookbox, for callers who are logged in.
    pub version: Option<String>,
}

/// A JSON object of any fields.
#[derive(ToSchema)]
#[schema(value_type = Object)]
pub struct AnyObject(pub Value);

/// What comes in.
#[derive(ToSchema)]
#[expect(missing_docs, reason = "the wrapper's one field is what it wraps")]
pub struct Envelope<T: ToSchema> {
    pub data: T,
}

/// What any call may answer instead.
#[derive(IntoResponses)]
#[expect(missing_docs, reason = "the descriptions say it")]
pub enum Problems {
    #[response(status = 400, description = "The body or a parameter is not valid; `data` says where and why")]
    BadRequest(Failure),
    #[response(status = 401, description = "No key or token, or one that is wrong, revoked or expired")]
    Unauthorized(Failure),
    #[response(status = 403, description = "The key does not open this")]
    Forbidden(Failure),
    #[response(status = 404, description = "There is no such thing here")]
    NotFound(Failure),
    #[response(status = 408, description = "The request took longer than api.request_timeout_ms")]
    TooSlow(Failure),
    #[response(status = 409, description = "Somebody else changed it in between, or it is in the way")]
    Conflict(Failure),
    #[response(status = 412, description = "If-Match names another revision")]
    Stale(Failure),
    #[response(status = 413, description = "The body is larger than api.body_bytes_max")]
    TooLarge(Failure),
    #[response(status = 416, description = "The list is longer than api.list_rows_max")]
    TooManyRows(Failure),
    #[response(status = 429, description = "Too many wrong keys from this address")]
    TooManyGuesses(Failure),
    #[response(status = 503, description = "The store does not answer; try again")]
    Unavailable(Failure),
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Pages {
    /// Entries in a page; `api.page_rows` when absent, `api.list_rows_max` at most. With filters there may be fewer, or none,
    /// and a `next_start_key` still.
    #[param(minimum = 1)]
    pub page_size: Option<u32>,
    /// `next_start_key` of the page before.
    pub start_key: Option<String>,
    /// `false` for the whole list.
    pub paginate: Option<bool>,
}
