//! What comes after a try: delivered, tried again, given up, or the hook disabled. Plain rules; time and jitter are
//! arguments.
//!
//! | answer | verdict |
//! |---|---|
//! | 2xx, dropped by the hook's transform | delivered |
//! | 410 | the hook is disabled |
//! | what `firing.retry_on` names (a status, `5xx`, `connection`, `timeout`), a transform that failed | tried again while tries are left |
//! | anything else: other statuses, redirects, a refused address, a request that cannot be made | given up |
//!
//! `connection` is every way of getting no whole answer but time: look-up, refusal, TLS, broken off. The pauses are the
//! hook's own `retry_schedule_s`, else the first `retries` of `firing.retry_schedule_s` (whose last one repeats). Jitter
//! and `Retry-After` only lengthen a pause.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    attempt::{Fault, Outcome},
    hook::Hook,
    message::UnixMs,
    settings::FiringSettings,
};

/// What comes after a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// It is tried again, not before this time.
    Retry {
        /// When.
        due_ms: UnixMs,
    },
    /// It is not tried again.
    GiveUp {
        /// For people: why it never arrived.
        reason: String,
    },
    /// It is not tried again, and the hook is switched off at once.
    Disable {
        /// For people; kept as the hook's disabled message.
        reason: String,
    },
}

/// Judges try number `try_number` (1 is the first) of a firing for the hook. `jitter` is a random number from 0.0 to 1.0.
pub fn verdict(
    outcome: &Outcome,
    try_number: u32,
    hook: &Hook,
    settings: &FiringSettings,
    now_ms: UnixMs,
    jitter: f64,
) -> Verdict {
    if outcome.is_success() {
        return Verdict::Delivered;
    }
    if let Outcome::Answered { status: 410, .. } = outcome {
        return Verdict::Disable { reason: "the receiver answered 410 (gone)".to_owned() };
    }
    if !is_retried(outcome, &settings.retry_on) {
        return Verdict::GiveUp { reason: format!("{}; this is not tried again", what_happened(outcome)) };
    }
    let Some(pause_s) = pause_s(hook, settings, try_number) else {
        return Verdict::GiveUp { reason: format!("retries exceeded; last: {}", what_happened(outcome)) };
    };
    let added = jitter.clamp(0.0, 1.0) * settings.retry_jitter_percent as f64 / 100.0;
    let pause_ms = pause_s.saturating_mul(1000);
    let pause_ms = pause_ms.saturating_add((pause_ms as f64 * added) as u64);
    let asked_ms = retry_after_ms(outcome, now_ms).min(settings.retry_after_max_s.saturating_mul(1000));
    Verdict::Retry { due_ms: now_ms.saturating_add(pause_ms.max(asked_ms)) }
}

/// How many tries are left after this one.
pub fn retries_left(hook: &Hook, try_number: u32) -> u32 {
    let retries = match hook.rare.as_ref().and_then(|rare| rare.retry_schedule_s.as_ref()) {
        Some(own) => u32::try_from(own.len()).unwrap_or(u32::MAX),
        None => u32::from(hook.retries),
    };
    retries.saturating_sub(try_number.saturating_sub(1))
}

/// The pause after a try, before jitter; `None` when it was the last.
fn pause_s(hook: &Hook, settings: &FiringSettings, try_number: u32) -> Option<u64> {
    if retries_left(hook, try_number) == 0 {
        return None;
    }
    let at = usize::try_from(try_number.saturating_sub(1)).unwrap_or(usize::MAX);
    match hook.rare.as_ref().and_then(|rare| rare.retry_schedule_s.as_ref()) {
        Some(own) => own.get(at).copied().map(u64::from),
        None => settings.retry_schedule_s.get(at).or(settings.retry_schedule_s.last()).copied(),
    }
}

fn is_retried(outcome: &Outcome, retry_on: &[String]) -> bool {
    let named = |word: &str| retry_on.iter().any(|named| named == word);
    match outcome {
        Outcome::Answered { status, .. } => named(&status.to_string()) || named(&format!("{}xx", status / 100)),
        Outcome::Failed { fault, .. } => match fault {
            Fault::NameLookup | Fault::Connection | Fault::Tls | Fault::BadAnswer => named("connection"),
            Fault::Timeout => named("timeout"),
            Fault::TransformFailed => true,
            Fault::AddressRefused | Fault::BadRequest => false,
        },
        Outcome::Dropped => false,
    }
}

