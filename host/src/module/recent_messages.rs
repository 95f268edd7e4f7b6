//! The last messages of each account, kept in memory: what a module would have made of them is told before it is active.
//!
//! Kept by the pipeline, which already holds each message in an `Arc`, and asked for by whoever checks a module. Bounded
//! for each account and over all; the oldest go first. What looks like a secret in a body is masked on the way out, so
//! that code which nobody has used yet does not get it. *Not* guaranteed: that another node's messages are here, or that
//! any survive a restart.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use super::description::Binding;
use crate::{
    account::AccountTree,
    message::{AccountId, Message},
    settings::MessageSettings,
};

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";
/// Parts of names whose values are not for a check to see.
const SECRET_WORDS: [&str; 3] = ["password", "secret", "token"];

/// The last messages.
pub struct RecentMessages {
    per_account: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_account: HashMap<AccountId, VecDeque<Kept>>,
    /// In the order in which they came; those that have gone already are passed over.
    order: VecDeque<(u64, AccountId)>,
    /// How many were ever kept.
    kept: u64,
    count: usize,
    bytes: usize,
}

struct Kept {
    number: u64,
    message: Arc<Message>,
}

impl RecentMessages {
    /// None yet.
    pub fn new(settings: &MessageSettings) -> Self {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let (per_account, bytes_max) = (size(settings.keep_per_account), size(settings.keep_bytes_max));
        Self { per_account, bytes_max, state: Mutex::default() }
    }

    /// Keeps a message, when it is known whose it is.
    pub fn keep(&self, message: &Arc<Message>) {
        let Some(account) = message.account.as_ref().filter(|_| self.per_account > 0) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.kept;
        state.kept += 1;
        state.count += 1;
        state.bytes += weight(message);
        state.order.push_back((number, account.clone()));
        let own = state.by_account.entry(account.clone()).or_default();
        own.push_back(Kept { number, message: Arc::clone(message) });
        if own.len() > self.per_account {
            state.drop_oldest_of(account);
        }
        while state.bytes > self.bytes_max && state.drop_oldest() {}
        // What has gone by its account's bound is still named in the order: not more of it than there is left.
        if state.order.len() > state.count * 2 + self.per_account {
            state.forget_gone();
        }
    }

    /// The last messages, the newest first and at most as many as are kept of one account, that a module of this account
    /// with these bindings would have been handed, their secrets masked.
    pub fn wanted_by(&self, owner: &AccountId, bindings: &[Binding], accounts: &AccountTree) -> Vec<Arc<Message>> {
        let mut found: Vec<(u64, Arc<Message>)> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let within = state.by_account.iter().filter(|(account, _)| accounts.is_within(account, owner));
            let kept = within.flat_map(|(_, kept)| kept);
            kept.filter(|kept| is_wanted(&kept.message, bindings))
                .map(|kept| (kept.number, Arc::clone(&kept.message)))
                .collect()
        };
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        found.into_iter().take(self.per_account).map(|(_, message)| Arc::new(masked(&message))).collect()
    }
}

impl State {
    fn drop_oldest_of(&mut self, account: &AccountId) {
        let Some(own) = self.by_account.get_mut(account) else { return };
        if let Some(gone) = own.pop_front() {
            self.count -= 1;
            self.bytes -= weight(&gone.message);
        }
        if own.is_empty() {
            self.by_account.remove(account);
        }
    }

    /// `false` when there is nothing to drop.
    fn drop_oldest(&mut self) -> bool {
        while let Some((number, account)) = self.order.pop_front() {
            let oldest = self.by_account.get(&account).and_then(VecDeque::front);
            if oldest.is_some_and(|oldest| oldest.number == number) {
                self.drop_oldest_of(&account);
                return true;
            }
        }
        false
    }

    fn forget_gone(&mut self) {
        let Self { by_account, order, .. } = self;
        order.retain(|(number, account)| {
            let oldest = by_account.get(account).and_then(VecDeque::front);
            oldest.is_some_and(|oldest| oldest.number <= *number)
        });
    }
}

fn is_wanted(message: &Message, bindings: &[Binding]) -> bool {
    let wants =
        |binding: &Binding| binding.exchange == message.exchange && binding.wants(&message.category, &message.name);
    bindings.iter().any(wants)
}

/// What a message takes in memory, about.
fn weight(message: &Message) -> usize {
    message.body.len() + message.routing_key.len() + message.exchange.len() + size_of::<Message>()
}

