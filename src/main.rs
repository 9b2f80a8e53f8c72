//! The `biograph-bridge` binary.

use std::process::ExitCode;

use biograph_bridge::cli::Cli;
use clap::Parser;
use mimalloc::MiMalloc;

/// Values of records are many small allocations, made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
