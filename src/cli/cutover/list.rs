//! `cutover list`: batches.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Failure, options::SettingFlags, print},
    postgres::{
        cohorts::{self, BatchReport},
        connect,
    },
    telemetry::Audience,
};

/// List batches of people, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge cutover list
  biograph-bridge cutover list --batch 3 --json    with everybody who did not move")]
pub(in crate::cli) struct List {
    /// Only this batch, and who of it did not move
    #[arg(long, value_name = "BATCH")]
    batch: Option<i64>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    limit: i64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (_, databases) = settings.with_databases(Audience::Command)?;
        let (batches, failed) = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            let failed = match self.batch {
                Some(batch) => cohorts::failed(&pool, batch, i64::MAX).await?,
                None => Vec::new(),
            };
            Ok((cohorts::batches(&pool, self.batch, self.limit).await?, failed))
        })?;
        if self.json {
            return print::json(&json!({ "batches": batches, "failed": failed }));
        }
        let mut lines: Vec<String> = batches.iter().map(line).collect();
        if lines.is_empty() {
            lines.push("no batch has begun yet".to_owned());
        }
        lines.extend(failed.iter().map(|one| format!("  legacy:{} {}", one.legacy_id, one.outcome.replace('_', " "))));
        print::text(&(lines.join("\n") + "\n"))
    }
}

/// `3  2026-11-22T12:00:00Z  5 % to renaissance: paused (…): 20 of 50 moved, 1 there already, 2 did not move, 27 left`.
fn line(batch: &BatchReport) -> String {
    let BatchReport { id, begun_at, chosen, toward, state, people, moved, already, failed, left, .. } = batch;
    let why = batch.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!(
        "{id}  {begun_at}  {chosen} to {toward}: {state}{why}: {moved} of {people} moved, {already} there already, \
         {failed} did not move, {left} left"
    )
}
