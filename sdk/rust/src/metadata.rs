//! What a module says about itself. The record is the contract's; here is how to fill it.

use crate::{Metadata, Sample};

impl Metadata {
    /// A module's metadata with what nothing works without: `id`, the event's name as hooks use it (`[a-z0-9_]{1,64}`),
    /// a name for people, and the version of the component (`env!("CARGO_PKG_VERSION")`).
    ///
    /// Until told otherwise there is no description, nothing to choose from, no sample, and any object is a payload.
    #[must_use]
    pub fn new(id: &str, name: &str, version: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            description: String::new(),
            version: version.to_owned(),
            modifiers: "{}".to_owned(),
            selectors: Vec::new(),
            samples: Vec::new(),
            payload_schema: r#"{"type":"object"}"#.to_owned(),
        }
    }

    /// When the event happens, for people; at most 1024 bytes.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// What a hook's `custom_data` must choose from: a JSON object.
    #[must_use]
    pub fn modifiers(mut self, modifiers: impl Into<String>) -> Self {
        self.modifiers = modifiers.into();
        self
    }

    /// One more `custom_data` key that chooses among this module's events; see [`Event::facet`](crate::Event::facet).
    #[must_use]
    pub fn selector(mut self, key: &str) -> Self {
        self.selectors.push(key.to_owned());
        self
    }

    /// One more payload that shows what receivers get: a JSON object.
    #[must_use]
    pub fn sample(mut self, name: &str, payload: &str) -> Self {
        self.samples.push(Sample { name: name.to_owned(), payload: payload.to_owned() });
        self
    }

    /// The JSON Schema of the payload. A `$ref` is never fetched, so leave it out.
    #[must_use]
    pub fn payload_schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.payload_schema);
        self
    }
}
