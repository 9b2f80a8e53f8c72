//! What a change costs where few people are known, and where many are: as many changes of as many people, among few and among many,
//! with the bridge and without it.

use biograph_bridge::model::side::Direction;

use crate::{
    Result, backlog,
    bed::{self, Bed},
    changes::{self, ChangeSet, Person},
    raw::Copies,
    report::{Report, Row},
    steady,
};

/// People who change, and people known in the small world.
pub(crate) const FEW: u32 = 10_000;

/// The runs of one world, by direction.
struct World {
    bridge: [Vec<Row>; 2],
    /// The same changes, reads and writes without the bridge.
    raw: [Vec<Row>; 2],
}

/// Changes a few people at once: those there are, and some spread over as many as `many`.
pub(crate) async fn measure(many: u32, repeat: usize, report: &mut Report) -> Result<()> {
    let all = FEW.min(many);
    let few = among(all, repeat).await?;
    let grown = among(many, repeat).await?;
    for (n, direction) in Direction::ALL.into_iter().enumerate() {
        report.row(&format!("{direction}: all of {all} people change"), &few.bridge[n], &few.raw[n]);
        report.row(&format!("{direction}: {all} of {many} people change"), &grown.bridge[n], &grown.raw[n]);
        let what = format!("{direction}: {all} of {many} people change, beside all of {all}");
        report.beside(&what, &grown.bridge[n], &few.bridge[n]);
        report.beside(&format!("{what}, both without the bridge"), &grown.raw[n], &few.raw[n]);
    }
    Ok(())
}

/// Changes them in each direction, so many times, while the bridge runs and has nothing else to do; then without the bridge.
async fn among(all: u32, repeat: usize) -> Result<World> {
    let mut bed = Bed::start(all).await?;
    steady::prepare(&mut bed).await?;
    let known = changes::load(&bed.pool).await?;
    let step = known.len() / usize::try_from(FEW.min(all))?;
    let mut people: Vec<Person> = known.into_iter().step_by(step.max(1)).collect();
    let daemon = bed.spawn()?;
    daemon.until(|status| status["state"] == "streaming").await?;
    daemon.until_idle().await?;
    bed::vacuum(&bed.pool).await?;
    let mut world = World { bridge: [Vec::new(), Vec::new()], raw: [Vec::new(), Vec::new()] };
    // the first round only warms up what is measured
    for round in 0..=repeat {
        for (direction, rows) in Direction::ALL.into_iter().zip(&mut world.bridge) {
            crate::progress(&format!("{direction} among {all} people, {round} of {repeat}"));
            let row = backlog::burst(&bed, &daemon, direction, &mut people).await?;
            if round > 0 {
                rows.push(row);
            }
        }
    }
    daemon.stop().await?;
    crate::progress(&format!("raw: the same among {all} people"));
    let copies = Copies::make(&bed).await?;
    bed::vacuum(&copies.pool).await?;
    for round in 0..=repeat {
        for (direction, rows) in Direction::ALL.into_iter().zip(&mut world.raw) {
            let row = copies.burst(&bed, direction, &ChangeSet::next(&mut people, 1.0)).await?;
            if round > 0 {
                rows.push(row);
            }
        }
    }
    Ok(world)
}
