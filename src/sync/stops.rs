//! What a database refuses for everybody at the moment (a right is missing, its disk is full, it is read-only): how long the
//! keys that need it wait. They are neither parked, as none of them is at fault, nor in the way of others.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    error::Error,
    model::{key::EntityIndex, side::Side},
    retry::{Backoff, Failures, Policy},
};

/// What cannot be done with an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Reconciling it at all: it cannot be read, or its state cannot be kept.
    Reconciling,
    /// Writing it to this side.
    WritingTo(Side),
}

impl Stop {
    /// The name under which it is reported.
    pub fn place(self, entity: &str) -> String {
        match self {
            Self::Reconciling => format!("reconciling {entity}"),
            Self::WritingTo(side) => format!("writing {entity} to {side}"),
        }
    }
}

/// What is stopped.
#[derive(Default)]
pub struct Stops(Mutex<BTreeMap<(EntityIndex, Stop), Stopped>>);

struct Stopped {
    backoff: Backoff,
    failures: Failures,
    until: Instant,
}

impl Stops {
    /// Nothing is.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// How long it is not to be tried; `None` if it may be tried now.
    pub fn holds(&self, entity: EntityIndex, what: Stop) -> Option<Duration> {
        let until = self.stopped().get(&(entity, what))?.until;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// It was refused: logs that, and says how long to wait before it is tried again.
    pub fn stop(&self, (entity, name): (EntityIndex, &str), what: Stop, error: &Error) -> Duration {
        let new =
            || Stopped { backoff: Policy::BLOCKED.backoff(), failures: Failures::default(), until: Instant::now() };
        let mut all = self.stopped();
        let stopped = all.entry((entity, what)).or_insert_with(new);
        stopped.failures.failed(&what.place(name), error);
        let wait = stopped.backoff.after(error);
        stopped.until = Instant::now() + wait;
        wait
    }

    /// It was not refused: logs that if it was before, and says whether it was.
    pub fn go_on(&self, (entity, name): (EntityIndex, &str), what: Stop) -> bool {
        let former = self.stopped().remove(&(entity, what));
        former.map(|mut stopped| stopped.failures.succeeded(&what.place(name))).is_some()
    }

    fn stopped(&self) -> MutexGuard<'_, BTreeMap<(EntityIndex, Stop), Stopped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fact::RetryClass;

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_tried_again_ever_more_slowly_and_nothing_else_waits() {
        let (stops, thing, error) = (Stops::new(), (EntityIndex(1), "thing"), denied());
        let writing = Stop::WritingTo(Side::Legacy);
        let longest = (0..30).map(|_| stops.stop(thing, writing, &error)).max().unwrap_or_default();
        assert!(longest > Duration::from_secs(5) && longest <= Duration::from_secs(31), "{longest:?}");
        assert!(stops.holds(thing.0, writing).is_some());
        for (entity, what) in [(1, Stop::WritingTo(Side::Renaissance)), (1, Stop::Reconciling), (2, writing)] {
            assert_eq!(stops.holds(EntityIndex(entity), what), None);
        }
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(stops.holds(thing.0, writing), None, "it is due");
        assert!(stops.go_on(thing, writing) && !stops.go_on(thing, writing));
    }

    fn denied() -> Error {
        Error::halt("a right is missing").with_class(RetryClass::Blocked)
    }
}
