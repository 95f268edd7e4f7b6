//! How it stands with an account at a glance: `/v2/accounts/{account_id}/overview`. With the master account, with everything.
//!
//! The figures are read from what is recorded, so they are those of all nodes and outlive a restart; they are made of the
//! newest `api.overview_attempts_max` attempts of the last hour, which bounds what a look costs.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Shared,
    answer::Answer,
    auth::InAccount,
    described::{Problems, Success},
    failures,
    problem::Problem,
};
use crate::{
    attempt::failure_window::standing,
    clock::gregorian_s,
    hook::editing,
    message::{AccountId, UnixMs},
    store::traffic::{AttemptPoint, FIRINGS_COUNTED_MAX},
};

/// How far back the figures go.
const MINUTES: u64 = 60;
const MINUTE_MS: u64 = 60_000;
/// Hooks that are named because they fail or were switched off, each.
const HOOKS_NAMED_MAX: u32 = 20;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// How it stands.
#[derive(ToSchema)]
pub struct OverviewBody {
    /// Attempts of the last hour.
    pub attempts: AttemptFigures,
    /// Hooks of the account; of all accounts with the master account.
    pub hooks: HookFigures,
    /// Firings that have not ended well.
    pub firings: FiringFigures,
    /// Modules that the account's hooks may name.
    pub modules: ModuleFigures,
}

/// Attempts of the last hour.
#[derive(ToSchema)]
pub struct AttemptFigures {
    /// How many these figures are made of.
    pub count: u64,
    /// … and how many of them failed.
    pub failed: u64,
    /// Whether there were more: these are the newest.
    pub is_cut: bool,
    /// Half of those that went well took at most so long, ms; null when there is none.
    #[schema(required = true)]
    pub p50_ms: Option<u64>,
    /// … and 99 of 100.
    #[schema(required = true)]
    pub p99_ms: Option<u64>,
    /// Minute by minute, the oldest first.
    pub minutes: Vec<MinuteFigures>,
}

/// Attempts of one minute.
#[derive(ToSchema)]
pub struct MinuteFigures {
    /// When it began, seconds since year 0.
    pub timestamp: u64,
    /// Attempts that went well.
    pub delivered: u64,
    /// … and that did not.
    pub failed: u64,
    /// 99 of 100 of those that went well took at most so long, ms; null when there is none.
    #[schema(required = true)]
    pub p99_ms: Option<u64>,
}

/// Hooks.
#[derive(ToSchema)]
pub struct HookFigures {
    /// How many there are; with the master account, how many are enabled.
    pub count: u64,
    /// Those that fail now, the worst first, at most 20.
    pub failing: Vec<NamedHook>,
    /// Those of the account that the host has switched off, at most 20.
    pub switched_off: Vec<NamedHook>,
}

/// A hook that is named.
#[derive(ToSchema)]
pub struct NamedHook {
    /// Which.
    pub id: String,
    /// Whose.
    pub account_id: String,
    /// For people.
    pub name: Option<String>,
    /// Failures within the window.
    pub count: Option<u32>,
    /// At so many it is switched off.
    pub threshold: Option<u32>,
    /// `healthy`, `failing` or `at_threshold`.
    pub standing: Option<String>,
    /// Why it was switched off.
    pub disable_reason: Option<String>,
}

/// Firings that have not ended well; each counted to 10000.
#[derive(ToSchema)]
pub struct FiringFigures {
    /// Waiting to be tried (again), or being tried.
    pub waiting: u64,
    /// Given up.
    pub undelivered: u64,
    /// Where counting ends.
    pub counted_max: u64,
}

/// Modules.
#[derive(ToSchema)]
pub struct ModuleFigures {
    /// How many are active.
    pub active: u64,
    /// Those that are not called because they failed too often.
    pub in_quarantine: Vec<QuarantinedModule>,
}

/// A module in quarantine.
#[derive(ToSchema)]
pub struct QuarantinedModule {
    /// `account/name`, or the name alone of an operator's module.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Show how it stands with an account at a glance; with the master account, with everything.
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/overview", tag = "accounts",
    params(("account_id" = String, Path, description = "Whose")),
    responses((status = 200, description = "How it stands", body = Success<OverviewBody>), Problems),
)]
async fn overview(State(api): State<Shared>, InAccount { account, .. }: InAccount) -> Result<Answer, Problem> {
    let now_ms = api.clock.now_ms();
    let of_one = (account != api.master).then_some(&account);
    // Whole minutes, so that each has all that is its own.
    let from_ms = (now_ms / MINUTE_MS + 1).saturating_sub(MINUTES) * MINUTE_MS;
    let most = u32::try_from(api.settings.overview_attempts_max).unwrap_or(u32::MAX);
    let mut points = api.store.attempt_points(of_one, from_ms, most.saturating_add(1)).await?;
    let is_cut = points.len() > most as usize;
    points.truncate(most as usize);
    let firings = api.store.firings_of(of_one).await?;
    Ok(Answer::of(json!({
        "attempts": attempts(&points, is_cut, from_ms),
        "hooks": {
            "count": match of_one {
                Some(account) => api.store.hook_count(account).await?,
                None => api.firer.hooks.len() as u64,
            },
            "failing": api.failing_hooks(of_one, now_ms).await?,
            "switched_off": api.switched_off_hooks(&account).await?,
        },
        "firings": {
            "waiting": firings.waiting,
            "undelivered": firings.undelivered,
            "counted_max": FIRINGS_COUNTED_MAX,
        },
        "modules": api.modules_at_a_glance(&account),
    })))
}

