//! `init`: what the bridge needs in both databases.

use clap::Args;
use serde::Serialize;

use super::{Failure, load, options::SettingFlags, paint::Paint, print};
use crate::{
    postgres::{
        connect,
        setup::{self, Step, StepState},
    },
    telemetry::Audience,
};

/// Create what the bridge needs: state schema, publication, slot, replica identities; safe to repeat
#[derive(Debug, Args)]
#[command(after_help = "\
`run` does this by itself; `init` is for those who want to see it first or whose daemon may not create things.

Examples:
  biograph-bridge init --dry-run     the statements, without running them
  biograph-bridge init")]
pub(super) struct Init {
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        let steps = print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            Ok(setup::init(&pool, &entities, self.dry_run).await?)
        })?;
        if self.json {
            let steps = steps.iter().map(StepDocument::from).collect();
            return print::json(&Document { dry_run: self.dry_run, steps });
        }
        print::text(&render(&steps, Paint::stdout()))
    }
}

fn render(steps: &[Step], paint: Paint) -> String {
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
    steps: Vec<StepDocument<'a>>,
}

#[derive(Serialize)]
struct StepDocument<'a> {
    what: &'a str,
    state: &'static str,
    sql: &'a [String],
}

impl<'a> From<&'a Step> for StepDocument<'a> {
    fn from(step: &'a Step) -> Self {
        let state = match step.state {
            StepState::Present => "present",
            StepState::Done => "done",
            StepState::Planned => "planned",
        };
        Self { what: &step.what, state, sql: &step.sql }
    }
}
