//! A time on the command line: RFC 3339, or a number of seconds since year 0, as REST has them.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::GREGORIAN_OFFSET_S;

/// Seconds since year 0 of what was written; fractions of a second are dropped. The error says how to write it.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
    let since_year_0 = moment.and_then(|moment| GREGORIAN_OFFSET_S.checked_add_signed(moment.unix_timestamp()));
    since_year_0.ok_or_else(|| "write 2026-01-31T12:00:00Z, or seconds since year 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        assert_eq!(parse("63880000000"), Ok(63_880_000_000));
        assert_eq!(parse("1970-01-01T00:00:01.9Z"), Ok(GREGORIAN_OFFSET_S + 1));
        assert_eq!(parse("1970-01-01T02:00:00+02:00"), Ok(GREGORIAN_OFFSET_S));
        assert_eq!(parse("1969-12-31T23:59:59Z"), Ok(GREGORIAN_OFFSET_S - 1));
        for bad in ["", "yesterday", "2026-01-31", "-5"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
