//! The messages that tell the platform of a hook that fails, as KAZOO's own would.
//!
//! `webhook_disabled` makes KAZOO mail the account's administrators; `webhook_failing`, which KAZOO does not have, warns
//! before that; `doc_edited` makes every node, ours and KAZOO's, read the hook again. The first two are also events that
//! hooks can take (`guest-modules/notifications`). Plain functions: the store keeps the notices, others publish them.

use serde_json::json;

use super::failure_window::Limits;
use crate::{
    clock::gregorian_s,
    message::{AccountId, HookId, Object, UnixMs},
    store::Notice,
};

/// The exchange of what people are notified of.
pub const NOTIFICATIONS: &str = "notifications";

/// The notices of a hook that is being disabled.
pub fn disabled_notices(account: &AccountId, hook: &HookId, node: &str, now_ms: UnixMs) -> [Notice; 2] {
    let disabled = notification("webhook_disabled", account, hook, node);
    let disabled = notice(NOTIFICATIONS, "notifications.webhook.disabled".into(), disabled);
    [disabled, hook_edited(account, hook, node, now_ms)]
}

/// The notice of a hook that has failed `count` times within its window, and may be disabled soon.
pub fn failing_notice(account: &AccountId, hook: &HookId, node: &str, count: u32, limits: Limits) -> Notice {
    let mut failing = notification("webhook_failing", account, hook, node);
    failing["Failure-Count"] = json!(count);
    failing["Failure-Threshold"] = json!(limits.threshold);
    failing["Window-MS"] = json!(limits.window_ms);
    notice(NOTIFICATIONS, "notifications.webhook.failing".into(), failing)
}

fn notification(name: &str, account: &AccountId, hook: &HookId, node: &str) -> serde_json::Value {
    json!({
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "notification",
        "Event-Name": name,
        "Msg-ID": message_id(),
        "Node": node,
        "Account-ID": account,
        "Hook-ID": hook,
    })
}

/// The change notice of a hook that was edited, as KAZOO's data layer sends it.
pub fn hook_edited(account: &AccountId, hook: &HookId, node: &str, now_ms: UnixMs) -> Notice {
    let body = json!({
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_edited",
        "Msg-ID": message_id(),
        "Node": node,
        "Account-ID": account,
        "Database": "webhooks",
        "ID": hook,
        "Type": "webhook",
        "Date-Modified": gregorian_s(now_ms),
        "Is-Soft-Deleted": false,
    });
    notice("configuration", format!("doc_edited.webhooks.webhook.{}", key_word(hook.as_str())), body)
}

/// An id as one word of a routing key, in KAZOO's encoding.
pub fn key_word(id: &str) -> String {
    if matches!(id, "" | "*" | "#") {
        return id.to_owned();
    }
    let mut word = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'~' | b'_' => word.push(char::from(byte)),
            b' ' => word.push('+'),
            other => word.push_str(&format!("%{other:02X}")),
        }
    }
    word
}

fn message_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

fn notice(exchange: &str, routing_key: String, body: serde_json::Value) -> Notice {
    let body = body.as_object().cloned().unwrap_or_else(Object::new);
    Notice { id: 0, exchange: exchange.into(), routing_key, body }
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

    #[test]
    fn ids_become_one_word() {
        for (id, word) in
            [("a.b@c:1", "a%2Eb%40c%3A1"), ("100%", "100%25"), ("é", "%C3%A9"), ("a b", "a+b"), ("*", "*")]
        {
            assert_eq!(key_word(id), word);
        }
    }
}
