//! My event: a transform, which sees each firing of a hook before the request is made. This one says how often it was
//! tried; change it to what your receiver wants.

use hookbox_sdk::{Firing, Transform};

struct Change;

impl Transform for Change {
    /// The firing to send, perhaps changed; none drops it. An error is an attempt that failed, and is tried again.
    fn transform(mut firing: Firing) -> Result<Option<Firing>, String> {
        firing
            .headers
            .push(("X-Attempt".into(), firing.attempt.to_string()));
        Ok(Some(firing))
    }
}

hookbox_sdk::transform!(Change);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_is_told_which_attempt_it_is() {
        let firing = Firing {
            webhook_id: "w1".into(),
            account_id: "a1".into(),
            hook_id: "h1".into(),
            hook_event: "channel_create".into(),
            attempt: 2,
            verb: "post".into(),
            uri: "https://example.com/hook".into(),
            payload: "{}".into(),
            headers: vec![],
            content_type: "application/json".into(),
        };
        let changed = Change::transform(firing).unwrap().unwrap();
        assert_eq!(changed.headers, [("X-Attempt".to_owned(), "2".to_owned())]);
    }
}
