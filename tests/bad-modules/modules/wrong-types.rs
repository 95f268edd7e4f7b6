//! Has the names of the right world with types of its own.

#[allow(missing_docs, unsafe_op_in_unsafe_fn, unreachable_pub, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package evil:lookalike;
            world lookalike {
                export metadata: func() -> string;
                export bindings: func() -> list<string>;
                export handle-event: func(message: string) -> list<string>;
            }
        ",
    });
}

struct Module;

impl bindings::Guest for Module {
    fn metadata() -> String {
        "wrong_types".to_owned()
    }

    fn bindings() -> Vec<String> {
        Vec::new()
    }

    fn handle_event(message: String) -> Vec<String> {
        vec![message]
    }
}

bindings::export!(Module with_types_in bindings);
