//! The `biograph-bridge` binary.

use std::process::ExitCode;

use biograph_bridge::cli::Cli;
use clap::Parser;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
