//! What an account is charged for calls of a module or a transform: `/v2/accounts/{account_id}/webhook_modules/{module_name}/cost`.
//!
//! An account sees what is charged to itself: for its own components, and for those that accounts above it offer. What the
//! operator's modules cost is charged to the operator, and shown with the master account.

use axum::extract::{Path, State};
use serde_json::{Value, json};
use time::{Date, Duration, OffsetDateTime, format_description::well_known::Iso8601};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        Api, Shared,
        answer::Answer,
        auth::InAccount,
        described::{Pages, Problems, Success},
        paging::Paging,
        problem::Problem,
        query::Query,
    },
    message::{AccountId, ModuleId},
    store::module_costs::{CostLine, CostQuery, CostSums, Day, day_of},
};

/// How far back a query without `from` goes.
const DAYS: Day = 30;

/// The calls.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The range of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// The first day, UTC: `2026-01-31`; 30 days before `to` when absent.
    pub from: Option<String>,
    /// The last day, UTC; today when absent.
    pub to: Option<String>,
}

/// What one day's calls cost.
#[derive(ToSchema)]
pub struct CostBody {
    /// UTC.
    #[schema(example = "2026-01-31")]
    pub day: String,
    /// What was called: `account/name`, or the name alone of an operator's module.
    #[schema(example = "acme/to_crm")]
    pub module: String,
    /// Whom it is charged to; absent: the operator.
    pub account_id: Option<String>,
    /// Calls.
    pub calls: u64,
    /// About one unit an instruction.
    pub fuel: u64,
    /// How long they took, µs.
    pub time_us: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Memory of the largest call, bytes.
    pub memory_bytes_max: u64,
}

/// List what an account is charged for a module or a transform, the latest day first. What was called in the last seconds
/// may be missing still (`modules.cost_write_ms`).
#[utoipa::path(
    get, path = "/v2/accounts/{account_id}/webhook_modules/{module_name}/cost", tag = "modules",
    params(
        ("account_id" = String, Path, description = "Who is charged"), ("module_name" = String, Path, description = "For what"),
        Days, Pages,
    ),
    responses((status = 200, description = "A page of days", body = Success<Vec<CostBody>>), Problems),
)]
async fn list(
    State(api): State<Shared>,
    InAccount { account, .. }: InAccount,
    Path((_, name)): Path<(String, String)>,
    paging: Paging,
    query: Query,
) -> Result<Answer, Problem> {
    let today = day_of(api.clock.now_ms());
    let to = day(&query, "to")?.unwrap_or(today);
    let from = day(&query, "from")?.unwrap_or_else(|| to.saturating_sub(DAYS));
    if from > to {
        return Err(Problem::invalid("from", "date_range", "from is later than to"));
    }
    let modules = api.modules_named(&account, &name);
    let after: Option<(Day, Option<AccountId>, ModuleId)> = paging.after()?;
    let of_all = account == api.master;
    let mut wanted = CostQuery {
        modules,
        account: (!of_all).then(|| account.clone()),
        from,
        to,
        after: after.map(|(day, account, module)| CostLine { day, account, module }),
        limit: paging.rows_to_fetch(),
    };
    let rows = api.store.module_costs(&wanted).await?;
    // One without an active version is in the store alone.
    let is_gone = rows.is_empty() && !api.is_module(&wanted.modules) && api.module_seen(&account, &name).await.is_err();
    if is_gone {
        // It has its costs still.
        (wanted.from, wanted.to, wanted.after, wanted.limit) = (0, Day::MAX, None, 1);
        if api.store.module_costs(&wanted).await?.is_empty() {
            return Err(Problem::bad_identifier(&name));
        }
    }
    let entries = rows.into_iter().map(|(line, sums)| {
        let shown = shown(&line, &sums);
        ((line.day, line.account, line.module), shown)
    });
    let (data, page) = paging.cut(entries.collect())?;
    Ok(Answer::page(data, page))
}

impl Api {
    /// What an account may mean by a module's name: its own, those of accounts above it, and, with the master account, the
    /// operator's.
    pub(super) fn modules_named(&self, account: &AccountId, name: &str) -> Vec<ModuleId> {
        let above = self.accounts.ancestors(account);
        let owners = above.iter().flat_map(|above| above.iter()).chain([account]);
        let mut modules: Vec<_> = owners.map(|owner| ModuleId::from(format!("{owner}/{name}"))).collect();
        if *account == self.master {
            modules.push(name.into());
        }
        modules
    }

    /// Whether one of these is there.
    pub(super) fn is_module(&self, modules: &[ModuleId]) -> bool {
        modules.iter().any(|module| self.modules.get(module).is_some() || self.modules.transforms.contains(module))
    }
}

fn shown(line: &CostLine, sums: &CostSums) -> Value {
    let mut shown = json!({
        "day": written(line.day),
        "module": line.module,
        "calls": sums.calls,
        "fuel": sums.fuel,
        "time_us": sums.time_us,
        "faults": sums.faults,
        "memory_bytes_max": sums.memory_bytes_max,
    });
    if let Some(account) = &line.account {
        shown["account_id"] = json!(account);
    }
    shown
}

fn epoch() -> Date {
    OffsetDateTime::UNIX_EPOCH.date()
}

fn written(day: Day) -> String {
    epoch().checked_add(Duration::days(i64::from(day))).map_or_else(String::new, |date| date.to_string())
}

fn day(query: &Query, name: &str) -> Result<Option<Day>, Problem> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let date = Date::parse(text, &Iso8601::DATE).ok().filter(|date| date.to_string() == text);
    let day = date.and_then(|date| Day::try_from((date - epoch()).whole_days()).ok());
    day.map(Some).ok_or_else(|| {
        Problem::invalid_with(name, "wrong_format", "is no day; write 2026-01-31", json!({"value": text}))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Option<Day>> {
        day(&Query(vec![("from".into(), text.into())]), "from").ok()
    }

    #[test]
    fn days_are_read_as_they_are_written() {
        assert_eq!((written(0).as_str(), written(20_000).as_str()), ("1970-01-01", "2024-10-04"));
        assert_eq!((read("1970-01-02"), read("2024-10-04"), read("")), (Some(Some(1)), Some(Some(20_000)), Some(None)));
        for bad in
            ["1969-12-31", "2024-10", "2024-13-01", "2024-W01-1", "20241004", "yesterday", "2024-10-04T00:00:00Z"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
