//! Takes memory and writes to all of it until it gets no more; then it traps.

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("hog", |_message: Message| {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1_u8; 64 * 1024]));
    }
});
