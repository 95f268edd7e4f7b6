//! The contract's types and glue, generated from `wit/v1`. The only generated code on this side of the boundary.
#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({
    path: "../wit/v1",
    world: "webhook-module",
});

/// The world of transforms. Its types and imports are the ones above, so that one host serves both worlds.
pub mod transform {
    wasmtime::component::bindgen!({
        path: "../wit/v1",
        world: "webhook-transform",
        with: {
            "hookbox:webhook/types": super::hookbox::webhook::types,
            "hookbox:webhook/log": super::hookbox::webhook::log,
            "hookbox:webhook/settings": super::hookbox::webhook::settings,
            "hookbox:webhook/accounts": super::hookbox::webhook::accounts,
        },
    });
}
