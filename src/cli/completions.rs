//! `completions`: scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, print};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge completions bash > /etc/bash_completion.d/biograph-bridge
  biograph-bridge completions zsh > ~/.zfunc/_biograph-bridge
  biograph-bridge completions fish > ~/.config/fish/completions/biograph-bridge.fish")]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "biograph-bridge", &mut script);
        print::text(&String::from_utf8_lossy(&script))
    }
}
