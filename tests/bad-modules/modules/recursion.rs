//! Calls itself until its stack is full.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("recursion", |message: Message| {
    let depth = deeper(0);
    Ok(hookbox_bad_modules::event("recursion", message, format!("{{\"depth\": {depth}}}")))
});

#[allow(unconditional_recursion, reason = "that is its fault")]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    frame[0] + deeper(depth + 1) + frame[63]
}
