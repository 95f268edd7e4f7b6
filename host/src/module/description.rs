//! What a module says about itself, checked: its metadata and its bindings. Asked for once, when it is loaded.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ModuleError, bindings::hookbox::webhook::types as wit};
use crate::message::{ModuleId, Object};

/// Bounds of the texts; they are shown to people and stored.
const NAME_BYTES_MAX: usize = 128;
const DESCRIPTION_BYTES_MAX: usize = 1024;
const SELECTORS_MAX: usize = 16;

/// What a module says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The event's name as hooks use it.
    pub id: ModuleId,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Of the component.
    pub version: String,
    /// What a hook's `custom_data` must choose from, in KAZOO's form.
    pub modifiers: Object,
    /// The `custom_data` keys that choose among the module's events.
    pub selectors: Vec<String>,
    /// Named payloads.
    pub samples: Vec<(String, Object)>,
    /// JSON Schema of the payload.
    pub payload_schema: Value,
}

/// What to bind, and which messages to be handed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange to bind to.
    pub exchange: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it is declared durable.
    pub durable: bool,
    /// At least one.
    pub routing_keys: Vec<String>,
    /// The `Event-Category` of the messages to be handed over.
    pub category: String,
    /// Their `Event-Name`s; `*` for all.
    pub names: Vec<String>,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "AMQP's own words")]
pub enum ExchangeKind {
    Topic,
    Direct,
    Fanout,
    Headers,
}

impl ExchangeKind {
    /// As AMQP spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
        }
    }
}

impl Binding {
    /// Whether a message of this category and name is to be handed over.
    pub fn wants(&self, category: &str, name: &str) -> bool {
        self.category == category && self.names.iter().any(|wanted| wanted == "*" || wanted == name)
    }
}

impl Metadata {
    /// Checks what the component answered.
    pub fn checked(raw: wit::Metadata) -> Result<Self, ModuleError> {
        let refuse = |reason: String| Err(ModuleError::Description { what: "metadata", reason });
        if !is_module_id(&raw.id) {
            return refuse(format!("id {:?} must be 1 to 64 of a-z, 0-9 and _", raw.id));
        }
        if raw.id == "all" {
            return refuse("id `all` is the word for every event; choose another".into());
        }
        if !(1..=NAME_BYTES_MAX).contains(&raw.name.len()) {
            return refuse(format!("name must have 1 to {NAME_BYTES_MAX} bytes, it has {}", raw.name.len()));
        }
        if raw.description.len() > DESCRIPTION_BYTES_MAX {
            let length = raw.description.len();
            return refuse(format!("description may have {DESCRIPTION_BYTES_MAX} bytes, it has {length}"));
        }
        if !is_semantic_version(&raw.version) {
            return refuse(format!("version {:?} must be like 1.2.3", raw.version));
        }
        if raw.selectors.len() > SELECTORS_MAX {
            return refuse(format!("{SELECTORS_MAX} selectors are allowed, it has {}", raw.selectors.len()));
        }
        let modifiers = object("modifiers", &raw.modifiers)?;
        let samples = raw
            .samples
            .into_iter()
            .map(|sample| Ok((sample.name.clone(), object(&format!("sample {}", sample.name), &sample.payload)?)))
            .collect::<Result<_, ModuleError>>()?;
        let payload_schema = match serde_json::from_str(&raw.payload_schema) {
            Ok(schema @ (Value::Object(_) | Value::Bool(_))) => schema,
            Ok(_) => return refuse("payload-schema must be a JSON object".into()),
            Err(error) => return refuse(format!("payload-schema is not JSON: {error}")),
        };
        Ok(Self {
            id: ModuleId::from(raw.id),
            name: raw.name,
            description: raw.description,
            version: raw.version,
            modifiers,
            selectors: raw.selectors,
            samples,
            payload_schema,
        })
    }

    /// The document that KAZOO keeps of a module (`webhook_meta`).
    pub fn document(&self) -> Object {
        let mut document = Object::new();
        document.insert("id".into(), json!(self.id));
        document.insert("name".into(), json!(self.name));
        document.insert("description".into(), json!(self.description));
        if !self.modifiers.is_empty() {
            document.insert("modifiers".into(), Value::Object(self.modifiers.clone()));
        }
        document
    }
}

