//! Watching a backfill: a bar per entity on a terminal, a line every ten seconds elsewhere.

use std::{
    collections::HashMap,
    io::{IsTerminal, stdout},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{Failure, forget, print};
use crate::{
    cli::screen,
    error::Result,
    model::{fact::SweepKind, key::EntityIndex, mapping::Entity, side::Side},
    postgres::{
        Pool, lease,
        sweeps::{self, Swept},
    },
    sync::status::SweepReport,
};

/// How often the bars move.
const REFRESH: Duration = Duration::from_millis(500);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// A daemon that is restarted may be away for so long.
const AWAY: Duration = Duration::from_secs(15);

/// How watching ended.
pub(super) enum Ended {
    /// Everything is copied.
    Complete,
    /// No daemon is active any more.
    NoDaemon,
}

/// One entity's first copy, all its sweeps together.
struct Progress {
    entity: String,
    records: u64,
    parked: u64,
    /// Unknown until every sweep has begun.
    total: Option<u64>,
    done: bool,
}

/// Somebody who watches the first copy of some entities.
pub(super) struct Watch<'a> {
    pool: &'a Pool,
    /// Names, each with the number of sweeps that make up its first copy.
    entities: Vec<(String, usize)>,
    /// When an entity was first seen to move, and how far it was before.
    since: HashMap<String, (Instant, u64)>,
    json: bool,
    /// Lines on the terminal that the next ones replace.
    shown: usize,
}

impl<'a> Watch<'a> {
    /// Watches these entities.
    pub(super) fn new(pool: &'a Pool, entities: &[Entity], wanted: &[EntityIndex], json: bool) -> Self {
        let wanted = wanted.iter().filter_map(|index| entities.get(usize::from(index.0)));
        let passes = |entity: &Entity| if entity.has_linked_sets() { SweepKind::FIRST_COPY.len() } else { 1 };
        let entities = wanted.map(|entity| (entity.name.clone(), passes(entity) * Side::ALL.len())).collect();
        Self { pool, entities, since: HashMap::new(), json, shown: 0 }
    }

    /// Whether everything is copied already.
    pub(super) async fn is_complete(&self) -> Result<bool> {
        Ok(self.progress().await?.iter().all(|progress| progress.done))
    }

    /// Forgets how far they have come.
    pub(super) async fn forget(&self) -> Result<()> {
        let names: Vec<String> = self.entities.iter().map(|(name, _)| name.clone()).collect();
        forget(self.pool, &names).await
    }

    /// Shows how far they have come until all of it is done, or the daemon that does it is gone.
    pub(super) async fn until_complete(&mut self, by_a_daemon: bool) -> Result<Ended, Failure> {
        let (mut said, mut active) = (Instant::now(), Instant::now());
        loop {
            let progress = self.progress().await?;
            if stdout().is_terminal() && !self.json {
                self.draw(&progress)?;
            }
            if progress.iter().all(|progress| progress.done) {
                return Ok(Ended::Complete);
            }
            if said.elapsed() >= LINE && !stdout().is_terminal() && !self.json {
                said = Instant::now();
                print::text(&self.lines(&progress, false).join(""))?;
            }
            if !by_a_daemon || lease::is_held(self.pool).await? {
                active = Instant::now();
            } else if active.elapsed() > AWAY {
                return Ok(Ended::NoDaemon);
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// Says what came of it.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        let mut sweeps = sweeps::progress(self.pool).await?;
        sweeps.retain(|swept| self.entities.iter().any(|(name, _)| *name == swept.entity));
        if self.json {
            return print::json(&Document { complete: true, sweeps: &sweeps });
        }
        let progress = self.together(&sweeps);
        if stdout().is_terminal() { self.draw(&progress) } else { print::text(&self.lines(&progress, true).join("")) }
    }

    async fn progress(&self) -> Result<Vec<Progress>> {
        Ok(self.together(&sweeps::progress(self.pool).await?))
    }

    fn together(&self, sweeps: &[Swept]) -> Vec<Progress> {
        let known = |number: i64| u64::try_from(number).unwrap_or(0);
        let one = |(name, passes): &(String, usize)| {
            let mine: Vec<&Swept> = sweeps.iter().filter(|swept| swept.entity == *name).collect();
            let walked = |swept: &&Swept| known(swept.records) + known(swept.parked);
            let size = |swept: &&Swept| match (swept.done, swept.total) {
                (true, _) => Some(walked(swept)),
                (false, total) => total.map(|total| known(total).max(walked(swept))),
            };
            Progress {
                entity: name.clone(),
                records: mine.iter().map(walked).sum(),
                parked: mine.iter().map(|swept| known(swept.parked)).sum(),
                total: if mine.len() < *passes { None } else { mine.iter().map(size).sum() },
                done: mine.len() >= *passes && mine.iter().all(|swept| swept.done),
            }
        };
        self.entities.iter().map(one).collect()
    }

    fn report(&mut self, progress: &Progress) -> SweepReport {
        let since = *self.since.entry(progress.entity.clone()).or_insert((Instant::now(), progress.records));
        if since.1 >= progress.records {
            // not begun, or begun anew
            self.since.insert(progress.entity.clone(), (Instant::now(), progress.records));
        }
        let walked = progress.records.saturating_sub(since.1);
        let took = since.0.elapsed().as_secs_f64();
        let rate = (!progress.done && walked > 0 && took > 0.0).then(|| walked as f64 / took);
        let left = progress.total.map(|total| total.saturating_sub(progress.records));
        SweepReport {
            records: progress.records,
            parked: progress.parked,
            total: progress.total,
            done: progress.done,
            rate,
            eta_seconds: rate.zip(left).map(|(rate, left)| left as f64 / rate),
            ..SweepReport::default()
        }
    }

    /// One line per entity; those without news only if `all`.
    fn lines(&mut self, progress: &[Progress], all: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for one in progress {
            let report = self.report(one);
            if all || !one.done && one.records > 0 {
                lines.push(format!("{}: {}\n", one.entity, screen::progress(&report)));
            }
        }
        lines
    }

    fn draw(&mut self, progress: &[Progress]) -> Result<(), Failure> {
        let width = self.entities.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = if self.shown == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.shown) };
        for one in progress {
            let report = self.report(one);
            // what has not begun has nothing to tell
            let words = if one.records == 0 && !one.done { "waiting".to_owned() } else { screen::progress(&report) };
            text.push_str(&format!(
                "{:<width$}  {}  {words}\n",
                one.entity,
                screen::bar(one.records, one.total, one.done)
            ));
        }
        self.shown = progress.len();
        print::text(&text)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    complete: bool,
    sweeps: &'a [Swept],
}
