//! The one error body: Crossbar's, with a message that says what to do.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// A request that cannot be served; whose fault it is, is in the status.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    message: &'static str,
    data: Value,
}

impl Problem {
    /// 400, Crossbar's validation error: the field, the code, the words.
    pub fn invalid(field: &str, code: &str, message: &str) -> Self {
        let data = json!({field: {code: {"message": message}}});
        Self { status: StatusCode::BAD_REQUEST, message: "validation error", data }
    }

    /// 401: no key came with the request.
    pub fn no_credentials() -> Self {
        let data = json!({"message": "invalid credentials"});
        Self { status: StatusCode::UNAUTHORIZED, message: "invalid_credentials", data }
    }

    /// 401: the key is wrong or revoked.
    pub fn bad_credentials() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: "invalid credentials", data: json!({}) }
    }

    /// 403: the key does not open this.
    pub fn forbidden() -> Self {
        Self { status: StatusCode::FORBIDDEN, message: "forbidden", data: json!({"message": "forbidden"}) }
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "bad identifier", data: json!({"message": what}) }
    }

    /// 405.
    pub fn wrong_method() -> Self {
        let data = json!({"message": "method not allowed"});
        Self { status: StatusCode::METHOD_NOT_ALLOWED, message: "invalid_method", data }
    }

    /// 413.
    pub fn too_large(bytes_max: u64) -> Self {
        let message = format!("the body has over {bytes_max} bytes (api.body_bytes_max)");
        let data = json!({"file": {"maxSize": {"message": message, "target": bytes_max}}});
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message: "validation error", data }
    }

    /// 429: too many wrong keys from this address.
    pub fn too_many_guesses() -> Self {
        let data = json!({"message": "too many wrong keys from this address; wait a minute"});
        Self { status: StatusCode::TOO_MANY_REQUESTS, message: "too many requests", data }
    }

    /// 500: ours. What happened is in the log, not in the answer.
    pub fn internal() -> Self {
        let data = json!({"message": "Hookbox failed; the log says why"});
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: "internal error", data }
    }

    /// 503: ours, and it may pass.
    pub fn unavailable() -> Self {
        let data = json!({"message": "the store does not answer; try again"});
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: "datastore fault", data }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.status.as_u16().to_string();
        let body = json!({
            "data": self.data,
            "error": code,
            "message": self.message,
            "request_id": super::request_id(),
            "status": "error",
        });
        (self.status, Json(body)).into_response()
    }
}
