//! The worlds of the contract: what a component may export, and be called by.

use wasmtime::{Store, component::InstancePre};

use super::{
    bindings::{
        WebhookModule, WebhookModulePre,
        transform::{WebhookTransform, WebhookTransformPre},
    },
    guest::Guest,
};

/// One world. Both import the same, so a component of either is linked in the same way ([`super::imports`]).
pub trait World: Sized + Send + 'static {
    /// As WIT writes it.
    const NAME: &'static str;
    /// A component whose exports were looked up, ready to be instantiated any number of times.
    type Pre: Clone + Send + Sync;

    /// Looks the exports up; an error when one is missing or has other types.
    fn look_up(component: InstancePre<Guest>) -> wasmtime::Result<Self::Pre>;

    /// Makes an instance.
    fn instantiate(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Self>;
}

impl World for WebhookModule {
    const NAME: &'static str = "hookbox:webhook/webhook-module@1.0.0";
    type Pre = WebhookModulePre<Guest>;

    fn look_up(component: InstancePre<Guest>) -> wasmtime::Result<Self::Pre> {
        WebhookModulePre::new(component)
    }

    // Compiled here and nowhere else: what it stands on is generic, and other crates may be less optimised.
    #[inline(never)]
    fn instantiate(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Self> {
        pre.instantiate(store)
    }
}

impl World for WebhookTransform {
    const NAME: &'static str = "hookbox:webhook/webhook-transform@1.0.0";
    type Pre = WebhookTransformPre<Guest>;

    fn look_up(component: InstancePre<Guest>) -> wasmtime::Result<Self::Pre> {
        WebhookTransformPre::new(component)
    }

    // Compiled here and nowhere else: what it stands on is generic, and other crates may be less optimised.
    #[inline(never)]
    fn instantiate(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Self> {
        pre.instantiate(store)
    }
}
