//! `cutover history`: every step of every move.

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{Failure, load, options::SettingFlags, person, print},
    postgres::{
        connect,
        cutover::history::{self, PastStep},
    },
    telemetry::Audience,
};

/// List the steps of moves, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  biograph-bridge cutover history
  biograph-bridge cutover history --user phone:+18475550100
  biograph-bridge cutover history --limit 1000 --json")]
pub(in crate::cli) struct History {
    /// Only of this person: legacy:ID, phone:NUMBER, … as for `parked list`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    limit: i64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    history: &'a [PastStep],
    more: bool,
}

impl History {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let mut steps = print::block_on(async {
            let person = match &self.user {
                Some(user) => Some(person::filter(user, &databases, &load::entities(&config.mappings)?).await?),
                None => None,
            };
            let pool = connect::pool(databases.renaissance_url.expose())?;
            // who has no legacy id never moved
            let id = person.map(|person| person.legacy_id.unwrap_or_default());
            Ok(history::last(&pool, id.as_deref(), self.limit.saturating_add(1)).await?)
        })?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = steps.len() > limit;
        steps.truncate(limit);
        if self.json {
            return print::json(&Document { history: &steps, more });
        }
        let mut lines: Vec<String> = steps.iter().map(line).collect();
        if lines.is_empty() {
            lines.push("nobody was moved yet".to_owned());
        }
        if more {
            lines.push("there are more: --limit N".to_owned());
        }
        print::text(&(lines.join("\n") + "\n"))
    }
}

/// `2026-11-22T12:00:00.000Z  legacy:65f0… to renaissance: fenced (draining, epoch 1) by ada: why`.
pub(super) fn line(step: &PastStep) -> String {
    let PastStep { at, legacy_id, toward, state, epoch, .. } = step;
    let what = format!("{at}  legacy:{legacy_id} to {toward}: {} ({state}, epoch {epoch})", step.step);
    let by = step.who.as_ref().map(|who| format!("by {who}"));
    let batch = step.batch.map(|batch| format!("in batch {batch}"));
    let reason = step.reason.as_ref().map(|reason| format!("because: {reason}"));
    let detail = step.detail.as_ref().map(|detail| format!("- {detail}"));
    [Some(what), by, batch, reason, detail].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_who_moves_where_and_at_whose_wish() {
        let step = PastStep {
            id: 1,
            at: "2026-11-22T12:00:00.000Z".into(),
            legacy_id: "65f0c0ffee00000000000abc".into(),
            renaissance_id: Some(7),
            step: "fenced".into(),
            outcome: None,
            toward: "renaissance".into(),
            state: "draining".into(),
            epoch: 1,
            detail: None,
            findings: None,
            who: Some("ada".into()),
            reason: Some("first".into()),
            batch: None,
            request: Some(3),
        };
        assert_eq!(
            line(&step),
            "2026-11-22T12:00:00.000Z  legacy:65f0c0ffee00000000000abc to renaissance: fenced (draining, epoch 1) by ada \
             because: first"
        );
    }
}