/// The message without what looks like a secret.
fn masked(message: &Message) -> Message {
    let lower = message.body.to_ascii_lowercase();
    if !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
        return message.clone();
    }
    // Ingress has seen that it is an object.
    let Ok(mut body) = serde_json::from_str::<Value>(&message.body) else { return message.clone() };
    mask(&mut body);
    Message { body: body.to_string(), ..message.clone() }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = name.to_ascii_lowercase();
                match SECRET_WORDS.iter().any(|word| name.contains(word)) {
                    true => *value = HIDDEN.into(),
                    false => mask(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{account::Account, message::Source, module::description::ExchangeKind};

    fn recent(keep_per_account: u64, keep_bytes_max: u64) -> RecentMessages {
        RecentMessages::new(&MessageSettings { keep_per_account, keep_bytes_max })
    }

    fn message(account: &str, id: &str, body: &str) -> Arc<Message> {
        Arc::new(Message {
            source: Source::Amqp,
            exchange: "e".into(),
            routing_key: "k".into(),
            message_id: Some(id.into()),
            category: "c".into(),
            name: "n".into(),
            account: Some(account.into()),
            within: None,
            received_ms: 0,
            trace: None,
            body: body.into(),
        })
    }

    fn tree() -> AccountTree {
        let account = |id: &str, tree: &[&str]| Account {
            id: id.into(),
            name: id.into(),
            tree: tree.iter().map(|id| AccountId::from(*id)).collect(),
            reseller: None,
        };
        AccountTree::new(vec![account("top", &[]), account("below", &["top"]), account("beside", &[])], Vec::new())
    }

    fn bindings(exchange: &str) -> Vec<Binding> {
        vec![Binding {
            exchange: exchange.into(),
            kind: ExchangeKind::Topic,
            durable: false,
            routing_keys: vec!["#".into()],
            category: "c".into(),
            names: vec!["*".into()],
        }]
    }

    fn ids(recent: &RecentMessages, owner: &str) -> String {
        let found = recent.wanted_by(&owner.into(), &bindings("e"), &tree());
        found.iter().filter_map(|message| message.message_id.clone()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_module_is_shown_what_its_subtree_had_and_what_it_binds() {
        let recent = recent(2, 1 << 20);
        for (account, id) in [("top", "1"), ("below", "2"), ("beside", "3"), ("top", "4"), ("top", "5")] {
            recent.keep(&message(account, id, "{}"));
        }
        assert_eq!(ids(&recent, "top"), "5 4", "the newest first");
        assert_eq!(ids(&recent, "below"), "2");
        assert_eq!(recent.wanted_by(&"top".into(), &bindings("e"), &tree()).len(), 2, "as many as of one account");
        assert_eq!(recent.wanted_by(&"top".into(), &bindings("other"), &tree()).len(), 0);
    }

    #[test]
    fn all_together_have_a_bound_and_the_oldest_go_first() {
        let one = weight(&message("top", "1", "{}"));
        let recent = recent(100, 3 * one as u64);
        for (account, id) in [("top", "1"), ("beside", "2"), ("top", "3"), ("top", "4"), ("beside", "5")] {
            recent.keep(&message(account, id, "{}"));
        }
        assert_eq!((ids(&recent, "top").as_str(), ids(&recent, "beside").as_str()), ("4 3", "5"));
    }

    #[test]
    fn what_is_kept_stays_bounded_under_one_busy_account() {
        let recent = recent(3, 1 << 20);
        for number in 0..1000 {
            recent.keep(&message("top", &number.to_string(), "{}"));
        }
        let state = recent.state.lock().expect("it is whole");
        assert!(state.order.len() <= 10 && state.count == 3, "{} {}", state.order.len(), state.count);
        assert_eq!(state.bytes, 3 * weight(&message("top", "1", "{}")));
    }

    #[test]
    fn none_are_kept_when_none_are_wanted() {
        let recent = recent(0, 1 << 20);
        recent.keep(&message("top", "1", "{}"));
        assert_eq!(ids(&recent, "top"), "");
    }

    #[test]
    fn secrets_are_masked_at_any_depth() {
        let recent = recent(9, 1 << 20);
        let body = json!({"User": "u", "Password": "p", "list": [{"auth_token": {"deep": 1}}], "api-secret": 2});
        recent.keep(&message("top", "1", &body.to_string()));
        let found = recent.wanted_by(&"top".into(), &bindings("e"), &tree());
        let body: Value = serde_json::from_str(&found[0].body).expect("JSON");
        let expected = json!({"User": "u", "Password": HIDDEN, "list": [{"auth_token": HIDDEN}], "api-secret": HIDDEN});
        assert_eq!(body, expected);
    }
}
