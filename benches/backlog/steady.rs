//! A steady load on both sides at once: what journal, intents and fencing cost, by doing without them every other time.

use biograph_bridge::model::side::Side;
use serde_json::Value;

use crate::{
    Result, bed,
    bed::{Bed, Daemon},
    changes::{ChangeSet, Person},
    progress,
    report::{Report, Row},
};

/// What every other run does without.
const SAFETY: &str = "journal,intents,fence";
/// Changes that an application makes before it looks how far the bridge is.
const STEP: usize = 500;
/// Changes the bridge may be behind before an application waits: more than a batch, so that the bridge is never idle.
const AHEAD: u64 = 8000;
/// One in this many changes of a document is made to the row as well, otherwise.
const BOTH: usize = 100;

/// Everybody is in sync, and nobody was changed.
pub(crate) async fn prepare(bed: &mut Bed) -> Result<()> {
    progress("the first copy");
    bed.empty_renaissance(false).await?;
    let daemon = bed.spawn()?;
    daemon.until(|status| status["state"] == "streaming").await?;
    daemon.until_quiet().await?;
    daemon.stop().await
}

/// Each application changes half of the people, and one a few of the other's: in turns with and without the mechanisms.
pub(crate) async fn measure(bed: &Bed, people: &mut [Person], repeat: usize, report: &mut Report) -> Result<()> {
    let mut rows = [Vec::new(), Vec::new()];
    for round in 0..=repeat {
        for (without, rows) in ["", SAFETY].into_iter().zip(&mut rows) {
            let name = if without.is_empty() { "all of it" } else { "without journal, intents and fence" };
            progress(&format!("steady load on both sides, {name}, {round} of {repeat}"));
            let row = run(bed, without, people).await?;
            // the first pair only warms up what is measured
            if round > 0 {
                rows.push(row);
            }
        }
    }
    let [with, without] = rows;
    report.beside("steady load on both sides, beside doing without journal, intents and fence", &with, &without);
    Ok(())
}

async fn run(bed: &Bed, without: &str, people: &mut [Person]) -> Result<Row> {
    bed::vacuum(&bed.pool).await?;
    let daemon = bed.spawn_without(without)?;
    for side in Side::ALL {
        daemon.until_streaming(side).await?;
    }
    daemon.until_idle().await?;
    let (left, right) = people.split_at_mut(people.len() / 2);
    let (documents, rows) = (ChangeSet::next(left, 1.0), ChangeSet::next(right, 1.0));
    let (clashes, mut documents) = (documents.other_names(BOTH), documents.steps(STEP));
    let start = bed.measure(Some(&daemon))?;
    // else it may have carried a change over before the other one is made, which is no conflict
    let first = documents.next().ok_or("nobody is changed")?;
    let held = daemon.hold()?;
    tokio::try_join!(first.apply_at(bed, Side::Legacy), clashes.apply_at(bed, Side::Renaissance))?;
    drop(held);
    tokio::try_join!(
        drive(bed, &daemon, Side::Legacy, documents),
        drive(bed, &daemon, Side::Renaissance, rows.steps(STEP)),
    )?;
    let all = [left.len(), right.len()];
    let arrived =
        |status: &Value| Side::ALL.into_iter().zip(all).all(|(side, all)| durable(status, side) >= all as u64);
    daemon.until(|status| arrived(status) && status["queue"]["keys"] == 0).await?;
    let row = start.until_now((left.len() + right.len()) as u64, bed, Some(&daemon))?;
    if daemon.status().await?["conflicts"] == 0 {
        return Err("no conflict came about: what the journal costs is not measured".into());
    }
    daemon.stop().await?;
    Ok(row)
}

/// Changes people at a side, never far ahead of the bridge.
async fn drive(bed: &Bed, daemon: &Daemon, side: Side, steps: impl Iterator<Item = ChangeSet>) -> Result<()> {
    let mut made = 0;
    for step in steps {
        step.apply_at(bed, side).await?;
        made += step.people() as u64;
        // what lost a conflict never arrives
        daemon.until(|status| made.saturating_sub(durable(status, side)) < AHEAD).await?;
    }
    Ok(())
}

/// How many changes of a side are durable at the other.
fn durable(status: &Value, side: Side) -> u64 {
    status["directions"][side.outbound().to_string()]["applied"].as_u64().unwrap_or(0)
}
