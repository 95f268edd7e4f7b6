//! What a hook's requests are signed with: rotating the secret, and the public key of the signatures that need none.

use axum::{
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::InAccount,
    data::{Fields, OptionalData},
    described::{Problems, Success},
    front::RequestId,
    problem::Problem,
    webhooks,
};
use crate::{
    clock::gregorian_s,
    firing::signature::Secret,
    hook::{HookRecord, SealedSecret},
    message::UnixMs,
};

/// Old secrets that sign beside the new one, at most: each makes every request's header longer.
const OLD_MAX: usize = 2;
const HOUR_MS: u64 = 3_600_000;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(rotate)).routes(routes!(public_key))
}

/// What may come in.
#[derive(ToSchema)]
#[expect(missing_docs, reason = "the wrapper's one field is what it wraps")]
pub struct SecretEnvelope {
    pub data: SecretBody,
}

/// The secret to change to; one is made when it is absent.
#[derive(ToSchema)]
pub struct SecretBody {
    /// `whsec_` and the base64 of 24 to 64 random bytes.
    pub secret: Option<String>,
}

/// The new secret, shown once.
#[derive(ToSchema)]
pub struct RotatedSecret {
    /// What requests are signed with from now on, first.
    pub secret: String,
    /// Until when old secrets sign too, newest first, seconds since year 0.
    pub old_until: Vec<u64>,
}

/// What receivers check `v1a` signatures with.
#[derive(ToSchema)]
pub struct PublicKey {
    /// `whpk_` and base64.
    #[schema(example = "whpk_jhkHtYdDhId8AyS9L8MC9O6rVoQzqfyn9e3IHGQYG6Y=")]
    pub public_key: String,
}

/// Change a hook's secret. Requests are signed with the old one too for `firing.old_secret_hours`, so that receivers can
/// follow; at most two old ones are kept.
#[utoipa::path(
    post, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/secret", tag = "webhooks",
    params(
        ("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which"),
        ("If-Match" = Option<String>, Header, description = "Only when the hook is at this revision"),
    ),
    request_body = Option<SecretEnvelope>,
    responses((status = 200, description = "The new secret, shown once", body = Success<RotatedSecret>), Problems),
)]
async fn rotate(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
    headers: HeaderMap,
    request: RequestId,
    OptionalData(data): OptionalData,
) -> Result<Answer, Problem> {
    let stored = api.hook_of(&account, &hook).await?;
    webhooks::must_match(&headers, stored.revision)?;
    let mut fields = Fields::of(&data);
    let secret = match fields.text("secret").map(Secret::parse) {
        Some(Ok(named)) => named,
        Some(Err(problem)) => {
            fields.wrong("secret", "wrong_format", &problem.to_string(), json!({}));
            Secret::draw()
        }
        None => Secret::draw(),
    };
    fields.finish()?;
    let now_ms = api.clock.now_ms();
    let until_ms = now_ms + api.firing.old_secret_hours * HOUR_MS;
    // One that cannot be opened signs nothing; one that is the new one already would sign twice.
    let signs_still = |old: &SealedSecret| api.key.open(&stored.id, old).is_ok_and(|old| old != secret.bytes());
    let usable = stored.secrets.iter().filter(|old| signs_still(old)).cloned().collect();
    let old = kept_old(usable, now_ms, until_ms);
    let old_until: Vec<u64> = old.iter().filter_map(|old| old.until_ms).map(gregorian_s).collect();
    let mut secrets = vec![api.sealed(&stored.id, &secret)?];
    secrets.extend(old);
    let based_on = stored.revision;
    let record = HookRecord { secrets, ..stored };
    let revision = webhooks::save(&api, &record, Some(based_on), &request).await?;
    Ok(Answer::of(json!({"secret": secret.to_text(), "old_until": old_until})).revision(revision))
}

/// The old secrets that sign on after a rotation, newest first: the one that was the newest until `until_ms`, those before
/// it as long as they had left.
fn kept_old(old: Vec<SealedSecret>, now_ms: UnixMs, until_ms: UnixMs) -> Vec<SealedSecret> {
    let ending = old.into_iter().map(|old| SealedSecret { until_ms: Some(old.until_ms.unwrap_or(until_ms)), ..old });
    ending.filter(|old| old.until_ms.is_some_and(|until| now_ms < until)).take(OLD_MAX).collect()
}

/// Fetch the public key that a hook's `v1a` signatures (`"signature": "ed25519"`) are checked with. It changes with the
/// secret.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhooks/{hook_id}/public_key", tag = "webhooks",
    params(("account_id" = String, Path, description = "Whose hook"), ("hook_id" = String, Path, description = "Which")),
    responses((status = 200, description = "The key", body = Success<PublicKey>), Problems),
)]
async fn public_key(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, hook)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let record = api.hook_of(&account, &hook).await?;
    let secret = api.newest_secret(&record)?;
    Ok(Answer::of(json!({"public_key": secret.public_key()})).revision(record.revision))
}

impl Api {
    fn newest_secret(&self, record: &HookRecord) -> Result<Secret, Problem> {
        let opened = record.secrets.first().map(|sealed| self.key.open(&record.id, sealed));
        match opened {
            Some(Ok(bytes)) => Ok(Secret::from(bytes)),
            None | Some(Err(_)) => {
                Err(Problem::in_the_way("the hook has no secret that can be opened; rotate it (POST …/secret)"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(until_ms: Option<UnixMs>) -> SealedSecret {
        SealedSecret { sealed: String::new(), until_ms }
    }

    fn untils(kept: &[SealedSecret]) -> Vec<Option<UnixMs>> {
        kept.iter().map(|old| old.until_ms).collect()
    }

    #[test]
    fn the_last_one_signs_on_and_expired_ones_go() {
        let kept = kept_old(vec![old(None), old(Some(150)), old(Some(100))], 100, 200);
        assert_eq!(untils(&kept), [Some(200), Some(150)]);
    }

    #[test]
    fn two_old_ones_are_kept_at_most() {
        let kept = kept_old(vec![old(None), old(Some(190)), old(Some(180))], 100, 200);
        assert_eq!(untils(&kept), [Some(200), Some(190)]);
    }

    #[test]
    fn without_an_overlap_none_is_kept() {
        assert!(kept_old(vec![old(None)], 100, 100).is_empty());
    }
}
