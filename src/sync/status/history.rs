//! The last hour, for those who look now.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How far back it goes.
const SPAN: Duration = Duration::from_secs(3600);
/// Moments this close together are one: the worst of them.
const STEP: Duration = Duration::from_secs(10);
/// A trend is taken from this much of it at most,
const TREND: Duration = Duration::from_secs(1800);
/// and from this much at least.
const ENOUGH: Duration = Duration::from_secs(300);

/// How things were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// Lag of each direction in seconds, in the order of `Direction::ALL`; `None` if it was unknown.
    pub lags: [Option<f64>; 2],
    /// WAL that could still be written before the slot is lost, in bytes.
    pub safe: Option<f64>,
}

/// Moments of the last hour, oldest first; a few hundred at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    moments: VecDeque<Moment>,
}

impl History {
    /// Adds a moment. Peaks are kept; a lag is unknown only where it was so all the time.
    pub(super) fn note(&mut self, moment: Moment) {
        match self.moments.back_mut() {
            Some(last) if moment.at.saturating_duration_since(last.at) < STEP => {
                for (known, lag) in last.lags.iter_mut().zip(moment.lags) {
                    *known = known.iter().copied().chain(lag).reduce(f64::max);
                }
                last.safe = moment.safe.or(last.safe);
            }
            _ => self.moments.push_back(moment),
        }
        while self.moments.front().is_some_and(|first| moment.at.saturating_duration_since(first.at) > SPAN) {
            self.moments.pop_front();
        }
    }

    /// How far back it goes at most.
    pub const fn span(&self) -> Duration {
        SPAN
    }

    /// Up to how far apart moments follow each other if nothing is missing between them.
    pub const fn step(&self) -> Duration {
        STEP.saturating_mul(2)
    }

    /// The moments, oldest first.
    pub fn moments(&self) -> impl DoubleEndedIterator<Item = &Moment> {
        self.moments.iter()
    }

    /// Seconds until nothing is safe any more, if it goes on as of late; `None` if it does not shrink or it is too early to say.
    pub(super) fn seconds_left(&self, safe: f64) -> Option<f64> {
        let last = self.moments.back()?.at;
        let within = |moment: &&Moment| last.saturating_duration_since(moment.at) <= TREND && moment.safe.is_some();
        let first = self.moments.iter().find(within)?;
        let took = last.saturating_duration_since(first.at);
        let shrunk = first.safe? - safe;
        (took >= ENOUGH && shrunk > 0.0).then(|| (safe / (shrunk / took.as_secs_f64())).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(moments: &[(u64, Option<f64>, Option<f64>)]) -> History {
        let start = Instant::now();
        let mut history = History::default();
        for (second, lag, safe) in moments {
            let at = start + Duration::from_secs(*second);
            history.note(Moment { at, lags: [*lag, None], safe: *safe });
        }
        history
    }

    #[test]
    fn peaks_are_kept_and_what_is_unknown_stays_so() {
        let history = history(&[(0, Some(1.0), None), (4, Some(9.0), None), (8, None, None), (12, None, None)]);
        let lags: Vec<_> = history.moments().map(|moment| moment.lags).collect();
        assert_eq!(lags, [[Some(9.0), None], [None, None]]);
    }

    #[test]
    fn it_is_bounded() {
        let moments: Vec<_> = (0..20_000).step_by(2).map(|second| (second, Some(0.0), None)).collect();
        let history = history(&moments);
        assert!((300..=362).contains(&history.moments().count()), "{}", history.moments().count());
    }

    #[test]
    fn time_left_is_known_only_of_what_shrinks_for_a_while() {
        let shrinking: Vec<_> = (0..=600).step_by(10).map(|s| (s, None, Some(1000.0 - s as f64))).collect();
        assert_eq!(history(&shrinking).seconds_left(400.0), Some(400.0));
        assert_eq!(history(&shrinking[..10]).seconds_left(900.0), None);
        let steady: Vec<_> = (0..=600).step_by(10).map(|s| (s, None, Some(1000.0))).collect();
        assert_eq!(history(&steady).seconds_left(1000.0), None);
    }
}