fn what_happened(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { status, .. } => format!("the receiver answered {status}"),
        Outcome::Failed { fault, detail } => format!("{}: {detail}", fault.as_str()),
        Outcome::Dropped => "its transform dropped it".to_owned(),
    }
}

/// What the receiver asks for in `Retry-After` (RFC 9110, 10.2.3): seconds, or a date. 0 when it asks for nothing, for a
/// time that is over, or for nonsense.
fn retry_after_ms(outcome: &Outcome, now_ms: UnixMs) -> u64 {
    let Outcome::Answered { headers, .. } = outcome else {
        return 0;
    };
    let Some((_, value)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after")) else {
        return 0;
    };
    let value = value.trim();
    if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        return value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000);
    }
    httpdate::parse_http_date(value).map_or(0, |date| unix_ms(date).saturating_sub(now_ms))
}

fn unix_ms(time: SystemTime) -> UnixMs {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{hook::fixtures::hook_of, settings::Settings};

    const NOW_MS: UnixMs = 1_700_000_000_000;

    fn answered(status: u16, retry_after: Option<&str>) -> Outcome {
        let headers = retry_after.map(|value| ("Retry-After".to_owned(), value.to_owned())).into_iter().collect();
        Outcome::Answered { status, headers, body: String::new(), body_cut: false }
    }

    fn failed(fault: Fault) -> Outcome {
        Outcome::Failed { fault, detail: "what came back".to_owned() }
    }

    /// The pause in ms after a try that was answered 500, without jitter.
    fn pause(hook: &Value, try_number: u32) -> Option<u64> {
        let settings = Settings::default().firing;
        match verdict(&answered(500, None), try_number, &hook_of(hook), &settings, NOW_MS, 0.0) {
            Verdict::Retry { due_ms } => Some(due_ms - NOW_MS),
            _ => None,
        }
    }

    fn retried(outcome: &Outcome, retry_on: &[&str]) -> bool {
        let retry_on = retry_on.iter().map(|word| (*word).to_owned()).collect();
        let settings = FiringSettings { retry_on, ..Settings::default().firing };
        matches!(verdict(outcome, 1, &hook_of(&json!({})), &settings, NOW_MS, 0.0), Verdict::Retry { .. })
    }

    #[test]
    fn retries_are_the_tries_after_the_first() {
        let pauses = |hook: Value| (1..=6).map_while(|number| pause(&hook, number)).collect::<Vec<_>>();
        assert_eq!(pauses(json!({})), [2_000, 10_000]);
        assert_eq!(pauses(json!({"retries": 0})), [0; 0]);
        assert_eq!(pauses(json!({"retries": 4})), [2_000, 10_000, 60_000, 300_000]);
        assert_eq!(pauses(json!({"retries": 0, "retry_schedule_s": [1, 1, 7]})), [1_000, 1_000, 7_000]);
        assert_eq!(pauses(json!({"retries": 4, "retry_schedule_s": []})), [0; 0]);
    }

    #[test]
    fn the_operators_last_pause_repeats() {
        let settings = FiringSettings { retry_schedule_s: vec![3], ..Settings::default().firing };
        let due = verdict(&answered(500, None), 4, &hook_of(&json!({"retries": 4})), &settings, NOW_MS, 0.0);
        assert_eq!(due, Verdict::Retry { due_ms: NOW_MS + 3_000 });
    }

    #[test]
    fn retries_left_count_down() {
        let hook = hook_of(&json!({"retries": 2}));
        assert_eq!([1, 2, 3, 4].map(|number| retries_left(&hook, number)), [2, 1, 0, 0]);
    }

    #[test]
    fn only_what_is_named_is_tried_again() {
        let default = ["connection", "timeout", "408", "425", "429", "5xx"];
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(retried(&answered(status, None), &default), "{status}");
        }
        for status in [100, 301, 302, 307, 400, 401, 404, 422, 600] {
            assert!(!retried(&answered(status, None), &default), "{status}");
        }
        for fault in [Fault::NameLookup, Fault::Connection, Fault::Tls, Fault::BadAnswer] {
            assert!(
                retried(&failed(fault), &["connection"]) && !retried(&failed(fault), &["timeout", "5xx"]),
                "{fault:?}"
            );
        }
        assert!(retried(&failed(Fault::Timeout), &["timeout"]) && !retried(&failed(Fault::Timeout), &["connection"]));
        assert!(!retried(&answered(503, None), &["connection"]), "KAZOO's rule");
        assert!(retried(&failed(Fault::TransformFailed), &[]));
        assert!(!retried(&failed(Fault::AddressRefused), &default) && !retried(&failed(Fault::BadRequest), &default));
    }

    #[test]
    fn gone_disables_even_when_it_is_named() {
        let settings = FiringSettings { retry_on: vec!["410".to_owned()], ..Settings::default().firing };
        let verdict = verdict(&answered(410, None), 1, &hook_of(&json!({})), &settings, NOW_MS, 0.0);
        assert_eq!(verdict, Verdict::Disable { reason: "the receiver answered 410 (gone)".to_owned() });
    }

    #[test]
    fn giving_up_says_why() {
        let settings = Settings::default().firing;
        let reason =
            |outcome, try_number| match verdict(&outcome, try_number, &hook_of(&json!({})), &settings, NOW_MS, 0.0) {
                Verdict::GiveUp { reason } => reason,
                other => format!("{other:?}"),
            };
        insta::assert_snapshot!(reason(answered(404, None), 1), @"the receiver answered 404; this is not tried again");
        insta::assert_snapshot!(reason(failed(Fault::Tls), 3), @"retries exceeded; last: tls: what came back");
    }

    #[test]
    fn retry_after_only_lengthens() {
        let settings = Settings::default().firing;
        let hook = hook_of(&json!({}));
        for (value, pause_ms) in [
            ("1", 2_000),
            ("30", 30_000),
            (" 30 ", 30_000),
            ("36001", 36_000_000),
            ("99999999999999999999999", 36_000_000),
            ("-5", 2_000),
            ("soon", 2_000),
            ("", 2_000),
            ("1.5", 2_000),
            // 60 s after now, and long before it.
            ("Tue, 14 Nov 2023 22:14:20 GMT", 60_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 2_000),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 2_000),
        ] {
            let due = verdict(&answered(429, Some(value)), 1, &hook, &settings, NOW_MS, 0.0);
            assert_eq!(due, Verdict::Retry { due_ms: NOW_MS + pause_ms }, "{value}");
        }
    }

    proptest! {
        /// Jitter adds up to its percentage and never shortens; nothing is ever due in the past.
        #[test]
        fn jitter_only_lengthens(jitter in -1.0..2.0_f64, percent in 0..=100_u64, try_number in 1..=4_u32, status in 500..600_u16) {
            let settings = FiringSettings { retry_jitter_percent: percent, ..Settings::default().firing };
            let hook = hook_of(&json!({"retries": 4}));
            let plain = pause(&json!({"retries": 4}), try_number).unwrap_or_default();
            match verdict(&answered(status, None), try_number, &hook, &settings, NOW_MS, jitter) {
                Verdict::Retry { due_ms } => {
                    let pause = due_ms - NOW_MS;
                    prop_assert!(pause >= plain && pause <= plain + plain * percent / 100);
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }

        /// However a receiver answers, the tries end.
        #[test]
        fn tries_end(status in 100..600_u16, retry_after: Option<String>, retries in 0..=4_u8) {
            let hook = hook_of(&json!({"retries": retries}));
            let settings = Settings::default().firing;
            let outcome = answered(status, retry_after.as_deref());
            let number = u32::from(retries) + 1;
            let verdict = verdict(&outcome, number, &hook, &settings, NOW_MS, 0.5);
            let again = matches!(verdict, Verdict::Retry { .. });
            prop_assert!(!again);
        }
    }
}
