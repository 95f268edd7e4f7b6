//! What a hook's recent failures mean for it. Plain rules: counts and settings in, a verdict out.
//!
//! A hook is disabled when it failed `attempt_failure_count` times within `attempt_failure_expiry_ms`. An account's own
//! settings count, else its reseller's, else the system's (KAZOO's order), each key by itself.

use serde_json::Value;

use crate::{
    message::{Object, UnixMs},
    settings::WebhookSettings,
};

/// What a hook's recent attempts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Fewer failures than warn.
    Healthy,
    /// As many as warn, fewer than disable.
    Failing,
    /// As many as disable.
    Disable,
}

/// How many failures warn of the threshold: half of it, rounded up. With a threshold of 1 that is the threshold itself,
/// so there is no warning then.
pub fn warning_count(threshold: u32) -> u32 {
    threshold.div_ceil(2)
}

/// How `count` failures stand against the threshold.
pub fn standing(count: u32, threshold: u32) -> Standing {
    if count >= threshold {
        Standing::Disable
    } else if count >= warning_count(threshold) {
        Standing::Failing
    } else {
        Standing::Healthy
    }
}

/// The window and the threshold that count for a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a failure counts.
    pub window_ms: u64,
    /// How many disable.
    pub threshold: u32,
}

impl Limits {
    /// The system's: what was set over REST, else what the file says.
    pub fn of_system(set: &Object, file: &WebhookSettings) -> Self {
        let file = Self { window_ms: file.attempt_failure_expiry_ms, threshold: file.attempt_failure_count };
        Self::chosen(&[set], file)
    }

    /// An account's: its own, else its reseller's, else the system's.
    pub fn of_account(own: &Object, resellers: &Object, system: Self) -> Self {
        Self::chosen(&[own, resellers], system)
    }

    /// The first usable value of each key. One that is there and no use (text that is no number, 0) gives the last
    /// resort at once, as in KAZOO, and not the next in order.
    fn chosen(sections: &[&Object], otherwise: Self) -> Self {
        let find = |key: &str| sections.iter().find_map(|section| section.get(key)).and_then(count);
        Self {
            window_ms: find("attempt_failure_expiry_ms").unwrap_or(otherwise.window_ms),
            threshold: find("attempt_failure_count")
                .map_or(otherwise.threshold, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        }
    }

    /// The moment after which failures count.
    pub fn after_ms(self, now_ms: UnixMs) -> UnixMs {
        now_ms.saturating_sub(self.window_ms)
    }
}

/// A whole number above 0, also as text.
fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    number.filter(|number| *number > 0)
}

/// Whether the disabler is switched off: what was set over REST, else what the file says.
pub fn is_disabler_off(set: &Object, file: &WebhookSettings) -> bool {
    match set.get("disable_disabler") {
        Some(Value::Bool(off)) => *off,
        Some(Value::String(text)) if text == "true" => true,
        Some(Value::String(text)) if text == "false" => false,
        _ => file.disable_disabler,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Settings;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn the_threshold_itself_disables() {
        for (count, expected) in [
            (0, Standing::Healthy),
            (2, Standing::Healthy),
            (3, Standing::Failing),
            (5, Standing::Failing),
            (6, Standing::Disable),
            (7, Standing::Disable),
        ] {
            assert_eq!(standing(count, 6), expected, "{count} of 6");
        }
        assert_eq!(standing(0, 1), Standing::Healthy);
        assert_eq!(standing(1, 1), Standing::Disable);
    }

    #[test]
    fn half_of_the_threshold_warns() {
        for (threshold, half) in [(2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (u32::MAX, 1 << 31)] {
            assert_eq!(warning_count(threshold), half, "of {threshold}");
            assert_eq!(standing(half - 1, threshold), Standing::Healthy, "{} of {threshold}", half - 1);
            assert_eq!(standing(half, threshold), Standing::Failing, "{half} of {threshold}");
            let more = if half + 1 == threshold { Standing::Disable } else { Standing::Failing };
            assert_eq!(standing(half + 1, threshold), more, "{} of {threshold}", half + 1);
        }
        let verdicts: Vec<_> = (0..3).map(|count| standing(count, 1)).collect();
        assert_eq!(
            verdicts,
            [Standing::Healthy, Standing::Disable, Standing::Disable],
            "no warning of a threshold of 1"
        );
    }

    #[test]
    fn the_nearest_setting_counts_key_by_key() {
        let file = Settings::default().webhooks;
        let system = Limits::of_system(&object(json!({"attempt_failure_count": 10})), &file);
        assert_eq!(system, Limits { window_ms: 60_000, threshold: 10 });
        let reseller = object(json!({"attempt_failure_count": "8", "attempt_failure_expiry_ms": 5000}));
        let own = object(json!({"attempt_failure_count": 3}));
        assert_eq!(Limits::of_account(&own, &reseller, system), Limits { window_ms: 5000, threshold: 3 });
        assert_eq!(Limits::of_account(&Object::new(), &reseller, system), Limits { window_ms: 5000, threshold: 8 });
        assert_eq!(Limits::of_account(&Object::new(), &Object::new(), system), system);
    }

    #[test]
    fn garbage_gives_the_systems_value() {
        let system = Limits { window_ms: 60_000, threshold: 6 };
        for garbage in [json!("many"), json!(0), json!(-1), json!(1.5), json!(null), json!([])] {
            let own = object(json!({"attempt_failure_count": garbage, "attempt_failure_expiry_ms": garbage}));
            assert_eq!(Limits::of_account(&own, &Object::new(), system), system, "{garbage}");
        }
    }

    #[test]
    fn the_disabler_can_be_switched_off_over_the_file() {
        let file = Settings::default().webhooks;
        assert!(!is_disabler_off(&Object::new(), &file));
        assert!(is_disabler_off(&object(json!({"disable_disabler": true})), &file));
        assert!(is_disabler_off(&object(json!({"disable_disabler": "true"})), &file));
        let file = WebhookSettings { disable_disabler: true, ..file };
        assert!(!is_disabler_off(&object(json!({"disable_disabler": false})), &file));
        assert!(is_disabler_off(&object(json!({"disable_disabler": "maybe"})), &file));
    }
}
