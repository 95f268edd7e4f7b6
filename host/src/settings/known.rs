//! stub
pub(super) fn unknown_keys(_t: &toml::Table, _p: &str) -> Vec<String> { Vec::new() }
pub(super) fn syntax_problem(_n: &str, _t: &str, _e: &toml::de::Error) -> String { String::new() }
pub(super) fn unknown_variable(_v: &str, _p: &str) -> Option<String> { None }
pub(super) fn variable_value(v: &str) -> figment::value::Value { figment::value::Value::from(v) }
pub(super) fn type_problem(e: figment::Error) -> String { e.to_string() }
