//! What is wrong with a hook document: all of it at once, in KAZOO's words and shape.

use std::fmt;

use serde_json::{Value, json};

use crate::message::Object;

/// One thing that is wrong with one field. The tenant's fault.
#[derive(Clone, Debug, PartialEq)]
pub struct HookProblem {
    /// Which field: a path joined with dots; a dot inside a key is written `%2E`.
    pub field: String,
    /// KAZOO's code: `required`, `type`, `enum`, `minimum`, `maximum`, `wrong_format`, `error`, …
    pub code: &'static str,
    /// What is wrong and what to do, to stand behind the field's name.
    pub message: String,
    /// What KAZOO puts beside the message: `value`, `target`, `format`, `cause`.
    pub details: Object,
}

/// All that is wrong with a document; never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookProblems(pub Vec<HookProblem>);

impl HookProblem {
    /// A problem without details.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into(), details: Object::new() }
    }

    /// With a detail beside the message.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

impl HookProblems {
    /// KAZOO's validation error: `{"<path>": {"<code>": {"message": …}}}`.
    pub fn to_json(&self) -> Object {
        let mut fields = Object::new();
        for problem in &self.0 {
            let mut body = Object::new();
            body.insert("message".to_owned(), json!(problem.message));
            body.extend(problem.details.clone());
            let codes = fields.entry(problem.field.clone()).or_insert_with(|| json!({}));
            if let Value::Object(codes) = codes {
                codes.insert(problem.code.to_owned(), Value::Object(body));
            }
        }
        fields
    }
}

impl fmt::Display for HookProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{}: {}", problem.field, problem.message)?;
            if let Some(cause) = problem.details.get("cause").and_then(Value::as_str) {
                write!(f, " ({cause})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for HookProblems {}

/// A path of a problem: the parts joined with dots, dots inside them written `%2E`.
pub fn path(parts: &[&str]) -> String {
    parts.iter().map(|part| part.replace('.', "%2E")).collect::<Vec<_>>().join(".")
}
