//! The `switchboard` program: parses its arguments and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use switchboard::command::Program;

/// Many small, long-lived allocations beside short-lived large ones: an idle connection takes a
/// sixth less memory with this than with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Program::parse().run()
}
