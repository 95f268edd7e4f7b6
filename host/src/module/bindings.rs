//! The contract's types and glue, generated from `wit/v1`. The only generated call on this side of the boundary.
#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({
    path: "../wit/v1",
    world: "webhook-module",
});