impl Api {
    async fn failing_hooks(&self, account: Option<&AccountId>, now_ms: UnixMs) -> Result<Vec<Value>, Problem> {
        let asked = account.unwrap_or(&self.master);
        let after_ms = self.firer.disabler.limits(asked).await?.after_ms(now_ms);
        let mut named = Vec::new();
        for failing in self.store.most_failing(account, after_ms, HOOKS_NAMED_MAX).await? {
            // An attempt that was under way when its hook was deleted may have left a failure.
            let Some(record) = self.store.hook(&failing.hook).await? else { continue };
            let threshold = self.firer.disabler.limits(&failing.account).await?.threshold;
            named.push(json!({
                "id": failing.hook,
                "account_id": failing.account,
                "name": record.document.get("name"),
                "count": failing.count,
                "threshold": threshold,
                "standing": failures::word(standing(failing.count, threshold)),
            }));
        }
        Ok(named)
    }

    async fn switched_off_hooks(&self, account: &AccountId) -> Result<Vec<Value>, Problem> {
        let records = self.store.switched_off_hooks(account, None, HOOKS_NAMED_MAX).await?;
        let named = records.iter().map(|record| {
            json!({
                "id": record.id,
                "account_id": record.account,
                "name": record.document.get("name"),
                "disable_reason": editing::disable_reason(record),
            })
        });
        Ok(named.collect())
    }

    fn modules_at_a_glance(&self, account: &AccountId) -> Value {
        let seen = match *account == self.master {
            true => self.modules.active().to_vec(),
            false => self.modules.seen_by(Some(account)),
        };
        let in_quarantine: Vec<_> =
            seen.iter().filter_map(|module| Some(json!({"id": module.id(), "reason": module.quarantine()?}))).collect();
        json!({"active": seen.len(), "in_quarantine": in_quarantine})
    }
}

/// The figures of attempts, the newest first, that began at or after a whole minute. A plain rule.
fn attempts(points: &[AttemptPoint], is_cut: bool, from_ms: UnixMs) -> Value {
    let mut by_minute: BTreeMap<u64, Vec<&AttemptPoint>> = (0..MINUTES).map(|number| (number, Vec::new())).collect();
    for point in points {
        // Another node's clock may be ahead.
        if let Some(within) = by_minute.get_mut(&(point.at_ms.saturating_sub(from_ms) / MINUTE_MS)) {
            within.push(point);
        }
    }
    let minute = |(number, within): (u64, Vec<&AttemptPoint>)| {
        let delivered = within.iter().filter(|point| point.success).count();
        json!({
            "timestamp": gregorian_s(from_ms + number * MINUTE_MS),
            "delivered": delivered,
            "failed": within.len() - delivered,
            "p99_ms": quantile(within.into_iter(), 99),
        })
    };
    json!({
        "count": points.len(),
        "failed": points.iter().filter(|point| !point.success).count(),
        "is_cut": is_cut,
        "p50_ms": quantile(points.iter(), 50),
        "p99_ms": quantile(points.iter(), 99),
        "minutes": by_minute.into_iter().map(minute).collect::<Vec<_>>(),
    })
}

/// How long so many of a hundred of those that went well took at most.
fn quantile<'a>(points: impl Iterator<Item = &'a AttemptPoint>, percent: usize) -> Option<u64> {
    let mut took_ms: Vec<_> = points.filter(|point| point.success).map(|point| point.duration_ms).collect();
    took_ms.sort_unstable();
    let rank = (took_ms.len() * percent).div_ceil(100);
    took_ms.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: UnixMs, duration_ms: u64) -> AttemptPoint {
        AttemptPoint { at_ms, success: duration_ms > 0, duration_ms }
    }

    #[test]
    fn quantiles_are_those_of_what_went_well() {
        let points: Vec<_> = (0..=100).map(|took| point(0, took)).collect();
        let of = |points: &[AttemptPoint], percent| quantile(points.iter(), percent);
        assert_eq!((of(&points, 50), of(&points, 99), of(&points, 100)), (Some(50), Some(99), Some(100)));
        assert_eq!((of(&points[..2], 50), of(&points[..2], 99)), (Some(1), Some(1)));
        assert_eq!((of(&points[..1], 50), of(&[], 99)), (None, None), "nothing went well");
    }

    #[test]
    fn attempts_are_counted_in_the_minute_in_which_they_began() {
        let from_ms = 10 * MINUTE_MS;
        let at = |minute: u64, ms: u64| from_ms + minute * MINUTE_MS + ms;
        let points = [point(at(59, 0), 7), point(at(1, 0), 0), point(at(0, 59_999), 3), point(at(0, 0), 5)];
        let figures = attempts(&points, false, from_ms);
        assert_eq!((&figures["count"], &figures["failed"]), (&json!(4), &json!(1)));
        let minutes = figures["minutes"].as_array().expect("a list");
        let counts =
            |n: usize| [&minutes[n]["delivered"], &minutes[n]["failed"], &minutes[n]["p99_ms"]].map(Value::clone);
        assert_eq!(minutes.len(), 60);
        assert_eq!(counts(0), [json!(2), json!(0), json!(5)]);
        assert_eq!(counts(1), [json!(0), json!(1), Value::Null]);
        assert_eq!(counts(59), [json!(1), json!(0), json!(7)]);
    }
}
