//! Whether what a module says about itself would be accepted by a host.

use serde_json::Value;

use super::Rehearsal;
use crate::{Binding, Metadata, Module};

/// What a host would refuse, or a reader of the documentation stumble over.
pub(super) fn problems<M: Module>() -> Vec<String> {
    let ((metadata, bindings), _) = Rehearsal::new().play(|| (M::metadata(), M::bindings()));
    let mut problems = metadata_problems(&metadata);
    problems.extend(sample_problems(&metadata));
    problems.extend(binding_problems(&bindings));
    problems
}

fn metadata_problems(metadata: &Metadata) -> Vec<String> {
    let id_char = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let is_object = |json: &str| serde_json::from_str(json).is_ok_and(|value: Value| value.is_object());
    [
        ((1..=64).contains(&metadata.id.len()) && metadata.id.bytes().all(id_char), "id is not [a-z0-9_]{1,64}"),
        ((1..=128).contains(&metadata.name.len()), "name is not 1 to 128 bytes"),
        (metadata.description.len() <= 1024, "description is over 1024 bytes"),
        (metadata.version.split('.').count() >= 3, "version is not like 1.2.0"),
        (is_object(&metadata.modifiers), "modifiers is not a JSON object"),
        (is_object(&metadata.payload_schema), "payload_schema is not a JSON object"),
        (!metadata.payload_schema.contains("\"$ref\""), "payload_schema has a $ref, which is never fetched"),
    ]
    .into_iter()
    .filter(|(holds, _)| !holds)
    .map(|(_, problem)| format!("metadata: {problem}"))
    .collect()
}

/// Sample payloads must be objects with what the schema requires, and name nothing that a closed schema does not know.
fn sample_problems(metadata: &Metadata) -> Vec<String> {
    let schema: Value = serde_json::from_str(&metadata.payload_schema).unwrap_or_default();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let closed = schema["additionalProperties"] == false;
    let mut problems = Vec::new();
    for sample in &metadata.samples {
        let Ok(Value::Object(payload)) = serde_json::from_str(&sample.payload) else {
            problems.push(format!("sample {}: the payload is not a JSON object", sample.name));
            continue;
        };
        for key in required.iter().filter(|key| !payload.contains_key(**key)) {
            problems.push(format!("sample {}: {key} is required and missing", sample.name));
        }
        for key in payload.keys().filter(|key| closed && schema["properties"].get(key.as_str()).is_none()) {
            problems.push(format!("sample {}: the schema does not know {key}", sample.name));
        }
    }
    problems
}

fn binding_problems(bindings: &[Binding]) -> Vec<String> {
    let keys = bindings.iter().flat_map(|binding| &binding.routing_keys);
    let mut problems = Vec::new();
    if bindings.is_empty() {
        problems.push("there is no binding, so no message ever comes".to_owned());
    }
    if keys.clone().count() > 256 || keys.clone().any(|key| key.len() > 255) {
        problems.push("more than 256 routing keys, or one over 255 bytes".to_owned());
    }
    for binding in bindings {
        let exchange = &binding.exchange;
        if !(1..=255).contains(&exchange.len()) {
            problems.push(format!("exchange `{exchange}` is not 1 to 255 bytes"));
        }
        if binding.routing_keys.is_empty() || binding.category.is_empty() || binding.names.is_empty() {
            problems.push(format!("the binding to {exchange} lacks a routing key, a category or a name"));
        }
    }
    problems
}
