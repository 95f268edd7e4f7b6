//! What a tenant's module may be called and may bind: plain rules, asked at upload, at activation, and whenever the
//! operator's modules change.
//!
//! The operator's modules always win: a name that one of them has is not a tenant's. A binding must be one that
//! `modules.tenant_bindings` lists, or, when that is empty, one that a built-in module's covers: the same exchange, kind
//! and durability, and a routing key that gets nothing which theirs does not get. And since an exchange is of one kind,
//! a binding must agree with what is active on its exchange.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    description::{Binding, ExchangeKind},
    registry::BindingKey,
};
use crate::message::ModuleId;

/// What the operator allows tenants to bind.
#[derive(Clone, Debug)]
pub enum Allowed {
    /// `modules.tenant_bindings`: an exchange, and the pattern that a routing key must be covered by.
    Listed(Vec<(String, String)>),
    /// What the built-in modules bind.
    AsBuiltIn(BTreeSet<BindingKey>),
}

impl Allowed {
    /// Of the setting, and of what the built-in modules bind.
    pub fn new(listed: &[String], built_in: BTreeSet<BindingKey>) -> Self {
        if listed.is_empty() {
            return Self::AsBuiltIn(built_in);
        }
        let split = |entry: &String| match entry.split_once('/') {
            Some((exchange, pattern)) => (exchange.to_owned(), pattern.to_owned()),
            None => (entry.clone(), "#".to_owned()),
        };
        Self::Listed(listed.iter().map(split).collect())
    }

    /// Why one of the bindings is not allowed; the first that is not is named.
    fn refusal(&self, bindings: &[Binding]) -> Option<String> {
        let refused = |key: &BindingKey| {
            let BindingKey { exchange, kind, durable, routing_key } = key;
            let durable = if *durable { "durable" } else { "not durable" };
            format!(
                "its binding of {routing_key:?} on exchange {exchange:?} ({kind}, {durable}) is not allowed here \
                 (modules.tenant_bindings); bind what the operator's modules bind, or ask the operator"
            )
        };
        bindings.iter().flat_map(Binding::keys).find(|key| !self.allows(key)).as_ref().map(refused)
    }

    fn allows(&self, wanted: &BindingKey) -> bool {
        match self {
            Self::Listed(list) => list.iter().any(|(exchange, pattern)| {
                *exchange == wanted.exchange && covers_in(&wanted.kind, pattern, &wanted.routing_key)
            }),
            Self::AsBuiltIn(built_in) => built_in.iter().any(|theirs| {
                theirs.exchange == wanted.exchange
                    && theirs.kind == wanted.kind
                    && theirs.durable == wanted.durable
                    && covers_in(&wanted.kind, &theirs.routing_key, &wanted.routing_key)
            }),
        }
    }
}

/// What stands at the moment, by which a tenant's module is judged.
#[derive(Debug)]
pub struct Standing<'a> {
    /// The ids of the operator's modules.
    pub operators: &'a BTreeSet<ModuleId>,
    /// What tenants may bind.
    pub allowed: &'a Allowed,
    /// The exchanges that something active binds, with their kinds and whether they are durable.
    pub exchanges: BTreeMap<String, (ExchangeKind, bool)>,
}

impl Standing<'_> {
    /// Why a module of this name with these bindings cannot be active, if it cannot.
    pub fn refusal(&self, name: &str, bindings: &[Binding]) -> Option<String> {
        if self.operators.contains(name) {
            return Some(format!("{name} is the name of one of the operator's modules; choose another"));
        }
        self.allowed.refusal(bindings).or_else(|| bindings.iter().find_map(|binding| self.other_kind(binding)))
    }

    /// Notes what an active module binds.
    pub fn take(&mut self, bindings: &[Binding]) {
        for binding in bindings {
            self.exchanges.entry(binding.exchange.clone()).or_insert((binding.kind, binding.durable));
        }
    }

    fn other_kind(&self, binding: &Binding) -> Option<String> {
        let there = self.exchanges.get(&binding.exchange)?;
        let same = *there == (binding.kind, binding.durable);
        (!same).then(|| {
            let durable = if there.1 { "durable" } else { "not durable" };
            format!(
                "exchange {:?} is of kind {} and {durable} for the modules that are active; bind it so",
                binding.exchange,
                there.0.as_str()
            )
        })
    }
}

/// Whether what is bound with `key` is part of what is bound with `pattern`, on an exchange of this kind. Only topic
/// exchanges know patterns; fanout and headers exchanges do not look at the key.
fn covers_in(kind: &str, pattern: &str, key: &str) -> bool {
    match kind {
        "topic" => covers(&words(pattern), &words(key)),
        // A listed exchange without a pattern has all its keys allowed.
        "direct" => pattern == key || pattern == "#",
        _ => true,
    }
}

fn words(key: &str) -> Vec<&str> {
    key.split('.').collect()
}

