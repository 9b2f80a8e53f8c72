//! `parked list`: what cannot be synced now, why, and what to do.

use clap::{Args, Subcommand};

use super::{Failure, options::SettingFlags};
use crate::{error::Error, telemetry::Audience};

/// Look at what cannot be synced now
#[derive(Debug, Subcommand)]
pub(super) enum Parked {
    List(List),
}

/// List parked records and fields, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge parked list
  biograph-bridge parked list --entity user --json")]
pub(super) struct List {
    /// Only this entity
    #[arg(long, value_name = "E")]
    entity: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Parked {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(settings),
        }
    }
}

impl List {
    fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        settings.with_databases(Audience::Command)?;
        let Self { entity: _, json: _ } = self;
        Err(Error::halt("the list is not part of this build yet").into())
    }
}
