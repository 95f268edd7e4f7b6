//! Signatures of requests, as Standard Webhooks has them: `v1` (HMAC-SHA256) and `v1a` (ed25519).
//!
//! What is signed is `<webhook-id>.<webhook-timestamp>.<body>`; for GET the raw query string stands in the body's place.
//! Several secrets, after a rotation, give several signatures with spaces between. Plain functions; [`Secret::draw`] alone
//! draws random numbers.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    hkdf, hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use thiserror::Error;

use crate::{hook::SignatureKind, store::secrets::new_secret};

/// Fewest and most bytes of a secret (Standard Webhooks).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What the ed25519 key's seed is drawn under, so that it says nothing about the secret and is used for nothing else.
const ED25519_SALT: &[u8] = b"hookbox/webhook-signature";
const ED25519_INFO: &[u8] = b"ed25519 seed v1a";

/// The text is no secret; the tenant's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("is no secret; write whsec_ and the base64 of 24 to 64 random bytes, or leave it out to have one made")]
pub struct BadSecret;

/// A hook's secret in the clear. Shown to nobody by `Debug`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl From<Vec<u8>> for Secret {
    /// A secret as the store keeps it: its bytes.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Secret {
    /// A new one.
    pub fn draw() -> Self {
        Self(new_secret().to_vec())
    }

    /// Its bytes, as the store encrypts them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `whsec_` and base64, for the tenant's eyes, once.
    pub fn to_text(&self) -> String {
        format!("whsec_{}", BASE64.encode(&self.0))
    }

    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(BadSecret)?;
        let bytes = BASE64.decode(encoded).map_err(|_| BadSecret)?;
        if SECRET_BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(BadSecret) }
    }

    /// The public key that receivers check `v1a` signatures with: `whpk_` and base64.
    pub fn public_key(&self) -> String {
        let key = self.ed25519_key();
        format!("whpk_{}", BASE64.encode(key.public_key().as_ref()))
    }

    /// The key of `v1a`, made from the secret by HKDF-SHA256, so that one secret serves both kinds and nothing more is
    /// stored.
    #[expect(clippy::expect_used, reason = "the lengths are fixed above; ring refuses no seed of 32 bytes")]
    fn ed25519_key(&self) -> Ed25519KeyPair {
        let mut seed = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, ED25519_SALT)
            .extract(&self.0)
            .expand(&[ED25519_INFO], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut seed))
            .expect("32 bytes can be drawn");
        Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed")
    }
}

/// The value of `webhook-signature`: one signature a secret, newest first; `None` when there is no secret.
pub fn sign(kind: SignatureKind, secrets: &[Secret], webhook_id: &str, timestamp_s: u64, body: &str) -> Option<String> {
    if secrets.is_empty() {
        return None;
    }
    let signed = format!("{webhook_id}.{timestamp_s}.{body}");
    let signatures = secrets.iter().map(|secret| match kind {
        SignatureKind::Hmac => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
            format!("v1,{}", BASE64.encode(hmac::sign(&key, signed.as_bytes())))
        }
        SignatureKind::Ed25519 => {
            format!("v1a,{}", BASE64.encode(secret.ed25519_key().sign(signed.as_bytes())))
        }
    });
    Some(signatures.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_standards_own_example_comes_out() {
        let secret = Secret::parse(SECRET).unwrap();
        let signature = sign(
            SignatureKind::Hmac,
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn several_secrets_give_several_signatures() {
        let secrets = [Secret::draw(), Secret::parse(SECRET).unwrap()];
        let both = sign(SignatureKind::Hmac, &secrets, "id", 1, "body").unwrap();
        let each: Vec<String> =
            secrets.map(|secret| sign(SignatureKind::Hmac, &[secret], "id", 1, "body").unwrap()).to_vec();
        assert_eq!(both, each.join(" "));
        assert_eq!(sign(SignatureKind::Hmac, &[], "id", 1, "body"), None);
    }

    #[test]
    fn secrets_are_well_formed_or_refused() {
        for bad in ["", "s3cret", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
        let of_length = |length| Secret::parse(&format!("whsec_{}", BASE64.encode(vec![7; length])));
        assert!(of_length(23).is_err() && of_length(24).is_ok() && of_length(64).is_ok() && of_length(65).is_err());
        let (one, other) = (Secret::draw(), Secret::draw());
        assert_ne!(one.to_text(), other.to_text());
        assert_eq!(Secret::parse(&one.to_text()).map(|again| again.0), Ok(one.0));
        assert_eq!(format!("{:?}", Secret::parse(SECRET).unwrap()), "Secret(hidden)");
    }

    #[test]
    fn the_public_key_stays_the_same() {
        insta::assert_snapshot!(Secret::parse(SECRET).unwrap().public_key(), @"whpk_jhkHtYdDhId8AyS9L8MC9O6rVoQzqfyn9e3IHGQYG6Y=");
    }

    proptest! {
        /// The library of the standard accepts every `v1` signature.
        #[test]
        fn the_standards_library_accepts_v1(body in ".{0,64}", key in prop::collection::vec(any::<u8>(), 24..=64)) {
            let text = format!("whsec_{}", BASE64.encode(key));
            let signature = sign(SignatureKind::Hmac, &[Secret::parse(&text).unwrap()], "id", 1_700_000_000, &body).unwrap();
            let theirs = Webhook::new(&text).unwrap().sign("id", 1_700_000_000, body.as_bytes()).unwrap();
            prop_assert_eq!(signature, theirs);
        }

        /// An independent ed25519 accepts every `v1a` signature under the exported key, and no other body.
        #[test]
        fn an_independent_library_accepts_v1a(body in ".{0,64}", key in prop::collection::vec(any::<u8>(), 24..=64)) {
            let secret = Secret::parse(&format!("whsec_{}", BASE64.encode(key))).unwrap();
            let public = secret.public_key();
            let public = BASE64.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
            let public = VerifyingKey::from_bytes(public.as_slice().try_into().unwrap()).unwrap();
            let signature = sign(SignatureKind::Ed25519, &[secret], "id", 7, &body).unwrap();
            let signature = BASE64.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
            let signature = Signature::from_slice(&signature).unwrap();
            let signed = format!("id.7.{body}");
            prop_assert!(public.verify(signed.as_bytes(), &signature).is_ok());
            let other = format!("id.8.{body}");
            prop_assert!(public.verify(other.as_bytes(), &signature).is_err());
        }
    }
}
