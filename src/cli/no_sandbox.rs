//! `sandbox`: the bridge between two real databases with sample people.

use clap::Args;

use super::{Failure, options::SettingFlags};
use crate::error::Error;

/// Try it: real MongoDB and Postgres with sample people and light traffic, in a temporary folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge sandbox        Ctrl-C ends it and removes everything")]
pub(super) struct Sandbox {}

impl Sandbox {
    #[allow(clippy::unused_self, clippy::needless_pass_by_value, reason = "filled in by the sandbox feature")]
    pub(super) fn run(self, _settings: SettingFlags) -> Result<(), Failure> {
        Err(Error::halt("this build has no sandbox")
            .with_hint("build with the default features: cargo run -- sandbox")
            .into())
    }
}
