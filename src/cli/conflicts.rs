//! `conflicts`: the journal, and deciding by hand what it holds.

mod resolve;
mod show;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value as Json;

use super::{
    Failure,
    listing::{self, Listing},
    options::SettingFlags,
    paint::Paint,
    print,
};
use crate::{
    model::{conflict::ConflictKind, mask::mask},
    postgres::conflicts::{self, Conflict},
};

/// Look at the journal, and decide by hand what it holds
#[derive(Debug, Subcommand)]
pub(super) enum Conflicts {
    List(List),
    Show(show::Show),
    Resolve(resolve::Resolve),
}

/// List what both sides disagreed about, newest first; values are masked
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge conflicts list
  biograph-bridge conflicts list --open
  biograph-bridge conflicts list --user phone:+18475550100 --since 7d
  biograph-bridge conflicts list --kind stale_owner_write --since 2026-11-22T12:00:00Z --until 2h
  biograph-bridge conflicts list --entity user --limit 1000 --json")]
pub(super) struct List {
    #[command(flatten)]
    listing: Listing,
    /// Only of this kind
    #[arg(long, value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(ConflictKind::ALL.map(ConflictKind::as_str)))]
    kind: Option<String>,
    /// Only what nobody has decided yet
    #[arg(long)]
    open: bool,
}

impl Conflicts {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(settings),
            Self::Show(show) => show.run(settings),
            Self::Resolve(resolve) => resolve.run(settings),
        }
    }
}

impl List {
    fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (mut rows, more) = self.listing.entries(settings, async |pool, narrow, limit| {
            conflicts::conflicts(pool, narrow, (self.kind.as_deref(), self.open), limit).await
        })?;
        rows.iter_mut().for_each(hide);
        if self.listing.json {
            return print::json(&Document { conflicts: &rows, more });
        }
        print::text(&render(&rows, more, Paint::stdout()))
    }
}

/// Masks what people wrote.
fn hide(row: &mut Conflict) {
    for value in [&mut row.legacy_value, &mut row.renaissance_value] {
        *value = value.take().map(|value| Json::String(masked(&value)));
    }
}

/// Enough of a value to recognise it by.
fn masked(value: &Json) -> String {
    match value {
        Json::Null => "nothing".to_owned(),
        Json::Bool(_) => "yes or no".to_owned(),
        Json::Number(_) => "a number".to_owned(),
        Json::String(text) => mask(text),
        Json::Array(items) => format!("{} items", items.len()),
        Json::Object(entries) => format!("{} fields", entries.len()),
    }
}

fn render(rows: &[Conflict], more: bool, paint: Paint) -> String {
    if rows.is_empty() {
        return "the journal has no such entry\n".to_owned();
    }
    let mut lines = Vec::new();
    for row in rows {
        lines.push(paint.attention(&headline(row)));
        lines.push(format!("    {}", outcome(row)));
        let value = |value: &Option<Json>| value.as_ref().and_then(Json::as_str).unwrap_or("nothing").to_owned();
        let (legacy, renaissance) = (value(&row.legacy_value), value(&row.renaissance_value));
        lines.push(format!("    {}", paint.dim(&format!("legacy {legacy}, renaissance {renaissance}; at {}", row.at))));
    }
    if more {
        lines.push("there are more: --limit N".to_owned());
    }
    lines.push("Everything about one: biograph-bridge conflicts show ID".to_owned());
    lines.join("\n") + "\n"
}

/// `#7 user legacy:65f0… renaissance:12, field name: update_update`.
fn headline(row: &Conflict) -> String {
    let what = row.field.as_deref().map_or_else(|| "whole record".to_owned(), |field| format!("field {field}"));
    let which = listing::headline((row.id, &row.entity), row.legacy_id.as_deref(), row.renaissance_id);
    format!("{which}, {what}: {}", row.kind)
}

/// Who won by what, and what became of it since.
fn outcome(row: &Conflict) -> String {
    let decided = match &row.winner {
        Some(winner) => format!("{winner} won by policy {} (owner {}, epoch {})", row.policy, row.owner, row.epoch),
        None => "nobody has decided".to_owned(),
    };
    let since = match (&row.resolved_at, &row.resolved_by, &row.taken) {
        (Some(at), Some(by), Some(taken)) => format!("; resolved by {by} with {taken} at {at}"),
        (Some(at), ..) => format!("; over since {at}"),
        (None, ..) => String::new(),
    };
    let mark = if row.shadow { "; foreseen by a shadow" } else { "" };
    let way = if row.under_way { "; its write is under way" } else { "" };
    decided + &since + mark + way
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    conflicts: &'a [Conflict],
    more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn row() -> Conflict {
        Conflict {
            id: 7,
            kind: "update_update".into(),
            entity: "user".into(),
            legacy_id: Some("65f0c0ffee00000000000abc".into()),
            renaissance_id: Some(12),
            person: None,
            field: Some("name".into()),
            legacy_value: Some("Ada King".into()),
            renaissance_value: Some("Ada".into()),
            policy: "owner".into(),
            winner: Some("legacy".into()),
            owner: "legacy".into(),
            epoch: 0,
            at: "2026-11-22T12:00:00.000Z".into(),
            mapping: Some("00000000000000ff".into()),
            mapping_fields: Some(vec!["name".into()]),
            legacy_position: None,
            renaissance_position: None,
            legacy_updated_at: None,
            renaissance_updated_at: None,
            under_way: false,
            shadow: false,
            resolved_at: None,
            resolved_by: None,
            taken: None,
        }
    }

    #[test]
    fn an_entry_says_who_won_and_hides_what_people_wrote() {
        let mut row = row();
        hide(&mut row);
        assert_eq!(
            render(&[row], false, Paint::plain()),
            "#7 user legacy:65f0c0ffee00000000000abc renaissance:12, field name: update_update\n    \
             legacy won by policy owner (owner legacy, epoch 0)\n    \
             legacy A•••• K••••, renaissance A••••; at 2026-11-22T12:00:00.000Z\n\
             Everything about one: biograph-bridge conflicts show ID\n"
        );
    }
}
