//! `teardown`: the way back.

use std::io::{IsTerminal, Write, stdin, stdout};

use clap::Args;

use super::{Failure, options::SettingFlags, paint::Paint, print};
use crate::{
    config::redacted_uri,
    error::Error,
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
  biograph-bridge teardown --yes     for scripts")]
pub(super) struct Teardown {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Teardown {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (_, databases) = settings.with_databases(Audience::Command)?;
        let url = databases.renaissance_url.expose();
        if !self.yes {
            confirm(&redacted_uri(url))?;
        }
        let report = print::block_on(async { Ok(setup::teardown(&connect::pool(url)?).await?) })?;
        print::text(&render(&report, Paint::stdout()))?;
        if report.remains.is_empty() { Ok(()) } else { Err(Failure::Found) }
    }
}

fn confirm(place: &str) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        let error = Error::halt("teardown asks before it removes anything, and nobody can answer here");
        return Err(error.with_hint("biograph-bridge teardown --yes").into());
    }
    print::text(&format!(
        "This removes the bridge's slot, publication and state from {place},\nwith all links, conflicts and tombstones. Type {YES} to go on: "
    ))?;
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| Error::halt("cannot read the answer").with_source(error))?;
    if answer.trim() == YES { Ok(()) } else { Err(Error::halt("nothing was removed").into()) }
}

fn render(report: &Report, paint: Paint) -> String {
    let mut lines: Vec<_> = report.removed.iter().map(|what| format!("{} removed {what}", paint.good("✓"))).collect();
    lines.extend(report.remains.iter().map(|what| format!("{} remains: {what}", paint.attention("!"))));
    if lines.is_empty() {
        lines.push("there was nothing to remove".to_owned());
    }
    lines.join("\n") + "\n"
}
