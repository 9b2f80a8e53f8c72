//! `teardown`: the way back.

use std::{
    io::{IsTerminal, stdin},
    sync::Arc,
};

use clap::Args;
use serde_json::json;

use super::{Failure, load, options::SettingFlags, paint::Paint, print};
use crate::{
    config::{Databases, redacted_uri},
    error::{Error, Result},
    model::mapping::Entity,
    mongo::Legacy,
    postgres::{
        connect,
        setup::{self, Teardown as Report},
    },
    telemetry::Audience,
};

/// What has to be typed.
const YES: &str = "yes";

/// Remove everything the bridge created: slot, publication, state; people's data stays
#[derive(Debug, Args)]
#[command(after_help = "\
Asks before it removes anything. Links, conflicts and tombstones are lost; people's own rows and documents stay.

Examples:
  biograph-bridge teardown
  biograph-bridge teardown --yes     for scripts
  biograph-bridge teardown --yes --json")]
pub(super) struct Teardown {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long, requires = "yes")]
    json: bool,
}

impl Teardown {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        if !self.yes && !stdin().is_terminal() {
            let error = Error::halt("teardown asks before it removes anything, and nobody can answer here");
            return Err(error.with_hint("biograph-bridge teardown --yes").into());
        }
        // Which collections may hold the bridge's indexes is known from the mappings.
        let entities = load::entities(&config.mappings)?;
        if !self.yes {
            confirm(&databases)?;
        }
        let report = print::block_on(async { Ok(remove(&databases, entities).await?) })?;
        if self.json {
            print::json(&json!({ "removed": report.removed, "remains": report.remains }))?;
        } else {
            print::text(&render(&report, Paint::stdout()))?;
        }
        if report.remains.is_empty() { Ok(()) } else { Err(Failure::Found) }
    }
}

/// Postgres first: it refuses while a daemon is active.
async fn remove(databases: &Databases, entities: Vec<Entity>) -> Result<Report> {
    let mut report = setup::teardown(&connect::pool(databases.renaissance_url.expose())?).await?;
    let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::new(entities)).await?;
    report.removed.extend(legacy.teardown().await?.iter().map(ToString::to_string));
    Ok(report)
}

fn confirm(databases: &Databases) -> Result<(), Failure> {
    let (legacy, renaissance) = (databases.legacy_uri.expose(), databases.renaissance_url.expose());
    print::text(&format!(
        "This removes the bridge's slot, publication, state and ledger, with all links, conflicts and tombstones, from\n  \
         {}\n  {}\nType {YES} to go on: ",
        redacted_uri(renaissance),
        redacted_uri(legacy)
    ))?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| Error::halt("cannot read the answer").with_source(error))?;
    if answer.trim() == YES { Ok(()) } else { Err(Error::halt("nothing was removed").into()) }
}

fn render(report: &Report, paint: Paint) -> String {
    let mut lines: Vec<_> = report.removed.iter().map(|what| format!("{} removed {what}", paint.good("✓"))).collect();
    if !report.remains.is_empty() {
        lines.push(format!("{} remains, until its owner removes it:", paint.attention("!")));
        lines.extend(report.remains.iter().map(|statement| format!("    {statement}")));
    }
    if lines.is_empty() {
        lines.push("there was nothing to remove".to_owned());
    }
    lines.join("\n") + "\n"
}
