//! `created_from` and `created_to` of a list of attempts: a range of KAZOO's seconds, with its rules and words. Plain
//! functions.

use serde_json::json;
use utoipa::IntoParams;

use super::{problem::Problem, query::Query};
use crate::{
    clock::{gregorian_s, unix_ms},
    message::UnixMs,
};

/// The milliseconds of the last second.
const TO_THE_END_OF_THE_SECOND: u64 = 999;

/// From when to when, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// From this time on.
    pub from_ms: UnixMs,
    /// Up to this time.
    pub to_ms: UnixMs,
}

/// The range of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Created {
    /// Seconds since year 0; `api.attempts_range_s_max` before `created_to` when absent.
    pub created_from: Option<u64>,
    /// Seconds since year 0; now when absent.
    pub created_to: Option<u64>,
}

impl TimeRange {
    /// That of a query. `created_to` is now when absent, `created_from` as long before it as may be; 400 when they are too
    /// far apart, or the wrong way round.
    pub fn of_query(query: &Query, now_ms: UnixMs, range_s_max: u64) -> Result<Self, Problem> {
        let to_s = seconds(query, "created_to")?.unwrap_or_else(|| gregorian_s(now_ms));
        let from_s = seconds(query, "created_from")?.unwrap_or_else(|| to_s.saturating_sub(range_s_max));
        let range = Self::between(from_s, to_s)?;
        if to_s - from_s > range_s_max {
            let message = format!("created_to {to_s} is more than {range_s_max} seconds from created_from {from_s}");
            return Err(Problem::invalid_with("created_from", "date_range", &message, json!({"cause": to_s})));
        }
        Ok(range)
    }

    /// Between two of KAZOO's seconds; 400 when they are the wrong way round.
    pub fn between(from_s: u64, to_s: u64) -> Result<Self, Problem> {
        if to_s < from_s {
            let message = format!("created_to {to_s} is prior to created_from {from_s}");
            return Err(Problem::invalid_with("created_from", "date_range", &message, json!({"cause": from_s})));
        }
        Ok(Self { from_ms: unix_ms(from_s), to_ms: unix_ms(to_s).saturating_add(TO_THE_END_OF_THE_SECOND) })
    }
}

fn seconds(query: &Query, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let details = json!({"target": "integer", "value": text});
        Problem::invalid_with(name, "type", "Value did not match type(s): integer", details)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::GREGORIAN_OFFSET_S;

    /// 1000 s after 1970.
    const NOW_MS: UnixMs = 1_000_000;

    fn range(query: &[(&str, u64)]) -> Result<TimeRange, Value> {
        let pairs = query.iter().map(|(name, s)| ((*name).to_owned(), (s + GREGORIAN_OFFSET_S).to_string()));
        TimeRange::of_query(&Query(pairs.collect()), NOW_MS, 100).map_err(|problem| problem.data)
    }

    #[test]
    fn what_is_absent_is_now_and_the_longest_range_before_it() {
        assert_eq!(range(&[]), Ok(TimeRange { from_ms: 900_000, to_ms: 1_000_999 }));
        assert_eq!(range(&[("created_to", 500)]), Ok(TimeRange { from_ms: 400_000, to_ms: 500_999 }));
        assert_eq!(range(&[("created_from", 950)]), Ok(TimeRange { from_ms: 950_000, to_ms: 1_000_999 }));
    }

    #[test]
    fn a_bad_range_is_refused_with_kazoos_words() {
        assert!(range(&[("created_from", 400), ("created_to", 500)]).is_ok());
        let problem = range(&[("created_from", 399), ("created_to", 500)]).expect_err("it is too long");
        let (from, to) = (GREGORIAN_OFFSET_S + 399, GREGORIAN_OFFSET_S + 500);
        let message = format!("created_to {to} is more than 100 seconds from created_from {from}");
        assert_eq!(problem, json!({"created_from": {"date_range": {"message": message, "cause": to}}}));
        let problem = range(&[("created_from", 500), ("created_to", 399)]).expect_err("it is turned round");
        let message = format!("created_to {from} is prior to created_from {}", GREGORIAN_OFFSET_S + 500);
        assert_eq!(problem["created_from"]["date_range"]["message"], message);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let query = Query(vec![("created_to".into(), "yesterday".into())]);
        assert!(TimeRange::of_query(&query, NOW_MS, 100).is_err());
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        assert!(TimeRange::between(0, u64::MAX).is_ok());
    }
}