/// Checks the bindings that the component answered; `routing_keys_max` is over all of them.
pub fn checked_bindings(raw: Vec<wit::Binding>, routing_keys_max: usize) -> Result<Vec<Binding>, ModuleError> {
    let refuse = |reason: String| Err(ModuleError::Description { what: "bindings", reason });
    let keys: usize = raw.iter().map(|binding| binding.routing_keys.len()).sum();
    if keys > routing_keys_max {
        return refuse(format!("{keys} routing keys; {routing_keys_max} are allowed (modules.bindings_max)"));
    }
    if raw.is_empty() {
        return refuse("there are none, so no message would ever reach it".into());
    }
    for binding in &raw {
        let exchange = &binding.exchange;
        if !(1..=255).contains(&exchange.len()) || exchange.starts_with("amq.") {
            return refuse(format!("exchange {exchange:?} must have 1 to 255 bytes and not begin with `amq.`"));
        }
        if binding.routing_keys.is_empty() || binding.names.is_empty() {
            return refuse(format!("the one on {exchange:?} needs a routing key and a name at least"));
        }
        if let Some(key) = binding.routing_keys.iter().find(|key| key.len() > 255) {
            return refuse(format!("routing key {key:.40}… has over 255 bytes"));
        }
    }
    Ok(raw.into_iter().map(Binding::from).collect())
}

impl From<wit::Binding> for Binding {
    fn from(raw: wit::Binding) -> Self {
        let kind = match raw.kind {
            wit::ExchangeKind::Topic => ExchangeKind::Topic,
            wit::ExchangeKind::Direct => ExchangeKind::Direct,
            wit::ExchangeKind::Fanout => ExchangeKind::Fanout,
            wit::ExchangeKind::Headers => ExchangeKind::Headers,
        };
        Self {
            exchange: raw.exchange,
            kind,
            durable: raw.durable,
            routing_keys: raw.routing_keys,
            category: raw.category,
            names: raw.names,
        }
    }
}

/// Whether a module or transform can be called so.
pub fn is_module_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn is_semantic_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<_> = core.split('.').collect();
    text.len() <= 64 && parts.len() == 3 && parts.iter().all(|part| part.parse::<u64>().is_ok())
}

fn object(what: &str, text: &str) -> Result<Object, ModuleError> {
    serde_json::from_str(text).map_err(|error| ModuleError::Description {
        what: "metadata",
        reason: format!("{what} is not a JSON object: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> wit::Metadata {
        wit::Metadata {
            id: "door_opened".into(),
            name: "Door opened".into(),
            description: String::new(),
            version: "1.0.0".into(),
            modifiers: "{}".into(),
            selectors: vec![],
            samples: vec![],
            payload_schema: "{}".into(),
        }
    }

    #[test]
    fn sound_metadata_is_taken() {
        assert!(Metadata::checked(raw()).is_ok());
    }

    #[test]
    fn each_fault_of_metadata_is_named() {
        type Fault = fn(&mut wit::Metadata);
        let faults: [(&str, Fault); 6] = [
            ("id", |m| m.id = "Door".into()),
            ("`all`", |m| m.id = "all".into()),
            ("version", |m| m.version = "1.0".into()),
            ("modifiers", |m| m.modifiers = "[]".into()),
            ("payload-schema", |m| m.payload_schema = "1".into()),
            ("name", |m| m.name.clear()),
        ];
        for (named, fault) in faults {
            let mut metadata = raw();
            fault(&mut metadata);
            let text = Metadata::checked(metadata).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains(named), "{named}: {text}");
        }
    }

    #[test]
    fn bindings_are_bounded() {
        let binding = |keys: usize| wit::Binding {
            exchange: "e".into(),
            kind: wit::ExchangeKind::Topic,
            durable: false,
            routing_keys: vec!["#".into(); keys],
            category: "c".into(),
            names: vec!["*".into()],
        };
        assert!(checked_bindings(vec![binding(2)], 2).is_ok());
        assert!(checked_bindings(vec![binding(2), binding(1)], 2).is_err());
        assert!(checked_bindings(vec![binding(0)], 2).is_err());
        assert!(checked_bindings(vec![], 2).is_err());
    }

    #[test]
    fn a_binding_wants_its_category_and_names() {
        let mut binding = Binding {
            exchange: "e".into(),
            kind: ExchangeKind::Topic,
            durable: false,
            routing_keys: vec!["#".into()],
            category: "c".into(),
            names: vec!["a".into(), "b".into()],
        };
        assert!(binding.wants("c", "b"));
        assert!(!binding.wants("c", "d"));
        assert!(!binding.wants("d", "b"));
        binding.names = vec!["*".into()];
        assert!(binding.wants("c", "anything"));
    }
}
