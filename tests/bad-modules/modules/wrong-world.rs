//! A sound component of a world that no host here knows.

#[allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package evil:greetings;
            world greeter {
                export greet: func() -> string;
            }
        ",
    });
}

struct Module;

impl bindings::Guest for Module {
    fn greet() -> String {
        "hello".to_owned()
    }
}

bindings::export!(Module with_types_in bindings);
