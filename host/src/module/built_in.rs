//! The modules that come with the program: their components, their samples, and what the operator's settings give them.

use std::collections::BTreeMap;

use crate::settings::{InboundUserField, KazooSettings};

include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// What the operator's settings give to the built-in modules, as the `settings` import answers it.
pub fn settings_for_modules(kazoo: &KazooSettings, object_types: &[String]) -> BTreeMap<String, String> {
    let list = |items: &[String]| serde_json::Value::from(items.to_vec()).to_string();
    let field = match kazoo.inbound_user_field {
        InboundUserField::Request => "Request",
        InboundUserField::To => "To",
    };
    BTreeMap::from([
        ("reserved_ccv_keys".to_owned(), list(&kazoo.reserved_ccv_keys)),
        ("inbound_user_field".to_owned(), field.to_owned()),
        ("assume_inbound_e164".to_owned(), kazoo.assume_inbound_e164.to_string()),
        ("object_types".to_owned(), list(object_types)),
    ])
}
