//! Catching up: changes that were made while the bridge was down, in one direction and in both at once. Beside it the same reads and
//! writes without the bridge, and reading the log alone.

use std::time::{Duration, Instant};

use biograph_bridge::model::side::{Direction, Side};

use crate::{
    Result,
    bed::{self, Bed, Daemon},
    changes::{ChangeSet, Person},
    limits, progress, raw,
    report::{Latency, Report, Row},
};

/// The measured runs.
pub(crate) struct Runs {
    pub(crate) caught_up: [Vec<Row>; 2],
    both: Vec<Row>,
    /// From the start of the program until changes flow.
    started: Vec<Duration>,
}

/// Catches up so many times in each direction and in both at once.
pub(crate) async fn of_bridge(bed: &Bed, people: &mut [Person], repeat: usize) -> Result<Runs> {
    let mut runs = Runs { caught_up: [Vec::new(), Vec::new()], both: Vec::new(), started: Vec::new() };
    for round in 1..=repeat {
        for (direction, rows) in Direction::ALL.into_iter().zip(&mut runs.caught_up) {
            progress(&format!("backlog {direction}, {round} of {repeat}"));
            rows.push(catch_up(bed, direction, people, 1.0).await?);
        }
        progress(&format!("backlog in both directions, {round} of {repeat}"));
        let (row, started) = both(bed, people).await?;
        runs.both.push(row);
        runs.started.push(started);
    }
    Ok(runs)
}

/// Does the same without the bridge so many times, and reports all of it.
pub(crate) async fn beside_raw(
    bed: &Bed,
    people: &mut [Person],
    bridge: Runs,
    repeat: usize,
    report: &mut Report,
) -> Result<()> {
    progress("raw: the same without the bridge");
    let raw = raw::Copies::make(bed).await?;
    let mut bare = [Vec::new(), Vec::new()];
    for (direction, rows) in Direction::ALL.into_iter().zip(&mut bare) {
        let mut logs = Vec::new();
        for _ in 0..repeat {
            let changes = ChangeSet::next(people, 1.0);
            let (log, work) = raw.run(bed, direction, &changes).await?;
            logs.push(log);
            rows.push(work);
        }
        let caught_up = &bridge.caught_up[usize::from(direction == Direction::ALL[1])];
        report.row(&format!("backlog {direction}"), caught_up, rows);
        report.beside(&format!("backlog {direction}, beside reading the log alone"), caught_up, &logs);
    }
    progress("raw: writing everybody whole");
    let limits = [limits::upserts(bed, &raw, repeat).await?, limits::replaces(bed, &raw, repeat).await?];
    let names = ["multi-row upserts of both tables", "replacing whole documents"];
    for ((direction, caught_up), (limit, name)) in
        Direction::ALL.into_iter().zip(&bridge.caught_up).zip(limits.iter().zip(names))
    {
        report.beside(&format!("backlog {direction}, beside {name}"), caught_up, limit);
    }
    let [there, back] = bare;
    let one_after_the_other: Vec<Row> = there.iter().zip(&back).map(|(one, other)| one.and(other)).collect();
    report.row("backlog both at once (raw: one after the other)", &bridge.both, &one_after_the_other);
    report.latency.push(Latency::new("start of the program until changes flow", bridge.started));
    Ok(())
}

/// Changes `share` of the people (beyond 1: all of them several times) while the bridge is down, then measures from the
/// start of streaming until the last change is durable at the other side.
pub(crate) async fn catch_up(bed: &Bed, direction: Direction, people: &mut [Person], share: f64) -> Result<Row> {
    let changes = ChangeSet::next(people, share);
    bed::vacuum(&bed.pool).await?;
    changes.apply_at(bed, direction.source()).await?;
    let daemon = bed.spawn()?;
    daemon.until_streaming(direction.source()).await?;
    let start = bed.measure(Some(&daemon))?;
    let people = changes.people() as u64;
    until_applied(&daemon, &[(direction, people)]).await?;
    let row = start.until_now(people, bed, Some(&daemon))?;
    daemon.stop().await?;
    changes.expect_at(bed, direction.target()).await?;
    Ok(row)
}

/// Changes everybody once at one side while the bridge runs, as fast as can be: from the first change until the last is durable at
/// the other side.
pub(crate) async fn burst(bed: &Bed, daemon: &Daemon, direction: Direction, people: &mut [Person]) -> Result<Row> {
    let changes = ChangeSet::next(people, 1.0);
    daemon.until_quiet().await?;
    let before = applied(&daemon.status().await?, direction).unwrap_or(0);
    let start = bed.measure(Some(daemon))?;
    changes.apply_at(bed, direction.source()).await?;
    let people = changes.people() as u64;
    until_applied(daemon, &[(direction, before + people)]).await?;
    let row = start.until_now(people, bed, Some(daemon))?;
    changes.expect_at(bed, direction.target()).await?;
    Ok(row)
}

/// One half of the people changes in BioGraph, the other in Renaissance. Also how long the program took to start.
async fn both(bed: &Bed, people: &mut [Person]) -> Result<(Row, Duration)> {
    let middle = people.len() / 2;
    let (some, others) = people.split_at_mut(middle);
    let changes = [ChangeSet::next(some, 1.0), ChangeSet::next(others, 1.0)];
    bed::vacuum(&bed.pool).await?;
    for (changes, direction) in changes.iter().zip(Direction::ALL) {
        changes.apply_at(bed, direction.source()).await?;
    }
    let spawned = Instant::now();
    let daemon = bed.spawn()?;
    let streaming =
        |side: Side| move |status: &serde_json::Value| status["sides"][side.as_str()]["feed"] == "streaming";
    daemon.until(|status| Side::ALL.into_iter().any(|side| streaming(side)(status))).await?;
    let (start, started) = (bed.measure(Some(&daemon))?, spawned.elapsed());
    let wanted = [0, 1].map(|n| (Direction::ALL[n], changes[n].people() as u64));
    until_applied(&daemon, &wanted).await?;
    let row = start.until_now(wanted.iter().map(|(_, people)| people).sum(), bed, Some(&daemon))?;
    daemon.stop().await?;
    for (changes, direction) in changes.iter().zip(Direction::ALL) {
        changes.expect_at(bed, direction.target()).await?;
    }
    Ok((row, started))
}

/// How many changes have crossed.
fn applied(status: &serde_json::Value, direction: Direction) -> Option<u64> {
    status["directions"][direction.to_string()]["applied"].as_u64()
}

async fn until_applied(daemon: &Daemon, wanted: &[(Direction, u64)]) -> Result<()> {
    daemon.until(|status| wanted.iter().all(|(direction, people)| applied(status, *direction) >= Some(*people))).await
}
