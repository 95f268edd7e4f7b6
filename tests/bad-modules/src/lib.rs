//! What the bad modules share: the world, and metadata and bindings that are in order, so that each shows one fault.
//!
//! All bind `bad.#` on exchange `bad` and take every message of category `bad`. `modules/` holds one program each.

/// The generated types of `wit/v1`.
#[allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        world: "webhook-module",
        pub_export_macro: true,
        export_macro_name: "export_module",
        default_bindings_module: "hookbox_bad_modules::bindings",
    });
}

/// The world of transforms.
#[allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        world: "webhook-transform",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        default_bindings_module: "hookbox_bad_modules::transform",
    });

    pub use hookbox::webhook::{log, settings, types};
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bindings::hookbox::webhook::types::{Binding, Event, ExchangeKind, Message, Metadata};

/// Exports a module of this id whose `handle-event` is this function of the message.
#[macro_export]
macro_rules! module {
    ($id:literal, $handle:expr) => {
        $crate::module!($id, "1.0.0", $handle);
    };
    ($id:literal, $version:literal, $handle:expr) => {
        struct Module;

        impl $crate::bindings::Guest for Module {
            fn metadata() -> $crate::bindings::hookbox::webhook::types::Metadata {
                $crate::metadata($id, $version)
            }

            fn bindings() -> Vec<$crate::bindings::hookbox::webhook::types::Binding> {
                $crate::bindings()
            }

            fn handle_event(message: $crate::bindings::hookbox::webhook::types::Message) -> $crate::Handled {
                ($handle)(message)
            }
        }

        $crate::bindings::export_module!(Module);
    };
}

/// What `handle-event` answers.
pub type Handled = Result<Vec<Event>, bindings::hookbox::webhook::types::HandleError>;

/// Metadata in order.
pub fn metadata(id: &str, version: &str) -> Metadata {
    Metadata {
        id: id.to_owned(),
        name: id.to_owned(),
        description: "A module of the tests".to_owned(),
        version: version.to_owned(),
        modifiers: "{}".to_owned(),
        selectors: Vec::new(),
        samples: Vec::new(),
        payload_schema: "{}".to_owned(),
    }
}

/// What every module here binds.
pub fn bindings() -> Vec<Binding> {
    vec![Binding {
        exchange: "bad".to_owned(),
        kind: ExchangeKind::Topic,
        durable: false,
        routing_keys: vec!["bad.#".to_owned()],
        category: "bad".to_owned(),
        names: vec!["*".to_owned()],
    }]
}

/// One event of the message's account with this payload; none when the message has no account.
pub fn event(id: &str, message: Message, payload: String) -> Vec<Event> {
    let event = message.account_id.map(|account_id| Event {
        hook_event: id.to_owned(),
        account_id,
        payload,
        facets: Vec::new(),
        internal_leg: false,
        inline_hook: None,
    });
    event.into_iter().collect()
}

/// The number of this name in a JSON body; 0 when there is none.
pub fn number(body: &str, name: &str) -> u64 {
    let value = body.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
    let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// One event that tells how many calls this instance has served, and what its clock says; and a line of log. Traps when
/// the body has a `Trap` that is not 0.
#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it shows what a guest gets of clock and log")]
pub fn count(message: Message) -> Vec<Event> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    assert_eq!(number(&message.body, "Trap"), 0, "the message asks for a trap");
    println!("{}", "a".repeat(100));
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let received_ms = message.received_ms;
    event("counter", message, format!("{{\"calls\":{calls},\"now_ms\":{now_ms},\"received_ms\":{received_ms}}}"))
}
