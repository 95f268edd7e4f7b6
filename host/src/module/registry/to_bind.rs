//! What the broker has to bind for the active modules: what they ask for, and how far that is done.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;

use super::Modules;
use crate::module::description::Binding;

/// One thing to bind: what the broker needs to know of a [`Binding`], routing key by routing key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingKey {
    /// The exchange.
    pub exchange: String,
    /// Its kind, as AMQP spells it.
    pub kind: String,
    /// Whether it is declared durable.
    pub durable: bool,
    /// The key to bind with.
    pub routing_key: String,
}

impl Binding {
    /// What the broker is to bind for it.
    pub fn keys(&self) -> impl Iterator<Item = BindingKey> + '_ {
        let kind = self.kind.as_str();
        self.routing_keys.iter().map(move |routing_key| BindingKey {
            exchange: self.exchange.clone(),
            kind: kind.to_owned(),
            durable: self.durable,
            routing_key: routing_key.clone(),
        })
    }
}

impl Modules {
    /// What the active modules ask to be bound; changes are told.
    pub fn bindings(&self) -> watch::Receiver<Arc<BTreeSet<BindingKey>>> {
        self.bindings.subscribe()
    }

    /// Notes what the broker was asked to bind.
    pub fn note_bound(&self, bound: Arc<BTreeSet<BindingKey>>) {
        self.bound.send_replace(bound);
    }

    /// Waits until the broker was asked to bind what the active modules want.
    pub async fn until_bound(&self) {
        let mut bound = self.bound.subscribe();
        // The sender is here, so it cannot have gone.
        let _ = bound.wait_for(|bound| **bound == **self.bindings.borrow()).await;
    }

    /// After each change of what is active, under the lock of the change.
    pub(super) fn publish_bindings(&self) {
        let active = self.active.load();
        let all = active.iter().flat_map(|module| &module.bindings).flat_map(Binding::keys).collect();
        self.bindings.send_if_modified(|there| {
            let changed = **there != all;
            if changed {
                *there = Arc::new(all);
            }
            changed
        });
    }
}
