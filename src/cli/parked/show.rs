//! `parked show`: everything about one entry.

use clap::Args;
use serde::Serialize;

use super::{advice::advice, headline, tried};
use crate::{
    cli::{Failure, listing, options::SettingFlags, paint::Paint, print},
    error::Error,
    postgres::parked::{self, ParkedKey},
};

/// Show everything about one entry, and what to do about it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge parked show 7
  biograph-bridge parked show 7 --json")]
pub(crate) struct Show {
    /// Its number, as in `parked list`
    id: i64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let query = async |pool: &_, narrow: &_, limit| parked::parked(pool, narrow, None, limit).await;
        let Some(row) = listing::entry(self.id, settings, query)? else {
            let error = Error::halt(format!("nothing is parked under number {}", self.id));
            return Err(error.with_hint("it may have crossed meanwhile; see `biograph-bridge parked list`").into());
        };
        if self.json {
            return print::json(&Document { advice: advice(&row.reason), entry: &row });
        }
        print::text(&render(&row, Paint::stdout()))
    }
}

fn render(row: &ParkedKey, paint: Paint) -> String {
    let mut lines = vec![paint.attention(&headline(row)), String::new(), row.detail.clone()];
    lines.push(paint.dim(&tried(row)));
    if !row.waits.is_empty() {
        lines.push(String::new());
        lines.push("It waits for:".to_owned());
        lines.extend(row.waits.iter().map(|waits| format!("  {waits}")));
    }
    lines.push(String::new());
    lines.push(format!("{} {}", paint.bold("What to do:"), advice(&row.reason)));
    lines.push(format!("Try it again now:  biograph-bridge parked retry {}", row.id));
    lines.push(format!("Forget it:         biograph-bridge parked drop {}", row.id));
    lines.join("\n") + "\n"
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    entry: &'a ParkedKey,
    advice: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_what_it_waits_for_and_what_to_do() {
        let row = ParkedKey {
            id: 9,
            entity: "book".into(),
            legacy_id: Some("65f0c0ffee00000000000abc".into()),
            renaissance_id: None,
            field: None,
            reason: "missing_reference".into(),
            detail: "legacy author refers to a user that is not there".into(),
            since: "2026-11-22T12:00:00Z".into(),
            attempts: 1,
            person_state: None,
            waits: vec!["user legacy:65f0c0ffee00000000000abd".into()],
        };
        let text = render(&row, Paint::plain());
        for expected in
            ["It waits for:\n  user legacy:65f0c0ffee00000000000abd\n", "What to do: The record", "parked drop 9\n"]
        {
            assert!(text.contains(expected), "{text}");
        }
    }
}
