//! What the daemon lately did about each record, for people who ask about one. A ring in memory, bounded in bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::model::{
    key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
    side::{Direction, Side},
};

/// The most that the ring holds, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// Something that happened to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its application changed it, and the daemon took that up; when that was committed, in microseconds since 1970.
    Hint(i64),
    /// These fields were written to the other side.
    Crossed(Direction, Box<[usize]>),
    /// Somebody was at work on it: it was read and decided again.
    LostRace,
    /// Its change could not be seen by readers yet.
    NotVisible,
}

/// A step with its record and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The record, as far as the step knew it.
    pub key: Key,
    /// What.
    pub step: Step,
}

impl Trace {
    fn bytes(&self) -> usize {
        let more = match &self.step {
            Step::Crossed(_, fields) => size_of_val(&**fields),
            Step::Hint(_) | Step::LostRace | Step::NotVisible => 0,
        };
        size_of::<Self>() + more
    }
}

#[derive(Default)]
struct Ring {
    traces: VecDeque<Trace>,
    bytes: usize,
}

/// The ring.
pub struct Trail(Mutex<Option<Ring>>);

impl Default for Trail {
    fn default() -> Self {
        Self::new()
    }
}

impl Trail {
    /// Nothing happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn ring(&self) -> MutexGuard<'_, Option<Ring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds steps of now; the oldest make room.
    pub fn add(&self, steps: impl Iterator<Item = (Key, Step)>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let mut ring = self.ring();
        let ring = ring.get_or_insert_default();
        for (key, step) in steps {
            let trace = Trace { at, key, step };
            ring.bytes += trace.bytes();
            ring.traces.push_back(trace);
        }
        while ring.bytes > MOST_BYTES {
            let Some(oldest) = ring.traces.pop_front() else { break };
            ring.bytes -= oldest.bytes();
        }
    }

    /// What happened to a record, oldest first; and since when anything is known, in microseconds since 1970.
    pub fn about(
        &self,
        entity: EntityIndex,
        legacy: Option<LegacyId>,
        renaissance: Option<RenaissanceId>,
    ) -> (Vec<Trace>, Option<i64>) {
        let ids = [legacy.map(SideId::Legacy), renaissance.map(SideId::Renaissance)];
        let is_meant = |trace: &&Trace| trace.key.entity == entity && ids.contains(&Some(trace.key.id));
        let ring = self.ring();
        let Some(ring) = ring.as_ref() else { return (Vec::new(), None) };
        (ring.traces.iter().filter(is_meant).cloned().collect(), ring.traces.front().map(|trace| trace.at))
    }
}

/// The key of a record by its legacy id.
pub const fn legacy_key(entity: EntityIndex, id: LegacyId) -> Key {
    Key { entity, id: SideId::Legacy(id) }
}

impl Step {
    /// Its name and what else there is to say, in words.
    pub fn shown(&self, field: impl Fn(usize) -> Option<String>, side: Side) -> (&'static str, String) {
        match self {
            Self::Hint(committed) => {
                ("hint", format!("changed in {side} at {}", crate::model::calendar::to_iso(*committed)))
            }
            Self::Crossed(direction, fields) => {
                let names: Vec<String> = fields.iter().filter_map(|n| field(*n)).collect();
                ("written", format!("to {}: {}", direction.target(), names.join(", ")))
            }
            Self::LostRace => ("lost_race", "somebody was at work on it; read and decided again".to_owned()),
            Self::NotVisible => ("not_visible", "its change could not be read yet; read again".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        legacy_key(EntityIndex(0), LegacyId::new([n; 12]))
    }

    #[test]
    fn the_oldest_make_room_and_a_record_is_found_by_either_id() {
        let trail = Trail::new();
        let row = Key { entity: EntityIndex(0), id: SideId::Renaissance(7) };
        trail.add([(key(1), Step::LostRace), (row, Step::Hint(5))].into_iter());
        let (steps, _) = trail.about(EntityIndex(0), Some(LegacyId::new([1; 12])), Some(7));
        assert_eq!(steps.into_iter().map(|trace| trace.step).collect::<Vec<_>>(), [Step::LostRace, Step::Hint(5)]);
        assert_eq!(trail.about(EntityIndex(1), Some(LegacyId::new([1; 12])), None).0, []);

        let most = MOST_BYTES / size_of::<Trace>() + 10;
        trail.add((0..most).map(|_| (key(2), Step::NotVisible)));
        assert_eq!(trail.about(EntityIndex(0), Some(LegacyId::new([1; 12])), None).0, []);
        let held = trail.ring().as_ref().map(|ring| ring.bytes);
        assert!(held.is_some_and(|bytes| bytes <= MOST_BYTES && bytes > MOST_BYTES / 2), "{held:?}");
    }
}
