//! Carrying out the steps of one move, as [`Move`] asks for them.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Ended, Finding, Mover, Verdict};
use crate::{
    drill,
    error::{Disposition, Error, Result},
    model::{
        cutover::{Ask, CutoverRow, Heard, Move, Outcome},
        fact::PersonState,
    },
    sync::{
        ports::{
            CutoverMirror, CutoverStore, HealingStore, Journey, LegacyStore, RenaissanceStore, Source, Standing, Step,
            Swapped, VerifyStore,
        },
        queue::HintQueue,
    },
};

/// How long what has failed in passing rests before it is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// The same for what a person has to see to.
const MUCH_LATER: Duration = Duration::from_secs(5);
/// How often it is looked whether what is under way to legacy has landed.
const LANDING: Duration = Duration::from_millis(20);
/// How long a daemon that stops may take to end a move.
const STOPPING: Duration = Duration::from_secs(5);
/// What stands in the status while a step fails.
const MOVING: &str = "moving people";

/// One person on the move, and what was heard on the way.
pub(super) struct Travel {
    pub(super) journey: Journey,
    pub(super) person: Move,
    /// The row as it was written or read last.
    pub(super) standing: Option<Standing>,
    /// What is in the way of an end on the other side.
    pub(super) findings: Vec<Finding>,
    /// How long it may take beyond the time to drain.
    pub(super) timeout: Duration,
    /// When the applications were asked to hold the person's writes.
    pub(super) fenced: Instant,
    /// When it is too late.
    pub(super) deadline: Instant,
}

/// What a move waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Writes that began before the fence.
    Drain,
    /// A mark after it, in both logs.
    CatchUp,
}

impl Wait {
    /// The step in the history.
    const fn step(self) -> &'static str {
        match self {
            Self::Drain => "drained",
            Self::CatchUp => "caught_up",
        }
    }
}

/// The move was given up in the middle: the bridge stops, and the next daemon goes on.
pub(super) struct Abandoned;

