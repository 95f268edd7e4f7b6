//! The trait that a module's author implements, and what lies between it and the generated exports.

use std::marker::PhantomData;

use crate::{Binding, Event, HandleError, Message, Metadata, bindings, last_words};

/// A kind of message that a component knows how to turn into events.
///
/// There is no `self`: the host makes a fresh instance for every call unless the module's owner chose otherwise, so
/// nothing may be expected to last from one call to the next.
pub trait Module {
    /// What the module says about itself. Asked once, when the module is loaded.
    fn metadata() -> Metadata;

    /// Which messages it wants. Asked once, when the module is loaded.
    fn bindings() -> Vec<Binding>;

    /// The events that a message gives: none, one or several.
    ///
    /// # Errors
    ///
    /// [`HandleError::Malformed`] for a message that can never work, [`HandleError::NotMine`] for one that is of no
    /// interest, [`HandleError::Failed`] when the message is sound and the module is not: it is kept, to be tried again.
    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError>;
}

/// Exports a [`Module`] from the component.
///
/// One module a component. On other targets than WebAssembly the macro leaves no trace, so that the same crate runs in
/// native tests.
#[macro_export]
macro_rules! module {
    ($module:ty) => {
        // On every target, so that a type that is no module is found out in native builds too.
        const _: fn() -> $crate::Metadata = <$module as $crate::Module>::metadata;

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::ExportedModule<$module>;
    $crate::bindings::export_module!(Exported with_types_in $crate::bindings);
        };
    };
}

/// A [`Module`] as the generated exports want it.
#[derive(Debug)]
pub struct ExportedModule<M>(PhantomData<M>);

impl<M: Module> bindings::Guest for ExportedModule<M> {
    fn metadata() -> Metadata {
        last_words::install();
        M::metadata()
    }

    fn bindings() -> Vec<Binding> {
        last_words::install();
        M::bindings()
    }

    fn handle_event(message: Message) -> Result<Vec<Event>, HandleError> {
        last_words::install();
        M::handle_event(message)
    }
}
