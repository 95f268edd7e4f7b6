//! Times as people write them on a command line: RFC 3339, or so long ago.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    clock::{Clock, gregorian_s as to_gregorian_s},
    message::UnixMs,
};

/// Seconds of the units that can be written.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// A time in KAZOO's seconds; what is wrong with it otherwise.
pub(super) fn gregorian_s(text: &str) -> Result<u64, String> {
    read(text, Clock::System.now_ms())
}

fn read(text: &str, now_ms: UnixMs) -> Result<u64, String> {
    if let Some(ago_s) = seconds(text) {
        return Ok(to_gregorian_s(now_ms).saturating_sub(ago_s));
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
    let unix_s = moment.and_then(|moment| u64::try_from(moment.unix_timestamp()).ok());
    let unix_s = unix_s.ok_or("use a time such as 2026-11-24T12:00:00Z, or 90s, 15m, 2h or 7d for so long ago")?;
    Ok(to_gregorian_s(unix_s.saturating_mul(1000)))
}

/// `90s`, `15m`, `2h`, `7d`.
fn seconds(text: &str) -> Option<u64> {
    let (unit, unit_s) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(unit_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::GREGORIAN_OFFSET_S;

    #[test]
    fn times_are_read_as_people_write_them() {
        let read = |text: &str| read(text, 1_000_000_000).map(|s| s - GREGORIAN_OFFSET_S);
        assert_eq!(read("1970-01-02T00:00:01Z"), Ok(86_401));
        assert_eq!(read("1970-01-02T02:00:00.9+02:00"), Ok(86_400));
        assert_eq!(["0s", "90s", "15m", "2h", "3d"].map(read), [
            Ok(1_000_000),
            Ok(999_910),
            Ok(999_100),
            Ok(992_800),
            Ok(740_800)
        ]);
        for odd in ["", "now", "h", "-1h", "1.5h", "12", "2026-11-24", "1960-01-01T00:00:00Z", "99999999999999999999d"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
