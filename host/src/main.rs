//! `hookbox`: arguments → settings → logs → command → exit code.

use std::process::ExitCode;

use clap::Parser;
use hookbox::command::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Command::parse().run()
}
