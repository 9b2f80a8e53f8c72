//! `parked list`: what cannot be synced now, why, and what to do.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Failure, options::SettingFlags, paint::Paint, print};
use crate::{
    postgres::{
        connect,
        report::{self, ParkedKey},
    },
    telemetry::Audience,
};

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
  biograph-bridge parked list --limit 1000 --json")]
pub(super) struct List {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    limit: i64,
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
    fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (_, databases) = settings.with_databases(Audience::Command)?;
        let mut rows = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            Ok(report::parked(&pool, self.limit.saturating_add(1)).await?)
        })?;
        let more = rows.len() > usize::try_from(self.limit).unwrap_or(usize::MAX);
        rows.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        if self.json {
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
        let unlinked = "-".to_owned();
        let legacy = row.legacy_id.as_ref().unwrap_or(&unlinked);
        let renaissance = row.renaissance_id.map_or(unlinked.clone(), |id| id.to_string());
        let what = row.field.as_deref().map_or("whole record".to_owned(), |field| format!("field {field}"));
        let head =
            format!("#{} {} legacy:{legacy} renaissance:{renaissance}, {what}: {}", row.id, row.entity, row.reason);
        lines.push(paint.attention(&head));
        lines.push(format!("    {}", row.detail));
        lines.push(format!("    {}", paint.dim(&format!("since {}, tried {} times", row.since, row.attempts))));
    }
    if more {
        lines.push("there are more: --limit N".to_owned());
    }
    lines.push("Correct the value on either side, or the mapping; the change is picked up by itself.".to_owned());
    lines.join("\n") + "\n"
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
        };
        assert_eq!(
            render(&[row], false, Paint::plain()),
            "#7 user legacy:65f0c0ffee00000000000abc renaissance:-, field name: too_long\n    \
             users.first_name holds at most 150 characters\n    since 2026-11-22T12:00:00Z, tried 3 times\n\
             Correct the value on either side, or the mapping; the change is picked up by itself.\n"
        );
    }
}
