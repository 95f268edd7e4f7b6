//! Whether a message would come to a module at all: the broker's part (exchange and routing key) and the host's.

use crate::{
    message::Message,
    module::description::{Binding, ExchangeKind},
};

/// Whether the message would be handed over because of one of these bindings.
pub(super) fn is_asked_for(bindings: &[Binding], message: &Message) -> bool {
    bindings.iter().any(|binding| {
        binding.exchange == message.exchange
            && binding.routing_keys.iter().any(|key| routes(binding.kind, key, &message.routing_key))
            && binding.wants(&message.category, &message.name)
    })
}

fn routes(kind: ExchangeKind, pattern: &str, routing_key: &str) -> bool {
    match kind {
        ExchangeKind::Direct => pattern == routing_key,
        // Neither looks at the routing key.
        ExchangeKind::Fanout | ExchangeKind::Headers => true,
        ExchangeKind::Topic => {
            let (pattern, words): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), routing_key.split('.').collect());
            topic_matches(&pattern, &words)
        }
    }
}

/// As a topic exchange does: `*` is one word, `#` any number of words.
fn topic_matches(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern.split_first(), words.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => topic_matches(rest, words),
        (Some((&"#", rest)), Some((_, later))) => topic_matches(rest, words) || topic_matches(pattern, later),
        (Some((part, rest)), Some((word, later))) => (*part == "*" || part == word) && topic_matches(rest, later),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_match_as_on_their_kind_of_exchange() {
        let topic = |pattern, key| routes(ExchangeKind::Topic, pattern, key);
        assert!(topic("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a%2Eb"));
        assert!(!topic("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a.b"));
        assert!(!topic("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE"));
        assert!(topic("#", "a.b.c") && topic("skel.#", "skel") && topic("#.c", "a.b.c") && !topic("#.c", "a.b"));
        assert!(routes(ExchangeKind::Direct, "#", "#") && !routes(ExchangeKind::Direct, "#", "a"));
        assert!(routes(ExchangeKind::Fanout, "", "anything"));
    }
}