impl<L, R, SL, SR, Q> Mover<'_, L, R, SL, SR, Q>
where
    L: LegacyStore + CutoverMirror,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Takes a move to its end.
    pub(super) async fn travel(&self, mut travel: Travel, stop: &CancellationToken) -> Result<Ended, Abandoned> {
        loop {
            let heard = match travel.person.ask() {
                Ask::End(outcome) => return Ok(Ended { verdict: verdict(outcome), findings: travel.findings }),
                Ask::Swap { from, to } => self.swap(&mut travel, (from, to), stop).await?,
                Ask::Mirror(row) => self.mirror(&travel, row, stop).await?,
                Ask::Drain => self.within(&mut travel, Wait::Drain, stop).await,
                // taken together with waiting for it: one without the other is nothing to remember
                Ask::Mark => Heard::Done,
                Ask::CatchUp => self.within(&mut travel, Wait::CatchUp, stop).await,
                Ask::Compare => self.compared(&mut travel, stop).await,
            };
            travel.person.hear(heard);
        }
    }

    /// Changes the row. Ending a move has no deadline: as long as the row says draining, applications hold their writes.
    async fn swap(
        &self,
        travel: &mut Travel,
        (from, to): (CutoverRow, CutoverRow),
        stop: &CancellationToken,
    ) -> Result<Heard, Abandoned> {
        let (begins, flips) = (to.state == PersonState::Draining, to.owner != from.owner);
        let step = travel.step(begins, flips);
        let patience = Instant::now() + STOPPING;
        drill::crash_point(if begins { "cutover before the fence" } else { "cutover before the end" });
        loop {
            let written = self.store().swap(&travel.journey, from, to, &step).await;
            let error = match written {
                Ok((Swapped::Done, Some(standing))) => {
                    self.written(travel, standing, (begins, flips));
                    return Ok(Heard::Done);
                }
                Ok((Swapped::Busy, _)) if Instant::now() < travel.deadline && !stop.is_cancelled() => {
                    sleep(LANDING).await;
                    continue;
                }
                Ok((Swapped::Busy, _)) => {
                    travel
                        .findings
                        .push(Finding::new("catch-up", "what is on its way to legacy has not landed in time"));
                    return Ok(Heard::Late);
                }
                // an answer may have been lost on its way, and this is the second attempt
                Ok((Swapped::Beaten | Swapped::Done, _)) => {
                    return Ok(match self.landed(&travel.journey, to).await {
                        Some(standing) => {
                            self.written(travel, standing, (begins, flips));
                            Heard::Done
                        }
                        None => Heard::Beaten,
                    });
                }
                Err(error) => error,
            };
            self.status.failed(MOVING, &error);
            let given_up = stop.is_cancelled() && Instant::now() >= patience;
            if begins && (given_up || error.disposition() != Disposition::Retry || Instant::now() >= patience) {
                travel.findings.push(Finding::failed("state", &error));
                return Ok(Heard::Beaten);
            }
            if given_up {
                return Err(Abandoned);
            }
            sleep(if error.disposition() == Disposition::Retry { AGAIN } else { MUCH_LATER }).await;
        }
    }

    fn written(&self, travel: &mut Travel, standing: Standing, (begins, flips): (bool, bool)) {
        drill::crash_point(if begins { "cutover after the fence" } else { "cutover after the end" });
        self.status.recovered(MOVING);
        if begins {
            travel.fenced = Instant::now();
            travel.deadline = travel.fenced + self.drain + travel.timeout;
        } else if flips {
            self.status.moved(travel.fenced.elapsed());
        }
        self.changed(&standing);
        travel.standing = Some(standing);
    }

    /// The row, if it is what it was to become.
    async fn landed(&self, journey: &Journey, to: CutoverRow) -> Option<Standing> {
        let found = self.store().standings(&[journey.person]).await.ok()?;
        found.into_iter().find(|standing| standing.row == to)
    }

    /// The row stands, so the mirror has to follow, however long that takes.
    async fn mirror(&self, travel: &Travel, row: CutoverRow, stop: &CancellationToken) -> Result<Heard, Abandoned> {
        let Some(standing) = travel.standing.as_ref().filter(|standing| standing.row == row) else {
            return Ok(Heard::Beaten);
        };
        let patience = Instant::now() + STOPPING;
        drill::crash_point("cutover before mirroring");
        loop {
            match self.legacy().mirror(standing).await {
                Ok(epoch) => {
                    self.status.recovered(MOVING);
                    if epoch > row.epoch {
                        tracing::error!(epoch, row = row.epoch, "the mirror of a person is ahead of their cutover row");
                    }
                    drill::crash_point("cutover after mirroring");
                    self.note(travel, "mirrored", None).await;
                    return Ok(Heard::Done);
                }
                Err(error) => {
                    self.status.failed(MOVING, &error);
                    if stop.is_cancelled() && Instant::now() >= patience {
                        return Err(Abandoned);
                    }
                    let passes = error.disposition() == Disposition::Retry || stop.is_cancelled();
                    sleep(if passes { AGAIN } else { MUCH_LATER }).await;
                }
            }
        }
    }

    async fn pass(&self, wait: Wait, by: Instant) -> Result<()> {
        match wait {
            // what was decided before it was known that somebody moves is through then
            Wait::Drain => self.reconciler.pauses().settled().await,
            Wait::CatchUp => {
                let mark = self.mark().await?;
                drill::crash_point("cutover after the mark");
                self.marks().passed(&mark, by.saturating_duration_since(Instant::now())).await?;
            }
        }
        Ok(())
    }

    /// Waits for something until it is there, it is too late, or the bridge stops; notes the step.
    async fn within(&self, travel: &mut Travel, wait: Wait, stop: &CancellationToken) -> Heard {
        let by = travel.deadline;
        if wait == Wait::Drain {
            // applications need a while to notice
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = sleep_until(travel.fenced + self.drain) => {}
            }
        }
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Error::halt("the daemon stops")),
                done = self.pass(wait, by) => done,
                () = sleep_until(by) => Err(Error::halt("it took too long")),
            };
            match done {
                Ok(()) => {
                    drill::crash_point("cutover after a step");
                    self.note(travel, wait.step(), None).await;
                    return Heard::Done;
                }
                Err(error) if error.disposition() == Disposition::Retry && Instant::now() < by => sleep(AGAIN).await,
                Err(error) => {
                    travel.findings.push(Finding::failed(wait.step(), &error));
                    return Heard::Late;
                }
            }
        }
    }

    /// Notes a step that changes no row. Without it the history lacks a step; the move does not depend on it.
    pub(super) async fn note(&self, travel: &Travel, name: &'static str, detail: Option<String>) {
        let Some(standing) = &travel.standing else { return };
        let step = Step { name, detail, ..Step::default() };
        if let Err(error) = self.store().note(&travel.journey, standing.row, &step).await {
            tracing::warn!(%error, step = name, "a step of a move could not be noted");
        }
    }
}

impl Travel {
    /// The step that changing the row is.
    fn step(&self, begins: bool, flips: bool) -> Step {
        let detail = self.findings.first().map(|finding| format!("{}: {}", finding.check, finding.detail));
        let findings = serde_json::to_value(&self.findings).ok().filter(|_| !self.findings.is_empty());
        match (begins, flips) {
            (true, _) => Step { name: "fenced", ..Step::default() },
            (false, true) => Step { name: "moved", outcome: Some(Verdict::Moved.as_str()), detail, findings },
            (false, false) => {
                let outcome = self.person.ending().map(|outcome| verdict(outcome).as_str());
                Step { name: "cancelled", outcome, detail, findings }
            }
        }
    }
}

const fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Moved | Outcome::Settled => Verdict::Moved,
        Outcome::Differed => Verdict::Differed,
        Outcome::TimedOut => Verdict::TimedOut,
        Outcome::Overtaken => Verdict::Overtaken,
    }
}
