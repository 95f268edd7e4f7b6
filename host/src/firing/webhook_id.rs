//! The id of a firing: the same on every try and on redelivery, so that receivers can drop repeats.
//!
//! It is the SHA-256, in hex, over what makes a firing what it is: source, exchange, routing key, message id and body of
//! the message, then module, event index and hook. Every part is preceded by its length, so that no two lists of parts
//! give the same bytes. Do not change what is hashed: a firing that waits in the store, and a message that comes again
//! after an update, must keep their ids.

use ring::digest::{Context, SHA256};

use crate::message::{AccountId, HookId, Message, ModuleId, WebhookId};

/// The part that all firings of a message share, hashed once.
#[derive(Clone)]
pub struct MessageDigest(Context);

impl MessageDigest {
    /// Hashes the message.
    pub fn new(message: &Message) -> Self {
        let mut context = Context::new(&SHA256);
        put(&mut context, message.source.as_str());
        put(&mut context, &message.exchange);
        put(&mut context, &message.routing_key);
        // None and the empty text differ.
        context.update(&[u8::from(message.message_id.is_some())]);
        put(&mut context, message.message_id.as_deref().unwrap_or_default());
        put(&mut context, &message.body);
        Self(context)
    }

    /// The id of the firing of the `event_index`-th event (from 0) that the module made, for a hook.
    pub fn webhook_id(&self, module: &ModuleId, event_index: usize, account: &AccountId, hook: &HookId) -> WebhookId {
        let mut context = self.0.clone();
        put(&mut context, module.as_str());
        context.update(&(event_index as u64).to_be_bytes());
        put(&mut context, account.as_str());
        put(&mut context, hook.as_str());
        WebhookId::from(hex::encode(context.finish()))
    }

    /// The id of the module's call with the message, charged to this account: a message that comes again is stored once.
    pub fn call_id(&self, module: &ModuleId, account: Option<&AccountId>) -> String {
        let mut context = self.0.clone();
        put(&mut context, module.as_str());
        put(&mut context, account.map_or("", AccountId::as_str));
        hex::encode(context.finish())
    }
}

fn put(context: &mut Context, part: &str) {
    context.update(&(part.len() as u64).to_be_bytes());
    context.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::message::Source;

    fn message() -> Message {
        Message {
            source: Source::Amqp,
            exchange: "callevt".to_owned(),
            routing_key: "call.CHANNEL_CREATE.x".to_owned(),
            message_id: Some("m1".to_owned()),
            category: "call_event".to_owned(),
            name: "CHANNEL_CREATE".to_owned(),
            account: None,
            within: None,
            received_ms: 1,
            trace: None,
            body: "{}".to_owned(),
        }
    }

    fn id(message: &Message) -> WebhookId {
        MessageDigest::new(message).webhook_id(&"channel_create".into(), 0, &"a".into(), &"h".into())
    }

    #[test]
    fn the_id_is_pinned() {
        insta::assert_snapshot!(id(&message()), @"60761c98977b26ca6ea5ad1836b4f9ef2307dbfcc7128a081f326e305df6a96e");
    }

    #[test]
    fn a_redelivery_has_the_same_id() {
        let again = Message { received_ms: 2, account: Some("a".into()), within: Some("a".into()), ..message() };
        assert_eq!(id(&again), id(&message()));
    }

    #[test]
    fn each_part_counts() {
        let mut ids = vec![
            id(&message()),
            id(&Message { source: Source::Http, ..message() }),
            id(&Message {
                exchange: "callevtc".to_owned(),
                routing_key: "all.CHANNEL_CREATE.x".to_owned(),
                ..message()
            }),
            id(&Message { message_id: None, ..message() }),
            id(&Message { message_id: Some(String::new()), ..message() }),
            id(&Message { body: "{ }".to_owned(), ..message() }),
        ];
        let digest = MessageDigest::new(&message());
        ids.push(digest.webhook_id(&"other".into(), 0, &"a".into(), &"h".into()));
        ids.push(digest.webhook_id(&"channel_create".into(), 1, &"a".into(), &"h".into()));
        ids.push(digest.webhook_id(&"channel_create".into(), 0, &"a".into(), &"h2".into()));
        ids.push(digest.webhook_id(&"channel_create".into(), 0, &"ah".into(), &"".into()));
        let count = ids.len();
        assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), count);
    }

    proptest! {
        /// Moving letters from one part to the next gives another id.
        #[test]
        fn parts_do_not_run_together(text in "[ab]{2,8}", one in 0_usize..8, other in 0_usize..8) {
            let cut = |at: usize| {
                let (exchange, routing_key) = text.split_at(at.min(text.len()));
                id(&Message { exchange: exchange.to_owned(), routing_key: routing_key.to_owned(), ..message() })
            };
            prop_assert_eq!(cut(one) == cut(other), one.min(text.len()) == other.min(text.len()));
        }

        /// 64 hex digits, which a header and Standard Webhooks (no dots) can carry.
        #[test]
        fn ids_are_hex(body: String) {
            let id = id(&Message { body, ..message() });
            prop_assert!(id.as_str().len() == 64 && id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
