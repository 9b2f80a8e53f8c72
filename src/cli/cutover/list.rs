//! `cutover list`: batches, and people by where they are.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::together;
use crate::{
    cli::{Failure, load, options::SettingFlags, person, print},
    config::Databases,
    error::Result as Done,
    model::{key::LegacyId, mapping::Entity, mask::mask, person::persons, side::Side},
    postgres::{
        Pool,
        cohorts::{self, BatchReport, Whereabouts},
        connect,
    },
    sync::ports::LegacyStore,
    telemetry::Audience,
};

/// Documents read at once.
const CHUNK: usize = 500;

/// List batches of people, newest first, or the people in a state
#[derive(Debug, Args)]
#[command(after_help = "\
People are shown by their ids, and their names masked. Exit codes: 0 done, 3 there is no such batch.

Examples:
  biograph-bridge cutover list                          batches
  biograph-bridge cutover list --batch 3 --json         one of them, with everybody who did not move
  biograph-bridge cutover list --state draining         who is moving now
  biograph-bridge cutover list --batch 3 --state legacy --limit 1000")]
pub(in crate::cli) struct List {
    /// Only this batch, and who of it did not move
    #[arg(long, value_name = "BATCH")]
    batch: Option<i64>,
    /// The people in this state; with --batch, only those of it
    #[arg(long)]
    state: Option<State>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    limit: i64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Legacy,
    Draining,
    Renaissance,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Draining => "draining",
            Self::Renaissance => "renaissance",
        }
    }

    /// What is said where there is no such person.
    const fn nobody(self) -> &'static str {
        match self {
            Self::Legacy => "nobody is in BioGraph",
            Self::Draining => "nobody is on the way",
            Self::Renaissance => "nobody is in Renaissance",
        }
    }
}

impl List {
    pub(super) fn run(&self, settings: SettingFlags) -> Result<(), Failure> {
        let (config, databases) = settings.with_databases(Audience::Command)?;
        print::block_on(async {
            let pool = connect::pool(databases.renaissance_url.expose())?;
            if let Some(id) = self.batch {
                together::known(&pool, id).await?;
            }
            match self.state {
                Some(state) => self.people(&pool, state, &databases, &load::entities(&config.mappings)?).await,
                None => self.batches(&pool).await,
            }
        })
    }

    async fn batches(&self, pool: &Pool) -> Result<(), Failure> {
        let failed = match self.batch {
            Some(batch) => cohorts::failed(pool, batch, i64::MAX).await?,
            None => Vec::new(),
        };
        let mut batches = cohorts::batches(pool, self.batch, self.limit.saturating_add(1)).await?;
        let more = cut(&mut batches, self.limit);
        if self.json {
            return print::json(&json!({ "batches": batches, "failed": failed, "more": more }));
        }
        let mut lines: Vec<String> = batches.iter().map(line).collect();
        if lines.is_empty() {
            lines.push("no batch has begun yet".to_owned());
        }
        lines.extend(failed.iter().map(together::failed_line));
        show(lines, more)
    }

    async fn people(
        &self,
        pool: &Pool,
        state: State,
        databases: &Databases,
        entities: &[Entity],
    ) -> Result<(), Failure> {
        let names: Vec<&str> = persons(entities).map(|(_, entity)| entity.name.as_str()).collect();
        let mut people =
            cohorts::people(pool, (&names, self.batch), state.as_str(), self.limit.saturating_add(1)).await?;
        let more = cut(&mut people, self.limit);
        label(&mut people, databases, entities).await?;
        if self.json {
            return print::json(&json!({ "people": people, "more": more }));
        }
        let mut lines: Vec<String> = people.iter().map(person_line).collect();
        if lines.is_empty() {
            lines.push(state.nobody().to_owned());
        }
        show(lines, more)
    }
}

fn show(mut lines: Vec<String>, more: bool) -> Result<(), Failure> {
    if more {
        lines.push("there are more: --limit N".to_owned());
    }
    print::text(&(lines.join("\n") + "\n"))
}

/// Whether there were more than so many.
fn cut<T>(all: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = all.len() > limit;
    all.truncate(limit);
    more
}

/// Puts everybody's masked name beside them.
async fn label(people: &mut [Whereabouts], databases: &Databases, entities: &[Entity]) -> Done<()> {
    if people.is_empty() {
        return Ok(());
    }
    let (legacy, _, entities) = person::stores(databases, entities).await?;
    for (index, entity) in persons(&entities) {
        let Some(field) = entity.label.and_then(|label| entity.fields.get(label)) else { continue };
        let mut of: Vec<&mut Whereabouts> = people.iter_mut().filter(|one| one.entity == entity.name).collect();
        for chunk in of.chunks_mut(CHUNK) {
            let ids: Vec<Option<LegacyId>> = chunk.iter().map(|one| one.legacy_id.parse().ok()).collect();
            let known: Vec<LegacyId> = ids.iter().flatten().copied().collect();
            let mut images = legacy.read(index, &known, None).await?.into_iter();
            for (one, id) in chunk.iter_mut().zip(ids) {
                let image = id.and_then(|_| images.next()).flatten();
                let reading = image.map(|image| field.get(Side::Legacy, &image));
                one.label = reading.and_then(|reading| Some(mask(reading.value()?.as_text()?)));
            }
        }
    }
    Ok(())
}

/// `3  2026-11-22T12:00:00Z  5 % to renaissance: paused (…): 20 of 50 moved, 1 there already, 2 did not move, 27 left`.
fn line(batch: &BatchReport) -> String {
    let BatchReport { id, begun_at, chosen, toward, state, people, moved, already, failed, left, .. } = batch;
    let why = batch.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    let never = together::never_began(batch);
    format!(
        "{id}  {begun_at}  {chosen} to {toward}: {state}{why}: {moved} of {people} moved, {already} there already, \
         {failed} did not move, {left} left{never}"
    )
}

/// `legacy:65f0… renaissance:12  A•••• L••••  renaissance (epoch 2) since 2026-11-22T12:00:00Z`.
fn person_line(one: &Whereabouts) -> String {
    let Whereabouts { legacy_id, renaissance_id, state, epoch, owner, .. } = one;
    let label = one.label.as_ref().map(|label| format!("  {label}")).unwrap_or_default();
    let from = if state == "draining" { format!(", leaves {owner}") } else { String::new() };
    let since = one.since.as_ref().map_or_else(|| "never moved".to_owned(), |since| format!("since {since}"));
    format!("legacy:{legacy_id} renaissance:{renaissance_id}{label}  {state}{from} (epoch {epoch}) {since}")
}
