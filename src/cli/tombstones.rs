//! `tombstones`: what the bridge deleted, and putting it back.

mod restore;
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
use crate::postgres::tombstones::{self, Deleted};

/// Look at what the bridge deleted, and put it back
#[derive(Debug, Subcommand)]
pub(super) enum Tombstones {
    List(List),
    Show(show::Show),
    Restore(restore::Restore),
}

/// List deleted records, newest first; of what they held, only the names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge tombstones list
  biograph-bridge tombstones list --user phone:+18475550100 --since 7d
  biograph-bridge tombstones list --entity biograph --until 2026-11-22T12:00:00Z
  biograph-bridge tombstones list --limit 1000 --json")]
pub(super) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl Tombstones {
    pub(super) fn run(self, settings: SettingFlags) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(settings),
            Self::Show(show) => show.run(settings),
            Self::Restore(restore) => restore.run(settings),
        }
    }
}

impl List {
    fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (mut rows, more) = self.listing.entries(settings, tombstones::deleted)?;
        rows.iter_mut().for_each(hide);
        if self.listing.json {
            return print::json(&Document { tombstones: &rows, more });
        }
        print::text(&render(&rows, more, Paint::stdout()))
    }
}

/// Leaves only the names of what the record held.
fn hide(row: &mut Deleted) {
    let names: Option<Vec<&str>> = row.record.as_object().map(|record| record.keys().map(String::as_str).collect());
    row.record = names.map_or(Json::Null, |names| names.join(", ").into());
}

fn render(rows: &[Deleted], more: bool, paint: Paint) -> String {
    if rows.is_empty() {
        return "nothing that was deleted is kept\n".to_owned();
    }
    let mut lines = Vec::new();
    for row in rows {
        lines.push(paint.attention(&headline(row)));
        lines.push(format!("    {}", paint.dim(&fate(row))));
    }
    if more {
        lines.push("there are more: --limit N".to_owned());
    }
    lines.push("Put one back: biograph-bridge tombstones restore ID".to_owned());
    lines.join("\n") + "\n"
}

/// `#7 user legacy:65f0… renaissance:12`.
fn headline(row: &Deleted) -> String {
    listing::headline((row.id, &row.entity), row.legacy_id.as_deref(), row.renaissance_id)
}

/// Who deleted it and what became of it since.
fn fate(row: &Deleted) -> String {
    let by = match row.deleted_on.as_str() {
        "both" => "deleted by both applications".to_owned(),
        side => format!("deleted in {side}, then by the bridge on the other side"),
    };
    let since = match (&row.restored_at, &row.restored_by) {
        (Some(at), Some(by)) => format!("; put back by {by} at {at}"),
        _ => String::new(),
    };
    let way = if row.under_way { "; under way" } else { "" };
    format!("{by}, at {}{since}{way}", row.at)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    tombstones: &'a [Deleted],
    more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_record_says_who_deleted_it_and_hides_what_it_held() {
        let mut row = Deleted {
            id: 7,
            entity: "user".into(),
            legacy_id: Some("65f0c0ffee00000000000abc".into()),
            renaissance_id: Some(12),
            person: None,
            deleted_on: "renaissance".into(),
            at: "2026-11-22T12:00:00.000Z".into(),
            record: serde_json::json!({ "_id": 1, "name": "Ada" }),
            under_way: false,
            restored_at: None,
            restored_by: None,
        };
        hide(&mut row);
        assert_eq!(row.record, "_id, name");
        assert_eq!(
            render(&[row], false, Paint::plain()),
            "#7 user legacy:65f0c0ffee00000000000abc renaissance:12\n    \
             deleted in renaissance, then by the bridge on the other side, at 2026-11-22T12:00:00.000Z\n\
             Put one back: biograph-bridge tombstones restore ID\n"
        );
    }
}
