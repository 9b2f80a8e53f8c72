//! `cutover`: moving people from one side to the other, and looking where they are.

mod batch;
mod choose;
mod history;
mod limits;
mod list;
mod losing;
mod moving;
mod rollback;
mod show;
mod start;
mod together;

use clap::Subcommand;

use super::{Failure, options::SettingFlags};

/// Move people to Renaissance or back, and see where they are
#[derive(Debug, Subcommand)]
pub(super) enum Cutover {
    Start(start::Start),
    Batch(Box<batch::Batch>),
    Rollback(Box<rollback::Rollback>),
    Show(show::Show),
    List(list::List),
    History(history::History),
}

impl Cutover {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        match self {
            Self::Start(start) => start.run(settings),
            Self::Batch(batch) => batch.run(settings),
            Self::List(list) => list.run(settings),
            Self::Rollback(rollback) => rollback.run(settings),
            Self::Show(show) => show.run(settings),
            Self::History(history) => history.run(settings),
        }
    }
}
