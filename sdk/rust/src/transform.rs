//! The trait that a transform's author implements, and what lies between it and the generated exports.

use std::marker::PhantomData;

use crate::{Firing, bindings, last_words};

/// Something that a hook's owner wants done to each firing before the request is made.
pub trait Transform {
    /// The firing to send, perhaps changed; or none, to drop it.
    ///
    /// # Errors
    ///
    /// The text says why there is nothing to send. It is recorded as an attempt that failed, and tried again like one.
    fn transform(firing: Firing) -> Result<Option<Firing>, String>;
}

/// Exports a [`Transform`] from the component; the counterpart of [`module!`](crate::module!).
#[macro_export]
macro_rules! transform {
    ($transform:ty) => {
        // On every target, so that a type that is no transform is found out in native builds too.
        const _: fn(
            $crate::Firing,
        ) -> ::core::result::Result<::core::option::Option<$crate::Firing>, ::std::string::String> =
            <$transform as $crate::Transform>::transform;

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::ExportedTransform<$transform>;
    $crate::bindings::transform::export_transform!(Exported with_types_in $crate::bindings::transform);
        };
    };
}

/// A [`Transform`] as the generated exports want it.
#[derive(Debug)]
pub struct ExportedTransform<T>(PhantomData<T>);

impl<T: Transform> bindings::transform::Guest for ExportedTransform<T> {
    fn transform(firing: Firing) -> Result<Option<Firing>, String> {
        last_words::install();
        T::transform(firing)
    }
}
