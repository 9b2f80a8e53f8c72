//! `parked retry` and `parked drop`: carried out by the active daemon.

use std::io::{IsTerminal, stdin};

use clap::Args;
use serde_json::{Value as Json, json};

use crate::{
    cli::{Failure, ask, options::SettingFlags, print},
    error::Error,
    postgres::connect,
    telemetry::Audience,
};

/// Try parked entries again now
#[derive(Debug, Args)]
#[command(after_help = "\
Entries come back by themselves when their record changes, or when what they wait for appears; this is for the impatient, and
after a change of a mapping. Exit codes: 0 tried, 3 no daemon is active.

Examples:
  biograph-bridge parked retry 7 9
  biograph-bridge parked retry --all")]
pub(crate) struct Retry {
    /// Their numbers, as in `parked list`
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<i64>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Forget parked entries; they come back if their record changes and still cannot cross
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing of the record itself is changed or lost. Exit codes: 0 dropped, 3 no daemon is active.

Examples:
  biograph-bridge parked drop 7
  biograph-bridge parked drop 7 9 --yes     for scripts")]
pub(crate) struct Drop {
    /// Their numbers, as in `parked list`
    #[arg(value_name = "ID", required = true)]
    ids: Vec<i64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let ids = if self.all { Json::Null } else { json!(self.ids) };
        let done = ask(settings, "parked_retry", &json!({ "ids": ids }))?;
        if self.json {
            return print::json(&done);
        }
        let number = |key: &str| done.get(key).and_then(Json::as_u64).unwrap_or(0);
        let mut text = format!("tried again: {}; still parked: {}\n", number("retried"), number("still_parked"));
        if done.get("settled") == Some(&json!(false)) {
            text.push_str("not all of them are through yet: see `biograph-bridge parked list`\n");
        }
        if number("without_key") > 0 {
            text.push_str(&format!("not tried, as no key can name them: {}\n", number("without_key")));
        }
        print::text(&(text + &unknown(&done)))
    }
}

impl Drop {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        if !self.yes {
            confirm(&self.ids)?;
        }
        let done = ask(settings, "parked_drop", &json!({ "ids": self.ids }))?;
        if self.json {
            return print::json(&done);
        }
        let dropped = done.get("dropped").and_then(Json::as_u64).unwrap_or(0);
        print::text(&(format!("dropped: {dropped}\n") + &unknown(&done)))
    }
}

fn ask(settings: SettingFlags, command: &str, arguments: &Json) -> Result<Json, Failure> {
    let (_, databases) = settings.with_databases(Audience::Command)?;
    print::block_on(async {
        let pool = connect::pool(databases.renaissance_url.expose())?;
        ask::daemon(&pool, command, arguments).await
    })
}

fn unknown(done: &Json) -> String {
    let ids: Vec<String> =
        done.get("unknown").and_then(Json::as_array).into_iter().flatten().map(ToString::to_string).collect();
    if ids.is_empty() { String::new() } else { format!("not parked (any more): {}\n", ids.join(", ")) }
}

fn confirm(ids: &[i64]) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        let error = Error::halt("drop asks before it forgets anything, and nobody can answer here");
        return Err(error.with_hint("add --yes").into());
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    print::text(&format!("This forgets the parked entries {}; type yes to go on: ", ids.join(", ")))?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| Error::halt("cannot read the answer").with_source(error))?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Error::halt("nothing was dropped").into()) }
}
