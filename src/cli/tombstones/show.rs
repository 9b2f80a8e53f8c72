//! `tombstones show`: everything about one deleted record.

use clap::Args;

use super::{fate, headline, hide};
use crate::{
    cli::{Failure, listing, options::SettingFlags, paint::Paint, print},
    error::Error,
    postgres::tombstones,
};

/// Show one deleted record; what it held only with --reveal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge tombstones show 7
  biograph-bridge tombstones show 7 --reveal --json")]
pub(crate) struct Show {
    /// Its number, as in `tombstones list`
    id: i64,
    /// Print the record as it was: it is people's data
    #[arg(long)]
    reveal: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let Some(mut row) = listing::entry(self.id, settings, tombstones::deleted)? else {
            let error = Error::halt(format!("nothing deleted is kept under number {}", self.id));
            return Err(error.with_hint("see `biograph-bridge tombstones list`").into());
        };
        if !self.reveal {
            hide(&mut row);
        }
        if self.json {
            return print::json(&row);
        }
        let record = match row.record.as_str().filter(|_| !self.reveal) {
            Some(names) => {
                format!("it held: {names}\nWith the contents:  biograph-bridge tombstones show {} --reveal", row.id)
            }
            None => format!("{:#}", row.record),
        };
        let lines = [Paint::stdout().attention(&headline(&row)), fate(&row), String::new(), record];
        let restore = format!("Put it back:  biograph-bridge tombstones restore {}\n", row.id);
        print::text(&format!("{}\n{restore}", lines.join("\n")))
    }
}
