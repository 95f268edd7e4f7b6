//! A hook's `filter`: conditions on the event's payload, all of which must hold.
//!
//! | op | holds when what the pointer leads to … |
//! |---|---|
//! | `eq` | is equal; numbers by value (1 is 1.0), everything else by type and value (1 is not "1") |
//! | `ne` | is not equal, or is not there |
//! | `in` | is equal to one of the list |
//! | `prefix` | is a text that begins with the value |
//! | `exists` | is there, be it null; with the value `false`: is not there |
//! | `lt`, `gt` | is a number less or greater than a number, or a text before or after a text (by code point) |
//!
//! A pointer that leads nowhere fails every condition but `ne` and `exists: false`. The payload is the module's, before
//! `custom_data` is merged into it.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{Condition, Operator};
use crate::message::Object;

/// Whether all conditions hold for the payload.
pub fn holds(filter: &[Condition], payload: &Object) -> bool {
    filter.iter().all(|condition| condition_holds(condition, find(payload, &condition.pointer)))
}

fn condition_holds(condition: &Condition, found: Option<&Value>) -> bool {
    let wanted = &condition.value;
    let Some(found) = found else {
        return match condition.op {
            Operator::Ne => true,
            Operator::Exists => wanted == &Value::Bool(false),
            _ => false,
        };
    };
    match condition.op {
        Operator::Eq => equal(found, wanted),
        Operator::Ne => !equal(found, wanted),
        Operator::In => wanted.as_array().is_some_and(|list| list.iter().any(|one| equal(found, one))),
        Operator::Prefix => {
            matches!((found, wanted), (Value::String(text), Value::String(prefix)) if text.starts_with(prefix))
        }
        Operator::Exists => wanted != &Value::Bool(false),
        Operator::Lt => order(found, wanted) == Some(Ordering::Less),
        Operator::Gt => order(found, wanted) == Some(Ordering::Greater),
    }
}

/// What a JSON pointer (RFC 6901) leads to, from an object.
fn find<'a>(payload: &'a Object, pointer: &str) -> Option<&'a Value> {
    let pointer = pointer.strip_prefix('/')?;
    let end = pointer.find('/').unwrap_or(pointer.len());
    let (first, rest) = pointer.split_at(end);
    let value = if first.contains('~') {
        payload.get(&first.replace("~1", "/").replace("~0", "~"))
    } else {
        payload.get(first)
    };
    value?.pointer(rest)
}

fn equal(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => number_order(a, b) == Some(Ordering::Equal),
        _ => found == wanted,
    }
}

fn order(found: &Value, wanted: &Value) -> Option<Ordering> {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => number_order(a, b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Whole numbers are compared exactly, so that long ids do not meet in one float.
fn number_order(a: &Number, b: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(pointer: &str, op: &str, value: Value) -> bool {
        let payload = json!({
            "n": 5, "big": 9_007_199_254_740_993_u64, "half": 0.5, "text": "+1312555", "null": null, "yes": true,
            "deep": {"list": ["a", {"b": 1}], "": "empty"}, "a/b": "slash", "m~n": "tilde",
        });
        let condition: Condition =
            serde_json::from_value(json!({"pointer": pointer, "op": op, "value": value})).unwrap();
        holds(&[condition], payload.as_object().unwrap())
    }

    #[test]
    fn comparison_is_by_type() {
        assert!(check("/n", "eq", json!(5)));
        assert!(check("/n", "eq", json!(5.0)));
        assert!(!check("/n", "eq", json!("5")));
        assert!(!check("/big", "eq", json!(9_007_199_254_740_992_u64)));
        assert!(check("/yes", "eq", json!(true)));
        assert!(!check("/yes", "eq", json!("true")));
        assert!(check("/deep/list", "eq", json!(["a", {"b": 1}])));
        assert!(check("/n", "ne", json!("5")));
        assert!(check("/n", "in", json!(["5", 5])));
        assert!(!check("/n", "in", json!([])));
        assert!(check("/text", "prefix", json!("+1")));
        assert!(check("/text", "prefix", json!("")));
        assert!(!check("/n", "prefix", json!("5")));
        assert!(check("/n", "lt", json!(5.5)));
        assert!(!check("/n", "lt", json!(5)));
        assert!(check("/big", "gt", json!(9_007_199_254_740_992_u64)));
        assert!(check("/half", "gt", json!(0)));
        assert!(check("/text", "gt", json!("+1")));
        assert!(!check("/text", "gt", json!(0)));
        assert!(!check("/yes", "gt", json!(0)));
    }

    #[test]
    fn a_pointer_that_leads_nowhere_fails_but_for_ne_and_not_exists() {
        for (op, value) in [
            ("eq", json!(null)),
            ("in", json!([null])),
            ("prefix", json!("")),
            ("lt", json!(9)),
            ("gt", json!(0)),
            ("exists", json!(true)),
        ] {
            assert!(!check("/none", op, value), "{op}");
        }
        assert!(!check("/none", "exists", json!(null)));
        assert!(check("/none", "exists", json!(false)));
        assert!(check("/none", "ne", json!(1)));
        assert!(check("/null", "exists", json!(true)));
        assert!(!check("/null", "exists", json!(false)));
        assert!(check("/null", "eq", json!(null)));
    }

    #[test]
    fn pointers_are_those_of_the_standard() {
        assert!(check("/deep/list/1/b", "eq", json!(1)));
        assert!(check("/deep/", "eq", json!("empty")));
        assert!(check("/a~1b", "eq", json!("slash")));
        assert!(check("/m~0n", "eq", json!("tilde")));
        assert!(!check("/deep/list/2", "exists", json!(true)));
        assert!(!check("/n/x", "exists", json!(true)));
        assert!(!check("n", "exists", json!(true)));
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter: Vec<Condition> = serde_json::from_value(json!([
            {"pointer": "/a", "op": "eq", "value": 1}, {"pointer": "/b", "op": "exists"}
        ]))
        .unwrap();
        assert!(holds(&filter, json!({"a": 1, "b": 2}).as_object().unwrap()));
        assert!(!holds(&filter, json!({"a": 1}).as_object().unwrap()));
        assert!(holds(&[], &Object::new()));
    }

    proptest! {
        /// Of `lt`, `eq` and `gt` exactly one holds between two numbers.
        #[test]
        fn numbers_are_ordered(a: i64, b: i64) {
            let payload = json!({"a": a});
            let of = |op| [Condition { pointer: "/a".to_owned(), op, value: json!(b) }];
            let held = [Operator::Lt, Operator::Eq, Operator::Gt].into_iter()
                .filter(|op| holds(&of(*op), payload.as_object().unwrap())).count();
            prop_assert_eq!(held, 1);
        }
    }
}
