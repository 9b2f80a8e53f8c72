//! A record as one side holds it right now.

use super::value::{Slot, Value};

/// What an adapter needs to recognise that a record changed since it was read; opaque to everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub Vec<u64>);

/// One side's record as read: one slot per path (legacy) or column (renaissance) of the mapping, in mapping order.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The mapped paths or columns.
    pub slots: Vec<Slot>,
    /// For compare-and-set.
    pub version: Version,
}

/// A change to some slots of a record: slot index and its new content (`None` removes a legacy field).
pub type Patch = Vec<(usize, Slot)>;

impl Image {
    /// What its texts and bytes take, roughly.
    pub fn weight(&self) -> usize {
        self.slots.iter().flatten().map(Value::weight).sum()
    }
}
