//! `parked`: what cannot be synced now, why, and what to do.

mod advice;
mod change;
mod show;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Failure,
    listing::{self, Listing},
    options::SettingFlags,
    paint::Paint,
    print,
};
use crate::{
    model::problem::Reason,
    postgres::parked::{self, ParkedKey},
};

/// Look at what cannot be synced now, and try it again
#[derive(Debug, Subcommand)]
pub(super) enum Parked {
    List(List),
    Show(show::Show),
    Retry(change::Retry),
    Drop(change::Drop),
}

/// List parked records and fields, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge parked list
  biograph-bridge parked list --entity user --reason too_long
  biograph-bridge parked list --user phone:+18475550100
  biograph-bridge parked list --user legacy:65f0c0ffee00000000000abc
  biograph-bridge parked list --limit 1000 --json")]
pub(super) struct List {
    #[command(flatten)]
    listing: Listing,
    /// Only for this reason
    #[arg(long, value_name = "REASON", value_parser = clap::builder::PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)))]
    reason: Option<String>,
}

impl Parked {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(settings),
            Self::Show(show) => show.run(settings),
            Self::Retry(retry) => retry.run(settings),
            Self::Drop(drop) => drop.run(settings),
        }
    }
}

impl List {
    fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (rows, more) = self.listing.entries(settings, async |pool, narrow, limit| {
            parked::parked(pool, narrow, self.reason.as_deref(), limit).await
        })?;
        if self.listing.json {
            return print::json(&Document { parked: &rows, more });
        }
        print::text(&render(&rows, more, Paint::stdout()))
    }
}

fn render(rows: &[ParkedKey], more: bool, paint: Paint) -> String {
    if rows.is_empty() {
        return "nothing is parked\n".to_owned();
    }
    let mut lines = Vec::new();
    for row in rows {
        lines.push(paint.attention(&headline(row)));
        lines.push(format!("    {}", row.detail));
        lines.push(format!("    {}", paint.dim(&tried(row))));
    }
    if more {
        lines.push("there are more: --limit N".to_owned());
    }
    lines.push("What to do about one: biograph-bridge parked show ID".to_owned());
    lines.join("\n") + "\n"
}

/// `since 2026-11-22T12:00:00Z, tried 3 times; the person is in Renaissance`.
fn tried(row: &ParkedKey) -> String {
    let times = if row.attempts == 1 { "once".to_owned() } else { format!("{} times", row.attempts) };
    let person = row.person_state.as_ref().map(|state| format!("; the person is {}", whereabouts(state)));
    format!("since {}, tried {times}{}", row.since, person.unwrap_or_default())
}

/// Where somebody in this state is, in words.
fn whereabouts(state: &str) -> &str {
    match state {
        "legacy" => "in BioGraph",
        "renaissance" => "in Renaissance",
        _ => "on the way",
    }
}

/// `#7 user legacy:65f0… renaissance:-, field name: too_long`.
fn headline(row: &ParkedKey) -> String {
    let what = row.field.as_deref().map_or("whole record".to_owned(), |field| format!("field {field}"));
    let which = listing::headline((row.id, &row.entity), row.legacy_id.as_deref(), row.renaissance_id);
    format!("{which}, {what}: {}", row.reason)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    parked: &'a [ParkedKey],
    more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_field_says_where_why_and_since_when() {
        let row = ParkedKey {
            id: 7,
            entity: "user".into(),
            legacy_id: Some("65f0c0ffee00000000000abc".into()),
            renaissance_id: None,
            field: Some("name".into()),
            reason: "too_long".into(),
            detail: "users.first_name holds at most 150 characters".into(),
            since: "2026-11-22T12:00:00Z".into(),
            attempts: 3,
            person_state: Some("renaissance".into()),
            waits: Vec::new(),
        };
        assert_eq!(
            render(&[row], false, Paint::plain()),
            "#7 user legacy:65f0c0ffee00000000000abc renaissance:-, field name: too_long\n    \
             users.first_name holds at most 150 characters\n    since 2026-11-22T12:00:00Z, tried 3 times; the person is in Renaissance\n\
             What to do about one: biograph-bridge parked show ID\n"
        );
    }
}
