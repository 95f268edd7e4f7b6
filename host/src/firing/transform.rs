//! What a transform gets of a firing, and what may come back: plain rules, whatever the component gave.
//!
//! It may change path and query of the URI, the payload, the hook's own headers and the content type, or drop the firing.
//! It may not change scheme, host, port or userinfo of the URI; verb and ids that it gives are not looked at. What it
//! gives is bounded as the hook's own fields are. Signing comes after it, so no secret of the hook reaches it.

use serde_json::Value;
use url::Url;

use super::request;
use crate::{
    hook::{Hook, Verb, document::URI_BYTES_MAX, headers},
    message::{Event, Firing, Object},
    module::bindings::hookbox::webhook::types as wit,
    settings::FiringSettings,
};

/// The longest content type, bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 255;
const CONTENT_TYPE: &str = "content-type";

/// What a transform made of a firing, checked. In the place of what the hook says.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewritten {
    /// Where to: the hook's scheme, host and port.
    pub uri: String,
    /// What receivers get, `cluster_id` not yet written.
    pub payload: Object,
    /// In the place of the hook's own headers.
    pub headers: Vec<(String, String)>,
    /// Of the body.
    pub content_type: String,
}

/// What the result of one call is held to.
#[derive(Clone, Debug)]
pub struct Bounds {
    uri: String,
    content_type: String,
    headers_max: u64,
    headers_bytes_max: u64,
    payload_bytes_max: usize,
}

/// The firing as a transform sees it.
pub fn input(hook: &Hook, firing: &Firing) -> wit::Firing {
    let event: &Event = &firing.event;
    let verb = match hook.verb {
        Verb::Get => "get",
        Verb::Post => "post",
        Verb::Put => "put",
    };
    wit::Firing {
        webhook_id: firing.id.to_string(),
        account_id: hook.account.to_string(),
        hook_id: hook.id.to_string(),
        hook_event: event.hook_event.clone(),
        attempt: firing.tries.saturating_add(1),
        verb: verb.to_owned(),
        uri: hook.uri.to_string(),
        payload: request::merged_payload(hook, event),
        headers: hook.rare.as_ref().map(|rare| rare.headers.clone()).unwrap_or_default(),
        content_type: request::content_type(hook).to_owned(),
    }
}

impl Bounds {
    /// Those of what the transform is handed. `payload_bytes_max` is `modules.output_bytes_max`.
    pub fn new(handed: &wit::Firing, settings: &FiringSettings, payload_bytes_max: usize) -> Self {
        Self {
            uri: handed.uri.clone(),
            content_type: handed.content_type.clone(),
            headers_max: settings.headers_max,
            headers_bytes_max: settings.headers_bytes_max,
            payload_bytes_max,
        }
    }

    /// What may be sent of what a transform gave; or why nothing, for the transform's author.
    pub fn check(&self, given: wit::Firing) -> Result<Rewritten, String> {
        let wit::Firing { uri, payload, mut headers, content_type, .. } = given;
        let uri = self.checked_uri(uri)?;
        if payload.len() > self.payload_bytes_max {
            let (bytes, most) = (payload.len(), self.payload_bytes_max);
            return Err(format!("{bytes} bytes of payload; {most} are allowed (modules.output_bytes_max)"));
        }
        let payload: Value =
            serde_json::from_str(&payload).map_err(|error| format!("the payload is not JSON: {error}"))?;
        let Value::Object(payload) = payload else { return Err("the payload is not a JSON object".into()) };
        if content_type.is_empty() || content_type.len() > CONTENT_TYPE_BYTES_MAX || !headers::is_value(&content_type) {
            return Err(format!(
                "the content type cannot be a header's value of 1 to {CONTENT_TYPE_BYTES_MAX} bytes; leave out line ends"
            ));
        }
        headers::judge(&headers, self.headers_max, self.headers_bytes_max)?;
        if content_type != self.content_type {
            // It was changed, so it counts more than a header that the hook brought.
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(CONTENT_TYPE));
        }
        Ok(Rewritten { uri, payload, headers, content_type })
    }

    /// The URI as it will be read again when it is sent, so that what was compared is what is dialled.
    fn checked_uri(&self, uri: String) -> Result<String, String> {
        if uri == self.uri {
            return Ok(uri);
        }
        let too_long = || format!("the URI has more than {URI_BYTES_MAX} bytes");
        if uri.len() > URI_BYTES_MAX {
            return Err(too_long());
        }
        let own = Url::parse(&self.uri).map_err(|error| format!("the hook's own URI is none: {error}"))?;
        let given = Url::parse(&uri).map_err(|error| format!("the URI is none: {error}"))?;
        if !has_same_origin(&own, &given) {
            return Err(
                "the URI has another scheme, host, port, user or password; only path and query may be changed".into()
            );
        }
        let given = String::from(given);
        if given.len() > URI_BYTES_MAX { Err(too_long()) } else { Ok(given) }
    }
}

fn has_same_origin(own: &Url, given: &Url) -> bool {
    own.scheme() == given.scheme()
        && own.host() == given.host()
        && own.port_or_known_default() == given.port_or_known_default()
        && own.username() == given.username()
        && own.password() == given.password()
}

#[cfg(test)]
#[path = "transform_tests.rs"]
mod tests;
