//! The contract's types and glue, generated from `wit/v1`: the only generated code on this side of the boundary.
//!
//! Authors reach what they need through the crate's root; the names here are for the export macros.
#![allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit/v1",
    world: "webhook-module",
    pub_export_macro: true,
    export_macro_name: "export_module",
    default_bindings_module: "hookbox_sdk::bindings",
    generate_unused_types: true,
    additional_derives: [PartialEq],
});

/// The world of transforms. Its types and imports are the ones above, so that both worlds speak of the same `Firing`.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        world: "webhook-transform",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        default_bindings_module: "hookbox_sdk::bindings::transform",
        with: {
            "hookbox:webhook/types@1.0.0": crate::bindings::hookbox::webhook::types,
            "hookbox:webhook/log@1.0.0": crate::bindings::hookbox::webhook::log,
            "hookbox:webhook/settings@1.0.0": crate::bindings::hookbox::webhook::settings,
            "hookbox:webhook/accounts@1.0.0": crate::bindings::hookbox::webhook::accounts,
        },
    });
}
