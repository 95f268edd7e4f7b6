//! What a handler gives when it could do what was asked: the data, and what Crossbar's envelope says beside it. Written
//! out by [`super::front`], which knows the request.

use axum::{
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// A success on its way to the envelope.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200 unless said otherwise.
    pub status: StatusCode,
    /// The envelope's `data`.
    pub data: Value,
    /// The data's revision: the envelope's `revision` and the `etag` header.
    pub revision: Option<i64>,
    /// For lists: how many are in this page, and where it and the next one begin.
    pub page: Option<Page>,
    /// The id of what was made: the `location` header.
    pub location: Option<String>,
    /// A token that was asked for: the envelope's `auth_token`, in the place of the caller's own.
    pub auth_token: Option<String>,
    /// What went wrong with a request that was done in part: the envelope says `error` with these words.
    pub error: Option<&'static str>,
}

/// Where a list was cut.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// How many are in it.
    pub page_size: usize,
    /// The key that was asked with.
    pub start_key: Option<String>,
    /// The key of the next page, when there is one.
    pub next_start_key: Option<String>,
}

impl Answer {
    /// 200 with this data.
    pub fn of(data: impl Into<Value>) -> Self {
        Self {
            status: StatusCode::OK,
            data: data.into(),
            revision: None,
            page: None,
            location: None,
            auth_token: None,
            error: None,
        }
    }

    /// 200 with a list that is whole.
    pub fn list(data: Vec<Value>) -> Self {
        let page = Page { page_size: data.len(), ..Page::default() };
        Self { page: Some(page), ..Self::of(data) }
    }

    /// 200 with one page of a list.
    pub fn page(data: Vec<Value>, page: Page) -> Self {
        Self { page: Some(page), ..Self::of(data) }
    }

    /// 201: made, under this id.
    #[must_use]
    pub fn created(mut self, id: &str) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(id.to_owned());
        self
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// At this revision.
    #[must_use]
    pub fn revision(mut self, revision: i64) -> Self {
        self.revision = Some(revision);
        self
    }

    /// The envelope's fields that hang on the answer.
    pub(super) fn fields(&self) -> Value {
        let mut fields = json!({"data": self.data, "status": if self.error.is_some() { "error" } else { "success" }});
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields[name] = value;
            }
        };
        set("error", self.error.map(|_| json!(self.status.as_u16().to_string())));
        set("message", self.error.map(|error| json!(error)));
        set("revision", self.revision.map(|revision| json!(revision.to_string())));
        let page = self.page.as_ref();
        set("page_size", page.map(|page| json!(page.page_size)));
        set("start_key", page.and_then(|page| page.start_key.as_ref()).map(|key| json!(key)));
        set("next_start_key", page.and_then(|page| page.next_start_key.as_ref()).map(|key| json!(key)));
        fields
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}
