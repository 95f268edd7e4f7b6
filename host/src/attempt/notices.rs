//! The messages that tell the platform of a hook that fails, as KAZOO's own would.
//!
//! `webhook_disabled` makes KAZOO mail the account's administrators; `webhook_failing`, which KAZOO does not have, warns
//! before that; `doc_edited` makes every node, ours and KAZOO's, read the hook again. The first two are also events that
//! hooks can take (`guest-modules/notifications`). Plain functions: the store keeps the notices, others publish them.

use serde_json::{Value, json};

use super::failure_window::Limits;
use crate::{
    message::{AccountId, HookId, UnixMs},
    notice::{self, Notice, Sender, notification},
};

/// The notices of a hook that is being disabled.
pub fn disabled_notices(account: &AccountId, hook: &HookId, node: &str, now_ms: UnixMs) -> [Notice; 2] {
    let disabled = notification("webhook_disabled", "webhook.disabled", account, node, of_hook(hook));
    [disabled, notice::of_edited_hook(account, hook, &Sender { node, request_id: None, now_ms })]
}

/// The notice of a hook that has failed `count` times within its window, and may be disabled soon.
pub fn failing_notice(account: &AccountId, hook: &HookId, node: &str, count: u32, limits: Limits) -> Notice {
    let mut failing = of_hook(hook);
    failing["Failure-Count"] = json!(count);
    failing["Failure-Threshold"] = json!(limits.threshold);
    failing["Window-MS"] = json!(limits.window_ms);
    notification("webhook_failing", "webhook.failing", account, node, failing)
}

fn of_hook(hook: &HookId) -> Value {
    json!({"Hook-ID": hook})
}

#[cfg(test)]
mod tests {
    use insta::assert_json_snapshot;

    use super::*;

    #[test]
    fn the_platform_is_told_as_kazoo_tells_it() {
        let [mut notification, mut change] =
            disabled_notices(&"a1".into(), &"h.1".into(), "hookbox@n1", 1_714_100_000_000);
        assert_eq!(notification.exchange, "notifications");
        assert_eq!(notification.routing_key, "notifications.webhook.disabled");
        assert_eq!(change.exchange, "configuration");
        assert_eq!(change.routing_key, "doc_edited.webhooks.webhook.h%2E1");
        for notice in [&mut notification, &mut change] {
            let id = notice.body.insert("Msg-ID".into(), "(random)".into()).unwrap_or_default();
            assert_eq!(id.as_str().map(str::len), Some(32));
        }
        assert_json_snapshot!([notification.body, change.body]);
    }

    #[test]
    fn a_warning_says_how_far_it_has_come() {
        let limits = Limits { window_ms: 60_000, threshold: 6 };
        let mut notice = failing_notice(&"a1".into(), &"h.1".into(), "hookbox@n1", 3, limits);
        assert_eq!((&*notice.exchange, &*notice.routing_key), ("notifications", "notifications.webhook.failing"));
        notice.body.remove("Msg-ID");
        let expected = json!({
            "App-Name": "webhooks", "App-Version": "4.0.0", "Event-Category": "notification",
            "Event-Name": "webhook_failing", "Node": "hookbox@n1", "Account-ID": "a1", "Hook-ID": "h.1",
            "Failure-Count": 3, "Failure-Threshold": 6, "Window-MS": 60_000,
        });
        assert_eq!(serde_json::Value::Object(notice.body), expected);
    }
}
