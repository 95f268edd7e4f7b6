//! The contract's types and glue, generated from `wit/v1`. The only generated call on this side of the boundary.
#![allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit/v1",
    world: "webhook-module",
    pub_export_macro: true,
    export_macro_name: "export_module",
    default_bindings_module: "hookbox_sdk::bindings",
    additional_derives: [PartialEq],
});
