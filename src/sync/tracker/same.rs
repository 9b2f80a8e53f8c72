//! When two trackers count as the same, for exploring what can happen to them.

use std::hash::{Hash, Hasher};

use super::{Entry, Tracker};
use crate::model::key::Key;

/// Times and the bytes held are left out: nothing depends on them where every delay is over at once and nothing is full.
impl Hash for Tracker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut entries: Vec<(&Key, &Entry)> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| **key);
        let delayed: Vec<&Key> = self.delayed.values().collect();
        (entries, delayed, &self.ready, self.turns, &self.lanes).hash(state);
    }
}
