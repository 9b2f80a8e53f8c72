//! How many bytes of records may be read at once. Stores count while they read and stop early; the worker then takes fewer.

use crate::error::{Error, Result};

/// So few records may be read whatever they take: none is larger than a database allows, and one has to be read with those that it
/// may be the same as.
pub const FEW: usize = 4;

/// The room for one read.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    most: usize,
}

impl Default for Room {
    /// There is always room.
    fn default() -> Self {
        Self { most: usize::MAX }
    }
}

impl Room {
    /// The room for one of four reads at a time: two sides, and the batch that is read meanwhile.
    pub const fn quarter_of(bytes: usize) -> Self {
        Self { most: bytes / 4 }
    }

    /// The room for reads of which twice as many are kept at a time.
    #[must_use]
    pub const fn half(self) -> Self {
        Self { most: self.most / 2 }
    }

    /// Begins to count a read of so many records.
    pub const fn counter(self, records: usize) -> Counter {
        Counter { most: if records > FEW { self.most } else { usize::MAX }, bytes: 0 }
    }
}

/// The bytes read so far.
#[derive(Debug)]
pub struct Counter {
    most: usize,
    bytes: usize,
}

impl Counter {
    /// Counts some more; an error of [`Error::is_too_much`] if that is too much.
    pub fn add(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.most { Err(Error::too_much(self.most)) } else { Ok(()) }
    }
}

/// How many records to take at once: fewer after a read that was too much, then gradually more again.
#[derive(Debug)]
pub struct Size {
    now: usize,
    most: usize,
}

impl Size {
    /// Begins with the most there may be.
    pub const fn new(most: usize) -> Self {
        Self { now: most, most }
    }

    /// How many to take.
    pub const fn now(&self) -> usize {
        self.now
    }

    /// So many were too much.
    pub fn halve(&mut self, records: usize) {
        self.now = (records / 2).clamp(1, self.most);
    }

    /// A batch went well.
    pub fn grow(&mut self) {
        self.now = (self.now + self.now.div_ceil(4)).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_records_are_always_read_and_more_only_as_there_is_room() {
        let room = Room::quarter_of(400);
        let mut many = room.counter(FEW + 1);
        assert!(many.add(60).is_ok() && many.add(40).is_ok());
        assert!(many.add(1).is_err_and(|error| error.is_too_much()));
        assert!(room.half().counter(FEW + 1).add(51).is_err_and(|error| error.is_too_much()));
        assert!(room.counter(FEW).add(1 << 40).is_ok() && Room::default().counter(1000).add(1 << 40).is_ok());
    }

    #[test]
    fn halves_are_taken_until_they_fit_and_then_gradually_more() {
        let mut size = Size::new(1000);
        for expected in [500, 250, 125, 62, 31, 15, 7, 3, 1, 1] {
            size.halve(size.now());
            assert_eq!(size.now(), expected);
        }
        let grown: Vec<usize> = (0..7).map(|_| (size.grow(), size.now()).1).collect();
        assert_eq!(grown, [2, 3, 4, 5, 7, 9, 12]);
        (0..40).for_each(|_| size.grow());
        assert_eq!(size.now(), 1000);
    }
}
