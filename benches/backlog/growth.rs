//! What a change costs where few people are known, and where many are: as many changes of as many people, among few and among many.

use biograph_bridge::model::side::Direction;

use crate::{
    Result, backlog,
    bed::{self, Bed},
    changes::{self, Person},
    report::{Report, Row},
    steady,
};

/// People who change, and people known in the small world.
pub(crate) const FEW: u32 = 10_000;

/// Changes a few people at once: those there are, and some spread over as many as `many`.
pub(crate) async fn measure(many: u32, repeat: usize, report: &mut Report) -> Result<()> {
    let few = among(FEW.min(many), repeat).await?;
    let grown = among(many, repeat).await?;
    for (direction, (few, grown)) in Direction::ALL.into_iter().zip(few.iter().zip(&grown)) {
        let what = format!("{direction}: {} of {many} people change, beside all of {}", FEW.min(many), FEW.min(many));
        report.beside(&what, grown, few);
    }
    Ok(())
}

/// Changes them in each direction, so many times, while the bridge runs and has nothing else to do.
async fn among(all: u32, repeat: usize) -> Result<[Vec<Row>; 2]> {
    let mut bed = Bed::start(all).await?;
    steady::prepare(&mut bed).await?;
    let known = changes::load(&bed.pool).await?;
    let step = known.len() / usize::try_from(FEW.min(all))?;
    let mut people: Vec<Person> = known.into_iter().step_by(step.max(1)).collect();
    let daemon = bed.spawn()?;
    daemon.until(|status| status["state"] == "streaming").await?;
    daemon.until_idle().await?;
    bed::vacuum(&bed.pool).await?;
    let mut rows = [Vec::new(), Vec::new()];
    // the first round only warms up what is measured
    for round in 0..=repeat {
        for (direction, rows) in Direction::ALL.into_iter().zip(&mut rows) {
            crate::progress(&format!("{direction} among {all} people, {round} of {repeat}"));
            let row = backlog::burst(&bed, &daemon, direction, &mut people).await?;
            if round > 0 {
                rows.push(row);
            }
        }
    }
    daemon.stop().await?;
    Ok(rows)
}
