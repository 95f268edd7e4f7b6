//! Whether a module's sample payloads fit its own payload schema.
//!
//! A schema of a page can keep who reads it busy for years. So this runs in the compile helper's process, under its limits;
//! a schema that does not come to an end there is a warning like any other.

use jsonschema::PatternOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{message::Object, module::description::Metadata};

/// What is told of one sample, characters.
const TOLD_MAX: usize = 200;
/// How many samples are told of.
const WARNINGS_MAX: usize = 8;

/// What the helper is given, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Samples {
    schema: Value,
    samples: Vec<(String, Object)>,
}

impl Samples {
    /// Those of a module.
    pub fn of(metadata: &Metadata) -> Self {
        Self { schema: metadata.payload_schema.clone(), samples: metadata.samples.clone() }
    }

    /// Whether there is nothing to hold against anything.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// What does not fit, in words. Nothing is fetched: a schema that refers to another place cannot be used. Patterns are
    /// run by an engine without backtracking.
    pub fn warnings(self) -> Vec<String> {
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex()).offline();
        let validator = match options.build(&self.schema) {
            Ok(validator) => validator,
            Err(error) => return vec![format!("payload-schema cannot be used: {}", told(&error))],
        };
        let misfit = |(name, payload): (String, Object)| {
            let payload = Value::Object(payload);
            let error = validator.validate(&payload).err()?;
            let (at, why) = (error.instance_path().as_str().to_owned(), told(&error));
            Some(format!("sample {name:?} does not fit payload-schema at {at:?}: {why}"))
        };
        self.samples.into_iter().filter_map(misfit).take(WARNINGS_MAX).collect()
    }
}

fn told(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warnings(schema: Value, payload: Value) -> Vec<String> {
        let Value::Object(payload) = payload else { panic!("{payload} is no object") };
        Samples { schema, samples: vec![("first".into(), payload)] }.warnings()
    }

    #[test]
    fn a_sample_that_does_not_fit_is_told_of() {
        let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}});
        assert_eq!(warnings(schema.clone(), json!({"age": 7})), [""; 0]);
        let told = warnings(schema, json!({"age": "seven"}));
        assert_eq!(told, [r#"sample "first" does not fit payload-schema at "/age": "seven" is not of type "integer""#]);
    }

    #[test]
    fn nothing_is_fetched_for_a_schema() {
        for place in ["http://127.0.0.1:1/schema.json", "file:///etc/passwd"] {
            let told = warnings(json!({"$ref": place}), json!({}));
            assert!(told.len() == 1 && told[0].starts_with("payload-schema cannot be used"), "{told:?}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_comes_to_an_end() {
        assert_eq!(warnings(json!({"allOf": [{"$ref": "#"}]}), json!({})), [""; 0]);
    }
}
