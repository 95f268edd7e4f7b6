//! Tokens of `api_auth` and `user_auth`: what a caller shows for some time instead of a key or a password.
//!
//! A token says whom it was given to and until when, signed under the host's key; nothing is stored for it. One that was
//! given for a key ends with the key: whoever checks it looks the key up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::{message::AccountId, message::UnixMs, store::secrets::HostKey};

/// The first part of every token; no key begins so.
const PREFIX: &str = "hbt1";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The account that it opens, with all descendants.
    pub account: AccountId,
    /// For what it was given.
    pub holder: Holder,
    /// Until when it counts.
    pub until_ms: UnixMs,
}

/// For what a token was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// An API key, by its id.
    Key(String),
    /// A user of KAZOO's.
    User {
        /// Its id.
        id: String,
        /// Whether it may change things.
        is_admin: bool,
    },
}

/// Makes and checks tokens.
pub struct Tokens(hmac::Key);

impl Tokens {
    /// Under the host's key, so that nodes that share it take each other's tokens.
    pub fn new(key: &HostKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key.derive("api-token")))
    }

    /// The token as callers get it.
    pub fn sign(&self, token: &Token) -> String {
        let said = URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, said.as_bytes()).as_ref());
        format!("{PREFIX}.{said}.{tag}")
    }

    /// What a caller's text says, when we said it and it still counts. Compared in constant time.
    pub fn check(&self, text: &str, now_ms: UnixMs) -> Option<Token> {
        let (said, tag) = text.strip_prefix(PREFIX)?.strip_prefix('.')?.split_once('.')?;
        hmac::verify(&self.0, said.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
        let token: Token = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said).ok()?).ok()?;
        (now_ms < token.until_ms).then_some(token)
    }

    /// Whether the text looks like a token, good or bad.
    pub fn is_one(text: &str) -> bool {
        text.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { account: "a1".into(), holder: Holder::Key("k1".into()), until_ms: 1000 }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_ends() {
        let tokens = Tokens::new(&HostKey::from_bytes([1; 32]));
        let text = tokens.sign(&token());
        assert!(Tokens::is_one(&text) && !Tokens::is_one("0123"));
        assert_eq!(tokens.check(&text, 999), Some(token()));
        assert_eq!(tokens.check(&text, 1000), None, "it has ended");
    }

    #[test]
    fn nothing_else_is_taken() {
        let tokens = Tokens::new(&HostKey::from_bytes([1; 32]));
        let text = tokens.sign(&token());
        let other = Tokens::new(&HostKey::from_bytes([2; 32])).sign(&token());
        let (said, tag) = text.rsplit_once('.').expect("three parts");
        let forged = URL_SAFE_NO_PAD.encode(r#"{"account":"a2","holder":{"key":"k1"},"until_ms":1000}"#);
        for bad in [
            other,
            format!("{said}.AAAA"),
            format!("hbt1.{forged}.{tag}"),
            "hbt1..".into(),
            "hbt1".into(),
            String::new(),
        ] {
            assert_eq!(tokens.check(&bad, 0), None, "{bad}");
        }
    }
}
