//! The limits that an owner may put on a module: under the operator's ceilings and those of the owner's account
//! ([`super::account_limits`]), checked when they are written. Plain rules.

use serde_json::{Value, json};

use super::{
    account_limits::{Ceiling, Limit, Whose},
    guest::{GuestLimits, WhoseLimits},
};
use crate::{message::Object, settings::ModuleSettings};

/// Something wrong with a limit: its key, a word for the kind of fault, and words.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitProblem {
    /// Which limit.
    pub key: String,
    /// `enum`, `type`, `minimum` or `maximum`, as in other documents.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What would do.
    pub target: Value,
}

/// The limits that there are, by the names that owners know them by.
const KNOWN: [(&str, Limit); 6] = [
    ("time_limit_ms", Limit::TimeLimitMs),
    ("fuel_max", Limit::FuelMax),
    ("memory_bytes_max", Limit::MemoryBytesMax),
    ("log_bytes_max", Limit::LogBytesMax),
    ("instances", Limit::InstancesPerModuleMax),
    ("reuse", Limit::ReuseMax),
];

/// The bounds of a module's calls: the operator's, and what its owner has put below them. A limit that the operator has
/// lowered since counts as the operator's.
pub fn of_calls(limits: &Object, settings: &ModuleSettings) -> GuestLimits {
    let own = |key: &str, most: u64| limits.get(key).and_then(Value::as_u64).map_or(most, |own| own.min(most));
    let size = |key: &str, most: u64| usize::try_from(own(key, most)).unwrap_or(usize::MAX);
    let whose = |key: &str, most: u64| if own(key, most) < most { Whose::Module } else { Whose::Operator };
    GuestLimits {
        memory_bytes_max: size("memory_bytes_max", settings.memory_bytes_max),
        fuel_max: own("fuel_max", settings.fuel_max),
        time_limit_ms: own("time_limit_ms", settings.time_limit_ms),
        log_bytes_max: size("log_bytes_max", settings.log_bytes_max),
        instances: size("instances", settings.instances_per_module_max),
        // Who says nothing gets a fresh instance every time.
        reuse: limits.get("reuse").and_then(Value::as_u64).map_or(1, |own| own.min(settings.reuse_max)),
        whose: WhoseLimits {
            time: whose("time_limit_ms", settings.time_limit_ms),
            fuel: whose("fuel_max", settings.fuel_max),
            memory: whose("memory_bytes_max", settings.memory_bytes_max),
        },
        ..GuestLimits::new(settings)
    }
}

/// All that is wrong with these limits, of an owner for whom so much may be.
pub fn problems(limits: &Object, ceiling: impl Fn(Limit) -> Ceiling) -> Vec<LimitProblem> {
    let mut problems = Vec::new();
    for (key, value) in limits {
        let mut wrong = |code, message: String, target| {
            problems.push(LimitProblem { key: key.clone(), code, message, target });
        };
        let Some((_, limit)) = KNOWN.iter().find(|(known, _)| known == key) else {
            let keys: Vec<_> = KNOWN.iter().map(|(known, _)| known).collect();
            wrong("enum", "there is no such limit".into(), json!(keys));
            continue;
        };
        match value.as_u64() {
            None => wrong("type", "Value did not match type(s): integer".into(), json!("integer")),
            Some(number) if number < limit.least() => {
                wrong("minimum", format!("{number} is too little for any module"), json!(limit.least()));
            }
            Some(number) => {
                let ceiling = ceiling(*limit);
                if number > ceiling.most {
                    wrong("maximum", ceiling.refusal(number), json!(ceiling.most));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn found(limits: Value) -> Vec<(String, &'static str)> {
        let settings = Settings::default().modules;
        let limits = limits.as_object().cloned().expect("an object");
        let ceiling = |limit: Limit| Ceiling::of_operator(limit, &settings);
        problems(&limits, ceiling).into_iter().map(|problem| (problem.key, problem.code)).collect()
    }

    #[test]
    fn limits_are_numbers_under_the_ceilings() {
        assert_eq!(found(json!({"instances": 1, "reuse": 1000})), []);
        assert_eq!(
            found(json!({"instances": 0, "reuse": 1001})).iter().map(|(_, code)| *code).collect::<Vec<_>>(),
            ["minimum", "maximum"]
        );
        assert_eq!(found(json!({"time_limit_ms": 10, "log_bytes_max": 0, "fuel_max": 100_000})), []);
        let wrong = json!({"time_limit_ms": 0, "fuel_max": u64::MAX, "memory_bytes_max": "1", "workers": 1});
        let expected = [
            ("time_limit_ms".to_owned(), "minimum"),
            ("fuel_max".to_owned(), "maximum"),
            ("memory_bytes_max".to_owned(), "type"),
            ("workers".to_owned(), "enum"),
        ];
        assert_eq!(found(wrong), expected);
    }

    #[test]
    fn the_operators_limits_hold_where_the_owner_has_none_or_a_greater_one() {
        let settings = Settings::default().modules;
        let limits = json!({"time_limit_ms": 7, "fuel_max": u64::MAX});
        let limits = of_calls(limits.as_object().expect("an object"), &settings);
        assert_eq!((limits.time_limit_ms, limits.fuel_max), (7, settings.fuel_max));
        assert_eq!(limits.memory_bytes_max as u64, settings.memory_bytes_max);
        assert_eq!((limits.instances as u64, limits.reuse), (settings.instances_per_module_max, 1));
        let WhoseLimits { time, fuel, memory } = limits.whose;
        assert_eq!((time, fuel, memory), (Whose::Module, Whose::Operator, Whose::Operator));
    }
}
