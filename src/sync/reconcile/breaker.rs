//! The breaker of loops: a record that the bridge writes again and again, because of nothing but its own writes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Work;
use crate::{
    drill::{Mechanism, lacks},
    model::key::{EntityIndex, Key, LegacyId},
    sync::tracker::Taken,
};

/// Writes are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Records counted at most. Beyond that the counts begin anew: a loop is then found a little later.
const MOST: usize = 50_000;

/// What made a record dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An application changed it.
    Application,
    /// Only the bridge's own writes, to which triggers may have added something.
    Ourselves,
    /// A sweep, or another record that it waited for.
    Others,
}

impl By {
    /// What made the record of these keys dirty. What an application commits is told with the time of its commit.
    pub(super) fn of(keys: &[Key], taken: &HashMap<Key, &Taken>) -> Self {
        let hints = || keys.iter().filter_map(|key| taken.get(key));
        if hints().any(|one| one.committed_at.is_some()) {
            Self::Application
        } else if hints().any(|one| !one.needs.xids.is_empty()) {
            Self::Ourselves
        } else {
            Self::Others
        }
    }
}

/// Counts writes that follow from the bridge's own.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often since when.
    written: HashMap<(EntityIndex, LegacyId), (u32, Instant)>,
    /// Keys that a person wants to be tried again.
    forgiven: HashSet<Key>,
}

impl Breaker {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a record must not be written any more. An application that changes it, or a person, begins anew.
    pub(super) fn stops(&self, index: EntityIndex, work: &Work) -> bool {
        let (mut state, id) = (self.state(), (index, work.record.legacy_id));
        let forgiven = !state.forgiven.is_empty() && work.keys.iter().any(|key| state.forgiven.contains(key));
        if work.by == By::Application || forgiven {
            state.written.remove(&id);
            return false;
        }
        let counted =
            state.written.get(&id).is_some_and(|(count, since)| *count >= self.limit && since.elapsed() < WINDOW);
        work.record.looping || (counted && !lacks(Mechanism::LoopBreaker))
    }

    /// Notes records that were written because of nothing but the bridge's own writes, and keys that are through.
    pub(super) fn note(&self, index: EntityIndex, written: &[LegacyId], settled: &[Key]) {
        let mut state = self.state();
        if state.written.len() + written.len() > MOST {
            state.written.retain(|_, (_, since)| since.elapsed() < WINDOW);
            if state.written.len() + written.len() > MOST {
                state.written.clear();
            }
        }
        for id in written {
            let (count, since) = state.written.entry((index, *id)).or_insert((0, Instant::now()));
            if since.elapsed() >= WINDOW {
                (*count, *since) = (0, Instant::now());
            }
            *count += 1;
        }
        if !state.forgiven.is_empty() {
            settled.iter().for_each(|key| _ = state.forgiven.remove(key));
        }
    }

    /// Lets the record that this key names be written again.
    pub(super) fn forgive(&self, key: Key) {
        self.state().forgiven.insert(key);
    }
}
