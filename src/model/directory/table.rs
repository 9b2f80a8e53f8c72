//! Hash → places, four bytes each: an open addressing table that leaves comparing to its user.

/// Nothing was ever here.
const EMPTY: u32 = u32::MAX;
/// Something was here.
const GONE: u32 = u32::MAX - 1;

/// The table. A place is in it once for each of its hashes.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<u32>,
    /// Slots that hold a place.
    held: usize,
    /// Slots that are not empty.
    used: usize,
}

impl Table {
    /// An empty table that has room for a good deal more than this.
    pub(super) fn with_room(held: usize) -> Self {
        Self { slots: vec![EMPTY; held + held / 2 + 64], held: 0, used: 0 }
    }

    /// How much it holds.
    pub(super) const fn len(&self) -> usize {
        self.held
    }

    /// Whether looking things up would become slow with so many more.
    pub(super) const fn is_full_for(&self, more: usize) -> bool {
        (self.used + more) * 8 > self.slots.len() * 7
    }

    /// Where looking for a hash begins: the hash's share of the length.
    fn home(&self, hash: u64) -> usize {
        let share = u128::from(hash) * self.slots.len() as u128;
        usize::try_from(share >> 64).unwrap_or_default()
    }

    /// The places that may be meant by a hash.
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (before, from) = self.slots.split_at(self.home(hash));
        let run = from.iter().chain(before).take_while(|slot| **slot != EMPTY);
        run.filter(|slot| **slot != GONE).copied()
    }

    /// Adds a place under a hash. There has to be room.
    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        if let Some(slot) = self.slot(hash, |slot| slot == EMPTY || slot == GONE) {
            let fresh = *slot == EMPTY;
            *slot = place;
            self.held += 1;
            self.used += usize::from(fresh);
        }
    }

    /// Takes a place away from under a hash.
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        // if it is there twice, under hashes that begin at one place, it does not matter which one goes
        if let Some(slot) = self.slot(hash, |slot| slot == place) {
            *slot = GONE;
            self.held -= 1;
        }
    }

    fn slot(&mut self, hash: u64, wanted: impl Fn(u32) -> bool) -> Option<&mut u32> {
        let home = self.home(hash);
        let (before, from) = self.slots.split_at_mut(home);
        from.iter_mut().chain(before).find(|slot| wanted(**slot))
    }
}
