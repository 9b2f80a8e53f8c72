//! `pause` and `resume`: carried out by the active daemon.

use clap::{Args, builder::PossibleValuesParser};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Failure, ask, load, options::SettingFlags, person, print, who};
use crate::{
    error::Error,
    model::{pause::Deletions, side::Direction},
    postgres::connect,
    sync::status::PauseReport,
    telemetry::Audience,
};

/// What a pause is about; all of it where nothing is named
#[derive(Debug, Args)]
struct ScopeFlags {
    /// Only changes that travel this way
    #[arg(long, value_name = "DIRECTION", value_parser = PossibleValuesParser::new(Direction::ALL.map(Direction::as_str)))]
    direction: Option<String>,
    /// Only records of this entity
    #[arg(long, value_name = "E")]
    entity: Option<String>,
    /// Only this person and all they own: legacy:ID, phone:NUMBER, … as for `parked list`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Keep changes from being written, all or some; they wait and nothing is lost
#[derive(Debug, Args)]
#[command(after_help = "\
When it returns, nothing it is about is written any more. What changes meanwhile is parked as `paused`; the change logs are
followed as ever, so nothing piles up in the databases. A pause outlives the daemon. `status` shows it.
Exit codes: 0 paused (or it was already), 3 no daemon is active.

Examples:
  biograph-bridge pause --reason \"migration of Renaissance\"
  biograph-bridge pause --direction legacy_to_renaissance
  biograph-bridge pause --entity book
  biograph-bridge pause --user phone:+18475550100")]
pub(super) struct Pause {
    #[command(flatten)]
    scope: ScopeFlags,
}

/// End pauses; what waited crosses now
#[derive(Debug, Args)]
#[command(after_help = "\
Ends every pause that lies within what is named; without anything, all of them. A pause that a guard began (a collection or table
was dropped, renamed or truncated; too many records were deleted at once) asks what is to become of the records that are missing:
--deletions apply deletes them on the other side as well (each leaves a tombstone), --deletions restore makes them again from
the other side. Exit codes: 0 resumed (or nothing was paused), 1 it asks, 3 no daemon is active.

Examples:
  biograph-bridge resume
  biograph-bridge resume --direction legacy_to_renaissance
  biograph-bridge resume --entity user --deletions restore
  biograph-bridge resume --user phone:+18475550100")]
pub(super) struct Resume {
    #[command(flatten)]
    scope: ScopeFlags,
    /// What becomes of records that are missing on one side: apply or restore
    #[arg(long, value_name = "ANSWER", requires = "entity", value_parser = PossibleValuesParser::new(Deletions::ALL.map(Deletions::as_str)))]
    deletions: Option<String>,
}

/// What the daemon says to `pause`.
#[derive(Deserialize)]
struct Paused {
    begun: bool,
    pauses: Vec<PauseReport>,
}

/// What the daemon says to `resume`.
#[derive(Deserialize)]
struct Resumed {
    ended: Vec<PauseReport>,
    ending: Vec<PauseReport>,
    asks: Vec<PauseReport>,
    still: Vec<PauseReport>,
}

impl ScopeFlags {
    /// Asks the daemon; `deletions` for `resume`.
    fn ask(&self, settings: SettingFlags, command: &str, deletions: Option<&String>) -> Result<Json, Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        if let Some(entity) = &self.entity {
            load::named(&entities, entity)?;
        }
        print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            let person = match &self.user {
                Some(user) => {
                    let found = person::named(user, &databases, &entities).await?;
                    let id = found.legacy.ok_or_else(|| {
                        Error::halt("this person has no legacy id yet, by which what they own is known")
                            .with_hint("pause the entity, or wait until the person has crossed")
                    })?;
                    Some(id.to_string())
                }
                None => None,
            };
            let mut arguments = json!({
                "direction": self.direction, "entity": self.entity, "person": person,
                "reason": self.reason, "who": who::asks(),
            });
            if let (Some(deletions), Some(object)) = (deletions, arguments.as_object_mut()) {
                object.insert("deletions".to_owned(), json!(deletions));
            }
            ask::daemon(&pool, command, &arguments).await
        })
    }
}

impl Pause {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let done = self.scope.ask(settings, "pause", None)?;
        if self.scope.json {
            return print::json(&done);
        }
        let Paused { begun, pauses } = understood(done)?;
        let word = if begun { "paused" } else { "already paused" };
        let lines = pauses.iter().map(|pause| format!("{word}: {}\nend it with: {}\n", pause.line(), pause.fix()));
        print::text(&lines.collect::<String>())
    }
}

impl Resume {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let done = self.scope.ask(settings, "resume", self.deletions.as_ref())?;
        if self.scope.json {
            return print::json(&done);
        }
        let Resumed { ended, ending, asks, still } = understood(done)?;
        let mut lines: Vec<String> = ended.iter().map(|pause| format!("ended: {}", pause.line())).collect();
        lines.extend(ending.iter().map(|pause| format!("ends once its records were looked at: {}", pause.line())));
        lines.extend(asks.iter().map(|pause| format!("asks: {}\n  {}", pause.line(), pause.fix())));
        lines.extend(still.iter().map(|pause| format!("still in the way: {}\n  {}", pause.line(), pause.fix())));
        if ended.is_empty() && ending.is_empty() && asks.is_empty() {
            lines.insert(0, "nothing of this was paused".to_owned());
        }
        print::text(&(lines.join("\n") + "\n"))
    }
}

fn understood<T: for<'de> Deserialize<'de>>(done: Json) -> Result<T, Failure> {
    Ok(serde_json::from_value(done).map_err(|_| Error::halt("the daemon's answer is not understood"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_what_it_is_about_and_the_command_that_ends_it() {
        let asked = PauseReport { id: 3, cause: "asked".into(), since: "T".into(), ..PauseReport::default() };
        assert_eq!(
            (asked.line().as_str(), asked.fix().as_str()),
            ("pause 3: everything (asked) since T", "biograph-bridge resume")
        );
        let burst = PauseReport {
            entity: Some("user".into()),
            direction: Some("legacy_to_renaissance".into()),
            cause: "burst".into(),
            missing_on: Some("legacy".into()),
            ..asked
        };
        assert!(burst.line().starts_with("pause 3: user, legacy → renaissance (burst)"), "{}", burst.line());
        assert!(burst.fix().starts_with("biograph-bridge resume --entity user --deletions apply"), "{}", burst.fix());
    }
}
