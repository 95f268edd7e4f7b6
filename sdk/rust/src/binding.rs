//! Which messages a module wants. The record is the contract's; here is how to fill it.

use crate::{Binding, ExchangeKind};

impl Binding {
    /// A binding to an exchange that is not durable. It still needs a routing key, a category and a name.
    #[must_use]
    pub fn to(exchange: &str, kind: ExchangeKind) -> Self {
        Self {
            exchange: exchange.to_owned(),
            kind,
            durable: false,
            routing_keys: Vec::new(),
            category: String::new(),
            names: Vec::new(),
        }
    }

    /// A binding to a topic exchange: `*` in a routing key is one word, `#` any number of words.
    #[must_use]
    pub fn topic(exchange: &str) -> Self {
        Self::to(exchange, ExchangeKind::Topic)
    }

    /// The exchange is declared durable. It must agree with what is there.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// One more routing key.
    #[must_use]
    pub fn routing_key(mut self, key: &str) -> Self {
        self.routing_keys.push(key.to_owned());
        self
    }

    /// The body's `Event-Category` that is wanted.
    #[must_use]
    pub fn category(mut self, category: &str) -> Self {
        category.clone_into(&mut self.category);
        self
    }

    /// One more `Event-Name` that is wanted.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// Every `Event-Name` of the category is wanted.
    #[must_use]
    pub fn any_name(self) -> Self {
        self.name("*")
    }
}
