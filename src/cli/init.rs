//! `init`: what the bridge needs in both databases.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::{Failure, identity, load, options::SettingFlags, paint::Paint, print};
use crate::{
    config::Databases,
    error::Result,
    model::{mapping::Entity, side::Side},
    mongo::{LedgerPlan, Legacy},
    postgres::{
        connect,
        setup::{self, FenceTriggers, Step, StepState},
    },
    telemetry::Audience,
};

/// Create what the bridge needs: state schema, publication, slot, replica identities; safe to repeat
#[derive(Debug, Args)]
#[command(after_help = "\
`run` does this by itself; `init` is for those who want to see it first or whose daemon may not create things.

Examples:
  biograph-bridge init --dry-run           the statements, without running them
  biograph-bridge init
  biograph-bridge init --fence-triggers    refuse what Renaissance writes for people who are in BioGraph or moving
  biograph-bridge init --accept-legacy     after BioGraph has moved to another cluster")]
pub(super) struct Init {
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the database at legacy_uri for BioGraph's from now on, though another one was synced before: both sides are swept;
    /// what differs is a conflict and what is missing is made again, nothing is deleted
    #[arg(long, conflicts_with = "dry_run")]
    accept_legacy: bool,
    /// Take the database at renaissance_url for Renaissance from now on, though another one was synced before: both sides are
    /// swept
    #[arg(long, conflicts_with = "dry_run")]
    accept_renaissance: bool,
    /// Also put a trigger on each mapped table that refuses what Renaissance writes for a person who is moving or in BioGraph;
    /// the bridge passes. Without this they stay as they are
    #[arg(long)]
    fence_triggers: bool,
    /// Remove these triggers
    #[arg(long, conflicts_with = "fence_triggers")]
    no_fence_triggers: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let (steps, rights) = print::block_on(async { Ok(self.steps(&databases, entities).await?) })?;
        if self.json {
            let steps = steps.iter().map(Entry::from).collect();
            return print::json(&Document { dry_run: self.dry_run, steps, application_rights: &rights });
        }
        print::text(&(render(&steps, Paint::stdout()) + &advice(&rights)))
    }

    async fn steps(&self, databases: &Databases, entities: Vec<Entity>) -> Result<(Vec<Line>, Rights)> {
        let pool = connect::pool(databases.renaissance_url.expose())?;
        let accepted = [(Side::Legacy, self.accept_legacy), (Side::Renaissance, self.accept_renaissance)];
        let accepted: Vec<Side> = accepted.into_iter().filter(|(_, accept)| *accept).map(|(side, _)| side).collect();
        identity::admit(databases, &entities, &pool, &accepted).await?;
        let mut steps = setup::init(&pool, &entities, self.dry_run).await?;
        let wanted = [(self.fence_triggers, FenceTriggers::On), (self.no_fence_triggers, FenceTriggers::Off)];
        if let Some((_, wanted)) = wanted.into_iter().find(|(asked, _)| *asked) {
            steps.extend(setup::fence_triggers(&pool, &entities, wanted, self.dry_run).await?);
        }
        let mut lines: Vec<_> = steps.into_iter().map(Line::from).collect();
        let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::new(entities)).await?;
        lines.extend(if self.dry_run {
            on_legacy(&legacy.missing().await?, StepState::Planned)
        } else {
            on_legacy(&legacy.init().await?, StepState::Done)
        });
        for side in accepted {
            identity::accept(side, &pool, &legacy).await?;
            let what = format!("the database of {side} is another one from now on; the daemon sweeps both sides");
            lines.push(Line { what, sql: Vec::new(), state: StepState::Done });
        }
        let rights = Rights { renaissance: setup::application_rights(), legacy: legacy.application_right() };
        Ok((lines, rights))
    }
}

/// What the applications' roles need so as to read who is where; the roles' names are for the operator to put in.
#[derive(Serialize)]
struct Rights {
    renaissance: Vec<String>,
    legacy: String,
}

fn advice(rights: &Rights) -> String {
    let statements: String = rights.renaissance.iter().map(|sql| format!("    {sql};\n")).collect();
    format!(
        "\nSo that the applications can read who is where, with their roles in place of renaissance_app and biograph_app;\n\
         a MongoDB role that may read the whole database needs nothing:\n{statements}    {}\n",
        rights.legacy
    )
}

/// One thing that had to be in place, on either side.
struct Line {
    what: String,
    sql: Vec<String>,
    state: StepState,
}

impl From<Step> for Line {
    fn from(step: Step) -> Self {
        Self { what: step.what, sql: step.sql, state: step.state }
    }
}

/// What the legacy side needed; its adapter names only what was not there.
fn on_legacy(made: &[LedgerPlan], state: StepState) -> Vec<Line> {
    if made.is_empty() {
        let what = "MongoDB ledger and indexes".to_owned();
        return vec![Line { what, sql: Vec::new(), state: StepState::Present }];
    }
    made.iter().map(|plan| Line { what: plan.to_string(), sql: Vec::new(), state }).collect()
}

fn render(steps: &[Line], paint: Paint) -> String {
    let mut lines = Vec::new();
    for step in steps {
        let mark = match step.state {
            StepState::Present => paint.dim("· in place "),
            StepState::Done => paint.good("✓ done     "),
            StepState::Planned => paint.attention("+ would do "),
        };
        lines.push(format!("{mark} {}", step.what));
        if step.state == StepState::Planned {
            lines.extend(step.sql.iter().flat_map(|sql| sql.lines()).map(|line| format!("    {line}")));
        }
    }
    lines.join("\n") + "\n"
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    dry_run: bool,
    steps: Vec<Entry<'a>>,
    application_rights: &'a Rights,
}

#[derive(Serialize)]
struct Entry<'a> {
    what: &'a str,
    state: &'static str,
    sql: &'a [String],
}

impl<'a> From<&'a Line> for Entry<'a> {
    fn from(step: &'a Line) -> Self {
        let state = match step.state {
            StepState::Present => "present",
            StepState::Done => "done",
            StepState::Planned => "planned",
        };
        Self { what: &step.what, state, sql: &step.sql }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_shows_the_statements() {
        let step = |state| Line { what: "publication p".into(), sql: vec!["CREATE PUBLICATION p".into()], state };
        assert_eq!(
            render(&[step(StepState::Planned)], Paint::plain()),
            "+ would do  publication p\n    CREATE PUBLICATION p\n"
        );
        assert_eq!(render(&[step(StepState::Done)], Paint::plain()), "✓ done      publication p\n");
        assert_eq!(on_legacy(&[], StepState::Done)[0].state, StepState::Present);
    }
}
