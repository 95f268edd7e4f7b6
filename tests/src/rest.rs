//! Calls of a test host's REST, by any method.

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

use crate::test_host::{TestHost, http};

/// What a call came back with.
#[derive(Clone, Debug)]
pub struct Called {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; as a text when it is none, null when there is none.
    pub envelope: Value,
}

impl Called {
    /// A header, when it is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The envelope's `data`; null when there is none.
    pub fn data(&self) -> &Value {
        &self.envelope["data"]
    }

    /// The same call, when it was answered so; else the test fails.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:#}", self.envelope);
        self
    }
}

impl TestHost {
    /// One call with a key (none when it is empty) and a body, which is sent as it is: the envelope is the test's.
    pub async fn call(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Called {
        let request = self.request(method, path);
        let request = if key.is_empty() { request } else { request.header("x-auth-token", key) };
        send(match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        })
        .await
    }

    /// Uploads a component as a version of a module of the account; `query` stands after the path, e.g. `?activate=true`.
    pub async fn upload(&self, account: &str, name: &str, query: &str, key: &str, component: Vec<u8>) -> Called {
        let path = format!("/v2/accounts/{account}/webhook_modules/{name}/versions{query}");
        let request = self.request("PUT", &path).header("x-auth-token", key);
        send(request.header("content-type", "application/wasm").body(component)).await
    }

    /// A call to be completed by the test: headers of its own, a body that is no JSON.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_else(|error| panic!("{method}: {error}"));
        http().request(method, format!("http://{}{path}", self.running.api_address))
    }
}

/// Sends it.
pub async fn send(request: RequestBuilder) -> Called {
    let answer = request.send().await.unwrap_or_else(|error| panic!("the host does not answer: {error:?}"));
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap_or_else(|error| panic!("the answer broke off: {error:?}"));
    let envelope = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    };
    Called { status, headers, envelope }
}
