//! `man`: manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Cli, Failure, print};
use crate::error::Error;

/// Print the manual page, or write those of all commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge man | man -l -
  biograph-bridge man --dir /usr/local/share/man/man1     biograph-bridge-run.1 and so on")]
pub(super) struct Man {
    /// Write a page for each command into this folder, which has to exist
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.dir {
            Some(dir) => clap_mangen::generate_to(Cli::command(), dir).map_err(|error| {
                let error = Error::halt(format!("cannot write manual pages to {}: {error}", dir.display()));
                error.with_hint("give a folder that exists and that you may write to").into()
            }),
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command())
                    .render(&mut page)
                    .map_err(|error| Error::halt("the manual page cannot be made").with_source(error))?;
                print::text(&String::from_utf8_lossy(&page))
            }
        }
    }
}
