//! Transforms for a host of a test's own, put straight into its table: the one component [`AS_TOLD`], under as many accounts
//! and versions as a test needs.

use std::sync::Arc;

use hookbox::module::{Transform, transform::TransformName, transform_table::RegisteredTransform};

use crate::{
    bad_modules::{self, AS_TOLD},
    test_host::TestHost,
};

/// The name that all are registered under.
pub const NAME: &str = "as_told";

/// A version of it. Each has a digest of its own, though all are the same program.
pub async fn loaded(host: &TestHost, owner: &str, version: &str) -> Arc<Transform> {
    let component = rebuilt(bad_modules::bytes(AS_TOLD), version);
    let registered = TransformName { owner: owner.into(), name: NAME.into(), version: version.into() };
    let loaded = host.running.modules.load_transform(component, registered).await;
    loaded.unwrap_or_else(|error| panic!("{NAME} {version} cannot be loaded: {error}"))
}

/// Versions of it with settings, the last version active, not offered.
pub fn registered(versions: &[&Arc<Transform>], settings: &[(&str, &str)]) -> RegisteredTransform {
    RegisteredTransform {
        versions: versions.iter().map(|version| Arc::clone(version)).collect(),
        active: versions.last().map(|version| version.digest.clone()),
        offered: false,
        settings: Arc::new(settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
        limits: None,
    }
}

/// Registers version 1.0.0, active, for an account.
pub async fn register(host: &TestHost, owner: &str) -> Arc<Transform> {
    let transform = loaded(host, owner, "1.0.0").await;
    host.running.modules.transforms.put(owner.into(), NAME, registered(&[&transform], &[]));
    transform
}

/// The same program with another digest: a custom section more.
fn rebuilt(component: Vec<u8>, note: &str) -> Vec<u8> {
    let length = |bytes: usize| u8::try_from(bytes).unwrap_or_else(|_| panic!("{note:?} is too long"));
    let section = [&[0, length(note.len() + 1), length(note.len())], note.as_bytes()].concat();
    [component, section].concat()
}
