//! What a change costs where few people are known, and where many are: as many changes of as many people, among few and among many.

use biograph_bridge::model::side::Direction;

use crate::{
    Result, backlog,
    bed::Bed,
    changes::{self, Person},
    report::{Report, Row},
    steady,
};

/// People who change, and people known in the small world.
pub(crate) const FEW: u32 = 10_000;

/// Catches up with changes of a few people: of those there are, and of those spread over as many as `many`.
pub(crate) async fn measure(many: u32, repeat: usize, report: &mut Report) -> Result<()> {
    let few = among(FEW.min(many), repeat).await?;
    let grown = among(many, repeat).await?;
    for (direction, (few, grown)) in Direction::ALL.into_iter().zip(few.iter().zip(&grown)) {
        let what = format!("{direction}: {} of {many} people change, beside all of {}", FEW.min(many), FEW.min(many));
        report.beside(&what, grown, few);
    }
    Ok(())
}

/// Catches up in each direction, so many times.
async fn among(all: u32, repeat: usize) -> Result<[Vec<Row>; 2]> {
    let mut bed = Bed::start(all).await?;
    steady::prepare(&mut bed).await?;
    let known = changes::load(&bed.pool).await?;
    let step = known.len() / usize::try_from(FEW.min(all))?;
    let mut people: Vec<Person> = known.into_iter().step_by(step.max(1)).collect();
    let mut rows = [Vec::new(), Vec::new()];
    // the first round only warms up what is measured
    for round in 0..=repeat {
        for (direction, rows) in Direction::ALL.into_iter().zip(&mut rows) {
            crate::progress(&format!("{direction} among {all} people, {round} of {repeat}"));
            let row = backlog::catch_up(&bed, direction, &mut people, 1.0).await?;
            if round > 0 {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}