/// Whether each routing key that `key` gets is one that `pattern` gets. Both may have `*` (one word) and `#` (any number
/// of words). By the table of all their tails, so that no pair of patterns takes long.
fn covers(pattern: &[&str], key: &[&str]) -> bool {
    let mut tails = vec![vec![false; key.len() + 1]; pattern.len() + 1];
    for p in (0..=pattern.len()).rev() {
        for k in (0..=key.len()).rev() {
            tails[p][k] = match (pattern.get(p), key.get(k)) {
                (None, None) => true,
                (None, Some(_)) => false,
                (Some(&"#"), word) => tails[p + 1][k] || (word.is_some() && tails[p][k + 1]),
                (Some(_), None | Some(&"#")) => false,
                (Some(&"*"), Some(_)) => tails[p + 1][k + 1],
                (Some(wanted), Some(word)) => wanted == word && tails[p + 1][k + 1],
            };
        }
    }
    tails[0][0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(exchange: &str, kind: ExchangeKind, key: &str) -> Binding {
        Binding {
            exchange: exchange.into(),
            kind,
            durable: false,
            routing_keys: vec![key.into()],
            category: "c".into(),
            names: vec!["*".into()],
        }
    }

    fn covered(pattern: &str, key: &str) -> bool {
        covers(&words(pattern), &words(key))
    }

    #[test]
    fn a_pattern_covers_what_gets_no_more_than_itself() {
        for (pattern, key) in [
            ("#", "a.b"),
            ("#", "#"),
            ("#", "*.#"),
            ("a.#", "a"),
            ("a.#", "a.*.#"),
            ("a.*", "a.b"),
            ("a.*", "a.*"),
            ("#.a", "b.#.a"),
            ("call.*.*", "call.CREATE.*"),
        ] {
            assert!(covered(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in
            [("a.*", "a.#"), ("a.*", "#"), ("a", "*"), ("a.b", "a"), ("*", "#"), ("#.*", "#"), ("a.#.b", "a.#")]
        {
            assert!(!covered(pattern, key), "{pattern} {key}");
        }
    }

    proptest! {
        /// What a covered key gets, its cover gets.
        #[test]
        fn nothing_comes_by_a_covered_key_that_does_not_come_by_its_cover(
            pattern in "([ab*#])(\\.[ab*#]){0,3}", key in "([ab*#])(\\.[ab*#]){0,3}", routing in "[ab](\\.[ab]){0,4}",
        ) {
            // A routing key without wildcards is got by a pattern that covers it.
            if covered(&pattern, &key) && covered(&key, &routing) {
                prop_assert!(covered(&pattern, &routing), "{} {} {}", pattern, key, routing);
            }
        }
    }

    #[test]
    fn without_a_list_tenants_bind_what_the_built_in_modules_bind() {
        let built_in = binding("callevt", ExchangeKind::Topic, "call.CREATE.*").keys().collect();
        let allowed = Allowed::new(&[], built_in);
        let refusal = |binding| allowed.refusal(&[binding]);
        assert_eq!(refusal(binding("callevt", ExchangeKind::Topic, "call.CREATE.*")), None);
        assert_eq!(refusal(binding("callevt", ExchangeKind::Topic, "call.CREATE.a1")), None);
        for (exchange, kind, key) in [
            ("callevt", ExchangeKind::Topic, "call.#"),
            ("callevt", ExchangeKind::Fanout, "call.CREATE.*"),
            ("callmgr", ExchangeKind::Topic, "call.CREATE.*"),
        ] {
            let words = refusal(binding(exchange, kind, key)).expect("it is refused");
            assert!(words.contains(exchange) && words.contains(key) && words.contains("tenant_bindings"), "{words}");
        }
        let durable = Binding { durable: true, ..binding("callevt", ExchangeKind::Topic, "call.CREATE.*") };
        assert!(refusal(durable).is_some_and(|words| words.contains("durable")));
    }

    #[test]
    fn a_list_takes_the_place_of_the_built_in_modules() {
        let allowed = Allowed::new(&["doors".to_owned(), "calls/call.#".to_owned()], BTreeSet::new());
        let is_allowed = |exchange, kind, key| allowed.refusal(&[binding(exchange, kind, key)]).is_none();
        assert!(is_allowed("doors", ExchangeKind::Topic, "#"));
        assert!(is_allowed("doors", ExchangeKind::Direct, "front"));
        assert!(is_allowed("calls", ExchangeKind::Topic, "call.*"));
        assert!(!is_allowed("calls", ExchangeKind::Topic, "#"));
        assert!(!is_allowed("others", ExchangeKind::Topic, "call.*"));
    }

    #[test]
    fn names_and_kinds_of_others_are_refused() {
        let (operators, allowed) =
            (BTreeSet::from([ModuleId::from("sms")]), Allowed::new(&["e".into()], BTreeSet::new()));
        let mut standing = Standing { operators: &operators, allowed: &allowed, exchanges: BTreeMap::new() };
        standing.take(&[binding("e", ExchangeKind::Topic, "#")]);
        assert_eq!(standing.refusal("crm", &[binding("e", ExchangeKind::Topic, "a")]), None);
        assert!(standing.refusal("sms", &[]).is_some_and(|words| words.contains("operator's")));
        let other = standing.refusal("crm", &[binding("e", ExchangeKind::Direct, "a")]);
        assert!(other.is_some_and(|words| words.contains("kind topic")));
    }
}
