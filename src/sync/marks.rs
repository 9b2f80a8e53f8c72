//! Marks in both logs: once everything before them is durable, the bridge has dealt with whatever an application had committed
//! when they were left.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ports::Source, queue::HintQueue, tracker::Lane};
use crate::{
    error::{Error, Result},
    model::{hint::Position, side::Side},
};

/// How often it is looked whether a mark has been passed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Leaves marks and waits for them.
pub struct Marks<'a, SL, SR, Q> {
    /// Where marks are left: legacy, renaissance.
    pub sources: (&'a SL, &'a SR),
    /// Who knows what is durable.
    pub queue: &'a Q,
}

/// A mark in both logs.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Legacy, renaissance.
    positions: [Position; 2],
    /// How often each lane had begun anew by then.
    restarts: [u64; 2],
}

impl<SL: Source, SR: Source, Q: HintQueue> Marks<'_, SL, SR, Q> {
    /// Leaves a mark in both logs.
    pub async fn leave(&self) -> Result<Mark> {
        let restarts = self.restarts();
        let (legacy, renaissance) = tokio::try_join!(self.sources.0.mark(), self.sources.1.mark())?;
        Ok(Mark { positions: [legacy, renaissance], restarts })
    }

    /// The sides where not everything before the mark is durable yet. A retry error if a stream began anew meanwhile: what it
    /// missed is found by a sweep, and the mark says nothing.
    pub fn behind(&self, mark: &Mark) -> Result<Vec<Side>> {
        self.not_past(mark, |side| self.queue.durable(Lane::Stream(side)))
    }

    /// Waits until everything before the mark is durable; a retry error if it is not within `limit`. Cancel safe.
    pub async fn passed(&self, mark: &Mark, limit: Duration) -> Result<()> {
        self.until(limit, || self.behind(mark)).await
    }

    /// Waits until everything before the mark is queued: a key that is not dirty then has nothing open from before it, whatever
    /// holds other keys up. A retry error if it is not within `limit`. Cancel safe.
    pub async fn heard(&self, mark: &Mark, limit: Duration) -> Result<()> {
        self.until(limit, || self.not_past(mark, |side| self.queue.reached(Lane::Stream(side)))).await
    }

    fn not_past(&self, mark: &Mark, place: impl Fn(Side) -> Option<Position>) -> Result<Vec<Side>> {
        if self.restarts() != mark.restarts {
            return Err(Error::retry("a position was lost while a mark was waited for"));
        }
        let passed = |side, mark: &Position| place(side).is_some_and(|place| place.has_passed(mark));
        let sides = Side::ALL.into_iter().zip(&mark.positions);
        Ok(sides.filter(|(side, mark)| !passed(*side, mark)).map(|(side, _)| side).collect())
    }

    async fn until(&self, limit: Duration, behind: impl Fn() -> Result<Vec<Side>>) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            let behind = behind()?;
            let Some(first) = behind.first() else { return Ok(()) };
            if Instant::now() >= until {
                let seconds = limit.as_secs();
                return Err(Error::retry(format!(
                    "the bridge is more than {seconds} s behind on changes from {first}"
                ))
                .with_hint("biograph-bridge status shows the lag, and what holds it up"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn restarts(&self) -> [u64; 2] {
        Side::ALL.map(|side| self.queue.restarts(Lane::Stream(side)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            hint::{Freshness, Hint},
            key::{EntityIndex, Key, SideId},
        },
        sync::{ports::Capture, queue::InProcess},
    };

    struct Log(Position);

    struct Nothing;

    impl Capture for Nothing {
        async fn next(&mut self) -> Result<crate::model::hint::Captured> {
            std::future::pending().await
        }
    }

    impl Source for Log {
        type Capture = Nothing;

        async fn open(&self, _from: &Position) -> Result<Nothing> {
            Ok(Nothing)
        }

        async fn tip(&self) -> Result<Position> {
            Ok(self.0.clone())
        }

        async fn mark(&self) -> Result<Position> {
            Ok(self.0.clone())
        }

        async fn clock(&self) -> Result<i64> {
            Ok(0)
        }

        async fn renew(&self) -> Result<Position> {
            Ok(self.0.clone())
        }

        fn confirm(&self, _position: &Position) {}
    }

    fn token(text: &str) -> Position {
        Position::Token(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_is_passed_once_all_before_it_is_durable_on_both_sides() {
        let sources = (Log(token("826500000000000001")), Log(Position::Lsn(100)));
        let queue = InProcess::new(1 << 20);
        let marks = Marks { sources: (&sources.0, &sources.1), queue: &queue };
        let mark = marks.leave().await.unwrap();
        assert_eq!(marks.behind(&mark).unwrap(), Side::ALL);

        queue.position(Lane::Stream(Side::Legacy), token("8265000000000000012B0229296E04"));
        let key = Key { entity: EntityIndex(0), id: SideId::Renaissance(7) };
        let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
        queue.offer(Lane::Stream(Side::Renaissance), hint).await;
        queue.position(Lane::Stream(Side::Renaissance), Position::Lsn(101));
        assert!(queue.is_dirty(key));
        let late = marks.passed(&mark, Duration::from_secs(5)).await.unwrap_err();
        assert!(late.to_string().contains("changes from renaissance"), "{late}");
        marks.heard(&mark, Duration::ZERO).await.unwrap();

        queue.take(10).await;
        queue.done(vec![key]);
        marks.passed(&mark, Duration::ZERO).await.unwrap();
        assert!(!queue.is_dirty(key));
    }

    #[tokio::test]
    async fn a_mark_says_nothing_once_a_stream_began_anew() {
        let sources = (Log(token("82")), Log(Position::Lsn(1)));
        let queue = InProcess::new(1 << 20);
        let marks = Marks { sources: (&sources.0, &sources.1), queue: &queue };
        let mark = marks.leave().await.unwrap();
        queue.restart(Lane::Stream(Side::Renaissance));
        queue.position(Lane::Stream(Side::Legacy), token("83"));
        queue.position(Lane::Stream(Side::Renaissance), Position::Lsn(9));
        assert!(marks.behind(&mark).is_err());
        assert!(marks.behind(&marks.leave().await.unwrap()).unwrap().is_empty());
    }

    #[test]
    fn positions_of_different_sides_are_never_compared() {
        assert!(!Position::Lsn(9).has_passed(&token("82")) && !token("82").has_passed(&Position::Lsn(0)));
    }
}
