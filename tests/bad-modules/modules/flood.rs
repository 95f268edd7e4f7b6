//! Logs for ever, through the import, standard output and standard error.
#![allow(clippy::print_stdout)]

use hookbox_bad_modules::bindings::hookbox::webhook::log::{self, Level};
use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("flood", |_message: Message| {
    let line = "flood ".repeat(200);
    loop {
        log::log(Level::Info, &line);
        println!("{line}\u{1b}[2J");
        eprintln!("{line}");
    }
});
