//! `cutover rollback`: people go back to BioGraph, once it is clear what that costs.

use std::io::{IsTerminal, stdin};

use clap::Args;
use serde_json::json;

use super::{
    limits::Limits,
    losing::{self, Losing, count},
    moving::{self, MoveFlags},
    start::carry_out,
    together::{self, Wanted},
};
use crate::{
    cli::{Failure, ask, load, options::SettingFlags, paint::Paint, print},
    config::Databases,
    error::Error,
    model::{key::LegacyId, mapping::Entity, person::persons, side::Side},
    postgres::{Pool, cohorts::draft, connect},
    telemetry::Audience,
};

/// What has to be typed.
const YES: &str = "yes";

/// Move people back to BioGraph; first lists what Renaissance holds of theirs that BioGraph cannot
#[derive(Debug, Args)]
#[command(after_help = "\
Everything written in Renaissance has crossed all the while, so nothing has to be copied; the same steps as in `cutover start` are
taken with the sides swapped. What BioGraph cannot hold stays in Renaissance, where it is found again if the person comes back.
The report sums it up for many people; with --json it also has what each of them would lose. With --batch (everybody of that batch
who is in Renaissance now) and --all they move as a batch of their own, with its limits, which `cutover batch` can pause, resume or stop.
Asks unless --yes is given. Exit codes: 0 everybody is back, 2 what names nobody, 3 somebody was refused or stays (with --dry-run:
would be or stay), nobody confirmed, the batch is not there or has not ended, or no daemon is active.

Examples:
  biograph-bridge cutover rollback phone:+18475550100 --dry-run
  biograph-bridge cutover rollback phone:+18475550100 --reason \"asked for it\"
  biograph-bridge cutover rollback legacy:65f0c0ffee00000000000abc --yes --json
  biograph-bridge cutover rollback --batch 3 --dry-run
  biograph-bridge cutover rollback --batch 3 --reason \"too many questions\"
  biograph-bridge cutover rollback --all --yes --concurrency 500")]
pub(in crate::cli) struct Rollback {
    /// Who: legacy:ID, renaissance:ID, phone:NUMBER, … as for `parked list`; several are moved at once
    #[arg(value_name = "USER", required_unless_present_any = ["batch", "all"], conflicts_with_all = ["batch", "all"])]
    users: Vec<String>,
    /// Everybody of this batch who is in Renaissance
    #[arg(long, value_name = "BATCH", conflicts_with = "all")]
    batch: Option<i64>,
    /// Everybody who is in Renaissance
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    moving: MoveFlags,
    #[command(flatten)]
    limits: Limits,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Rollback {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        if !self.users.is_empty() {
            self.limits.refuse("are for --batch and --all: those who are named move at once")?;
        }
        let (config, databases) = settings.with_databases(Audience::Command)?;
        let entities = load::entities(&config.mappings)?;
        print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            ask::refuse_without_daemon(&pool).await?;
            if self.users.is_empty() {
                self.many(&pool, &databases, &entities).await
            } else {
                self.named(&pool, &databases, &entities).await
            }
        })
    }

    /// Moves those who are named.
    async fn named(&self, pool: &Pool, databases: &Databases, entities: &[Entity]) -> Result<(), Failure> {
        let mut people = moving::named(&self.users, databases, entities).await?;
        let linked: Vec<LegacyId> =
            people.iter().filter_map(|one| one.legacy_id.as_ref().and_then(|id| id.parse().ok())).collect();
        let losing = Losing::of(&linked, databases, entities).await?;
        self.show_and_ask(&losing, people.len() as u64)?;
        carry_out(pool, &mut people, Side::Legacy, &self.moving).await?;
        moving::report(&people, &self.moving, Some(losing.as_json()), Paint::stdout())
    }

    /// Moves everybody of a batch, or all, as a batch of their own.
    async fn many(&self, pool: &Pool, databases: &Databases, entities: &[Entity]) -> Result<(), Failure> {
        if let Some(id) = self.batch {
            let batch = together::known(pool, id).await?;
            if ["running", "paused"].contains(&batch.state.as_str()) {
                let error = Error::halt(format!("batch {id} is {}: its people may still be moving", batch.state));
                let hint = format!("biograph-bridge cutover batch --stop {id}");
                return Err(Failure::No(Box::new(error.with_hint(hint))));
            }
        }
        // frozen first: who is shown and confirmed is who moves
        let draft = draft::begin(pool).await?;
        let went = self.many_of(draft, pool, (databases, entities)).await;
        draft::discard(pool, draft).await?;
        went
    }

    async fn many_of(&self, draft: i64, pool: &Pool, from: (&Databases, &[Entity])) -> Result<(), Failure> {
        let names: Vec<&str> = persons(from.1).map(|(_, entity)| entity.name.as_str()).collect();
        let people = draft::add_moved(pool, draft, self.batch, &names).await?;
        let losing = Losing::of_draft(draft, pool, from, self.moving.json).await?;
        if people > 0 {
            self.show_and_ask(&losing, people)?;
        }
        let wanted = Wanted {
            to: Side::Legacy,
            draft: Some(draft),
            words: self.batch.map_or_else(|| "everybody".to_owned(), |id| format!("those of batch {id}")),
            percent: None,
            limit: None,
            limits: &self.limits,
            timeout: self.moving.timeout,
            reason: self.moving.reason.as_deref(),
            dry_run: self.moving.dry_run,
        };
        let begun = together::begin(pool, &wanted).await?;
        let (json, more) = (self.moving.json, json!({ "loss": losing.as_json() }));
        if self.moving.dry_run {
            return together::rehearsed(pool, wanted.to, &begun, json, more).await;
        }
        together::begun(pool, &begun, (json, self.moving.no_wait), more).await
    }

    fn show_and_ask(&self, losing: &Losing, people: u64) -> Result<(), Failure> {
        if !self.moving.json {
            print::text(&losing::shown(&losing.all, Paint::stdout()))?;
        }
        if self.moving.dry_run || self.yes {
            return Ok(());
        }
        confirm(&format!("Type {YES} to move {} back: ", count(people, "person", "people")))
    }
}

/// Asks whoever sits at the terminal; a "no" where nobody does.
fn confirm(question: &str) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        let error = Error::halt("moving back asks before anything is done, and nobody can answer here");
        return Err(Failure::No(Box::new(error.with_hint("add --yes"))));
    }
    print::text(question)?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| Error::halt("cannot read the answer").with_source(error))?;
    if answer.trim() == YES { Ok(()) } else { Err(Failure::No(Box::new(Error::halt("nobody was moved")))) }
}
