//! Watching a comparison: a bar per entity on a terminal, a line every ten seconds elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stdout},
    time::{Duration, Instant},
};

use crate::{
    cli::{Failure, print, screen},
    error::{Error, Result},
    postgres::{Pool, lease, verify::report},
    sync::status::SweepReport,
};

/// How often the bars move.
const REFRESH: Duration = Duration::from_millis(300);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// A daemon that is restarted may be away for so long.
const AWAY: Duration = Duration::from_secs(15);

/// How watching ended.
pub(super) enum Ended {
    /// The run is over.
    Complete,
    /// No daemon is active any more.
    NoDaemon,
}

/// Somebody who watches a run.
pub(super) struct Watch<'a> {
    pool: &'a Pool,
    run: i64,
    json: bool,
    began: Instant,
    /// How far each entity was when it was first seen.
    before: BTreeMap<String, (Instant, u64)>,
    /// Lines on the terminal that the next ones replace.
    shown: usize,
}

impl<'a> Watch<'a> {
    pub(super) fn new(pool: &'a Pool, run: i64, json: bool) -> Self {
        Self { pool, run, json, began: Instant::now(), before: BTreeMap::new(), shown: 0 }
    }

    /// Shows how far it has come until it is over, or the daemon that does it is gone.
    pub(super) async fn until_ended(&mut self) -> Result<Ended, Failure> {
        let (mut said, mut active) = (Instant::now(), Instant::now());
        loop {
            let run = report::run(self.pool, Some(self.run)).await?;
            let run = run.ok_or_else(|| Error::halt(format!("there is no comparison with the number {}", self.run)))?;
            let terminal = stdout().is_terminal() && !self.json;
            if terminal && self.began.elapsed() > REFRESH {
                self.draw().await?;
            }
            if run.ended_at.is_some() {
                return Ok(Ended::Complete);
            }
            if !terminal && !self.json && said.elapsed() >= LINE {
                said = Instant::now();
                print::text(&self.lines().await?.concat())?;
            }
            if lease::is_held(self.pool).await? {
                active = Instant::now();
            } else if active.elapsed() > AWAY {
                return Ok(Ended::NoDaemon);
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// One line per entity that has begun.
    async fn lines(&mut self) -> Result<Vec<String>> {
        let mut entities: BTreeMap<String, SweepReport> = BTreeMap::new();
        for part in report::progress(self.pool, self.run).await? {
            let one = entities.entry(part.entity.clone()).or_default();
            let known = |number: i64| u64::try_from(number).unwrap_or(0);
            one.records += known(part.counts.compared);
            // documents make up nearly all of an entity: rows are walked for those that have none
            if part.part == "documents" {
                one.total = part.total.map(known);
            }
            // links come last
            one.done |= part.done && matches!(part.part.as_str(), "links" | "person");
        }
        let width = entities.keys().map(String::len).max().unwrap_or(0);
        let mut lines = Vec::new();
        for (entity, mut one) in entities {
            let (since, before) = *self.before.entry(entity.clone()).or_insert((Instant::now(), one.records));
            let (walked, took) = (one.records.saturating_sub(before), since.elapsed().as_secs_f64());
            one.rate = (!one.done && walked > 0 && took > 0.0).then(|| walked as f64 / took);
            let left = one.total.map(|total| total.saturating_sub(one.records));
            one.eta_seconds = one.rate.zip(left).map(|(rate, left)| left as f64 / rate);
            let bar = screen::bar(one.records, one.total, one.done);
            lines.push(format!("{entity:<width$}  {bar}  {}\n", screen::progress(&one)));
        }
        Ok(lines)
    }

    async fn draw(&mut self) -> Result<(), Failure> {
        let lines = self.lines().await?;
        let back = if self.shown == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.shown) };
        self.shown = lines.len();
        print::text(&(back + &lines.concat()))
    }
}
